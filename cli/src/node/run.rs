//! `setpoint node run`: one node as a process, a client of an API server that is elsewhere.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::record::{Folder, Record};
use super::{Clients, Config, client, range};
use crate::parts::Parts;
use crate::{lock, preflight};

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

/// Ends the node's process if one runs, then everything that the node has but its data. Acts in the network namespace of this
/// process.
pub async fn tear_down(folder: &Folder, grace: Duration) -> Result<()> {
    let Some(record) = folder.load()? else { return Ok(()) };
    lock::end_holder(&folder.lock()).await.context("stop the node")?;
    record.place(folder).tear_down(grace).await
}
