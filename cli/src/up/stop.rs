//! `down`: nothing of the cluster is left in the kernel; its data stays unless asked otherwise.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::fleet;
use super::layout::{Facts, Layout};
use crate::node::record::Folder;
use crate::node::run;
use crate::session::DEFAULT_DATA_DIR;
use crate::{lock, output};

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
        let node = Folder(layout.data.clone());
        if node.load()?.is_some() {
            run::leave(&node, Duration::from_secs(self.grace)).await?;
            return self.finish(&layout, "node");
        }
        if Facts::load(&layout.facts())?.is_none() {
            anyhow::bail!("there is no cluster in {}", layout.data.display());
        }
        lock::end_holder(&layout.lock()).await?;
        tear_down(&layout, Duration::from_secs(self.grace)).await?;
        self.finish(&layout, "cluster")
    }

    fn finish(&self, layout: &Layout, what: &str) -> Result<()> {
        if self.delete_data {
            std::fs::remove_dir_all(&layout.data).with_context(|| format!("remove {}", layout.data.display()))?;
        }
        output::line(format_args!("the {what} in {} is down", layout.data.display()));
        Ok(())
    }
}

/// Nothing of the nodes is left but their data. The control plane must have ended.
pub async fn tear_down(layout: &Layout, grace: Duration) -> Result<()> {
    match Facts::load(&layout.facts())? {
        Some(facts) => {
            // The first node's links carry the others'.
            fleet::tear_down(layout, &facts, grace).await?;
            facts.place(layout).tear_down(grace).await
        }
        None => Ok(()),
    }
}
