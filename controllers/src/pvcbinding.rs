//! Owns:    which PersistentVolume a claim has.
//! Watches: PersistentVolumeClaims, PersistentVolumes; reads StorageClasses.
//! Writes:  PersistentVolumes (claim, annotation), PersistentVolumeClaims (volume, annotations, status), events.
//!
//! A claim gets the smallest volume that is enough, of those that are there; `storage` makes one where there is none. First the
//! volume is taken, which only one can do, then the claim is told.

use std::sync::Arc;

use api::quantity::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch, mapped, read};
use serde_json::json;

use crate::common::selector;
use crate::common::volumes::{claim_key, claim_ref, class_of_claim, class_of_volume, is_for, volume_name};

const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

pub struct ClaimBinding;

pub struct View {
    /// The one that the claim names, or all.
    volumes: Vec<Arc<PersistentVolume>>,
    /// Its volumes are chosen together with a node, which nobody does here, and no pod's node is known.
    waits: bool,
}

impl Controller for ClaimBinding {
    const NAME: &'static str = "persistentvolume-binder-controller";
    const ACCOUNT: &'static str = "persistent-volume-binder";
    const QUEUE: &'static str = "claims";
    type Root = PersistentVolumeClaim;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![mapped::<PersistentVolume>(concerned), read::<StorageClass>()]
    }

    fn view(&self, root: &PersistentVolumeClaim, caches: &Caches) -> View {
        let all = caches.get::<PersistentVolume>();
        let volumes = match volume_name(root) {
            "" => all.list(),
            name => all.find(None, name).into_iter().collect(),
        };
        let class = caches.get::<StorageClass>().find(None, &class_of_claim(root));
        let mode = class.as_ref().and_then(|class| class.volume_binding_mode.as_deref());
        View { volumes, waits: mode == Some("WaitForFirstConsumer") && !has(root, SELECTED_NODE) }
    }

    fn decide(&self, root: &PersistentVolumeClaim, view: &View, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if root.metadata.deletion_timestamp.is_some() {
            return plan;
        }
        let own = |volume: &&Arc<PersistentVolume>| claim_ref(volume).is_some_and(|of| is_for(of, root));
        let free = |volume: &&Arc<PersistentVolume>| claim_ref(volume).is_none();
        let named = !volume_name(root).is_empty();
        let volume = view.volumes.iter().find(own).or_else(|| match named {
            true => view.volumes.iter().find(free),
            false if view.waits => None,
            false => smallest(root, &view.volumes),
        });
        match volume {
            Some(volume) => bind(root, volume, &mut plan),
            None if named && has(root, COMPLETED) && phase(root) != "Lost" => {
                plan.push(Action::patch_status(root, json!({"phase": "Lost"})).same_uid(root));
            }
            None if named => {}
            None if view.waits => {
                let text = "waiting for first consumer to be created before binding";
                plan.events.push(PlanEvent::normal("WaitForFirstConsumer", text));
            }
            None if class_of_claim(root).is_empty() => {
                let text = "no persistent volumes available for this claim and no storage class is set";
                plan.events.push(PlanEvent::normal("FailedBinding", text));
            }
            None => {}
        }
        plan
    }
}

/// Whether a claim without a volume has one already, or finds one of these.
pub fn finds(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>]) -> bool {
    let own = |volume: &Arc<PersistentVolume>| claim_ref(volume).is_some_and(|of| is_for(of, claim));
    volumes.iter().any(own) || smallest(claim, volumes).is_some()
}

/// The claim that a volume is for, or all that look for one.
fn concerned(volume: &PersistentVolume, caches: &Caches) -> Vec<Key> {
    let mut keys: Vec<Key> = claim_ref(volume).map(claim_key).into_iter().collect();
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let waiting = caches.get::<PersistentVolumeClaim>().list();
    let waiting = waiting.iter().filter(|claim| matches!(volume_name(claim), "") || volume_name(claim) == name);
    keys.extend(waiting.map(|claim| Key::of(&**claim)));
    keys
}

