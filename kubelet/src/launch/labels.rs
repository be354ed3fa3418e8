//! What the kubelet writes on the runtime's sandboxes and containers, to know them again after a restart.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

pub const POD_UID: &str = "io.kubernetes.pod.uid";
pub const POD_NAME: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub const ATTEMPT: &str = "io.setpoint.attempt";
/// The image as the pod names it.
pub const IMAGE_NAME: &str = "io.setpoint.image.name";
/// What the status shows as imageID.
pub const IMAGE_REFERENCE: &str = "io.setpoint.image.reference";
pub const STOP_SIGNAL: &str = "io.setpoint.stop-signal";
/// Where the termination message is on the node, and whether the log may stand in for it.
pub const TERMINATION_LOG: &str = "io.setpoint.termination.path";
pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";

pub type Labels = BTreeMap<String, String>;

pub fn of_pod(pod: &Pod, attempt: u32) -> Labels {
    let metadata = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        (POD_UID, text(&metadata.uid)),
        (POD_NAME, text(&metadata.name)),
        (POD_NAMESPACE, text(&metadata.namespace)),
        (ATTEMPT, attempt.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

pub fn attempt(labels: &Labels) -> u32 {
    labels.get(ATTEMPT).and_then(|attempt| attempt.parse().ok()).unwrap_or(0)
}
