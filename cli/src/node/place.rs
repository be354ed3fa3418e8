//! Where a node keeps its things, and how nothing is left of them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use runtime::spec::{ContainerState, RuntimeEvent};
use rustix::process::Signal;

const NAMESPACE: &str = "netns";

/// What a node has on the disk and in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub data: PathBuf,
    /// Sockets and pinned namespaces: short paths, gone at reboot.
    pub run: PathBuf,
    pub bridge: String,
    /// Of nftables.
    pub table: String,
    pub cgroup: String,
}

impl Place {
    /// `id` names links and tables in the network namespace, `unit` what the machine has one of.
    pub fn new(data: PathBuf, id: &str, unit: &str) -> Self {
        Self {
            data,
            run: PathBuf::from(format!("/run/setpoint-{unit}")),
            bridge: format!("sp{id}"),
            table: format!("setpoint_{id}"),
            cgroup: format!("setpoint-{unit}"),
        }
    }

    /// The link to nodes that no route leads to.
    pub fn tunnel(&self) -> String {
        format!("{}v", self.bridge)
    }

    pub fn runtime(&self) -> runtime::Config {
        runtime::Config {
            state_dir: self.data.join("runtime"),
            images_dir: self.data.join("images"),
            socket: self.run.join("launcher.sock"),
            cgroup_root: self.cgroup.clone(),
            launcher: runtime::Config::own_launcher(),
        }
    }

    /// Ends containers and launcher, then removes table, bridge and sockets; data stays. The kubelet must have ended. Acts in
    /// the network namespace of this process.
    pub async fn tear_down(&self, grace: Duration) -> Result<()> {
        self.end_containers(grace).await?;
        let data = self.data.clone();
        tokio::task::spawn_blocking(move || kubelet::remove_leftovers(&data))
            .await?
            .context("remove the pods' files")?;
        network::remove(&self.table).context("remove the service rules")?;
        super::fabric::remove_all(&self.run, &self.tunnel())?;
        runtime::net::remove_bridge(&self.bridge).context("remove the pod bridge")?;
        self.remove_run_directory().with_context(|| format!("remove {}", self.run.display()))
    }

    /// A pinned namespace in it stays: whoever pinned it may be about to remove it.
    fn remove_run_directory(&self) -> std::io::Result<()> {
        let entries = match std::fs::read_dir(&self.run) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => std::fs::remove_dir_all(entry.path())?,
                false if entry.file_name() == NAMESPACE => {}
                false => std::fs::remove_file(entry.path())?,
            }
        }
        match std::fs::remove_dir(&self.run) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other,
        }
    }

    /// Where the network namespace of a node is pinned that is a guest of its machine.
    pub fn namespace(&self) -> PathBuf {
        self.run.join(NAMESPACE)
    }

    async fn end_containers(&self, grace: Duration) -> Result<()> {
        let (runtime, mut events) = runtime::Runtime::connect(self.runtime()).await.context("reach the launcher")?;
        let containers = runtime.list().await?.containers.into_iter();
        let mut running: Vec<String> = containers
            .filter(|container| matches!(container.state, ContainerState::Running { .. }))
            .map(|container| container.id)
            .collect();
        for id in &running {
            // It may end by itself at this moment.
            let _ = runtime.signal_container(id, Signal::TERM.as_raw()).await;
        }
        let wait = async {
            while !running.is_empty()
                && let Some(RuntimeEvent::ContainerExited { id, .. }) = events.recv().await
            {
                running.retain(|other| *other != id);
            }
        };
        let _ = tokio::time::timeout(grace, wait).await;
        runtime.shutdown().await.context("stop the launcher")
    }
}
