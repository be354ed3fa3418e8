//! Events that users read in `kubectl describe`: a recorder that never blocks its caller, over a pure correlator.

mod correlator;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::core::Request;
use kube::core::params::{Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use correlator::{Correlator, Observed, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// Hands events to a background task; clones share it. When the task lags behind by more than [`QUEUE`] events, new ones are
/// dropped: events are a help, and nobody may wait for them.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<(Client, Observed)>,
    /// Who writes.
    client: Client,
    /// Upstream's name of the component, e.g. `kubelet`, and the node it speaks for.
    component: String,
    host: Option<String>,
}

/// As client-go's broadcaster.
const QUEUE: usize = 1000;

impl Recorder {
    /// Starts the task that writes; it ends with `cancel`, or with the last clone.
    pub fn start(client: Client, component: &str, host: Option<&str>, cancel: CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(write_events(receiver, cancel));
        Self { sender, client, component: component.to_owned(), host: host.map(str::to_owned) }
    }

    /// The same task and the same correlation, speaking for another component with that one's client.
    pub fn named(&self, component: &str, client: Client) -> Self {
        Self { component: component.to_owned(), client, ..self.clone() }
    }

    pub fn event<K: Resource<DynamicType = ()>>(&self, regarding: &K, kind: EventType, reason: &str, message: &str) {
        self.event_about(&regarding.object_ref(&()), kind, reason, message);
    }

    /// `regarding` may have a `field_path`, as events about containers do.
    pub fn event_about(&self, regarding: &ObjectReference, kind: EventType, reason: &str, message: &str) {
        let observed = Observed {
            component: self.component.clone(),
            host: self.host.clone(),
            regarding: regarding.clone(),
            kind,
            reason: reason.to_owned(),
            message: message.to_owned(),
            at: Timestamp::now(),
        };
        if self.sender.try_send((self.client.clone(), observed)).is_err() {
            debug!(reason, "event dropped");
        }
    }
}

async fn write_events(mut receiver: mpsc::Receiver<(Client, Observed)>, cancel: CancellationToken) {
    let mut correlator = Correlator::default();
    loop {
        let observed = tokio::select! {
            () = cancel.cancelled() => return,
            observed = receiver.recv() => observed,
        };
        let Some((client, observed)) = observed else { return };
        let outcome = correlator.observe(&observed);
        if let Err(error) = write_event(&client, outcome).await {
            warn!(%error, reason = observed.reason, object = ?observed.regarding.name, "event not written");
        }
    }
}

async fn write_event(client: &Client, outcome: Outcome) -> Result<(), kube::Error> {
    let (event, repeats) = match outcome {
        Outcome::Drop => return Ok(()),
        Outcome::Create(event) => (event, false),
        Outcome::Repeat(event) => (event, true),
    };
    let namespace = event.metadata.namespace.as_deref();
    let request = Request::new(Event::url_path(&(), namespace));
    if repeats {
        let name = event.metadata.name.clone().unwrap_or_default();
        let change = json!({"count": event.count, "lastTimestamp": event.last_timestamp, "message": event.message});
        let patch =
            request.patch(&name, &PatchParams::default(), &Patch::Merge(change)).map_err(kube::Error::BuildRequest)?;
        match client.request::<serde::de::IgnoredAny>(patch).await {
            // It has expired: the repetition becomes a new event under the same name.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => return result.map(drop),
        }
    }
    let body = serde_json::to_vec(&event).map_err(kube::Error::SerdeError)?;
    let create = request.create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
    match client.request::<serde::de::IgnoredAny>(create).await {
        // Nothing can be told in a namespace that is going away.
        Err(kube::Error::Api(status)) if is_namespace_terminating(&status) => Ok(()),
        result => result.map(drop),
    }
}

/// The server refuses to create anything in a namespace that is being deleted; whoever tries has nothing left to do there.
pub fn is_namespace_terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_forbidden() && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
