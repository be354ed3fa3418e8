//! RuntimeClass.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::json;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, text};
use super::edit::get_mut;
use super::pod_template::resources::{Owner, requirements};
use super::pod_template::tolerations::tolerations;
use super::pod_template::warnings::deprecated_label;
use super::quantities::canonicalize;
use super::selectors::labels;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(overhead) = get_mut(new, "overhead") {
            canonicalize(overhead, "podFixed");
        }
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let scheduling = Cursor::root(new, "scheduling");
        let texts = scheduling
            .child("nodeSelector")
            .entries()
            .filter_map(|(name, _)| deprecated_label(name))
            .collect::<Vec<_>>();
        texts.into_iter().map(|text| format!("scheduling.nodeSelector: {text}")).collect()
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let handler = Cursor::root(new, "handler");
        errors.messages(&handler, names::dns1123_label(handler.str()));
        let overhead = Cursor::root(new, "overhead");
        if overhead.is_set() {
            let limits = json!({ "limits": field(overhead.value, "podFixed") });
            requirements(&overhead.showing(&limits), Owner::Container, &BTreeSet::new(), &mut errors);
        }
        let scheduling = Cursor::root(new, "scheduling");
        labels(&scheduling.child("nodeSelector"), &mut errors);
        let all = scheduling.child("tolerations");
        tolerations(&all, &mut errors);
        let mut seen = BTreeSet::new();
        for toleration in all.items() {
            let key = ["key", "operator", "value", "effect"].map(|name| toleration.text(name));
            if !seen.insert(key) {
                errors.duplicate(&toleration);
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        if text(new, "handler") != text(old, "handler") {
            errors.invalid(&Cursor::root(new, "handler"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_name_a_handler() {
        let toleration = json!({"key": "a", "operator": "Exists"});
        let class = json!({
            "handler": "fast",
            "overhead": {"podFixed": {"cpu": "-1"}},
            "scheduling": {"tolerations": [toleration, toleration]},
        });
        let errors: Vec<String> = RuntimeClass.validate(&class).iter().map(ToString::to_string).collect();
        let expected = [
            "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            "scheduling.tolerations[1]: Duplicate value: {\"key\":\"a\",\"operator\":\"Exists\"}",
        ];
        assert_eq!(errors, expected);
        let errors = RuntimeClass.validate_update(&json!({"handler": "slow"}), &class);
        assert_eq!(errors[0].to_string(), "handler: Invalid value: \"slow\": field is immutable");
    }
}