fn has(claim: &PersistentVolumeClaim, annotation: &str) -> bool {
    claim.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(annotation))
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn amount(amount: Option<&Amount>) -> Quantity {
    amount.and_then(|amount| Quantity::parse(&amount.0).ok()).unwrap_or_default()
}

fn size(volume: &PersistentVolume) -> Quantity {
    amount(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage")))
}

fn smallest<'v>(
    claim: &PersistentVolumeClaim,
    volumes: &'v [Arc<PersistentVolume>],
) -> Option<&'v Arc<PersistentVolume>> {
    let suitable = volumes.iter().filter(|volume| suits(claim, volume));
    suitable.min_by(|one, other| size(one).cmp(&size(other)).then(one.metadata.name.cmp(&other.metadata.name)))
}

/// Upstream's FindMatchingVolume, without nodes.
fn suits(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let (Some(wanted), Some(spec)) = (&claim.spec, &volume.spec) else { return false };
    let available = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available");
    let requested = wanted.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get("storage"));
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let attributes = |class: &Option<String>| class.clone().unwrap_or_default();
    available
        && volume.metadata.deletion_timestamp.is_none()
        && spec.claim_ref.is_none()
        && class_of_claim(claim) == class_of_volume(volume)
        && attributes(&wanted.volume_attributes_class_name) == attributes(&spec.volume_attributes_class_name)
        && mode(&wanted.volume_mode) == mode(&spec.volume_mode)
        && wanted.access_modes.iter().flatten().all(|mode| modes.contains(mode))
        && size(volume) >= amount(requested)
        && wanted.selector.as_ref().is_none_or(|own| selector::matches(own, selector::labels(&volume.metadata.labels)))
}

