//! Owns:    what becomes of a PersistentVolume whose claim is gone, and the finalizer `kubernetes.io/pv-controller`.
//! Watches: PersistentVolumes.
//! Writes:  PersistentVolumes (delete, finalizers, status), events.
//!
//! Retain leaves it, Delete deletes it with what is on it, Recycle fails: nothing here empties volumes.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::core::ApiResource;
use reconcile::execute::{Executor, Root};
use reconcile::informer::{Change, Store};
use reconcile::{Action, Error, Key, Manager, Outcome, Plan, PlanEvent, Queue, Reconciler};
use serde_json::json;

use super::{ACCOUNT, FINALIZER, IN_TREE, PROVISIONED_BY, Provisioner, Provisioners, unknown};
use crate::common::volumes::{claim_key, claim_ref};

const NAME: &str = "persistentvolume-reclaim-controller";
const QUEUE: &str = "volumes_to_reclaim";
/// Upstream looks at all volumes so often.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
const RECYCLE_FAILED: &str = "VolumeFailedRecycle";
const DELETE_FAILED: &str = "VolumeFailedDelete";

struct Reclaiming {
    executor: Executor,
    volumes: Store<PersistentVolume>,
    provisioners: Provisioners,
}

enum Step<'p> {
    /// Also what another program deletes.
    Nothing,
    Delete(&'p Arc<dyn Provisioner>),
    /// The reason of the event and what it says.
    Fail(&'static str, String),
}

pub(super) fn start(manager: &Manager, provisioners: Provisioners) {
    let queue: Arc<Queue<Key>> = Arc::default();
    let volumes = manager.informers().start::<PersistentVolume>();
    let adding = queue.clone();
    volumes.on_change(move |change| {
        if let Change::Applied { new, .. } = change {
            adding.add(Key::of(&**new));
        }
    });
    let waits_for = vec![volumes.progress()];
    let executor = manager.executor(NAME, ACCOUNT);
    let reconciler = Reclaiming { executor, volumes, provisioners };
    manager.add_reconciler([NAME, QUEUE], queue, 5, Arc::new(reconciler), waits_for);
}

impl Reconciler for Reclaiming {
    fn reconcile<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Outcome> {
        async move {
            let Some(volume) = self.volumes.get(key) else { return Outcome::default() };
            let root = Root::of(&*volume);
            if let Some(action) = release(&volume) {
                return self.perform(&root, Plan { actions: vec![action], ..Plan::default() }).await;
            }
            match step(&volume, &self.provisioners) {
                Step::Nothing => Outcome::default(),
                Step::Fail(reason, why) => self.perform(&root, failed(&volume, reason, &why)).await,
                Step::Delete(provisioner) => match self.is_released(&volume).await {
                    Ok(true) => self.delete(&volume, provisioner, &root).await,
                    Ok(false) => Outcome::default(),
                    Err(error) => Outcome { error: Some(error), ..Outcome::default() },
                },
            }
        }
        .boxed()
    }
}

impl Reclaiming {
    async fn perform(&self, root: &Root, plan: Plan) -> Outcome {
        self.executor.perform(Some(root), &plan).await.into()
    }

    /// As the server has it now: what is deleted does not come back.
    async fn is_released(&self, volume: &PersistentVolume) -> Result<bool, Error> {
        let Some(reference) = claim_ref(volume) else { return Ok(false) };
        let claims = ApiResource::erase::<PersistentVolumeClaim>(&());
        let claim = self.executor.live(&claims, &claim_key(reference)).await?;
        let uid = reference.uid.as_deref().unwrap_or_default();
        Ok(!uid.is_empty() && claim.is_none_or(|claim| claim["metadata"]["uid"] != uid))
    }

    async fn delete(&self, volume: &PersistentVolume, provisioner: &Arc<dyn Provisioner>, root: &Root) -> Outcome {
        match provisioner.delete(volume).await {
            Ok(()) => {
                let rest = without_finalizer(volume);
                let mut actions: Vec<Action> = rest.map(|rest| finalizers(volume, &rest)).into_iter().collect();
                // One that was being deleted is gone with its last finalizer.
                actions.push(Action::delete(volume));
                self.perform(root, Plan { actions, ..Plan::default() }).await
            }
            Err(why) => {
                let done = self.perform(root, failed(volume, DELETE_FAILED, &why)).await;
                Outcome { requeue_after: Some(LOOK_AGAIN), ..done }
            }
        }
    }
}

/// The volume as Failed; nothing when that has been told.
fn failed(volume: &PersistentVolume, reason: &str, why: &str) -> Plan {
    let mut plan = Plan::default();
    let told = volume.status.as_ref().and_then(|status| status.message.as_deref()) == Some(why);
    if phase(volume) != "Failed" || !told {
        let status = json!({"phase": "Failed", "message": why});
        plan.push(Action::patch_status(volume, status).unchanged(volume));
        plan.events.push(PlanEvent::warning(reason, why));
    }
    plan
}

fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn policy(volume: &PersistentVolume) -> &str {
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    policy.unwrap_or("Retain")
}

fn without_finalizer(volume: &PersistentVolume) -> Option<Vec<String>> {
    let all = volume.metadata.finalizers.as_ref()?;
    let rest: Vec<String> = all.iter().filter(|own| *own != FINALIZER).cloned().collect();
    (rest.len() < all.len()).then_some(rest)
}

fn finalizers(volume: &PersistentVolume, all: &[String]) -> Action {
    Action::merge_patch(volume, json!({"metadata": {"finalizers": all}})).unchanged(volume)
}

/// A volume that is to stay, or that never had a claim, waits for nobody.
fn release(volume: &PersistentVolume) -> Option<Action> {
    let rest = without_finalizer(volume)?;
    let free = matches!(phase(volume), "Available" | "Pending") && volume.metadata.deletion_timestamp.is_some();
    (policy(volume) != "Delete" || free && claim_ref(volume).is_none()).then(|| finalizers(volume, &rest))
}

fn step<'p>(volume: &PersistentVolume, provisioners: &'p Provisioners) -> Step<'p> {
    if !matches!(phase(volume), "Released" | "Failed") {
        return Step::Nothing;
    }
    match policy(volume) {
        "Retain" => Step::Nothing,
        "Delete" => deleter(volume, provisioners),
        "Recycle" => Step::Fail(RECYCLE_FAILED, "No recycler plugin found for the volume!".to_owned()),
        _ => {
            Step::Fail("VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy".to_owned())
        }
    }
}

