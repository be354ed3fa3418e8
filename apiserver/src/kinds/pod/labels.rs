//! `matchLabelKeys` and `mismatchLabelKeys`: the values of the pod's own labels become part of the selectors, once, on creation.

use serde_json::{Value, json};

use super::super::cursor::{field, list};
use super::super::edit::{get_mut, list_mut, set};

pub fn merge_label_keys(pod: &mut Value) {
    let labels = field(field(pod, "metadata"), "labels").clone();
    let Some(spec) = get_mut(pod, "spec") else { return };
    for constraint in list_mut(spec, "topologySpreadConstraints") {
        merge(constraint, &labels);
    }
    let Some(affinity) = get_mut(spec, "affinity") else { return };
    for name in ["podAffinity", "podAntiAffinity"] {
        let Some(terms) = get_mut(affinity, name) else { continue };
        for term in list_mut(terms, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = get_mut(term, "podAffinityTerm") {
                merge(term, &labels);
            }
        }
        for term in list_mut(terms, "requiredDuringSchedulingIgnoredDuringExecution") {
            merge(term, &labels);
        }
    }
}

fn merge(term: &mut Value, labels: &Value) {
    let mut added = Vec::new();
    for (keys, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in list(term, keys).iter().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                added.push(json!({ "key": key, "operator": operator, "values": [value] }));
            }
        }
    }
    let Some(selector) = get_mut(term, "labelSelector").filter(|_| !added.is_empty()) else { return };
    let mut expressions = list(selector, "matchExpressions").to_vec();
    expressions.extend(added);
    set(selector, "matchExpressions", expressions);
}
