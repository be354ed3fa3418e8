//! Which requests webhooks and policies are about (`pkg/apis/admissionregistration/validation`).

use std::collections::BTreeSet;

use api::names;

use super::cursor::{Cursor, Errors};
use super::selectors::{label_name, label_selector};

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
pub const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const MAX_CONDITIONS: usize = 64;

/// A RuleWithOperations.
pub fn rule(at: &Cursor, errors: &mut Errors) {
    let operations = at.child("operations");
    alone(&operations, "operations", errors);
    for operation in operations.items().filter(|operation| !OPERATIONS.contains(&operation.str())) {
        errors.not_supported(&operation, &OPERATIONS);
    }
    alone(&at.child("apiGroups"), "API groups", errors);
    let versions = at.child("apiVersions");
    alone(&versions, "API versions", errors);
    for version in versions.items().filter(|version| version.str().is_empty()) {
        errors.required(&version);
    }
    resources(&at.child("resources"), errors);
    errors.one_of_if_set(&at.child("scope"), &SCOPES);
}

/// There is something, and nothing beside a `*`.
fn alone(at: &Cursor, what: &str, errors: &mut Errors) {
    if at.is_empty() {
        errors.required(at);
    }
    if at.len() > 1 && at.items().any(|item| item.str() == "*") {
        errors.invalid(at, format!("if '*' is present, must not specify other {what}"));
    }
}

fn resources(at: &Cursor, errors: &mut Errors) {
    if at.is_empty() {
        errors.required(at);
    }
    let (mut all_below, mut below_all) = (BTreeSet::new(), BTreeSet::new());
    let mut last_is_plain = false;
    for item in at.items() {
        let text = item.str();
        match text.split_once('/') {
            _ if text.is_empty() => errors.required(&item),
            None => last_is_plain = text != "*",
            Some((resource, below)) => {
                if all_below.contains(resource) {
                    errors.invalid(&item, format!("if '{resource}/*' is present, must not specify {text}"));
                }
                if below_all.contains(below) {
                    errors.invalid(&item, format!("if '*/{below}' is present, must not specify {text}"));
                }
                if below == "*" {
                    all_below.insert(resource);
                }
                if resource == "*" {
                    below_all.insert(below);
                }
            }
        }
    }
    let has = |wanted: &str| at.items().any(|item| item.str() == wanted);
    if at.len() > 1 && has("*/*") {
        errors.invalid(at, "if '*/*' is present, must not specify other resources");
    }
    if has("*") && last_is_plain {
        errors.invalid(at, "if '*' is present, must not specify other resources without subresources");
    }
}

/// A list of MatchConditions, which may use parameters or not.
pub fn conditions(at: &Cursor, params: bool, errors: &mut Errors) {
    if at.len() > MAX_CONDITIONS {
        errors.too_many(at, MAX_CONDITIONS);
    }
    let mut seen = BTreeSet::new();
    for condition in at.items() {
        let (name, expression) = (condition.child("name"), condition.child("expression"));
        if expression.str().trim().is_empty() {
            errors.required(&expression);
        } else {
            super::admission_expressions::condition(&expression, params, errors);
        }
        if name.str().is_empty() {
            errors.required(&name);
        } else {
            label_name(&name, errors);
            if !seen.insert(name.str()) {
                errors.duplicate(&name);
            }
        }
    }
}

/// MatchResources, which have their defaults.
pub fn match_resources(at: &Cursor, errors: &mut Errors) {
    errors.one_of(&at.child("matchPolicy"), &MATCH_POLICIES);
    for name in ["namespaceSelector", "objectSelector"] {
        let selector = at.child(name);
        if selector.is_set() {
            label_selector(&selector, errors);
        } else {
            errors.required(&selector);
        }
    }
    for name in ["resourceRules", "excludeResourceRules"] {
        for one in at.child(name).items() {
            let mut seen = BTreeSet::new();
            for resource in one.child("resourceNames").items() {
                errors.messages(&resource, names::path_segment(resource.str()));
                if !seen.insert(resource.str()) {
                    errors.duplicate(&resource);
                }
            }
            rule(&one, errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_do_not_contradict_themselves() {
        let good = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        let table = [
            ("good", json!({}), vec![]),
            ("nothing", json!({"operations": null, "resources": []}), vec!["operations", "resources"]),
            ("all and more", json!({"apiGroups": ["*", "apps"]}), vec!["apiGroups"]),
            ("an operation of another tongue", json!({"operations": ["create"]}), vec!["operations[0]"]),
            ("below all", json!({"resources": ["pods/*", "pods/status"]}), vec!["resources[1]"]),
            ("everything and more", json!({"resources": ["*/*", "pods"]}), vec!["resources"]),
            ("all and a plain one", json!({"resources": ["*", "pods"]}), vec!["resources"]),
            ("nowhere", json!({"scope": "Here"}), vec!["scope"]),
        ];
        for (name, change, expected) in table {
            let mut rule_value = good.clone();
            rule_value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let rules = json!({"rule": rule_value});
            let mut errors = Errors::default();
            rule(&Cursor::root(&rules, "rule"), &mut errors);
            let fields: Vec<String> =
                errors.into_vec().iter().map(|error| error.path.as_str().replacen("rule.", "", 1)).collect();
            assert_eq!(fields, expected, "{name}");
        }
    }
}
