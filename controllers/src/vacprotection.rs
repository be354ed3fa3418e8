//! Owns:    the finalizer `kubernetes.io/vac-protection`.
//! Watches: VolumeAttributesClasses.
//! Writes:  VolumeAttributesClasses (patch of the finalizers).
//!
//! A class is kept while a volume or a claim names it. Neither is served yet, so nothing names one.

use jiff::Timestamp;
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Plan, Watch};
use serde_json::json;

const FINALIZER: &str = "kubernetes.io/vac-protection";

pub struct VacProtection;

impl Controller for VacProtection {
    const NAME: &'static str = "volumeattributesclass-protection-controller";
    type Root = VolumeAttributesClass;
    type View = ();

    fn watches() -> Vec<Watch> {
        Vec::new()
    }

    fn view(&self, _root: &VolumeAttributesClass, _caches: &Caches) {}

    fn decide(&self, root: &VolumeAttributesClass, _view: &(), _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut finalizers = root.metadata.finalizers.clone().unwrap_or_default();
        let there = finalizers.iter().any(|name| name == FINALIZER);
        match (root.metadata.deletion_timestamp.is_some(), there) {
            (true, true) => finalizers.retain(|name| name != FINALIZER),
            // Admission adds it to new ones: somebody has removed it, or nobody knew of it yet.
            (false, false) => finalizers.push(FINALIZER.to_owned()),
            _ => return plan,
        }
        plan.push(Action::merge_patch(root, json!({"metadata": {"finalizers": finalizers}})).unchanged(root));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, time_ago};

    #[test]
    fn a_class_that_is_deleted_loses_its_finalizer() {
        let class = |deleted: bool, finalizers: &[&str]| -> VolumeAttributesClass {
            let mut metadata = json!({"name": "a", "finalizers": finalizers});
            if deleted {
                metadata["deletionTimestamp"] = json!(time_ago(1));
            }
            object(json!({"metadata": metadata, "driverName": "d.example.com", "parameters": {"a": "1"}}))
        };
        let patch = |finalizers: &[&str]| {
            let body = json!({"metadata": {"finalizers": finalizers}});
            vec![format!("patch VolumeAttributesClass a {body}")]
        };
        let table = [
            ("in use or not", class(false, &[FINALIZER]), vec![]),
            ("deleted", class(true, &[FINALIZER]), patch(&[])),
            ("deleted, kept by another", class(true, &["example.com/f", FINALIZER]), patch(&["example.com/f"])),
            ("deleted, for others to end", class(true, &["example.com/f"]), vec![]),
            ("without", class(false, &["example.com/f"]), patch(&["example.com/f", FINALIZER])),
        ];
        for (name, root, expected) in table {
            assert_eq!(actions(&VacProtection.decide(&root, &(), now())), expected, "{name}");
        }
    }
}
