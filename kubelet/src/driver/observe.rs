//! The runtime's listing, sorted by pod.

use std::collections::BTreeMap;

use runtime::spec::{ContainerState, ContainerStatus, Listing, SandboxStatus};

use crate::actions::termination;
use crate::launch::labels;
use crate::pod::{ImageRef, Observed, ObservedContainer, ObservedSandbox};

/// What a pod has in the runtime, and the ids of sandboxes that are not its newest (an interrupted change left them).
#[derive(Debug, Default)]
pub struct PodOnNode {
    pub observed: Observed,
    pub stale_sandboxes: Vec<String>,
    pub sandboxes: Vec<String>,
}

fn sandbox(status: &SandboxStatus) -> ObservedSandbox {
    ObservedSandbox {
        attempt: labels::attempt(&status.spec.labels),
        ready: status.ready,
        ips: status.spec.network.iter().map(|network| network.address).collect(),
    }
}

/// Reads the termination message of an ended one: blocks on the disk.
pub fn container(status: &ContainerStatus) -> ObservedContainer {
    let label = |key: &str| status.labels.get(key).cloned().unwrap_or_default();
    let message = match &status.state {
        ContainerState::Exited(exit) => {
            let fall_back = label(labels::TERMINATION_POLICY) == "FallbackToLogsOnError";
            let file = label(labels::TERMINATION_LOG);
            termination::message(file.as_ref(), &status.log_path, fall_back, exit.code != 0)
        }
        _ => None,
    };
    ObservedContainer {
        id: status.id.clone(),
        name: label(labels::CONTAINER_NAME),
        attempt: labels::attempt(&status.labels),
        image_name: label(labels::IMAGE_NAME),
        image: ImageRef {
            id: status.image.clone(),
            reference: label(labels::IMAGE_REFERENCE),
            stop_signal: label(labels::STOP_SIGNAL).parse().unwrap_or(15),
        },
        state: status.state.clone(),
        message,
    }
}

/// By pod UID. What has no such label is not ours and left alone.
pub fn by_pod(listing: &Listing) -> BTreeMap<String, PodOnNode> {
    let mut pods: BTreeMap<String, PodOnNode> = BTreeMap::new();
    for status in &listing.sandboxes {
        let Some(uid) = status.spec.labels.get(labels::POD_UID) else { continue };
        let pod = pods.entry(uid.clone()).or_default();
        let (id, seen) = (status.spec.id.clone(), sandbox(status));
        pod.sandboxes.push(id.clone());
        match &pod.observed.sandbox {
            Some(newest) if newest.attempt > seen.attempt => pod.stale_sandboxes.push(id),
            Some(older) => {
                pod.stale_sandboxes.push(crate::launch::sandbox::sandbox_id(uid, older.attempt));
                pod.observed.sandbox = Some(seen);
            }
            None => pod.observed.sandbox = Some(seen),
        }
    }
    for status in &listing.containers {
        if let Some(uid) = status.labels.get(labels::POD_UID) {
            pods.entry(uid.clone()).or_default().observed.containers.push(container(status));
        }
    }
    pods
}
