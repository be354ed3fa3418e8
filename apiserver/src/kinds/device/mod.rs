//! Devices and who asks for them (`resource.k8s.io`, dynamic resource allocation): [`class`] names kinds of devices, [`claim`] asks for
//! some, [`claim_status`] says which ones were given, [`slice`] what there is. `selector` is the expressions in them. Fields whose
//! feature gates are off in v1.35 are dropped before anything here sees them ([`crate::gated`]), so they have no rules.
//!
//! The rules are those of upstream's `pkg/apis/resource/validation`.

pub mod claim;
mod claim_status;
pub mod class;
mod selector;
pub mod slice;

use std::collections::BTreeSet;

use api::names;

use super::cursor::{Cursor, Errors};

/// Of requests, constraints, configurations and results, each.
const MAX_ITEMS: usize = 32;
/// Bytes of a driver's name, which is the domain of its attributes.
const MAX_DOMAIN: usize = 63;
/// Bytes of an attribute's name.
const MAX_ID: usize = 32;
const MAX_VALUE: usize = 64;
/// Attributes and capacities of one device.
const MAX_ATTRIBUTES: usize = 32;
const MAX_POOL_NAME: usize = 253;
const MAX_PARAMETERS: usize = 10 * 1024;

/// Whether there are not too many elements to look at.
fn within(at: &Cursor, max: usize, errors: &mut Errors) -> bool {
    let fits = at.len() <= max;
    if !fits {
        errors.too_many(at, max);
    }
    fits
}

/// Elements that occur twice, each reported in place with the text that it is known by.
fn duplicates(at: &Cursor, key: impl Fn(&Cursor) -> String, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for item in at.items() {
        let key = key(&item);
        if !seen.insert(key.clone()) {
            errors.duplicate_as(&item, key);
        }
    }
}

fn label(at: &Cursor, errors: &mut Errors) {
    errors.messages(at, names::dns1123_label(at.str()));
}

fn pool_name(at: &Cursor, errors: &mut Errors) {
    if at.str().is_empty() {
        return errors.required(at);
    }
    if at.len() > MAX_POOL_NAME {
        errors.too_long(at, MAX_POOL_NAME);
    }
    for part in at.str().split('/') {
        for message in names::dns1123_subdomain(part) {
            errors.invalid_as(at, part, message);
        }
    }
}

/// A C identifier, with or without a domain. `name` is what stands at `at`.
fn qualified_name(at: &Cursor, name: &str, errors: &mut Errors) {
    let identifier = |id: &str, errors: &mut Errors| {
        if id.len() > MAX_ID {
            errors.too_long(at, MAX_ID);
        }
        if let Some(message) = names::c_identifier(id) {
            errors.invalid_as(at, id, message);
        }
    };
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [id] => identifier(id, errors),
        [domain, id] => {
            if domain.is_empty() {
                errors.invalid_as(at, "", "the domain must not be empty");
            } else {
                super::csi::driver_named(at, domain, errors);
            }
            if id.is_empty() {
                errors.invalid_as(at, "", "the name must not be empty");
            } else {
                identifier(id, errors);
            }
        }
        // Upstream lets more slashes pass.
        _ => {}
    }
}

/// Parameters for a driver, which nobody else understands. `known`: they are as they were before.
fn configuration(at: &Cursor, known: bool, errors: &mut Errors) {
    let opaque = at.child("opaque");
    if !opaque.is_set() {
        return errors.required(&opaque);
    }
    super::csi::driver_name(&opaque.child("driver"), errors);
    raw(&opaque.child("parameters"), known, errors);
}

/// Any object. Upstream counts the bytes that the client sent.
fn raw(at: &Cursor, known: bool, errors: &mut Errors) {
    if !at.is_set() {
        errors.required(at);
    } else if !known && at.value.to_string().len() > MAX_PARAMETERS {
        errors.too_long(at, MAX_PARAMETERS);
    } else if !at.value.is_object() {
        errors.invalid_as(at, "<value omitted>", "must be a valid JSON object");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(value: Value, check: impl Fn(&Cursor, &mut Errors)) -> Vec<String> {
        let object = json!({"a": value});
        let mut errors = Errors::default();
        check(&Cursor::root(&object, "a"), &mut errors);
        errors.into_vec().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_of_attributes() {
        let table = [
            ("model", 0),
            ("d.example.com/model", 0),
            ("a/b/c", 0),
            ("a-b", 1),
            ("/a", 1),
            ("a/", 1),
            ("/", 2),
            ("A_/b-c", 2),
        ];
        for (name, expected) in table {
            let found = said(json!(name), |at, errors| qualified_name(at, name, errors));
            assert_eq!(found.len(), expected, "{name}: {found:?}");
        }
        let long = "x".repeat(MAX_ID + 1);
        assert_eq!(
            said(json!(long), |at, errors| qualified_name(at, &long, errors)),
            ["a: Too long: may not be more than 32 bytes"]
        );
    }

    #[test]
    fn parameters_are_an_object() {
        let table = [
            (json!({}), vec!["a.opaque: Required value"]),
            (json!({"opaque": {"driver": "d", "parameters": {}}}), vec![]),
            (json!({"opaque": {}}), vec!["a.opaque.driver: Required value", "a.opaque.parameters: Required value"]),
            (
                json!({"opaque": {"driver": "d", "parameters": [1]}}),
                vec!["a.opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object"],
            ),
            (
                json!({"opaque": {"driver": "d", "parameters": {"a": "x".repeat(MAX_PARAMETERS)}}}),
                vec!["a.opaque.parameters: Too long: may not be more than 10240 bytes"],
            ),
        ];
        for (value, expected) in table {
            assert_eq!(said(value.clone(), |at, errors| configuration(at, false, errors)), expected, "{value}");
        }
    }
}
