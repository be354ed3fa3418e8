//! Owns:    the finalizer `kubernetes.io/pvc-protection` of PersistentVolumeClaims.
//! Watches: PersistentVolumeClaims, Pods.
//! Writes:  PersistentVolumeClaims (patch of the finalizers).

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use reconcile::informer::Caches;
use reconcile::{Controller, Key, Plan, Watch, indexed, mapped};

use crate::common::{finalizers, pods};

const FINALIZER: &str = "kubernetes.io/pvc-protection";
/// The index of Pods by the claims that they name, with their namespace.
const PODS_BY_CLAIM: &str = "claim";

pub struct ClaimProtection;

impl Controller for ClaimProtection {
    const NAME: &'static str = "persistentvolumeclaim-protection-controller";
    const ACCOUNT: &'static str = "pvc-protection-controller";
    const QUEUE: &'static str = "pvcprotection";
    type Root = PersistentVolumeClaim;
    /// The pods that name the claim. Upstream asks the server once more before it lets a claim go; here the cache's word is
    /// enough as long as no node mounts claims.
    type View = Vec<Arc<Pod>>;

    fn watches() -> Vec<Watch> {
        let claims = |pod: &Pod| claims_of(pod).iter().map(Key::to_string).collect();
        vec![indexed::<Pod>(PODS_BY_CLAIM, claims), mapped::<Pod>(|pod, _| claims_of(pod))]
    }

    fn view(&self, root: &PersistentVolumeClaim, caches: &Caches) -> Vec<Arc<Pod>> {
        caches.get::<Pod>().by_index(PODS_BY_CLAIM, &Key::of(root).to_string())
    }

    fn decide(&self, root: &PersistentVolumeClaim, naming: &Vec<Arc<Pod>>, _now: Timestamp) -> Plan {
        let name = root.metadata.name.as_deref().unwrap_or_default();
        finalizers::protect(root, FINALIZER, || naming.iter().any(|pod| uses(pod, name)))
    }
}

fn volumes(pod: &Pod) -> &[Volume] {
    pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default()
}

/// The claim that a volume is of: a named one, or the one that is made for the volume alone.
fn claim_of(pod: &Pod, volume: &Volume) -> Option<String> {
    match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(claim), _) => Some(claim.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name)),
        (None, None) => None,
    }
}

fn claims_of(pod: &Pod) -> Vec<Key> {
    let names = volumes(pod).iter().filter_map(|volume| claim_of(pod, volume));
    names.map(|name| Key::new(pod.metadata.namespace.as_deref(), &name)).collect()
}

/// A pod that is on no node uses nothing. One that has ended still uses what it names, but not what was made for it.
fn uses(pod: &Pod, claim: &str) -> bool {
    let made_for_it_counts = !pods::is_terminal(pod);
    let counts = |volume: &Volume| made_for_it_counts || volume.persistent_volume_claim.is_some();
    !pods::node_name(pod).is_empty()
        && volumes(pod).iter().any(|volume| counts(volume) && claim_of(pod, volume).as_deref() == Some(claim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, shared, time_ago};
    use serde_json::{Value, json};

    #[test]
    fn claims_stay_while_pods_use_them() {
        let claim = |deleted: bool, finalizers: Value| -> PersistentVolumeClaim {
            let at = if deleted { json!(time_ago(1)) } else { Value::Null };
            object(json!({"metadata": {"name": "a-data", "namespace": "shop", "finalizers": finalizers,
                "deletionTimestamp": at, "resourceVersion": "1"}}))
        };
        let pod = |node: &str, phase: &str, volume: Value| {
            vec![json!({"metadata": {"name": "a", "namespace": "shop"}, "status": {"phase": phase},
                "spec": {"nodeName": node, "containers": [], "volumes": [volume]}})]
        };
        let named = json!({"name": "v", "persistentVolumeClaim": {"claimName": "a-data"}});
        let own = json!({"name": "data", "ephemeral": {}});
        let (held, free) = (json!(["x/y", FINALIZER]), json!(["x/y"]));
        let gone = r#"patch PersistentVolumeClaim shop/a-data {"metadata":{"finalizers":["x/y"]}}"#;
        let added = r#"patch PersistentVolumeClaim shop/a-data {"metadata":{"finalizers":["x/y","kubernetes.io/pvc-protection"]}}"#;
        let table = [
            ("alive", claim(false, held.clone()), vec![], None),
            ("alive and free", claim(false, free.clone()), vec![], Some(added)),
            ("deleted and free", claim(true, free), vec![], None),
            ("deleted", claim(true, held.clone()), vec![], Some(gone)),
            ("in use", claim(true, held.clone()), pod("n1", "Running", named.clone()), None),
            ("by one that waits for a node", claim(true, held.clone()), pod("", "Pending", named.clone()), Some(gone)),
            ("by one that has ended", claim(true, held.clone()), pod("n1", "Failed", named), None),
            ("made for one", claim(true, held.clone()), pod("n1", "Running", own.clone()), None),
            ("made for one that has ended", claim(true, held), pod("n1", "Failed", own), Some(gone)),
        ];
        for (name, claim, pods, expected) in table {
            let plan = ClaimProtection.decide(&claim, &shared(pods), now());
            assert_eq!(actions(&plan), expected.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }
}
