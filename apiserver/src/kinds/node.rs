//! Node.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::Value;

use super::addresses;
use super::cursor::{Cursor, Errors, field, list, text};
use super::edit::{default_to, get_mut, remove, set};
use super::pod_template::resources::amount_of;
use super::pod_template::tolerations::taint_effect;
use super::quantities::canonicalize;
use super::selectors::label_name;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Node;

impl Strategy for Node {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = get_mut(new, "spec") {
            mirror_ranges(spec);
        }
        let Some(status) = get_mut(new, "status") else { return };
        canonicalize(status, "capacity");
        canonicalize(status, "allocatable");
        let capacity = field(status, "capacity").clone();
        if !capacity.is_null() {
            default_to(status, "allocatable", capacity);
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        drop_config_source(new);
        if let Some(status) = get_mut(new, "status") {
            remove(status, "declaredFeatures");
        }
    }

    fn prepare_for_update(&self, new: &mut Object, _old: &Object) {
        drop_config_source(new);
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let spec = field(new, "spec");
        let mut warnings = Vec::new();
        if !field(spec, "configSource").is_null() {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if !text(spec, "externalID").is_empty() {
            warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        warnings
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        content(new, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        changes(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        changes(new, old, &mut errors);
        errors.into_vec()
    }
}

/// Both spellings of the pod ranges; a single one wins over a list that says otherwise.
fn mirror_ranges(spec: &mut Value) {
    let single = text(spec, "podCIDR").to_owned();
    let first = list(spec, "podCIDRs").first().and_then(Value::as_str).unwrap_or_default().to_owned();
    if !single.is_empty() && single != first {
        set(spec, "podCIDRs", vec![single]);
    } else if single.is_empty() && !first.is_empty() {
        set(spec, "podCIDR", first);
    }
}

/// A field without function since v1.22.
fn drop_config_source(node: &mut Value) {
    if let Some(spec) = get_mut(node, "spec") {
        remove(spec, "configSource");
    }
}

fn content(node: &Value, errors: &mut Errors) {
    let (metadata, spec) = (Cursor::root(node, "metadata"), Cursor::root(node, "spec"));
    // Upstream reports taints under `metadata`.
    taints(&metadata.child("taints").showing(field(spec.value, "taints")), errors);
    resources(node, errors);
    declared_features(&Cursor::root(node, "status").child("declaredFeatures"), errors);
    let ranges = spec.child("podCIDRs");
    for range in ranges.items() {
        addresses::range(&range, errors);
    }
    let bad = ranges.items().enumerate().find(|(_, range)| !addresses::is_range(range.str()));
    if let Some((index, range)) = bad.filter(|_| ranges.len() > 1) {
        let detail = format!(
            "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{index}]: <nil> (invalid CIDR \
             address: {})",
            range.str()
        );
        errors.internal(&ranges, detail);
    }
    let families: BTreeSet<bool> = ranges.items().map(|range| range.str().contains(':')).collect();
    if ranges.len() > families.len() {
        errors.invalid(&ranges, "may specify no more than one CIDR for each IP family");
    }
}

fn resources(node: &Value, errors: &mut Errors) {
    let status = Cursor::root(node, "status");
    for name in ["capacity", "allocatable"] {
        let at = status.child(name);
        for (resource, amount) in at.entries() {
            amount_of(&at.child(resource).showing(amount.value), resource, errors);
        }
    }
}

/// Sorted names, without duplicates.
fn declared_features(at: &Cursor, errors: &mut Errors) {
    const MAX: usize = 253;
    let mut before: Option<&str> = None;
    for feature in at.items() {
        let name = feature.str();
        match before.map(|before| before.cmp(name)) {
            Some(Ordering::Equal) => errors.duplicate(&feature),
            Some(Ordering::Greater) => errors.invalid(&feature, "list must be sorted alphabetically"),
            _ => {}
        }
        before = Some(name);
        if name.len() > MAX {
            errors.invalid(&feature, format!("invalid feature name {name:?}: must be no more than {MAX} characters"));
        } else if !is_feature(name) {
            let detail = format!(
                "invalid feature name {name:?}: must start with an UpperCamelCase segment, with subsequent segments \
                 separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters \
                 and slashes"
            );
            errors.invalid(&feature, detail);
        }
    }
}

fn is_feature(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.split('/').all(|part| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part.chars().all(|character| character.is_ascii_alphanumeric())
        })
}

fn taints(at: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for taint in at.items() {
        let (key, value, effect) = (taint.child("key"), taint.child("value"), taint.child("effect"));
        label_name(&key, errors);
        let messages = names::label_value(value.str());
        if !messages.is_empty() {
            errors.invalid_text(&value, messages.join(";"));
        }
        taint_effect(&effect, errors);
        if !seen.insert((key.str(), effect.str())) {
            let mut error = FieldError::duplicate(&taint.path(), taint.value.clone());
            error.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(error);
        }
    }
}

/// Upstream checks part of the content here, too: for an update it says that twice.
fn changes(new: &Value, old: &Value, errors: &mut Errors) {
    let (spec, status, metadata) =
        (Cursor::root(new, "spec"), Cursor::root(new, "status"), Cursor::root(new, "metadata"));
    resources(new, errors);
    declared_features(&status.child("declaredFeatures"), errors);
    let mut seen: Vec<&Value> = Vec::new();
    for address in status.child("addresses").items() {
        if seen.contains(&address.value) {
            errors.duplicate(&address);
        }
        seen.push(address.value);
    }
    let old_spec = field(old, "spec");
    let before = list(old_spec, "podCIDRs");
    if !before.is_empty() && before != list(spec.value, "podCIDRs") {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.forbidden(&spec.child("podCIDRs"), detail);
    }
    let provider = text(old_spec, "providerID");
    if !provider.is_empty() && provider != spec.text("providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.forbidden(&spec.child("providerID"), detail);
    }
    taints(&metadata.child("taints").showing(field(spec.value, "taints")), errors);
    if text(old_spec, "externalID") != spec.text("externalID") {
        errors.forbidden(&spec.child("externalID"), "may not be updated");
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
    fn a_node_offers_what_it_has() {
        let mut node =
            json!({"spec": {"podCIDR": "10.1.0.0/24"}, "status": {"capacity": {"cpu": "2.0", "memory": "1024Mi"}}});
        Node.defaults(&mut node, None);
        assert_eq!(node["status"]["capacity"], json!({"cpu": "2", "memory": "1Gi"}));
        assert_eq!(node["status"]["allocatable"], node["status"]["capacity"]);
        assert_eq!(node["spec"]["podCIDRs"], json!(["10.1.0.0/24"]));
        assert_eq!(texts(Node.validate(&node)), Vec::<String>::new());
    }

    #[test]
    fn features_are_sorted_names() {
        let table: &[(&[&str], &[&str])] = &[
            (&["A", "B/c"], &[]),
            (&["B", "A"], &["status.declaredFeatures[1]: Invalid value: \"A\": list must be sorted alphabetically"]),
            (&["A", "A"], &["status.declaredFeatures[1]: Duplicate value: \"A\""]),
        ];
        for (features, expected) in table {
            let node = json!({"status": {"declaredFeatures": features}});
            assert_eq!(texts(Node.validate_subresource("status", &node, &node)), *expected);
        }
        assert!(["a", "A//b", "A-b", "A/1", ""].iter().all(|name| !is_feature(name)));
    }

    #[test]
    fn nodes_are_checked() {
        let taint = json!({"key": "a", "effect": "NoSchedule"});
        let node = json!({
            "spec": {"taints": [taint, taint, {"key": "b"}], "podCIDRs": ["10.1.0.0/24", "10.2.0.0/24"]},
            "status": {"capacity": {"example.com/gpu": "500m"}},
        });
        let expected = [
            "metadata.taints[1]: Duplicate value: {\"effect\":\"NoSchedule\",\"key\":\"a\"}: taints must be unique by key and \
             effect pair",
            "metadata.taints[2].effect: Required value",
            "status.capacity.example.com/gpu: Invalid value: \"500m\": must be an integer",
            "spec.podCIDRs: Invalid value: [\"10.1.0.0/24\",\"10.2.0.0/24\"]: may specify no more than one CIDR for each IP \
             family",
        ];
        assert_eq!(texts(Node.validate(&node)), expected);
        let moved = json!({"spec": {"podCIDRs": ["10.3.0.0/24"]}});
        assert_eq!(
            texts(Node.validate_update(&moved, &node)),
            ["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"]
        );
        let again = [expected[2], expected[0], expected[1]];
        assert_eq!(texts(Node.validate_update(&node, &json!({}))), again);
    }
}