fn deleter<'p>(volume: &PersistentVolume, provisioners: &'p Provisioners) -> Step<'p> {
    let annotations = volume.metadata.annotations.as_ref();
    let by = annotations.and_then(|all| all.get(PROVISIONED_BY)).filter(|name| !name.is_empty());
    if let Some(name) = by {
        return match provisioners.named(name) {
            Some(provisioner) => Step::Delete(provisioner),
            None if name.starts_with(IN_TREE) => Step::Fail(DELETE_FAILED, unknown(name)),
            None => Step::Nothing,
        };
    }
    if volume.spec.as_ref().is_some_and(|spec| spec.csi.is_some()) {
        return Step::Nothing;
    }
    match provisioners.0.iter().find(|one| one.owns(volume)) {
        Some(provisioner) => Step::Delete(provisioner),
        None => {
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            let why =
                format!("error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched");
            Step::Fail(DELETE_FAILED, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, merge, object};
    use crate::storage::hostpath::HostPath;
    use serde_json::Value;

    fn volume(edit: &Value) -> PersistentVolume {
        let mut volume = json!({"metadata": {"name": "v", "uid": "u", "resourceVersion": "3"},
            "spec": {"persistentVolumeReclaimPolicy": "Delete", "hostPath": {"path": "/tmp/x"},
                "claimRef": {"name": "c", "namespace": "shop", "uid": "w"}},
            "status": {"phase": "Released"}});
        merge(&mut volume, edit);
        object(volume)
    }

    #[test]
    fn a_released_volume_goes_as_its_policy_says() {
        let by = |name: &str| json!({"metadata": {"annotations": {PROVISIONED_BY: name}}});
        let policy = |policy: &str| json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
        let nfs = json!({"spec": {"hostPath": null, "nfs": {"path": "/", "server": "s"}}});
        let csi = json!({"spec": {"hostPath": null, "csi": {"driver": "d", "volumeHandle": "h"}}});
        let table = [
            ("deleted", json!({}), "delete"),
            ("bound", json!({"status": {"phase": "Bound"}}), "nothing"),
            ("again", json!({"status": {"phase": "Failed"}}), "delete"),
            ("stays", policy("Retain"), "nothing"),
            ("recycled", policy("Recycle"), "VolumeFailedRecycle: No recycler plugin found for the volume!"),
            ("another policy", policy("Burn"), "VolumeUnknownReclaimPolicy: Volume has unrecognized"),
            ("its own", by("kubernetes.io/host-path"), "delete"),
            ("another program's", by("example.com/disk"), "nothing"),
            ("not built in", by("kubernetes.io/x"), "VolumeFailedDelete: no volume plugin matched name"),
            ("by CSI", csi, "nothing"),
            ("of no plugin", nfs, "VolumeFailedDelete: error getting deleter volume plugin for volume \"v\""),
        ];
        let provisioners = Provisioners(vec![Arc::new(HostPath::new(false))]);
        for (name, edit, expected) in table {
            let told = match step(&volume(&edit), &provisioners) {
                Step::Nothing => "nothing".to_owned(),
                Step::Delete(_) => "delete".to_owned(),
                Step::Fail(reason, why) => format!("{reason}: {why}"),
            };
            assert!(told.starts_with(expected), "{name}: {told}");
        }
    }

    #[test]
    fn a_failure_is_told_once() {
        let plan = failed(&volume(&json!({})), DELETE_FAILED, "why");
        let patch = r#"patch PersistentVolume v/status {"status":{"message":"why","phase":"Failed"}}"#;
        assert_eq!(actions(&plan), [patch]);
        assert_eq!(plan.events[0].reason, "VolumeFailedDelete");
        let told = volume(&json!({"status": {"phase": "Failed", "message": "why"}}));
        assert!(failed(&told, DELETE_FAILED, "why").is_empty());
    }

    #[test]
    fn the_finalizer_is_for_what_is_to_be_deleted() {
        let with = json!({"metadata": {"finalizers": [FINALIZER, "x"]}});
        let edit = |more: Value| {
            let mut all = with.clone();
            merge(&mut all, &more);
            release(&volume(&all)).map(|action| action.to_string())
        };
        let gone = Some(r#"patch PersistentVolume v {"metadata":{"finalizers":["x"]}}"#.to_owned());
        assert_eq!(edit(json!({})), None);
        assert_eq!(edit(json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}})), gone);
        let unused = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"claimRef": null},
            "status": {"phase": "Available"}});
        assert_eq!(edit(unused), gone);
    }
}
