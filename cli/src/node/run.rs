//! `setpoint node run`: one node as a process, a client of an API server that is elsewhere.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::record::{Folder, Record};
use super::{Clients, Config, client, range};
use crate::parts::Parts;
use crate::{lock, output, preflight};

/// For a cluster to hear that a node stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// A node that runs until it is stopped; its containers go on without it.
pub struct Running {
    parts: Parts,
    _lock: lock::Lock,
}

/// Waits for the API server if it is away.
pub async fn start(folder: &Folder) -> Result<Running> {
    preflight::raise_file_limit();
    let Some(record) = folder.load()? else {
        bail!("there is no node in {}: join one with `setpoint node join`", folder.0.display());
    };
    let lock = match lock::acquire(&folder.lock())? {
        Ok(lock) => lock,
        Err(holder) => bail!("process {} has {}", holder.pid, folder.0.display()),
    };
    let kubelet = client::from_kubeconfig(&folder.kubeconfig(), "kubelet").await?;
    let service_rules = client::from_kubeconfig(&folder.kubeconfig(), "kube-proxy").await?;
    let pods = range::of_node(&kubelet, &record.name).await;
    let config = config(folder, record, pods)?;
    super::prepare_network(&config)?;
    let mut parts = Parts::new();
    super::start(config, Clients { kubelet, service_rules }, &mut parts).await?;
    Ok(Running { parts, _lock: lock })
}

fn config(folder: &Folder, record: Record, pods: crate::addresses::Network) -> Result<Config> {
    let (authority, serving) = folder.serving()?;
    let place = record.place(folder);
    let Record { name, address, cluster_pods, services, always_tunnel, .. } = record;
    Ok(Config { name, address, pods, cluster_pods, services, always_tunnel, guests: None, place, authority, serving })
}

impl Running {
    pub async fn stop(self) {
        self.parts.stop().await;
    }
}

/// [`tear_down`] of a node that joined. Its cluster is told first, so that it need not find out by the node's silence.
pub async fn leave(folder: &Folder, grace: Duration) -> Result<()> {
    let Some(record) = folder.load()? else { return Ok(()) };
    // Or its kubelet would tell the contrary.
    lock::end_holder(&folder.lock()).await.context("stop the node")?;
    let told = tokio::time::timeout(FAREWELL, farewell(folder, &record.name)).await;
    if let Err(error) = told.context("the cluster does not answer").flatten() {
        output::note(format_args!("Warning: the cluster was not told that node {} stops: {error:#}", record.name));
    }
    tear_down(folder, grace).await
}

/// As upstream's kubelet at the shutdown of its machine.
async fn farewell(folder: &Folder, name: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(client::from_kubeconfig(&folder.kubeconfig(), "kubelet").await?);
    let now = Time(Timestamp::now());
    let condition = json!({"type": "Ready", "status": "False", "reason": "KubeletNotReady",
        "message": "node is shutting down", "lastHeartbeatTime": now, "lastTransitionTime": now});
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    nodes.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Ends the node's process if one runs, then everything that the node has but its data. Acts in the network namespace of this
/// process.
pub async fn tear_down(folder: &Folder, grace: Duration) -> Result<()> {
    let Some(record) = folder.load()? else { return Ok(()) };
    lock::end_holder(&folder.lock()).await.context("stop the node")?;
    record.place(folder).tear_down(grace).await
}
