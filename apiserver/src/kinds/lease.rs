//! Lease.

use api::Object;
use api::field::FieldError;

use super::cursor::{Cursor, Errors};
use super::selectors::label_name;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Lease;

impl Strategy for Lease {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let duration = spec.child("leaseDurationSeconds");
        if duration.int().is_some_and(|seconds| seconds <= 0) {
            errors.invalid(&duration, "must be greater than 0");
        }
        errors.not_negative(&spec.child("leaseTransitions"));
        let strategy = spec.child("strategy");
        if strategy.is_set() {
            // Upstream's path has the name twice.
            let at = strategy.child("strategy");
            let at = at.showing(strategy.value);
            if strategy.str().contains('/') {
                label_name(&at, &mut errors);
            } else {
                errors.one_of_if_set(&at, &["OldestEmulationVersion"]);
            }
        }
        if !spec.text("preferredHolder").is_empty() && strategy.str().is_empty() {
            let detail = "may only be specified if `strategy` is defined";
            errors.forbidden(&spec.child("preferredHolder"), detail);
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leases_last_a_while() {
        let lease = json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1, "preferredHolder": "a"}});
        let errors: Vec<String> = Lease.validate(&lease).iter().map(ToString::to_string).collect();
        let expected = [
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
        ];
        assert_eq!(errors, expected);
        assert_eq!(Lease.validate(&json!({"spec": {"leaseDurationSeconds": 15}})), []);
    }
}
