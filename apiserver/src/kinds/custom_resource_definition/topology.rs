//! How lists and maps of a schema merge: `x-kubernetes-list-type`, `-list-map-keys`, `-map-type`.

use std::collections::BTreeSet;

use api::field::{FieldError, Path};
use serde_json::Value;

pub(super) fn validate(path: &Path, schema: &Value, errors: &mut Vec<FieldError>) {
    let text = |key: &str| schema[key].as_str();
    typed(path, schema, "x-kubernetes-map-type", "object", &["atomic", "granular"], errors);
    let is_typed = typed(path, schema, "x-kubernetes-list-type", "array", &["atomic", "set", "map"], errors);
    let list = text("x-kubernetes-list-type");
    let items = &schema["items"];
    if is_typed && list == Some("set") {
        set_items(&path.child("items"), items, errors);
    }
    let no_keys = Vec::new();
    let keys = schema["x-kubernetes-list-map-keys"].as_array().unwrap_or(&no_keys);
    if !keys.is_empty() && list != Some("map") {
        let at = path.child("x-kubernetes-list-type");
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list {
            None => FieldError::required(&at, detail),
            Some(list) => FieldError::invalid(&at, list, detail),
        });
    }
    if list == Some("map") {
        map_items(path, schema, keys, errors);
    }
    if matches!(list, Some("map" | "set")) && items["nullable"] == true {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {}", list.unwrap_or_default());
        errors.push(FieldError::forbidden(&path.child("items").child("nullable"), detail));
    }
    if list == Some("map") {
        key_presence(&path.child("items").child("properties"), items, keys, errors);
    }
}

/// The value is one of those that there are, on a node of the type; whether it is on such a node.
fn typed(path: &Path, schema: &Value, key: &str, wanted: &str, known: &[&str], errors: &mut Vec<FieldError>) -> bool {
    let Some(value) = schema[key].as_str() else { return false };
    let kind = schema["type"].as_str().unwrap_or_default();
    let detail = format!("must be {wanted} if {key} is specified");
    match kind {
        kind if kind == wanted => {}
        "" => errors.push(FieldError::required(&path.child("type"), detail)),
        kind => errors.push(FieldError::invalid(&path.child("type"), kind, detail)),
    }
    if !known.contains(&value) {
        errors.push(FieldError::not_supported(&path.child(key), value, known));
    }
    kind == wanted
}

/// Elements of a set are compared as a whole.
fn set_items(path: &Path, items: &Value, errors: &mut Vec<FieldError>) {
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let key = match items["type"].as_str() {
        Some("array") if items["x-kubernetes-list-type"].as_str().is_some_and(|list| list != "atomic") => {
            "x-kubernetes-list-type"
        }
        Some("object") if items["x-kubernetes-map-type"] != "atomic" => "x-kubernetes-map-type",
        _ => return,
    };
    errors.push(FieldError::invalid(&path.child(key), items["x-kubernetes-list-type"].clone(), detail));
}

fn map_items(path: &Path, schema: &Value, keys: &[Value], errors: &mut Vec<FieldError>) {
    let at = path.child("x-kubernetes-list-map-keys");
    let items = &schema["items"];
    if keys.is_empty() {
        errors.push(FieldError::required(&at, "must not be empty if x-kubernetes-list-type is map"));
    }
    if items.is_null() {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        return errors.push(FieldError::required(&path.child("items"), detail));
    }
    if items.is_array() {
        let detail = "must only have a single schema if x-kubernetes-list-type is map";
        return errors.push(FieldError::invalid(&path.child("items"), items.clone(), detail));
    }
    let kind = items["type"].as_str().unwrap_or_default();
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        return errors.push(FieldError::invalid(&path.child("items").child("type"), kind, detail));
    }
    let mut seen = BTreeSet::new();
    let all = || Value::Array(keys.to_vec());
    for key in keys.iter().filter_map(Value::as_str) {
        match items["properties"].get(key) {
            Some(property) if matches!(property["type"].as_str(), Some("array" | "object")) => {
                let path = path.child("items").child("properties").key(key).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(&path, kind, detail));
            }
            Some(_) => {}
            None => errors.push(FieldError::invalid(&at, all(), "entries must all be names of item properties")),
        }
        if !seen.insert(key) {
            errors.push(FieldError::invalid(&at, all(), "must not contain duplicate entries"));
        }
    }
}

/// Every element has its keys.
fn key_presence(path: &Path, items: &Value, keys: &[Value], errors: &mut Vec<FieldError>) {
    for key in keys.iter().filter_map(Value::as_str) {
        let Some(property) = items["properties"].get(key) else { continue };
        let path = path.key(key);
        let required = items["required"].as_array().is_some_and(|required| required.iter().any(|name| name == key));
        if !required && property["default"].is_null() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&path.child("default"), detail));
        }
        if property["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&path.child("nullable"), detail));
        }
    }
}
