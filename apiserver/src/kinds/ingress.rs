//! Ingress.

use api::Object;
use api::field::FieldError;
use api::names;

use super::addresses;
use super::cursor::{Cursor, Errors, field, text};
use crate::strategy::Strategy;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const BAD_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDS: [&str; 2] = ["/..", "/."];
const NO_IP: &str = "must be a DNS name, not an IP address";

#[derive(Debug)]
pub struct Ingress;

impl Strategy for Ingress {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (rules, default) = (spec.child("rules"), spec.child("defaultBackend"));
        if rules.is_empty() && !default.is_set() {
            let none = spec.showing(rules.value);
            errors.invalid(&none, "either `defaultBackend` or `rules` must be specified");
        }
        if default.is_set() {
            backend(&default, &mut errors);
        }
        for rule in rules.items() {
            let name = rule.child("host");
            if !name.str().is_empty() {
                if addresses::parse(name.str()).is_some() {
                    errors.invalid(&name, NO_IP);
                }
                host(&name, &mut errors);
            }
            http(&rule.child("http"), &mut errors);
        }
        for tls in spec.child("tls").items() {
            tls.child("hosts").items().for_each(|name| host(&name, &mut errors));
            let secret = tls.child("secretName");
            if !secret.str().is_empty() {
                errors.messages(&secret, names::dns1123_subdomain(secret.str()));
            }
        }
        let class = spec.child("ingressClassName");
        if class.is_set() {
            errors.messages(&class, names::dns1123_subdomain(class.str()));
        }
        errors.into_vec()
    }

    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let annotations = Cursor::root(new, "annotations");
        let said = field(field(field(new, "metadata"), "annotations"), CLASS_ANNOTATION);
        let class = field(field(new, "spec"), "ingressClassName");
        if said.is_string() && class.is_string() && said != class {
            let at = annotations.child(CLASS_ANNOTATION);
            errors.invalid(&at.showing(said), "must match `ingressClassName` when both are specified");
        }
        errors.into_vec()
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let status = Cursor::root(new, "status");
        for point in status.child("loadBalancer").child("ingress").items() {
            let (address, name) = (point.child("ip"), point.child("hostname"));
            if !address.str().is_empty() {
                addresses::ip(&address, &mut errors);
            }
            if !name.str().is_empty() {
                errors.messages(&name, names::dns1123_subdomain(name.str()));
                if addresses::parse(name.str()).is_some() {
                    errors.invalid(&name, NO_IP);
                }
            }
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let annotations = field(field(new, "metadata"), "annotations");
        let old_way =
            !field(annotations, CLASS_ANNOTATION).is_null() && text(field(new, "spec"), "ingressClassName").is_empty();
        let warning =
            || format!("annotation {CLASS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead");
        old_way.then(warning).into_iter().collect()
    }

    fn warnings_of_update(&self, _new: &Object, _old: &Object) -> Vec<String> {
        Vec::new()
    }
}

fn host(at: &Cursor, errors: &mut Errors) {
    let rule = if at.str().contains('*') { names::wildcard_dns1123_subdomain } else { names::dns1123_subdomain };
    errors.messages(at, rule(at.str()));
}

fn http(at: &Cursor, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    let paths = at.child("paths");
    if paths.is_empty() {
        errors.required(&paths);
    }
    for rule in paths.items() {
        let (kind, path) = (rule.child("pathType"), rule.child("path"));
        let absolute = path.str().starts_with('/');
        match kind.str() {
            "Exact" | "Prefix" => {
                if !absolute {
                    errors.invalid_text(&path, "must be an absolute path");
                }
                for bad in BAD_SEQUENCES.iter().filter(|bad| path.str().contains(**bad)) {
                    errors.invalid(&path, format!("must not contain '{bad}'"));
                }
                for bad in BAD_ENDS.iter().filter(|bad| path.str().ends_with(**bad)) {
                    errors.invalid(&path, format!("cannot end with '{bad}'"));
                }
            }
            "ImplementationSpecific" => {
                if !path.str().is_empty() && !absolute {
                    errors.invalid(&path, "must be an absolute path");
                }
            }
            _ if !kind.is_set() => {
                errors.required_because(&kind, "pathType must be specified");
                continue;
            }
            _ => errors.not_supported(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
        }
        backend(&rule.child("backend"), errors);
    }
}

fn backend(at: &Cursor, errors: &mut Errors) {
    let (resource, service) = (at.child("resource"), at.child("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => errors.invalid_as(at, "", "cannot set both resource and service backends"),
        (false, false) => errors.invalid_as(at, "", "resource or service backend is required"),
        (true, false) => reference(&resource, errors),
        (false, true) => {
            let name = service.child("name");
            if name.str().is_empty() {
                errors.required(&name);
            } else {
                errors.messages(&name, names::dns1035_label(name.str()));
            }
            let port = service.child("port");
            let (name, number) = (port.child("name"), port.child("number"));
            match (name.str().is_empty(), number.int().unwrap_or_default()) {
                (false, ..0 | 1..) => errors.invalid_as(at, "", "cannot set both port name & port number"),
                (false, 0) => errors.messages(&name, names::port_name(name.str())),
                (true, 0) => errors.required_because(at, "port name or number is required"),
                (true, value) => {
                    if let Some(wrong) = names::port_number(value) {
                        errors.invalid(&number, wrong);
                    }
                }
            }
        }
    }
}

/// A typed reference to an object of the same namespace.
pub fn reference(at: &Cursor, errors: &mut Errors) {
    let group = at.child("apiGroup");
    if group.is_set() {
        errors.messages(&group, names::dns1123_subdomain(group.str()));
    }
    kind_and_name(at, errors);
}

/// Of what a reference points to.
pub fn kind_and_name(at: &Cursor, errors: &mut Errors) {
    for name in ["kind", "name"] {
        let part = at.child(name);
        if part.str().is_empty() {
            errors.required(&part);
        } else {
            errors.messages(&part, names::path_segment(part.str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with_path(path: &Value) -> Value {
        json!({"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]})
    }

    #[test]
    fn rules_lead_somewhere() {
        let service = json!({"service": {"name": "web", "port": {"number": 80}}});
        let at = "spec.rules[0].http.paths[0]";
        let table = [
            (json!({"defaultBackend": service}), String::new()),
            (with_path(&json!({"pathType": "Prefix", "path": "/", "backend": service})), String::new()),
            (json!({}), "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified".to_owned()),
            (
                with_path(&json!({"path": "/", "backend": service})),
                format!("{at}.pathType: Required value: pathType must be specified"),
            ),
            (
                with_path(&json!({"pathType": "Exact", "path": "/a//b", "backend": service})),
                format!("{at}.path: Invalid value: \"/a//b\": must not contain '//'"),
            ),
            (
                with_path(&json!({"pathType": "Exact", "path": "/", "backend": {}})),
                format!("{at}.backend: Invalid value: \"\": resource or service backend is required"),
            ),
            (
                json!({"defaultBackend": {"service": {"name": "web"}}}),
                "spec.defaultBackend: Required value: port name or number is required".to_owned(),
            ),
            (
                json!({"defaultBackend": service, "rules": [{"host": "10.0.0.1"}]}),
                format!("spec.rules[0].host: Invalid value: \"10.0.0.1\": {NO_IP}"),
            ),
        ];
        for (spec, expected) in table {
            let errors = Ingress.validate(&json!({ "spec": spec }));
            let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(words.join("\n"), expected);
        }
    }
}
