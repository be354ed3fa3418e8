//! Owns:    the finalizer `kubernetes.io/pv-protection` of PersistentVolumes.
//! Watches: PersistentVolumes.
//! Writes:  PersistentVolumes (patch of the finalizers).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use reconcile::informer::Caches;
use reconcile::{Controller, Plan, Watch};

use crate::common::finalizers;

const FINALIZER: &str = "kubernetes.io/pv-protection";

pub struct VolumeProtection;

impl Controller for VolumeProtection {
    const NAME: &'static str = "persistentvolume-protection-controller";
    const ACCOUNT: &'static str = "pv-protection-controller";
    const QUEUE: &'static str = "pvprotection";
    type Root = PersistentVolume;
    type View = ();

    fn watches() -> Vec<Watch> {
        Vec::new()
    }

    fn view(&self, _root: &PersistentVolume, _caches: &Caches) {}

    /// A volume is used while it is bound to a claim.
    fn decide(&self, root: &PersistentVolume, _view: &(), _now: Timestamp) -> Plan {
        let phase = root.status.as_ref().and_then(|status| status.phase.as_deref());
        finalizers::protect(root, FINALIZER, || phase == Some("Bound"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, time_ago};
    use serde_json::{Value, json};

    #[test]
    fn volumes_stay_while_they_are_bound() {
        let volume = |deleted: bool, phase: &str| -> PersistentVolume {
            let at = if deleted { json!(time_ago(1)) } else { Value::Null };
            object(json!({"metadata": {"name": "v", "finalizers": [FINALIZER], "deletionTimestamp": at},
                "status": {"phase": phase}}))
        };
        let gone = r#"patch PersistentVolume v {"metadata":{"finalizers":[]}}"#;
        let table = [
            ("alive", volume(false, "Available"), None),
            ("deleted", volume(true, "Available"), Some(gone)),
            ("deleted and bound", volume(true, "Bound"), None),
            ("deleted and released", volume(true, "Released"), Some(gone)),
        ];
        for (name, volume, expected) in table {
            let plan = VolumeProtection.decide(&volume, &(), now());
            assert_eq!(actions(&plan), expected.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }
}
