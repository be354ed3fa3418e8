//! Validation of `spec.affinity` and of node selectors.

use api::names;

use super::super::cursor::{Cursor, Errors};
use super::super::selectors::{label_name, label_selector};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn affinity(at: &Cursor, errors: &mut Errors) {
    let node = at.child("nodeAffinity");
    let required = node.child(REQUIRED);
    if required.is_set() {
        node_selector(&required, errors);
    }
    for term in node.child(PREFERRED).items() {
        weight(&term, errors);
        node_selector_term(&term.child("preference"), true, errors);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let pods = at.child(name);
        for term in pods.child(REQUIRED).items() {
            pod_term(&term, errors);
        }
        for term in pods.child(PREFERRED).items() {
            weight(&term, errors);
            pod_term(&term.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Cursor, errors: &mut Errors) {
    let weight = term.child("weight");
    let number = weight.int().unwrap_or_default();
    if !(1..=100).contains(&number) {
        errors.invalid_as(&weight, number, "must be in the range 1-100");
    }
}

/// A NodeSelector.
pub fn node_selector(at: &Cursor, errors: &mut Errors) {
    let terms = at.child("nodeSelectorTerms");
    if terms.is_empty() {
        return errors.required_because(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_selector_term(&term, false, errors);
    }
}

fn node_selector_term(at: &Cursor, any_values: bool, errors: &mut Errors) {
    for requirement in at.child("matchExpressions").items() {
        node_requirement(&requirement, any_values, errors);
    }
    for requirement in at.child("matchFields").items() {
        node_field_requirement(&requirement, errors);
    }
}

fn node_requirement(at: &Cursor, any_values: bool, errors: &mut Errors) {
    let (operator, values) = (at.child("operator"), at.child("values"));
    match operator.str() {
        "In" | "NotIn" => {
            if values.is_empty() {
                errors.required_because(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                errors.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
        }
        "Gt" | "Lt" => {
            if values.len() != 1 {
                errors.required_because(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
        }
        _ => errors.invalid_text(&operator, "not a valid selector operator"),
    }
    label_name(&at.child("key"), errors);
    if !any_values {
        for value in values.items() {
            errors.messages(&value, names::label_value(value.str()));
        }
    }
}

fn node_field_requirement(at: &Cursor, errors: &mut Errors) {
    let (key, operator, values) = (at.child("key"), at.child("operator"), at.child("values"));
    if !matches!(operator.str(), "In" | "NotIn") {
        errors.invalid_text(&operator, "not a valid selector operator");
    } else if values.len() != 1 {
        let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
        errors.required_because(&values, detail);
    }
    if key.str() != "metadata.name" {
        errors.invalid_text(&key, "not a valid field selector key");
        return;
    }
    for value in values.items() {
        errors.messages(&value, names::dns1123_subdomain(value.str()));
    }
}

fn pod_term(at: &Cursor, errors: &mut Errors) {
    label_selector(&at.child("labelSelector"), errors);
    label_selector(&at.child("namespaceSelector"), errors);
    for namespace in at.child("namespaces").items() {
        for message in names::dns1123_label(namespace.str()) {
            errors.invalid_as(&at.child("namespace"), namespace.str(), message);
        }
    }
    match_label_keys(at, errors);
    let key = at.child("topologyKey");
    if key.str().is_empty() {
        errors.required_because(&key, "can not be empty");
    }
    label_name(&key, errors);
}

/// `matchLabelKeys` and `mismatchLabelKeys` beside the `labelSelector` that they add to.
pub fn match_label_keys(at: &Cursor, errors: &mut Errors) {
    let selector = at.child("labelSelector");
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = at.child(name);
        if !keys.is_empty() && !selector.is_set() {
            errors.forbidden(&keys, "must not be specified when labelSelector is not set");
            continue;
        }
        for key in keys.items() {
            label_name(&key, errors);
        }
    }
    let keys = at.child("matchLabelKeys");
    if selector.is_set() {
        conflicts(at, &keys, &selector, errors);
    }
    let others = at.child("mismatchLabelKeys");
    for key in keys.items() {
        if others.items().any(|other| other.str() == key.str()) {
            errors.invalid_text(&key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// The server has already added one expression for each key of `matchLabelKeys`: a second one is the user's own.
fn conflicts(at: &Cursor, keys: &Cursor, selector: &Cursor, errors: &mut Errors) {
    let labels = selector.child("matchLabels");
    let mut seen: Vec<&str> = labels.entries().map(|(name, _)| name).collect();
    for expression in selector.child("matchExpressions").items() {
        let key = expression.text("key");
        let position = keys.items().position(|own| own.str() == key);
        if let Some(index) = position.filter(|_| seen.contains(&key)) {
            errors.invalid_as(&at.index(index), key, "exists in both matchLabelKeys and labelSelector");
        }
        seen.push(key);
    }
}
