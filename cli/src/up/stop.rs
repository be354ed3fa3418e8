//! `down`: nothing of the cluster is left in the kernel; its data stays unless asked otherwise.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use runtime::spec::ContainerState;
use rustix::process::{Pid, Signal, kill_process};

use super::layout::{Facts, Layout};
use super::{cluster, lock};
use crate::output;
use crate::session::DEFAULT_DATA_DIR;

/// How long containers may take to end by themselves.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Down {
    /// Where the cluster keeps everything
    #[arg(long, default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Seconds that containers get to end by themselves
    #[arg(long, default_value_t = DEFAULT_GRACE.as_secs())]
    grace: u64,
    /// Remove the data directory too
    #[arg(long)]
    delete_data: bool,
}

impl Down {
    pub async fn run(self) -> Result<()> {
        let layout = Layout::new(&self.data_dir)?;
        if Facts::load(&layout.facts())?.is_none() {
            anyhow::bail!("there is no cluster in {}", layout.data.display());
        }
        if let Some(holder) = lock::holder(&layout.lock())?
            && let Some(pid) = Pid::from_raw(holder.pid)
        {
            kill_process(pid, Signal::TERM).with_context(|| format!("stop process {}", holder.pid))?;
            let path = layout.lock();
            tokio::task::spawn_blocking(move || lock::wait_released(&path)).await??;
        }
        tear_down(&layout, Duration::from_secs(self.grace)).await?;
        if self.delete_data {
            std::fs::remove_dir_all(&layout.data).with_context(|| format!("remove {}", layout.data.display()))?;
        }
        output::line(format_args!("the cluster in {} is down", layout.data.display()));
        Ok(())
    }
}

/// Ends containers and launcher, then removes table, bridge and sockets. The control plane must have ended.
pub async fn tear_down(layout: &Layout, grace: Duration) -> Result<()> {
    let Some(facts) = Facts::load(&layout.facts())? else { return Ok(()) };
    let (runtime, mut events) =
        runtime::Runtime::connect(cluster::runtime_config(layout, &facts)).await.context("reach the launcher")?;
    let mut running: Vec<String> = runtime
        .list()
        .await?
        .containers
        .into_iter()
        .filter(|container| matches!(container.state, ContainerState::Running { .. }))
        .map(|container| container.id)
        .collect();
    for id in &running {
        // It may end by itself at this moment.
        let _ = runtime.signal_container(id, Signal::TERM.as_raw()).await;
    }
    let wait = async {
        while !running.is_empty()
            && let Some(runtime::spec::RuntimeEvent::ContainerExited { id, .. }) = events.recv().await
        {
            running.retain(|other| *other != id);
        }
    };
    let _ = tokio::time::timeout(grace, wait).await;
    runtime.shutdown().await.context("stop the launcher")?;
    let node = layout.node();
    tokio::task::spawn_blocking(move || kubelet::remove_leftovers(&node)).await?.context("remove the pods' files")?;
    network::remove(&facts.table()).context("remove the service rules")?;
    runtime::net::remove_bridge(&facts.bridge()).context("remove the pod bridge")?;
    let run = facts.run_directory();
    match std::fs::remove_dir_all(&run) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", run.display()))
        }
        _ => Ok(()),
    }
}
