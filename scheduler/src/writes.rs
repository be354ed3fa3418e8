//! The two writes of the scheduler: a binding, and the condition that says why there is none.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::core::Request;
use kube::core::params::{Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::de::IgnoredAny;
use serde_json::json;
use thiserror::Error;

use crate::pod::{PodInfo, PostedRefusal};

#[derive(Debug, Error)]
pub(crate) enum BindError {
    /// It is gone, or another one took its name, or it is assigned already.
    #[error("the pod is not there to be bound: {0}")]
    Outdated(kube::Error),
    #[error("{0}")]
    Failed(kube::Error),
}

pub(crate) async fn bind(client: &Client, pod: &PodInfo, node: &str) -> Result<(), BindError> {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"namespace": pod.key.namespace, "name": pod.key.name, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let request = Request::new(Pod::url_path(&(), Some(&pod.key.namespace)));
    let request = request.create_subresource("binding", &pod.key.name, &PostParams::default(), body.to_string().into());
    let request = request.map_err(|error| BindError::Failed(kube::Error::BuildRequest(error)))?;
    match client.request::<IgnoredAny>(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
            Err(BindError::Outdated(kube::Error::Api(status)))
        }
        Err(error) => Err(BindError::Failed(error)),
    }
}

/// Sets the condition PodScheduled to False. A pod that is gone meanwhile is no error.
pub(crate) async fn post_refusal(client: &Client, pod: &PodInfo, refusal: &PostedRefusal) -> Result<(), kube::Error> {
    let mut condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": refusal.reason,
        "message": refusal.message,
        "lastProbeTime": null,
    });
    if let Some(generation) = pod.generation {
        condition["observedGeneration"] = json!(generation);
    }
    // The time of the transition to False stays when only the words change.
    if pod.refusal.is_none() {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH);
        condition["lastTransitionTime"] = json!(now.to_string());
    }
    let body = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}});
    let request = Request::new(Pod::url_path(&(), Some(&pod.key.namespace)));
    let patch = Patch::Strategic(body);
    let request = request.patch_subresource("status", &pod.key.name, &PatchParams::default(), &patch);
    match client.request::<IgnoredAny>(request.map_err(kube::Error::BuildRequest)?).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The API's limit for the message of an event.
const EVENT_MESSAGE_BYTES: usize = 1024;

pub(crate) fn truncated(message: &str) -> String {
    if message.len() <= EVENT_MESSAGE_BYTES {
        return message.to_owned();
    }
    const END: &str = " ...";
    let cut = message.floor_char_boundary(EVENT_MESSAGE_BYTES - END.len());
    format!("{}{END}", &message[..cut])
}

#[cfg(test)]
mod tests {
    use super::truncated;

    #[test]
    fn long_messages_end_at_a_letter() {
        assert_eq!(truncated("short"), "short");
        let long = truncated(&"ä".repeat(600));
        assert!(long.len() <= 1024 && long.ends_with("ä ..."), "{} {long}", long.len());
    }
}
