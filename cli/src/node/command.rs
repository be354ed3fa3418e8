//! `setpoint node`: a node on this machine of a cluster that is elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;

use super::join::Join;
use super::record::Folder;
use super::{renewal, run};
use crate::session::DEFAULT_DATA_DIR;
use crate::{daemon, output, preflight, signals};

#[derive(Debug, clap::Args)]
pub struct Node {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make this machine a node of a cluster elsewhere
    Join(Join),
    /// Start the node that joined from this machine again
    Run(Run),
    /// End containers and launcher of a node, in this network namespace
    #[command(hide = true)]
    Clean(Clean),
}

#[derive(Debug, clap::Args)]
pub struct Run {
    /// Where the node keeps everything
    #[arg(long, default_value = DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,
    /// Return when the node is started, and leave it running
    #[arg(short, long)]
    pub detach: bool,
    /// Leave containers running at an interrupt, as at a termination
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// Pipe on which a daemon tells its parent how it went
    #[arg(long, hide = true)]
    pub ready_fd: Option<i32>,
    /// Renew the node's certificates again and again after so long, instead of when they are due
    #[arg(long, hide = true, env = "SETPOINT_RENEW_CERTIFICATES_AFTER", value_parser = crate::up::interval)]
    pub renew_after: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct Clean {
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long, default_value_t = 2.0)]
    grace: f64,
}

impl Node {
    pub async fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Join(join) => join.run().await,
            Action::Run(run) => run.run().await,
            Action::Clean(clean) => {
                let folder = Folder(std::path::absolute(clean.data_dir)?);
                run::tear_down(&folder, Duration::from_secs_f64(clean.grace.max(0.0))).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Run {
    /// What runs a node that has just joined.
    pub fn of(folder: Folder, detach: bool) -> Self {
        Self { data_dir: folder.0, detach, supervised: false, ready_fd: None, renew_after: None }
    }

    pub async fn run(self) -> Result<ExitCode> {
        let folder = Folder(std::path::absolute(&self.data_dir)?);
        if self.detach {
            preflight::check()?;
            let arguments = ["node", "run", "--data-dir"].map(OsString::from);
            let arguments = arguments.into_iter().chain([folder.0.clone().into()]);
            daemon::spawn(arguments, &folder.log())?;
            return Ok(ExitCode::SUCCESS);
        }
        let parent = self.ready_fd.map(daemon::Parent::from_fd).transpose()?;
        let person = parent.is_none() && !self.supervised;
        let mut parent = parent;
        let mut ending = std::pin::pin!(signals::ending());
        let interrupted = loop {
            let started = tokio::select! {
                started = run::start(&folder) => started,
                // The API server may be away for long: a wait for it can be ended.
                _ = &mut ending => return Ok(ExitCode::SUCCESS),
            };
            let running = match (started, parent.take()) {
                (Ok(running), Some(parent)) => {
                    parent.ready();
                    running
                }
                (Ok(running), None) => running,
                (Err(error), parent) => {
                    if let Some(parent) = parent {
                        parent.failed(&error);
                    }
                    return Err(error);
                }
            };
            if person {
                output::note(format_args!("the node runs; ^C stops it and its containers"));
            }
            let ended = tokio::select! {
                interrupted = &mut ending => Some(interrupted?),
                // Clients and server take up new certificates at a start; containers do not notice it.
                () = renewal::renewed(&folder, self.renew_after) => None,
            };
            running.stop().await;
            if let Some(interrupted) = ended {
                break interrupted;
            }
        };
        if interrupted && person {
            output::note(format_args!("stopping the node; its data stays in {}", folder.0.display()));
            run::leave(&folder, crate::up::DEFAULT_GRACE).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
