//! Owns:    the phases of PersistentVolumes.
//! Watches: PersistentVolumes, PersistentVolumeClaims.
//! Writes:  PersistentVolume status.
//!
//! ```text
//! Pending -> Available -> Bound -> Released -> Failed
//! ```
//! What becomes of a volume that is released, `storage` decides.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, Watch, mapped};
use serde_json::json;

use crate::common::volumes::{claim_key, claim_ref, volume_name};

pub struct VolumePhases;

impl Controller for VolumePhases {
    const NAME: &'static str = "persistentvolume-phase-controller";
    const ACCOUNT: &'static str = "persistent-volume-binder";
    const QUEUE: &'static str = "volumes";
    type Root = PersistentVolume;
    /// The claim of the name that the volume is for.
    type View = Option<Arc<PersistentVolumeClaim>>;

    fn watches() -> Vec<Watch> {
        let named = |claim: &PersistentVolumeClaim, _: &Caches| match volume_name(claim) {
            "" => Vec::new(),
            name => vec![Key::cluster(name)],
        };
        vec![mapped::<PersistentVolumeClaim>(named)]
    }

    fn view(&self, root: &PersistentVolume, caches: &Caches) -> Self::View {
        claim_ref(root).and_then(|reference| caches.get::<PersistentVolumeClaim>().get(&claim_key(reference)))
    }

    fn decide(&self, root: &PersistentVolume, claim: &Self::View, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let phase = root.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let reference = claim_ref(root);
        let uid = reference.and_then(|reference| reference.uid.as_deref()).filter(|uid| !uid.is_empty());
        let (wanted, absent) = match (uid, claim) {
            (None, _) => ("Available", None),
            (Some(uid), Some(claim)) if claim.metadata.uid.as_deref() == Some(uid) => {
                // Whose turn it is while the claim does not name the volume yet: the claim's.
                if volume_name(claim) != root.metadata.name.as_deref().unwrap_or_default() {
                    return plan;
                }
                ("Bound", None)
            }
            // One that failed to be reclaimed stays so.
            (Some(_), _) if phase == "Failed" => return plan,
            (Some(_), None) => ("Released", reference.map(claim_key)),
            (Some(_), Some(_)) => ("Released", None),
        };
        if phase != wanted {
            let action = Action::patch_status(root, json!({"phase": wanted}));
            plan.push(match absent {
                Some(key) => action.confirm_absent::<PersistentVolumeClaim>(key),
                None => action,
            });
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object};
    use serde_json::Value;

    #[test]
    fn a_volume_follows_its_claim() {
        let volume = |phase: &str, claim: Value| -> PersistentVolume {
            object(json!({"metadata": {"name": "v"}, "spec": {"claimRef": claim}, "status": {"phase": phase}}))
        };
        let claim = |uid: &str, volume: &str| {
            Some(Arc::new(object(
                json!({"metadata": {"name": "c", "namespace": "shop", "uid": uid}, "spec": {"volumeName": volume}}),
            )))
        };
        let for_claim = |uid: &str| json!({"name": "c", "namespace": "shop", "uid": uid});
        let to = |phase: &str| Some(format!(r#"patch PersistentVolume v/status {{"status":{{"phase":"{phase}"}}}}"#));
        let table = [
            ("new", volume("Pending", Value::Null), None, to("Available")),
            ("free", volume("Available", Value::Null), None, None),
            ("kept for a claim", volume("Pending", for_claim("")), claim("u", ""), to("Available")),
            ("half bound", volume("Available", for_claim("u")), claim("u", ""), None),
            ("bound", volume("Available", for_claim("u")), claim("u", "v"), to("Bound")),
            ("still bound", volume("Bound", for_claim("u")), claim("u", "v"), None),
            ("its claim is gone", volume("Bound", for_claim("u")), None, to("Released")),
            ("another one has its name", volume("Bound", for_claim("u")), claim("w", ""), to("Released")),
            ("released", volume("Released", for_claim("u")), None, None),
            ("failed", volume("Failed", for_claim("u")), None, None),
        ];
        for (name, volume, claim, expected) in table {
            let plan = VolumePhases.decide(&volume, &claim, now());
            assert_eq!(actions(&plan), expected.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }
}
