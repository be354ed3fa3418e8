//! Validation of projected volumes.

use std::collections::BTreeSet;

use super::super::cursor::{Cursor, Errors};
use super::super::selectors::label_selector;
use super::paths;
use super::volumes::{downward_file, key_to_path};

const MIN_TOKEN_SECONDS: i64 = 600;
const MAX_TOKEN_SECONDS: i64 = 1 << 32;
const CONFLICT: &str = "conflicting duplicate paths";

pub fn projected(at: &Cursor, errors: &mut Errors) {
    paths::mode(&at.child("defaultMode"), errors);
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for source in at.child("sources").items() {
        let kinds =
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
        let given = kinds.iter().filter(|kind| source.has(kind)).count();
        for kind in ["secret", "configMap"] {
            let object = source.child(kind);
            if object.is_set() {
                keys(at, &object, &mut used, errors);
            }
        }
        let downward = source.child("downwardAPI");
        for file in downward.child("items").items() {
            downward_file(&downward, &file, errors);
            let path = file.text("path");
            if !path.is_empty() && !used.insert(path) {
                errors.invalid_as(at, path, CONFLICT);
            }
        }
        token(at, &source.child("serviceAccountToken"), errors);
        let bundle = source.child("clusterTrustBundle");
        if bundle.is_set() {
            trust_bundle(&bundle, errors);
            if !used.insert(bundle.text("path")) {
                errors.invalid_as(at, bundle.text("path"), CONFLICT);
            }
        }
        if given > 1 {
            errors.forbidden(&source, "may not specify more than 1 volume type per source");
        }
    }
}

fn keys<'v>(volume: &Cursor, at: &Cursor<'v, '_>, used: &mut BTreeSet<&'v str>, errors: &mut Errors) {
    if at.text("name").is_empty() {
        errors.required(&at.child("name"));
    }
    for item in at.child("items").items() {
        key_to_path(&item, errors);
        let path = item.text("path");
        if !path.is_empty() && !used.insert(path) {
            errors.invalid_as(volume, at.text("name"), CONFLICT);
        }
    }
}

fn token(volume: &Cursor, at: &Cursor, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    let seconds = at.child("expirationSeconds");
    if seconds.int().is_some_and(|seconds| seconds < MIN_TOKEN_SECONDS) {
        errors.invalid(&seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds.int().is_some_and(|seconds| seconds > MAX_TOKEN_SECONDS) {
        errors.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
    }
    // Upstream reports the path at the volume.
    if at.text("path").is_empty() {
        errors.required(&volume.child("path"));
    } else {
        paths::local(&volume.child("path"), at.text("path"), errors);
    }
}

fn trust_bundle(at: &Cursor, errors: &mut Errors) {
    match (at.has("name"), at.has("signerName")) {
        (true, true) => errors.invalid(at, "only one of name and signerName may be used"),
        (true, false) => {
            if at.text("name").is_empty() {
                errors.required_because(&at.child("name"), "must be a valid object name");
            }
            if at.has("labelSelector") {
                errors.invalid(&at.child("labelSelector"), "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if at.text("signerName").is_empty() {
                errors.required_because(&at.child("signerName"), "must be a valid signer name");
            }
            label_selector(&at.child("labelSelector"), errors);
        }
        (false, false) => errors.required_because(at, "either name or signerName must be specified"),
    }
    if at.text("path").is_empty() {
        errors.required(&at.child("path"));
    }
    paths::local(&at.child("path"), at.text("path"), errors);
}
