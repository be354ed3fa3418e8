//! Secret.

use api::Object;
use api::field::FieldError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::config_map::{MAX_DATA, decoded_size, has_key, immutable, key_name};
use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, text};
use super::edit::{default_text, object_mut, remove, set};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Secret;

impl Strategy for Secret {
    /// `stringData` is for writing: it becomes `data`, over what stands there.
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        default_text(new, "type", "Opaque");
        let Some(Value::Object(plain)) = remove(new, "stringData") else { return };
        if plain.is_empty() {
            return;
        }
        let encoded: Map<String, Value> = plain
            .into_iter()
            .map(|(key, value)| (key, STANDARD.encode(value.as_str().unwrap_or_default()).into()))
            .collect();
        if let Some(data) = object_mut(new, "data") {
            for (key, value) in encoded {
                set(data, &key, value);
            }
        }
    }

    /// Upstream tries to use a certificate and its key.
    fn warnings(&self, new: &Object) -> Vec<String> {
        if text(new, "type") != "kubernetes.io/tls" {
            return Vec::new();
        }
        let lacks_pem = |key: &str| {
            let bytes = STANDARD.decode(text(field(new, "data"), key)).unwrap_or_default();
            !String::from_utf8_lossy(&bytes).contains("-----BEGIN")
        };
        let what = [("tls.crt", "certificate"), ("tls.key", "key")].into_iter().find(|(key, _)| lacks_pem(key));
        what.map(|(_, what)| format!("tls: failed to find any PEM data in {what} input")).into_iter().collect()
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let data = Cursor::root(new, "data");
        for (key, value) in data.entries() {
            key_name(&value, key, &mut errors);
        }
        if data.entries().map(|(_, value)| decoded_size(value.value)).sum::<usize>() > MAX_DATA {
            errors.too_long(&data, MAX_DATA);
        }
        by_type(new, &data, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        if text(new, "type") != text(old, "type") {
            errors.invalid_text(&Cursor::root(new, "type"), IS_IMMUTABLE);
        }
        immutable(new, old, &["data"], &mut errors);
        errors.into_vec()
    }
}

/// The keys that a type promises.
fn by_type(secret: &Value, data: &Cursor, errors: &mut Errors) {
    const ACCOUNT: &str = "kubernetes.io/service-account.name";
    let missing = |key: &str| !has_key(secret, key);
    match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            let metadata = Cursor::root(secret, "metadata");
            let annotations = metadata.child("annotations");
            if annotations.text(ACCOUNT).is_empty() {
                errors.required(&annotations.key(ACCOUNT));
            }
        }
        "kubernetes.io/dockercfg" => docker_config(&data.key(".dockercfg"), errors),
        "kubernetes.io/dockerconfigjson" => docker_config(&data.key(".dockerconfigjson"), errors),
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => {
            errors.required(&data.key("username"));
            errors.required(&data.key("password"));
        }
        "kubernetes.io/ssh-auth" if text(field(secret, "data"), "ssh-privatekey").is_empty() => {
            errors.required(&data.key("ssh-privatekey"));
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if missing(key) {
                    errors.required(&data.key(key));
                }
            }
        }
        _ => {}
    }
}

fn docker_config(at: &Cursor, errors: &mut Errors) {
    if !at.is_set() {
        return errors.required(at);
    }
    let content = STANDARD.decode(at.str()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Map<String, Value>>(&content) {
        let detail = match content.is_empty() {
            true => "unexpected end of JSON input".to_owned(),
            false => error.to_string(),
        };
        errors.invalid_as(at, "<secret contents redacted>", detail);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn plain_texts_become_data() {
        let mut secret = json!({"data": {"a": "AAAA", "b": "BBBB"}, "stringData": {"b": "hello", "c": ""}});
        Secret.defaults(&mut secret, None);
        assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "AAAA", "b": "aGVsbG8=", "c": ""}}));
        // An update that leaves out another type is refused.
        let (mut update, old) = (json!({"data": {}}), json!({"type": "kubernetes.io/tls"}));
        Secret.defaults(&mut update, Some(&old));
        assert_eq!(
            texts(Secret.validate_update(&update, &old)),
            ["type: Invalid value: \"Opaque\": field is immutable"]
        );
    }

    #[test]
    fn types_promise_keys() {
        let table: &[(&str, Value, &[&str])] = &[
            ("Opaque", json!({}), &[]),
            ("kubernetes.io/tls", json!({"tls.crt": ""}), &["data[tls.key]: Required value"]),
            (
                "kubernetes.io/basic-auth",
                json!({}),
                &["data[username]: Required value", "data[password]: Required value"],
            ),
            ("kubernetes.io/basic-auth", json!({"username": ""}), &[]),
            ("kubernetes.io/ssh-auth", json!({"ssh-privatekey": ""}), &["data[ssh-privatekey]: Required value"]),
            ("kubernetes.io/dockerconfigjson", json!({}), &["data[.dockerconfigjson]: Required value"]),
            ("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": "e30="}), &[]),
            (
                "kubernetes.io/dockerconfigjson",
                json!({".dockerconfigjson": ""}),
                &[
                    "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": unexpected end of JSON input",
                ],
            ),
            (
                "kubernetes.io/service-account-token",
                json!({}),
                &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
        ];
        for (kind, data, expected) in table {
            assert_eq!(texts(Secret.validate(&json!({"type": kind, "data": data}))), *expected, "{kind} {data}");
        }
    }

    #[test]
    fn the_type_stays() {
        let errors = Secret.validate_update(&json!({"type": "a"}), &json!({"type": "b"}));
        assert_eq!(texts(errors), ["type: Invalid value: \"a\": field is immutable"]);
    }
}
