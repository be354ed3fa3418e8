//! One version of a CustomResourceDefinition, its schema aside.

use std::collections::BTreeSet;

use api::field::{ErrorKind, FieldError, Path};
use serde_json::Value;

use super::validation::text;
use crate::custom::rules::field_path;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE: usize = 8;

pub(super) fn deprecation(path: &Path, version: &Value) -> Vec<FieldError> {
    let path = path.child("deprecationWarning");
    let Some(warning) = version["deprecationWarning"].as_str() else { return Vec::new() };
    let mut details = Vec::new();
    if version["deprecated"] != true {
        details.push("can only be set for deprecated versions".to_owned());
    } else {
        if warning.len() > 256 {
            details.push("must be <= 256 characters long".to_owned());
        }
        if warning.is_empty() {
            details.push("must not be an empty string".to_owned());
        }
        if let Some((at, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
            details.push(format!(
                "must only contain printable UTF-8 characters; non-printable character found at index {at}"
            ));
        }
    }
    details.into_iter().map(|detail| FieldError::invalid(&path, warning, detail)).collect()
}

pub(super) fn subresources(path: &Path, subresources: &Value) -> Vec<FieldError> {
    let scale = &subresources["scale"];
    if !scale.is_object() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    for (key, parent) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let at = path.child(&format!("scale.{key}"));
        let value = text(scale, key);
        if value.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if let Some(error) = json_path(&at, value) {
            errors.push(error);
        } else if !value.starts_with(parent) {
            let detail = format!("should be a json path under {}", parent.trim_end_matches('.'));
            errors.push(FieldError::invalid(&at, value, detail));
        }
    }
    let value = text(scale, "labelSelectorPath");
    let at = path.child("scale.labelSelectorPath");
    if let Some(error) = json_path(&at, value).filter(|_| !value.is_empty()) {
        errors.push(error);
    } else if !value.is_empty() && !value.starts_with(".spec.") && !value.starts_with(".status.") {
        let detail = "should be a json path under either .spec or .status";
        errors.push(FieldError::invalid(&at, value, detail));
    }
    errors
}

fn json_path(path: &Path, value: &str) -> Option<FieldError> {
    let detail = "must be a simple json path starting with .";
    (!value.starts_with('.')).then(|| FieldError::invalid(path, value, detail))
}

pub(super) fn columns(path: &Path, columns: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, column) in columns.as_array().into_iter().flatten().enumerate() {
        let path = path.index(index);
        if text(column, "name").is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        let (kind, format, json) = (text(column, "type"), text(column, "format"), text(column, "jsonPath"));
        let known = format!("must be one of {}", COLUMN_TYPES.join(","));
        if kind.is_empty() {
            errors.push(FieldError::required(&path.child("type"), known));
        } else if !COLUMN_TYPES.contains(&kind) {
            errors.push(FieldError::invalid(&path.child("type"), kind, known));
        }
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(&path.child("format"), format, detail));
        }
        let at = path.child("JSONPath");
        match json {
            "" => errors.push(FieldError::required(&at, "")),
            json => errors.extend(json_path(&at, json)),
        }
    }
    errors
}

pub(super) fn selectable(path: &Path, fields: &Value, schema: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, field) in fields.as_array().into_iter().flatten().enumerate() {
        let path = path.index(index).child("jsonPath");
        let json = text(field, "jsonPath");
        if json.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let (names, found) = match field_path::dotted(json, schema) {
            Ok(found) => found,
            Err(why) => {
                errors.push(FieldError::invalid(&path, json, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if names.split('.').next() == Some("metadata") {
            errors.push(FieldError::invalid(&path, json, "must not point to fields in metadata"));
        }
        if !matches!(text(found, "type"), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats \
                          are allowed.";
            errors.push(FieldError::invalid(&path, json, detail));
        }
        if !seen.insert(names) {
            errors.push(FieldError::duplicate(&path, json));
        }
    }
    if seen.len() > MAX_SELECTABLE {
        let detail = format!("must have at most {MAX_SELECTABLE} items");
        errors.push(FieldError { kind: ErrorKind::TooMany, path: path.clone(), value: seen.len().into(), detail });
    }
    errors
}
