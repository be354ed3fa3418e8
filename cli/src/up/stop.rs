//! `down`: nothing of the cluster is left in the kernel; its data stays unless asked otherwise.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::layout::{Facts, Layout};
use super::lock;
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

/// Nothing of the node is left but its data. The control plane must have ended.
pub async fn tear_down(layout: &Layout, grace: Duration) -> Result<()> {
    match Facts::load(&layout.facts())? {
        Some(facts) => facts.place(layout).tear_down(grace).await,
        None => Ok(()),
    }
}