/// What is left to do of: the volume names the claim, the claim the volume, and both are bound.
fn bind(claim: &PersistentVolumeClaim, volume: &PersistentVolume, plan: &mut Plan) {
    let uid = claim.metadata.uid.as_deref();
    let reference = claim_ref(volume);
    if reference.and_then(|of| of.uid.as_deref()) != uid {
        let mut patch = json!({"spec": {"claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.metadata.namespace,
            "name": claim.metadata.name, "uid": uid, "resourceVersion": claim.metadata.resource_version,
        }}});
        if reference.is_none() {
            patch["metadata"] = json!({"annotations": {BY_CONTROLLER: "yes"}});
        }
        plan.push(Action::merge_patch(volume, patch).unchanged(volume));
    }
    let chosen = volume_name(claim).is_empty();
    if chosen || !has(claim, COMPLETED) {
        let mut annotations = json!({COMPLETED: "yes"});
        if chosen {
            annotations[BY_CONTROLLER] = "yes".into();
        }
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"volumeName": volume.metadata.name}});
        plan.push(Action::merge_patch(claim, patch).same_uid(claim));
    }
    if phase(claim) != "Bound" {
        let spec = volume.spec.as_ref();
        let status = json!({
            "phase": "Bound", "accessModes": spec.and_then(|spec| spec.access_modes.as_ref()),
            "capacity": spec.and_then(|spec| spec.capacity.as_ref()),
        });
        plan.push(Action::patch_status(claim, status).same_uid(claim));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, merge, now, object, shared};
    use serde_json::Value;

    fn claim(edit: &Value) -> PersistentVolumeClaim {
        let mut claim = json!({"metadata": {"name": "c", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
            "status": {"phase": "Pending"}});
        merge(&mut claim, edit);
        object(claim)
    }

    fn volume(name: &str, size: &str, edit: &Value) -> Value {
        let mut volume = json!({"metadata": {"name": name, "resourceVersion": "3", "uid": name},
            "spec": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": size}},
            "status": {"phase": "Available"}});
        merge(&mut volume, edit);
        volume
    }

    /// The volume that is taken or named, and how much is done.
    fn outcome(claim: &PersistentVolumeClaim, volumes: Vec<Value>, waits: bool) -> String {
        let plan = ClaimBinding.decide(claim, &View { volumes: shared(volumes), waits }, now());
        let shorter = |line: &String| line.split(" {").next().unwrap_or_default().to_owned();
        actions(&plan).iter().map(shorter).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_claim_gets_the_smallest_volume_that_is_enough() {
        let plain = json!({});
        let all = |name: &str| {
            format!(
                "patch PersistentVolume {name}, patch PersistentVolumeClaim shop/c, patch PersistentVolumeClaim shop/c/status"
            )
        };
        let with = |edit: Value| vec![volume("v", "2Gi", &edit)];
        let of = |edit: Value| claim(&edit);
        let labelled = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}});
        let table = [
            (
                "smallest",
                of(plain.clone()),
                vec![volume("big", "9Gi", &plain), volume("fit", "3Gi", &plain), volume("small", "1Gi", &plain)],
                all("fit"),
            ),
            ("not seen yet", of(plain.clone()), with(json!({"status": {"phase": "Pending"}})), String::new()),
            ("of another class", of(json!({"spec": {"storageClassName": "s"}})), with(plain.clone()), String::new()),
            (
                "of the class",
                of(json!({"spec": {"storageClassName": "s"}})),
                with(json!({"spec": {"storageClassName": "s"}})),
                all("v"),
            ),
            (
                "other modes",
                of(json!({"spec": {"accessModes": ["ReadWriteMany"]}})),
                with(plain.clone()),
                String::new(),
            ),
            ("blocks", of(json!({"spec": {"volumeMode": "Block"}})), with(plain.clone()), String::new()),
            ("labels", of(labelled.clone()), with(plain.clone()), String::new()),
            ("right labels", of(labelled), with(json!({"metadata": {"labels": {"a": "b"}}})), all("v")),
            (
                "taken",
                of(plain.clone()),
                with(json!({"spec": {"claimRef": {"name": "d", "namespace": "shop"}}})),
                String::new(),
            ),
            (
                "kept for it",
                of(plain.clone()),
                with(json!({"spec": {"claimRef": {"name": "c", "namespace": "shop"}}})),
                all("v"),
            ),
            (
                "leaving",
                of(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
                with(plain),
                String::new(),
            ),
        ];
        for (name, claim, volumes, expected) in table {
            assert_eq!(outcome(&claim, volumes, false), expected, "{name}");
        }
        assert_eq!(outcome(&claim(&json!({})), with(json!({})), true), "", "a class that waits for a pod");
    }

    #[test]
    fn what_is_bound_is_left_alone() {
        let done = json!({"metadata": {"annotations": {COMPLETED: "yes"}}, "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
        let mine =
            json!({"spec": {"claimRef": {"name": "c", "namespace": "shop", "uid": "u"}}, "status": {"phase": "Bound"}});
        let other =
            json!({"spec": {"claimRef": {"name": "c", "namespace": "shop", "uid": "w"}}, "status": {"phase": "Bound"}});
        let half = json!({"status": {"phase": "Pending"}});
        let lost = "patch PersistentVolumeClaim shop/c/status";
        let table = [
            ("bound", claim(&done), vec![volume("v", "2Gi", &mine)], ""),
            (
                "half",
                claim(&half),
                vec![volume("v", "2Gi", &mine)],
                "patch PersistentVolumeClaim shop/c, patch PersistentVolumeClaim shop/c/status",
            ),
            ("lost", claim(&done), vec![], lost),
            ("given to another", claim(&done), vec![volume("v", "2Gi", &other)], lost),
        ];
        for (name, claim, volumes, expected) in table {
            assert_eq!(outcome(&claim, volumes, false), expected, "{name}");
        }
    }
}
