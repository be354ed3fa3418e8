//! IngressClass.

use api::Object;
use api::field::FieldError;
use api::names;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, text};
use super::edit::{default_to, get_mut};
use super::ingress::reference;
use crate::strategy::Strategy;

const MAX_CONTROLLER: usize = 250;

#[derive(Debug)]
pub struct IngressClass;

impl Strategy for IngressClass {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(parameters) = get_mut(new, "spec").and_then(|spec| get_mut(spec, "parameters")) {
            default_to(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        controller(&spec.child("controller"), &mut errors);
        let parameters = spec.child("parameters");
        if parameters.is_set() {
            reference(&parameters, &mut errors);
            let namespace = parameters.child("namespace");
            match parameters.text("scope") {
                "Namespace" if !namespace.is_set() => {
                    errors.required_because(&namespace, "`parameters.scope` is set to 'Namespace'");
                }
                "Namespace" => errors.messages(&namespace, names::dns1123_label(namespace.str())),
                "Cluster" if namespace.is_set() => {
                    errors.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'");
                }
                "Cluster" => {}
                _ => errors.not_supported(&parameters.child("scope"), &["Cluster", "Namespace"]),
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let controller = spec.child("controller");
        if controller.str() != text(field(old, "spec"), "controller") {
            errors.invalid_as(&controller, controller.str(), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

/// A path with a domain before it.
fn controller(at: &Cursor, errors: &mut Errors) {
    if at.len() > MAX_CONTROLLER {
        errors.too_long(at, MAX_CONTROLLER);
    }
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || br"/\-._~%!$&'()*+,;=:".contains(&byte);
    match at.str().split_once('/') {
        _ if at.str().is_empty() => errors.required(at),
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            for message in names::dns1123_subdomain(domain) {
                errors.invalid_as(at, domain, message);
            }
            if !path.bytes().all(in_path) {
                let message = names::regex_message("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
                errors.invalid_as(at, path, message);
            }
        }
        _ => errors.invalid(at, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_names_its_controller() {
        let words = |errors: Vec<FieldError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let table = [
            (json!({"controller": "example.com/a"}), ""),
            (json!({}), "spec.controller: Required value"),
            (
                json!({"controller": "a"}),
                "spec.controller: Invalid value: \"a\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            ),
            (
                json!({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "namespace": "x"}}),
                "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
            ),
        ];
        for (spec, expected) in table {
            let mut class = json!({ "spec": spec });
            IngressClass.defaults(&mut class, None);
            assert_eq!(words(IngressClass.validate(&class)), expected);
        }
    }
}
