//! Owns:    the finalizer `kubernetes.io/vac-protection`.
//! Watches: VolumeAttributesClasses, PersistentVolumes, PersistentVolumeClaims.
//! Writes:  VolumeAttributesClasses (patch of the finalizers).
//!
//! A class is kept while a volume or a claim names it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::ResourceExt;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, Watch, mapped};
use serde_json::json;

const FINALIZER: &str = "kubernetes.io/vac-protection";

pub struct VacProtection;

impl Controller for VacProtection {
    const NAME: &'static str = "volumeattributesclass-protection-controller";
    const QUEUE: &'static str = "vacprotection";
    type Root = VolumeAttributesClass;
    /// Whether a volume or a claim names it.
    type View = bool;

    fn watches() -> Vec<Watch> {
        let keys = |names: Vec<&String>| names.into_iter().map(|name| Key::cluster(name)).collect();
        vec![
            mapped::<PersistentVolume>(move |volume, _| keys(of_volume(volume))),
            mapped::<PersistentVolumeClaim>(move |claim, _| keys(of_claim(claim))),
        ]
    }

    fn view(&self, root: &VolumeAttributesClass, caches: &Caches) -> bool {
        let name = root.name_any();
        root.metadata.deletion_timestamp.is_some()
            && (caches.get::<PersistentVolume>().list().iter().any(|volume| of_volume(volume).contains(&&name))
                || caches.get::<PersistentVolumeClaim>().list().iter().any(|claim| of_claim(claim).contains(&&name)))
    }

    fn decide(&self, root: &VolumeAttributesClass, used: &bool, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut finalizers = root.metadata.finalizers.clone().unwrap_or_default();
        let there = finalizers.iter().any(|name| name == FINALIZER);
        match (root.metadata.deletion_timestamp.is_some(), there) {
            (true, true) if !used => finalizers.retain(|name| name != FINALIZER),
            // Admission adds it to new ones: somebody has removed it.
            (false, false) => finalizers.push(FINALIZER.to_owned()),
            _ => return plan,
        }
        plan.push(Action::merge_patch(root, json!({"metadata": {"finalizers": finalizers}})).unchanged(root));
        plan
    }
}

fn of_volume(volume: &PersistentVolume) -> Vec<&String> {
    volume.spec.iter().filter_map(|spec| spec.volume_attributes_class_name.as_ref()).collect()
}

/// What a claim asks for, has, and is on its way to.
fn of_claim(claim: &PersistentVolumeClaim) -> Vec<&String> {
    let asked = claim.spec.iter().filter_map(|spec| spec.volume_attributes_class_name.as_ref());
    let status = claim.status.iter();
    let had = status.clone().filter_map(|status| status.current_volume_attributes_class_name.as_ref());
    let moving = status.filter_map(|status| status.modify_volume_status.as_ref());
    asked.chain(had).chain(moving.filter_map(|to| to.target_volume_attributes_class_name.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, time_ago};
    use serde_json::Value;

    fn class(deleted: bool, finalizers: &[&str]) -> VolumeAttributesClass {
        let mut metadata = json!({"name": "a", "finalizers": finalizers});
        if deleted {
            metadata["deletionTimestamp"] = json!(time_ago(1));
        }
        object(json!({"metadata": metadata, "driverName": "d.example.com", "parameters": {"a": "1"}}))
    }

    #[test]
    fn a_class_that_is_deleted_loses_its_finalizer() {
        let patch = |finalizers: &[&str]| {
            let body = json!({"metadata": {"finalizers": finalizers}});
            vec![format!("patch VolumeAttributesClass a {body}")]
        };
        let table = [
            ("not deleted", class(false, &[FINALIZER]), false, vec![]),
            ("deleted", class(true, &[FINALIZER]), false, patch(&[])),
            ("deleted, in use", class(true, &[FINALIZER]), true, vec![]),
            ("deleted, kept by another", class(true, &["example.com/f", FINALIZER]), false, patch(&["example.com/f"])),
            ("deleted, for others to end", class(true, &["example.com/f"]), false, vec![]),
            ("without", class(false, &["example.com/f"]), false, patch(&["example.com/f", FINALIZER])),
        ];
        for (name, root, used, expected) in table {
            assert_eq!(actions(&VacProtection.decide(&root, &used, now())), expected, "{name}");
        }
    }

    #[test]
    fn volumes_and_claims_use_classes() {
        let volume = |class: &str| -> PersistentVolume {
            object(json!({"metadata": {"name": "v"}, "spec": {"volumeAttributesClassName": class}}))
        };
        let claim = |spec: Value, status: Value| -> PersistentVolumeClaim {
            object(json!({"metadata": {"name": "c", "namespace": "n"}, "spec": spec, "status": status}))
        };
        let target = json!({"modifyVolumeStatus": {"status": "Pending", "targetVolumeAttributesClassName": "a"}});
        let table = [
            (volume("b"), claim(json!({}), json!({})), false),
            (volume("a"), claim(json!({}), json!({})), true),
            (volume("b"), claim(json!({"volumeAttributesClassName": "a"}), json!({})), true),
            (volume("b"), claim(json!({}), json!({"currentVolumeAttributesClassName": "a"})), true),
            (volume("b"), claim(json!({}), target), true),
        ];
        for (volume, claim, used) in table {
            let caches = Caches::default();
            caches.insert(vec![volume.clone()]);
            caches.insert(vec![claim.clone()]);
            assert_eq!(VacProtection.view(&class(true, &[FINALIZER]), &caches), used, "{volume:?} {claim:?}");
        }
    }
}
