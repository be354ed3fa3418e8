//! PodDisruptionBudget.

use api::Object;
use api::field::FieldError;

use super::cursor::{Cursor, Errors};
use super::selectors::label_selector;
use super::workload::{int_or_percent, not_more_than_all};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        if spec.has("minAvailable") && spec.has("maxUnavailable") {
            errors.invalid(&spec, "minAvailable and maxUnavailable cannot be both set");
        }
        for name in ["minAvailable", "maxUnavailable"] {
            let at = spec.child(name);
            if at.is_set() {
                int_or_percent(&at, &mut errors);
                not_more_than_all(&at, &mut errors);
            }
        }
        label_selector(&spec.child("selector"), &mut errors);
        errors.one_of_if_set(&spec.child("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
        errors.into_vec()
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let status = Cursor::root(new, "status");
        super::conditions::validate(&status.child("conditions"), &mut errors);
        for name in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
            errors.not_negative(&status.child(name));
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn budgets_say_one_thing() {
        let budget = json!({"spec": {"minAvailable": 1, "maxUnavailable": "110%"}});
        let errors: Vec<String> = PodDisruptionBudget.validate(&budget).iter().map(ToString::to_string).collect();
        let expected = [
            "spec: Invalid value: {\"maxUnavailable\":\"110%\",\"minAvailable\":1}: minAvailable and maxUnavailable cannot be \
             both set",
            "spec.maxUnavailable: Invalid value: \"110%\": must not be greater than 100%",
        ];
        assert_eq!(errors, expected);
        assert_eq!(PodDisruptionBudget.validate(&json!({"spec": {"minAvailable": "50%"}})), []);
    }
}
