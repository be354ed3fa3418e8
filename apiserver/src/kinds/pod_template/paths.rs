//! File paths inside specs.

use super::super::cursor::{Cursor, Errors};

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// Where it is set: permission bits only.
pub fn mode(at: &Cursor, errors: &mut Errors) {
    if at.int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        errors.invalid(at, FILE_MODE);
    }
}

pub fn has_backsteps(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

pub fn no_backsteps(at: &Cursor, path: &str, errors: &mut Errors) {
    if has_backsteps(path) {
        errors.invalid_as(at, path, "must not contain '..'");
    }
}

/// Relative, and never upwards. `at` is where the error stands, which upstream has elsewhere than the value in places.
pub fn descending(at: &Cursor, path: &str, errors: &mut Errors) {
    if path.starts_with('/') {
        errors.invalid_as(at, path, "must be a relative path");
    }
    no_backsteps(at, path, errors);
}

/// As `descending`, and not in the names that the volume writer keeps for itself.
pub fn local(at: &Cursor, path: &str, errors: &mut Errors) {
    descending(at, path, errors);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.invalid_as(at, path, "must not start with '..'");
    }
}
