//! The node itself in the API: its object, its conditions, its heartbeat.
//!
//! [`facts`] reads the machine; [`object`] says, purely, what the Node should look like; this file registers it, brings its
//! status up to date when something changes (and every five minutes), and renews its lease every ten seconds. The heartbeat is
//! a task of its own: no pod's work can delay it.

pub mod facts;
mod lease;
pub mod object;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::node_runtime::NodeRuntime;
use facts::{Facts, Pressure};

pub use lease::renew as renew_lease;

/// How often the machine is looked at. It tells nobody when memory or disk become scarce.
const LOOK: Duration = Duration::from_secs(10);
/// Without any change the status is written this often (upstream's nodeStatusReportFrequency).
const REPORT: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_millis(500);

pub struct NodeTask {
    pub client: Client,
    pub config: Config,
    pub facts: Facts,
    pub runtime: Arc<dyn NodeRuntime>,
    pub clock: Clock,
    /// Port of the kubelet's server.
    pub port: Option<u16>,
}

impl NodeTask {
    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    fn wanted(&self) -> Node {
        let pressure = Pressure::read(&self.config.data_dir);
        let images = self.runtime.list_images();
        object::node(&self.config, &self.facts, self.port, &pressure, &images, self.clock.now())
    }

    /// Makes the Node, or adopts the one that is there; tries until it works.
    pub async fn register(&self) -> Arc<Node> {
        loop {
            match self.try_register().await {
                Ok(node) => return Arc::new(node),
                Err(error) => {
                    tracing::warn!(node = %self.config.node_name, %error, "node not registered, trying again")
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_register(&self) -> Result<Node, kube::Error> {
        let wanted = self.wanted();
        match self.api().create(&PostParams::default(), &wanted).await {
            Ok(node) => return self.write_status(&node, &wanted, true).await,
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error),
        }
        let name = &self.config.node_name;
        let mut node = self.api().get(name).await?;
        if let Some(change) = object::adopt(&node, &wanted) {
            node = self.api().patch(name, &PatchParams::default(), &Patch::Merge(change)).await?;
        }
        self.write_status(&node, &wanted, true).await
    }

    /// `always`: also without a change, as a sign of life.
    async fn write_status(&self, node: &Node, wanted: &Node, always: bool) -> Result<Node, kube::Error> {
        let have = serde_json::to_value(&node.status).map_err(kube::Error::SerdeError)?;
        let want = serde_json::to_value(&wanted.status).map_err(kube::Error::SerdeError)?;
        let Some(change) = object::status_patch(&have, &want, always) else { return Ok(node.clone()) };
        let body: Value = json!({"status": change});
        self.api().patch_status(&self.config.node_name, &PatchParams::default(), &Patch::Strategic(body)).await
    }

    /// Keeps the status true until the end.
    pub async fn run(self, mut node: watch::Receiver<Arc<Node>>, cancel: CancellationToken) {
        let mut images = self.runtime.image_changes();
        let mut look = tokio::time::interval(LOOK);
        let mut report = tokio::time::interval(REPORT);
        report.reset();
        loop {
            let always = tokio::select! {
                () = cancel.cancelled() => return,
                _ = look.tick() => false,
                _ = report.tick() => true,
                Ok(()) = images.changed() => false,
            };
            let current = node.borrow_and_update().clone();
            if let Err(error) = self.write_status(&current, &self.wanted(), always).await {
                tracing::warn!(%error, "node status not written, trying again");
            }
        }
    }
}

/// Follows the Node object: its labels and taints, and resources that others put on it.
pub async fn follow(client: Client, name: String, sender: watch::Sender<Arc<Node>>, cancel: CancellationToken) {
    let mut stream = std::pin::pin!(watch_object(Api::<Node>::all(client), &name).default_backoff());
    loop {
        let seen = tokio::select! {
            () = cancel.cancelled() => return,
            seen = stream.next() => seen,
        };
        match seen {
            Some(Ok(Some(node))) => drop(sender.send_replace(Arc::new(node))),
            Some(Ok(None)) => {
                tracing::warn!(node = %name, "the Node object was deleted; restart this node to register it again")
            }
            Some(Err(error)) => tracing::debug!(%error, "watch of the node failed, trying again"),
            None => return,
        }
    }
}
