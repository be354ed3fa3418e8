//! One task per pod writes its status: in order, newest only, and only what differs. The deletion of the object goes the
//! same way, so that it never overtakes the last status.
//!
//! The status is the kubelet's word. Others write into it while they do not hear from the node (it is not ready, says the node
//! lifecycle controller); what they have replaced is written again, as upstream's status manager does.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::News;
use super::status_patch::status_patch;
use crate::pod::{Input, phase};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default)]
struct Outbox {
    status: Option<(u64, Arc<PodStatus>)>,
    /// The object as it was last told, and the status that the machine had then.
    seen: Option<(Arc<Pod>, Arc<PodStatus>)>,
    delete: bool,
}

/// Dropping it ends the task.
pub struct Publisher {
    outbox: watch::Sender<Outbox>,
}

impl Publisher {
    pub fn start(client: Client, pod: &Pod, news: mpsc::Sender<News>) -> Publisher {
        let (outbox, receiver) = watch::channel(Outbox::default());
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let metadata = &pod.metadata;
        let writer = Writer {
            api: Api::namespaced(client, &text(&metadata.namespace)),
            name: text(&metadata.name),
            uid: text(&metadata.uid),
            base: pod.status.as_ref().and_then(|status| serde_json::to_value(status).ok()).unwrap_or_default(),
            version: version(pod),
            news,
        };
        tokio::spawn(writer.run(receiver));
        Publisher { outbox }
    }

    pub fn publish(&self, number: u64, status: PodStatus) {
        self.outbox.send_modify(|outbox| outbox.status = Some((number, Arc::new(status))));
    }

    /// The object has changed, perhaps by others; `status` is the machine's, which knows of it.
    pub fn seen(&self, pod: Arc<Pod>, status: &PodStatus) {
        self.outbox.send_modify(|outbox| outbox.seen = Some((pod, Arc::new(status.clone()))));
    }

    pub fn delete(&self) {
        self.outbox.send_modify(|outbox| outbox.delete = true);
    }
}

struct Writer {
    api: Api<Pod>,
    name: String,
    uid: String,
    /// The status as the API last answered with it, or told it.
    base: Value,
    /// The resourceVersion of that.
    version: u64,
    news: mpsc::Sender<News>,
}

/// What became of a write.
enum Written {
    Done,
    /// The object is gone, or another one has its name.
    Gone,
}

