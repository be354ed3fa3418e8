//! One task per pod writes its status: in order, newest only, and only what differs. The deletion of the object goes the
//! same way, so that it never overtakes the last status.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::News;
use super::status_patch::status_patch;
use crate::pod::Input;

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default)]
struct Outbox {
    status: Option<(u64, Arc<PodStatus>)>,
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
            news,
        };
        tokio::spawn(writer.run(receiver));
        Publisher { outbox }
    }

    pub fn publish(&self, number: u64, status: PodStatus) {
        self.outbox.send_modify(|outbox| outbox.status = Some((number, Arc::new(status))));
    }

    pub fn delete(&self) {
        self.outbox.send_modify(|outbox| outbox.delete = true);
    }
}

struct Writer {
    api: Api<Pod>,
    name: String,
    uid: String,
    /// The status as the API last answered with it.
    base: Value,
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
        Ok(Written::Done)
    }

    async fn patch(&mut self, status: &PodStatus) -> Result<Written, kube::Error> {
        let wanted = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
        let Some(change) = status_patch(&self.base, &wanted) else { return Ok(Written::Done) };
        // The uid is a precondition: a pod of the same name must not get the status of this one.
        let body = json!({"metadata": {"uid": self.uid}, "status": change});
        match self.api.patch_status(&self.name, &PatchParams::default(), &Patch::Strategic(body)).await {
            Ok(pod) if pod.metadata.uid.as_deref() != Some(&self.uid) => Ok(Written::Gone),
            Ok(pod) => {
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
