//! ReplicaSet.

use api::Object;
use api::field::FieldError;

use super::cursor::{Cursor, Errors};
use super::edit::{default_to, get_mut};
use super::workload;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn complete_nothing(&self, nothing: &mut Object) {
        super::workload::no_replicas(nothing);
    }

    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        workload::template_defaults(new);
        if let Some(spec) = get_mut(new, "spec") {
            default_to(spec, "replicas", 1);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        errors.not_negative(&spec.child("replicas"));
        errors.not_negative(&spec.child("minReadySeconds"));
        workload::selector_and_template(&spec, "ReplicaSet", &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        workload::selector_unchanged(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        if subresource != "status" {
            return self.validate(new);
        }
        let mut errors = Errors::default();
        let counters = [
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
            "terminatingReplicas",
        ];
        let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        workload::counters(&Cursor::root(new, "status"), &counters, &parts, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        workload::warnings(new)
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        workload::if_counted(new, old, workload::template_warnings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_of_one_unless_told() {
        let mut object = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]},
        }}});
        ReplicaSet.defaults(&mut object, None);
        assert_eq!(object["spec"]["replicas"], 1);
        assert_eq!(ReplicaSet.validate(&object), []);
        let status = json!({"status": {"replicas": 1, "fullyLabeledReplicas": 2}});
        let errors = ReplicaSet.validate_subresource("status", &status, &status);
        let expected = "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas";
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}
