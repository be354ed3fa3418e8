//! What a pod means to its Job.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use reconcile::Action;
use serde_json::json;

use crate::common::{pods, selector};

/// On a pod that was not counted yet: it stays until it was.
pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How many pods of the same index had failed before this one, and how many of those that do not count.
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or("")
}

pub(super) fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

pub(super) fn untrack(pod: &Pod) -> Action {
    let body = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    Action::strategic_patch(pod, body).same_uid(pod)
}

pub(super) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && !pods::is_terminal(pod)
}

pub(super) fn index(pod: &Pod) -> Option<i32> {
    annotation(pod, INDEX)
}

fn annotation(pod: &Pod, key: &str) -> Option<i32> {
    let number = selector::labels(&pod.metadata.annotations).get(key)?.parse().ok()?;
    (number >= 0).then_some(number)
}

pub(super) fn failures(pod: &Pod) -> i32 {
    annotation(pod, FAILURES).unwrap_or(0)
}

pub(super) fn ignored_failures(pod: &Pod) -> i32 {
    annotation(pod, IGNORED_FAILURES).unwrap_or(0)
}

/// When it ended, as far as that is known: from its containers, else from its condition, else from its deletion.
pub(super) fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let unready = || {
        let ready = pods::condition(pod, "Ready").filter(|ready| ready.status == "False")?;
        ready.last_transition_time.as_ref().map(|time| time.0)
    };
    let deleted = || {
        let end = pod.metadata.deletion_timestamp.as_ref()?.0;
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        end.checked_sub(SignedDuration::from_secs(grace)).ok()
    };
    let created = || pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    containers_finished_at(pod).or_else(unready).or_else(deleted).or_else(created)
}

/// `None` while one of them has not ended. Sidecars end last.
fn containers_finished_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let inits = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or(&[]);
    let is_sidecar =
        |name: &str| inits.iter().any(|init| init.name == name && init.restart_policy.as_deref() == Some("Always"));
    let sidecars = status.init_container_statuses.iter().flatten().filter(|status| is_sidecar(&status.name));
    let ends: Option<Vec<Timestamp>> =
        status.container_statuses.iter().flatten().chain(sidecars).map(container_finished_at).collect();
    ends?.into_iter().max()
}

fn container_finished_at(status: &ContainerStatus) -> Option<Timestamp> {
    status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|time| time.0)
}

/// All restarts of its containers, while it may still be restarted.
pub(super) fn restarts(pod: &Pod) -> i32 {
    let Some(status) = pod.status.as_ref().filter(|_| matches!(pods::phase(pod), "Running" | "Pending")) else {
        return 0;
    };
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.map(|container| container.restart_count).sum()
}

/// Those that are missed least come first: see upstream's order of active pods.
pub(super) fn sort_for_removal(pods: &mut [Arc<Pod>]) {
    use std::cmp::Reverse;
    pods.sort_by_key(|pod| {
        let phase = match pods::phase(pod) {
            "Pending" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let (assigned, restarts) = (!pods::node_name(pod).is_empty(), pods::max_restarts(pod));
        (assigned, phase, pods::is_ready(pod), Reverse(pods::ready_since(pod)), Reverse(restarts), Reverse(created))
    });
}
