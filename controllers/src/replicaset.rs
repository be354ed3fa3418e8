//! Owns:    Pods of a ReplicaSet.
//! Watches: ReplicaSets, Pods.
//! Writes:  Pods (create, delete, adopt, release), ReplicaSet status, events.
//!
//! ReplicationControllers are treated as if they were ReplicaSets (see [`crate::replicationcontroller`]), as upstream does.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::ObjectMeta;
use reconcile::informer::{Caches, Kind};
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch, mapped, owner_key};

use crate::common::claim::{Claim, adopt, claim, release};
use crate::common::{nonzero, pods, selector};

pub struct ReplicaSets;

pub struct View {
    /// The ReplicaSet's pods and the orphans beside them.
    pub pods: Vec<Arc<Pod>>,
    /// The pods of all such sets of the same owner: where they crowd on a node, one is deleted first.
    pub related: Vec<Arc<Pod>>,
}

/// The most pods that are created or deleted in one go.
const BURST: usize = 500;

const REPLICA_FAILURE: &str = "ReplicaFailure";

impl Controller for ReplicaSets {
    const NAME: &'static str = "replicaset-controller";
    const QUEUE: &'static str = "replicaset";
    type Root = ReplicaSet;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![mapped::<Pod>(|pod, caches| sets_of(pod, caches, selects))]
    }

    fn view(&self, root: &ReplicaSet, caches: &Caches) -> View {
        view(root, replicas(root), caches)
    }

    fn decide(&self, root: &ReplicaSet, view: &View, now: Timestamp) -> Plan {
        let terminating = view.pods.iter().filter(|pod| is_terminating(root, pod)).count() as i32;
        decide(root, root, view, Some(terminating), now)
    }
}

pub(crate) fn view<R: Kind>(root: &R, replicas: i32, caches: &Caches) -> View {
    let meta = root.meta();
    let store = caches.get::<Pod>();
    let mut pods = store.controlled_by(meta.uid.as_deref().unwrap_or(""));
    let too_many = pods.len() as i64 > i64::from(replicas);
    pods.extend(store.orphans_in(meta.namespace.as_deref().unwrap_or("")));
    let related = if too_many { related_pods::<R>(meta, caches) } else { Vec::new() };
    View { pods, related }
}

/// `root` is what owns the pods, `set` what it says as a ReplicaSet. `terminating`: how many pods are on their way out, for kinds
/// that tell it.
pub(crate) fn decide<R: Kind>(
    root: &R,
    set: &ReplicaSet,
    view: &View,
    terminating: Option<i32>,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let active = claim_pods(root, set, view, &mut plan);
    if set.metadata.deletion_timestamp.is_none() {
        manage(set, &active, &view.related, now, &mut plan);
    }
    let old = set.status.clone().unwrap_or_default();
    let status = ReplicaSetStatus { terminating_replicas: terminating, ..status(set, &active, now) };
    plan.set_status_if_failed(&old, &with_failure(status.clone(), &old, active.len() as i32 - replicas(set), now));
    plan.set_status(&old, &status);
    if status.ready_replicas != status.available_replicas {
        let min_ready = min_ready_seconds(set);
        let waits = active.iter().filter_map(|pod| pods::available_in(pod, min_ready, now));
        if let Some(wait) = waits.min() {
            plan.requeue_after(wait.max(Duration::from_secs(1)));
        }
    }
    plan
}

/// The owner, or for an orphan every one of its namespace that would have it.
pub(crate) fn sets_of<R: Kind>(pod: &Pod, caches: &Caches, selects: fn(&R, &selector::Labels) -> bool) -> Vec<Key> {
    if let Some(key) = owner_key::<R>(&pod.metadata) {
        return vec![key];
    }
    let (Some(namespace), Some(labels)) = (&pod.metadata.namespace, &pod.metadata.labels) else { return Vec::new() };
    if is_controlled(&pod.metadata) {
        return Vec::new();
    }
    let sets = caches.get::<R>().in_namespace(namespace);
    sets.iter().filter(|set| selects(set, labels)).map(|set| Key::of(&**set)).collect()
}

