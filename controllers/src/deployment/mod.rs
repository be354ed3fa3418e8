//! Owns:    ReplicaSets of a Deployment.
//! Watches: Deployments, ReplicaSets, Pods (for Recreate).
//! Writes:  ReplicaSets (create, scale, annotate, adopt, release, delete), Deployment annotations and status, events.
//!
//! One decision follows upstream's `syncDeployment`: `sets` finds the new ReplicaSet among the claimed ones (`template` says
//! which) and holds the changes, `rolling`, `recreate` and `scale` change sizes within the `bounds`, `status` sums up.

mod bounds;
mod recreate;
mod rolling;
mod scale;
mod sets;
mod status;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use reconcile::informer::Caches;
use reconcile::{Controller, Key, Plan, PlanEvent, Watch, mapped, owner_key};

use crate::common::claim::{Claim, adopt, claim, release};
use crate::common::{pods, selector};
use sets::Rollout;

pub struct Deployments;

pub struct View {
    /// The Deployment's ReplicaSets and the orphans beside them.
    pub sets: Vec<Arc<ReplicaSet>>,
    /// A ReplicaSet that has the name which a new one would get.
    pub namesake: Option<Arc<ReplicaSet>>,
    /// The UIDs of ReplicaSets that still have pods which have not ended; only for the strategy Recreate.
    pub busy: Vec<String>,
}

impl Controller for Deployments {
    const NAME: &'static str = "deployment-controller";
    const QUEUE: &'static str = "deployment";
    type Root = Deployment;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![mapped::<ReplicaSet>(deployments_of), mapped::<Pod>(recreated_deployment_of)]
    }

    fn view(&self, root: &Deployment, caches: &Caches) -> View {
        let store = caches.get::<ReplicaSet>();
        let namespace = root.metadata.namespace.as_deref().unwrap_or("");
        let mut sets = store.controlled_by(root.metadata.uid.as_deref().unwrap_or(""));
        let busy = if is_recreate(root) { busy(&sets, caches) } else { Vec::new() };
        sets.extend(store.orphans_in(namespace));
        let namesake = store.find(Some(namespace), &template::set_name(root));
        View { sets, namesake, busy }
    }

    fn decide(&self, root: &Deployment, view: &View, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(spec) = &root.spec else { return plan };
        if selector::is_everything(&spec.selector) {
            let told = "This deployment is selecting all pods. A non-empty selector is required.";
            plan.events.push(PlanEvent::warning("SelectingAll", told));
            let old = root.status.clone().unwrap_or_default();
            let mut new = old.clone();
            new.observed_generation = root.metadata.generation;
            plan.set_status(&old, &new);
            return plan;
        }
        let claimed = claim_sets(root, spec, &view.sets, &mut plan);
        let mut rollout = Rollout::new(root, spec, claimed, now);
        if root.metadata.deletion_timestamp.is_some() {
            rollout.sum_up_counts(&mut plan);
            return plan;
        }
        rollout.note_pause();
        rollout.annotate_new_set();
        if spec.paused == Some(true) {
            rollout.scale();
            rollout.clean_up();
            rollout.sum_up_counts(&mut plan);
        } else if rollout.is_scaling_event() {
            rollout.scale();
            rollout.sum_up_counts(&mut plan);
        } else {
            let done = if is_recreate(root) { rollout.recreate(view) } else { rollout.roll(view) };
            match done {
                Ok(()) => rollout.sum_up_progress(&mut plan),
                Err(sets::Collision) => rollout.count_collision(&mut plan),
            }
        }
        rollout.perform(&mut plan);
        plan
    }
}

fn is_recreate(root: &Deployment) -> bool {
    let strategy = root.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// The owner, or for an orphan every Deployment that would have it.
fn deployments_of(set: &ReplicaSet, caches: &Caches) -> Vec<Key> {
    let meta = &set.metadata;
    if meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true)) {
        return owner_key::<Deployment>(meta).into_iter().collect();
    }
    let (Some(namespace), Some(labels)) = (&meta.namespace, &meta.labels) else { return Vec::new() };
    let deployments = caches.get::<Deployment>().in_namespace(namespace);
    let selecting = deployments.iter().filter(|each| each.spec.as_ref().is_some_and(|spec| selects(spec, labels)));
    selecting.map(|deployment| Key::of(&**deployment)).collect()
}

/// A Recreate waits for the last old pod to end.
fn recreated_deployment_of(pod: &Pod, caches: &Caches) -> Vec<Key> {
    let set = owner_key::<ReplicaSet>(&pod.metadata).and_then(|key| caches.get::<ReplicaSet>().get(&key));
    let key = set.and_then(|set| owner_key::<Deployment>(&set.metadata));
    let recreated = |key: &Key| caches.get::<Deployment>().get(key).is_some_and(|deployment| is_recreate(&deployment));
    key.filter(recreated).into_iter().collect()
}

fn busy(sets: &[Arc<ReplicaSet>], caches: &Caches) -> Vec<String> {
    let store = caches.get::<Pod>();
    let uids = sets.iter().filter_map(|set| set.metadata.uid.clone());
    uids.filter(|uid| store.controlled_by(uid).iter().any(|pod| !pods::is_terminal(pod))).collect()
}

fn selects(spec: &DeploymentSpec, labels: &selector::Labels) -> bool {
    !selector::is_everything(&spec.selector) && selector::matches(&spec.selector, labels)
}

fn claim_sets(
    root: &Deployment,
    spec: &DeploymentSpec,
    sets: &[Arc<ReplicaSet>],
    plan: &mut Plan,
) -> Vec<Arc<ReplicaSet>> {
    let mut claimed = Vec::new();
    for set in sets {
        let matches = selects(spec, selector::labels(&set.metadata.labels));
        match claim(&root.metadata, &set.metadata, matches) {
            Claim::Keep => claimed.push(set.clone()),
            Claim::Adopt => {
                plan.push(adopt(root, &**set));
                claimed.push(set.clone());
            }
            Claim::Release => plan.push(release(root, &**set)),
            Claim::Ignore => {}
        }
    }
    claimed
}