impl Writer {
    async fn run(mut self, mut outbox: watch::Receiver<Outbox>) {
        let mut written = 0;
        let mut retry = FIRST_RETRY;
        while outbox.changed().await.is_ok() {
            loop {
                let wanted = outbox.borrow_and_update().clone();
                match self.send(&wanted, &mut written).await {
                    Ok(Written::Done) => {
                        retry = FIRST_RETRY;
                        break;
                    }
                    Ok(Written::Gone) => {
                        self.tell(Input::Published(u64::MAX)).await;
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(pod = %self.name, %error, "pod status not written, trying again");
                        tokio::time::sleep(retry).await;
                        retry = (retry * 2).min(LONGEST_RETRY);
                        if outbox.has_changed().is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }

    async fn tell(&self, input: Input) {
        // A driver that is gone needs no news.
        let _ = self.news.send(News::Input(self.uid.clone(), input)).await;
    }

    async fn send(&mut self, wanted: &Outbox, written: &mut u64) -> Result<Written, kube::Error> {
        if let Some((number, status)) = wanted.status.as_ref().filter(|(number, _)| *number > *written) {
            if let Written::Gone = self.patch(status).await? {
                return Ok(Written::Gone);
            }
            *written = *number;
            self.tell(Input::Published(*number)).await;
        }
        if wanted.delete {
            return self.delete().await;
        }
        match &wanted.seen {
            Some((pod, status)) => {
                let newest = wanted.status.as_ref().map_or(status, |(_, status)| status);
                self.repair(pod, newest).await
            }
            None => Ok(Written::Done),
        }
    }

    /// Writes again what another has written over.
    async fn repair(&mut self, pod: &Pod, status: &PodStatus) -> Result<Written, kube::Error> {
        let phase = |status: Option<&PodStatus>| status.and_then(|status| status.phase.clone());
        let ended = |status| phase::is_terminal(phase(status).as_deref());
        // Old news, such as of our own writes. And what has ended stays so: the machine sees to it.
        if version(pod) <= self.version || ended(pod.status.as_ref()) && !ended(Some(status)) {
            return Ok(Written::Done);
        }
        self.base = serde_json::to_value(&pod.status).map_err(kube::Error::SerdeError)?;
        let written = self.patch(status).await?;
        self.version = self.version.max(version(pod));
        Ok(written)
    }

    async fn patch(&mut self, status: &PodStatus) -> Result<Written, kube::Error> {
        let wanted = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
        let Some(change) = status_patch(&self.base, &wanted) else { return Ok(Written::Done) };
        // The uid is a precondition: a pod of the same name must not get the status of this one.
        let body = json!({"metadata": {"uid": self.uid}, "status": change});
        match self.api.patch_status(&self.name, &PatchParams::default(), &Patch::Strategic(body)).await {
            Ok(pod) if pod.metadata.uid.as_deref() != Some(&self.uid) => Ok(Written::Gone),
            Ok(pod) => {
                self.version = version(&pod);
                self.base = serde_json::to_value(pod.status).map_err(kube::Error::SerdeError)?;
                Ok(Written::Done)
            }
            Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(Written::Gone),
            Err(kube::Error::Api(answer)) if answer.is_conflict() => self.look_again().await,
            Err(error) => Err(error),
        }
    }

    /// A conflict is either another pod of this name, or a race that the next attempt wins from a fresh base.
    async fn look_again(&mut self) -> Result<Written, kube::Error> {
        match self.api.get_opt(&self.name).await? {
            Some(pod) if pod.metadata.uid.as_deref() == Some(&self.uid) => {
                self.version = version(&pod);
                self.base = serde_json::to_value(pod.status).map_err(kube::Error::SerdeError)?;
                Err(kube::Error::Service("the pod was changed by somebody else meanwhile".into()))
            }
            _ => Ok(Written::Gone),
        }
    }

    async fn delete(&self) -> Result<Written, kube::Error> {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(self.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.api.delete(&self.name, &params).await {
            Ok(_) => Ok(Written::Done),
            Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => Ok(Written::Gone),
            Err(error) => Err(error),
        }
    }
}

/// Revisions of one object can be compared since Kubernetes 1.35.
fn version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http_body_util::BodyExt;

    use super::*;

    /// The pod at a revision, with these conditions.
    fn pod(version: u64, phase: &str, ready: &str) -> Pod {
        let conditions = json!([{"type": "Ready", "status": ready}, {"type": "Mine", "status": "True"}]);
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string()},
            "status": {"phase": phase, "conditions": conditions},
        }))
        .expect("a pod")
    }

    /// What is patched when `seen` is told after the writer was made from `start`.
    async fn patched(start: &Pod, seen: Pod, own: &PodStatus) -> Vec<String> {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = asked.clone();
        let answer = serde_json::to_string(start).expect("JSON");
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (told, answer) = (told.clone(), answer.clone());
            async move {
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let body: Value = serde_json::from_slice(&body).expect("JSON");
                told.lock().expect("no panic").push(body["status"].to_string());
                Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(bytes::Bytes::from(
                    answer,
                ))))
            }
        });
        let (news, _read) = mpsc::channel(8);
        let mut writer = Writer {
            api: Api::namespaced(Client::new(service, "shop"), "shop"),
            name: "web".to_owned(),
            uid: "u".to_owned(),
            base: serde_json::to_value(&start.status).expect("JSON"),
            version: version(start),
            news,
        };
        let seen = Some((Arc::new(seen), Arc::new(own.clone())));
        let outbox = Outbox { seen, ..Outbox::default() };
        for _ in 0..2 {
            assert!(matches!(writer.send(&outbox, &mut 0).await, Ok(Written::Done)));
        }
        asked.lock().expect("no panic").clone()
    }

    #[tokio::test]
    async fn what_others_write_over_is_written_again() {
        let start = pod(5, "Running", "True");
        let own = start.status.clone().expect("a status");
        let ready = r#"{"conditions":[{"status":"True","type":"Ready"}]}"#;
        let table: &[(&str, Pod, &[&str])] = &[
            ("nothing else", pod(6, "Running", "True"), &[]),
            ("declared not ready", pod(6, "Running", "False"), &[ready]),
            ("old news", pod(4, "Running", "False"), &[]),
            ("the very write that was answered", pod(5, "Running", "False"), &[]),
            ("declared failed", pod(6, "Failed", "False"), &[]),
        ];
        for (name, seen, expected) in table {
            assert_eq!(patched(&start, seen.clone(), &own).await, *expected, "{name}");
        }
    }
}