/// Neither ended nor let go, and being deleted.
fn is_terminating(root: &ReplicaSet, pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
        && !pods::is_terminal(pod)
        && claim(&root.metadata, &pod.metadata, selects(root, selector::labels(&pod.metadata.labels))) == Claim::Keep
}

fn is_controlled(meta: &ObjectMeta) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true))
}

fn related_pods<R: Kind>(root: &ObjectMeta, caches: &Caches) -> Vec<Arc<Pod>> {
    let owner = root.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let uids = match owner {
        Some(owner) => {
            let siblings = caches.get::<R>().controlled_by(&owner.uid);
            siblings.iter().filter_map(|set| set.meta().uid.clone()).collect()
        }
        None => Vec::from_iter(root.uid.clone()),
    };
    let store = caches.get::<Pod>();
    uids.iter().flat_map(|uid| store.controlled_by(uid)).collect()
}

/// Absent means the default, 1.
fn replicas(root: &ReplicaSet) -> i32 {
    root.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn min_ready_seconds(root: &ReplicaSet) -> i32 {
    root.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
}

fn selects(root: &ReplicaSet, labels: &selector::Labels) -> bool {
    root.spec
        .as_ref()
        .is_some_and(|spec| !selector::is_everything(&spec.selector) && selector::matches(&spec.selector, labels))
}

/// The active pods that are the root's when the plan is done.
fn claim_pods<R: Kind>(root: &R, set: &ReplicaSet, view: &View, plan: &mut Plan) -> Vec<Arc<Pod>> {
    let mut claimed = Vec::new();
    for pod in view.pods.iter().filter(|pod| pods::is_active(pod)) {
        let matches = selects(set, selector::labels(&pod.metadata.labels));
        match claim(&set.metadata, &pod.metadata, matches) {
            Claim::Keep => claimed.push(pod.clone()),
            Claim::Adopt => {
                plan.push(adopt(root, &**pod));
                claimed.push(pod.clone());
            }
            Claim::Release => plan.push(release(root, &**pod)),
            Claim::Ignore => {}
        }
    }
    claimed
}

fn manage(root: &ReplicaSet, active: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp, plan: &mut Plan) {
    let wanted = usize::try_from(replicas(root)).unwrap_or(0);
    let missing = wanted.saturating_sub(active.len()).min(BURST);
    let create = Action::create(&new_pod(root))
        .owned()
        .on_success(PlanEvent::normal("SuccessfulCreate", "Created pod: {name}"))
        .on_failure(PlanEvent::warning("FailedCreate", "Error creating: {error}"));
    plan.actions.extend(std::iter::repeat_n(create, missing));

    let excess = active.len().saturating_sub(wanted).min(BURST);
    for pod in pods_to_delete(active, related, excess, now) {
        let delete = Action::delete(&**pod)
            .on_success(PlanEvent::normal("SuccessfulDelete", "Deleted pod: {name}"))
            .on_failure(PlanEvent::warning("FailedDelete", "Error deleting: {error}"));
        plan.push(delete);
    }
}

fn new_pod(root: &ReplicaSet) -> Pod {
    let template = root.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    let metadata = ObjectMeta {
        generate_name: root.metadata.name.as_ref().map(|name| format!("{name}-")),
        namespace: root.metadata.namespace.clone(),
        labels: meta.labels,
        annotations: meta.annotations,
        finalizers: meta.finalizers,
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec, status: None }
}

/// The pods that are missed least come first: see [`deletion_order`].
fn pods_to_delete<'a>(active: &'a [Arc<Pod>], related: &[Arc<Pod>], count: usize, now: Timestamp) -> Vec<&'a Arc<Pod>> {
    let mut crowd = BTreeMap::<&str, usize>::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        *crowd.entry(pods::node_name(pod)).or_default() += 1;
    }
    let mut ranked: Vec<&Arc<Pod>> = active.iter().collect();
    if count < ranked.len() {
        let crowd_of = |pod: &Pod| crowd.get(pods::node_name(pod)).copied().unwrap_or(0);
        ranked.sort_by(|a, b| deletion_order(a, b, &crowd_of, now));
    }
    ranked.truncate(count);
    ranked
}

