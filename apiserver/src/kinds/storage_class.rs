//! StorageClass.

use std::collections::{BTreeMap, BTreeSet};

use api::Object;
use api::field::FieldError;
use api::names;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, text};
use super::edit::default_to;
use super::equality::same_field;
use super::pod_template::warnings::deprecated_label;
use super::selectors::label_name;
use crate::strategy::Strategy;

const MAX_PARAMETERS: usize = 512;
/// Bytes of all names and values.
const MAX_PARAMETERS_SIZE: usize = 256 * 1024;

#[derive(Debug)]
pub struct StorageClass;

impl Strategy for StorageClass {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        default_to(new, "reclaimPolicy", "Delete");
        default_to(new, "volumeBindingMode", "Immediate");
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let mut warnings = Vec::new();
        for topology in Cursor::root(new, "allowedTopologies").items() {
            for expression in topology.child("matchLabelExpressions").items() {
                let key = expression.child("key");
                warnings.extend(deprecated_label(key.str()).map(|text| format!("{}: {text}", key.path())));
            }
        }
        warnings
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        provisioner(&Cursor::root(new, "provisioner"), &mut errors);
        parameters(&Cursor::root(new, "parameters"), &mut errors);
        let policy = Cursor::root(new, "reclaimPolicy");
        if !policy.str().is_empty() {
            errors.one_of(&policy, &["Delete", "Retain"]);
        }
        let mode = Cursor::root(new, "volumeBindingMode");
        if mode.is_set() {
            errors.one_of_if_set(&mode, &["Immediate", "WaitForFirstConsumer"]);
        } else {
            errors.required(&mode);
        }
        allowed_topologies(&Cursor::root(new, "allowedTopologies"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        for name in ["parameters", "provisioner", "reclaimPolicy"] {
            if !same_field(new, old, name) {
                errors.forbidden(&Cursor::root(new, name), format!("updates to {name} are forbidden."));
            }
        }
        if text(new, "volumeBindingMode") != text(old, "volumeBindingMode") {
            errors.invalid(&Cursor::root(new, "volumeBindingMode"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

/// A qualified name in any case.
pub fn provisioner(at: &Cursor, errors: &mut Errors) {
    if at.str().is_empty() {
        return errors.required(at);
    }
    let lower = at.str().to_lowercase();
    for message in names::qualified_name(&lower) {
        errors.invalid_as(at, lower.as_str(), message);
    }
}

pub fn parameters(at: &Cursor, errors: &mut Errors) {
    if at.len() > MAX_PARAMETERS {
        return errors.too_long(at, MAX_PARAMETERS);
    }
    if at.has("") {
        errors.invalid_as(at, "", "field can not be empty.");
    }
    if at.entries().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_PARAMETERS_SIZE {
        errors.too_long(at, MAX_PARAMETERS_SIZE);
    }
}

fn allowed_topologies(terms: &Cursor, errors: &mut Errors) {
    // Upstream's list begins with as many empty terms as there are terms: an empty one is always a duplicate.
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = vec![BTreeMap::new(); terms.len()];
    for term in terms.items() {
        let mut keys = BTreeMap::new();
        for expression in term.child("matchLabelExpressions").items() {
            let values = expression.child("values");
            let mut distinct = BTreeSet::new();
            if values.is_empty() {
                errors.required(&values);
            }
            for value in values.items() {
                if !distinct.insert(value.str()) {
                    errors.duplicate_as(&value, value.str());
                }
            }
            label_name(&expression.child("key"), errors);
            let key = expression.text("key");
            if keys.insert(key, distinct).is_some() {
                errors.duplicate_as(&expression.child("key"), key);
            }
        }
        for _ in seen.iter().filter(|other| **other == keys) {
            errors.duplicate_as(&term.child("matchLabelExpressions"), "");
        }
        seen.push(keys);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_stay_as_they_are() {
        let mut class = json!({"provisioner": "example.com/disk"});
        StorageClass.defaults(&mut class, None);
        assert_eq!((&class["reclaimPolicy"], &class["volumeBindingMode"]), (&json!("Delete"), &json!("Immediate")));
        assert_eq!(StorageClass.validate(&class), []);
        let term = json!({"matchLabelExpressions": [{"key": "a", "values": ["b"]}]});
        let duplicate =
            |place: usize| format!("allowedTopologies[{place}].matchLabelExpressions: Duplicate value: \"\"");
        let table =
            [(json!([term]), vec![]), (json!([term, term]), vec![duplicate(1)]), (json!([{}]), vec![duplicate(0)])];
        for (terms, expected) in table {
            let mut placed = class.clone();
            placed["allowedTopologies"] = terms;
            let errors: Vec<String> = StorageClass.validate(&placed).iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
        let mut other = class.clone();
        other["provisioner"] = json!("");
        other["volumeBindingMode"] = json!("WaitForFirstConsumer");
        let errors: Vec<String> = StorageClass.validate(&other).iter().map(ToString::to_string).collect();
        assert_eq!(errors, ["provisioner: Required value"]);
        let errors: Vec<String> =
            StorageClass.validate_update(&other, &class).iter().map(ToString::to_string).collect();
        let expected = [
            "provisioner: Forbidden: updates to provisioner are forbidden.",
            "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable",
        ];
        assert_eq!(errors, expected);
    }
}
