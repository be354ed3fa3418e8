//! ConfigMap, and the rules about data that it shares with Secret.

use api::Object;
use api::field::{FieldError, Path};
use api::names;
use serde_json::Value;

use super::cursor::{Cursor, Errors, field, flag};
use super::equality::same_field;
use crate::strategy::Strategy;

/// Bytes of all values of one object.
pub const MAX_DATA: usize = 1024 * 1024;

#[derive(Debug)]
pub struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let (data, binary) = (Cursor::root(new, "data"), Cursor::root(new, "binaryData"));
        let mut size = 0;
        for (key, value) in data.entries() {
            key_name(&value, key, &mut errors);
            if binary.has(key) {
                errors.invalid_as(&value, key, "duplicate of key present in binaryData");
            }
            size += value.len();
        }
        for (key, value) in binary.entries() {
            key_name(&value, key, &mut errors);
            size += decoded_size(value.value);
        }
        if size > MAX_DATA {
            errors.push(FieldError::too_long(&Path::new(""), MAX_DATA));
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        immutable(new, old, &["data", "binaryData"], &mut errors);
        errors.into_vec()
    }
}

pub fn key_name(at: &Cursor, key: &str, errors: &mut Errors) {
    for message in names::config_map_key(key) {
        errors.invalid_as(at, key, message);
    }
}

/// Once `immutable` is true it stays so, and with it the data.
pub fn immutable(new: &Value, old: &Value, data: &[&str], errors: &mut Errors) {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    if flag(old, "immutable") != Some(true) {
        return;
    }
    if flag(new, "immutable") != Some(true) {
        errors.forbidden(&Cursor::root(new, "immutable"), DETAIL);
    }
    for name in data {
        // An empty map is another one than none.
        if !same_field(new, old, name) || field(new, name).is_null() != field(old, name).is_null() {
            errors.forbidden(&Cursor::root(new, name), DETAIL);
        }
    }
}

/// Bytes that a base64 text stands for.
pub fn decoded_size(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default().trim_end_matches('=');
    text.len() * 3 / 4
}

/// Whether `data` of an object has this key, if only with an empty value.
pub fn has_key(object: &Value, key: &str) -> bool {
    field(object, "data").get(key).is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn config_maps_are_checked() {
        let big = "x".repeat(MAX_DATA + 1);
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                    'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
        let table = [
            ("valid", json!({"data": {"a.b": "x"}, "binaryData": {"c": "AA=="}}), vec![]),
            ("key", json!({"data": {"a b": ""}}), vec![format!("data[a b]: Invalid value: \"a b\": {rule}")]),
            (
                "twice",
                json!({"data": {"a": ""}, "binaryData": {"a": ""}}),
                vec!["data[a]: Invalid value: \"a\": duplicate of key present in binaryData".to_owned()],
            ),
            ("big", json!({"data": {"a": big}}), vec![": Too long: may not be more than 1048576 bytes".to_owned()]),
        ];
        for (name, object, expected) in table {
            assert_eq!(texts(ConfigMap.validate(&object)), expected, "{name}");
        }
    }

    #[test]
    fn immutable_is_for_good() {
        let old = json!({"immutable": true, "data": {"a": "b"}});
        let new = json!({"data": {"a": "c"}});
        let expected = [
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set",
        ];
        assert_eq!(texts(ConfigMap.validate_update(&new, &old)), expected);
        assert_eq!(texts(ConfigMap.validate_update(&old, &new)), Vec::<String>::new());
    }
}