/// Upstream's order: unassigned, pending, not ready, low deletion cost, crowded, ready for a short time, often restarted, young.
///
/// Ages are compared by their power of two, as upstream does, so that the youngest is not always the victim. Where upstream
/// falls back to the UID as soon as two ages are in the same class, here the later rules come first: its order is not
/// transitive.
fn deletion_order(a: &Pod, b: &Pod, crowd_of: &dyn Fn(&Pod) -> usize, now: Timestamp) -> Ordering {
    let phase_rank = |pod: &Pod| match pods::phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let key = |pod: &Pod| {
        let ready_since = pods::ready_since(pod);
        (
            !pods::node_name(pod).is_empty(),
            phase_rank(pod),
            pods::is_ready(pod),
            deletion_cost(pod),
            Reverse(crowd_of(pod)),
            ready_since.map(|since| age_class(since, now)),
            Reverse(pods::max_restarts(pod)),
            pod.metadata.creation_timestamp.as_ref().map(|time| age_class(time.0, now)),
        )
    };
    key(a).cmp(&key(b)).then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotations = selector::labels(&pod.metadata.annotations);
    annotations.get("controller.kubernetes.io/pod-deletion-cost").and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// 0 for now or the future, then one more for each doubling of the age.
fn age_class(time: Timestamp, now: Timestamp) -> u32 {
    let nanoseconds = u128::try_from(now.as_nanosecond() - time.as_nanosecond()).unwrap_or(0);
    u128::BITS - nanoseconds.leading_zeros()
}

fn status(root: &ReplicaSet, active: &[Arc<Pod>], now: Timestamp) -> ReplicaSetStatus {
    let template = root.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let template_labels =
        template.and_then(|template| template.metadata.as_ref()).and_then(|meta| meta.labels.as_ref());
    let fully_labeled = |pod: &&Arc<Pod>| {
        template_labels.is_none_or(|wanted| selector::is_subset(wanted, selector::labels(&pod.metadata.labels)))
    };
    let min_ready = min_ready_seconds(root);
    let count = |number: usize| nonzero(i32::try_from(number).unwrap_or(i32::MAX));
    let old = root.status.clone().unwrap_or_default();
    let conditions: Vec<_> =
        old.conditions.into_iter().flatten().filter(|each| each.type_ != REPLICA_FAILURE).collect();
    ReplicaSetStatus {
        replicas: active.len() as i32,
        fully_labeled_replicas: count(active.iter().filter(fully_labeled).count()),
        ready_replicas: count(active.iter().filter(|pod| pods::is_ready(pod)).count()),
        available_replicas: count(active.iter().filter(|pod| pods::is_available(pod, min_ready, now)).count()),
        observed_generation: root.metadata.generation,
        conditions: (!conditions.is_empty()).then_some(conditions),
        terminating_replicas: None,
    }
}

/// The status when creating or deleting fails; a failure that is told already stays as it is.
fn with_failure(mut status: ReplicaSetStatus, old: &ReplicaSetStatus, excess: i32, now: Timestamp) -> ReplicaSetStatus {
    let told = old.conditions.iter().flatten().find(|each| each.type_ == REPLICA_FAILURE);
    let failure = told.cloned().unwrap_or_else(|| ReplicaSetCondition {
        type_: REPLICA_FAILURE.to_owned(),
        status: "True".to_owned(),
        reason: Some(if excess < 0 { "FailedCreate" } else { "FailedDelete" }.to_owned()),
        message: Some("{error}".to_owned()),
        last_transition_time: Some(Time(now)),
    });
    status.conditions.get_or_insert_default().push(failure);
    status
}

#[cfg(test)]
#[path = "replicaset_tests.rs"]
mod tests;
