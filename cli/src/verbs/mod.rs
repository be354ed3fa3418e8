//! The kubectl-compatible verbs. A new one is one file and one row of [`Verb`] and of [`Verb::run`].

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::session::Connection;

mod annotate;
mod apply;
mod attach;
mod cordon;
mod delete;
mod describe;
mod drain;
mod exec;
mod get;
mod image;
mod label;
mod logs;
mod marks;
mod pods;
mod port_forward;
mod rollout;
mod scale;
mod streams;
mod taint;
mod token;
mod version;
mod wait;

pub use apply::apply_files;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Set and remove annotations
    Annotate(annotate::Annotate),
    /// Make objects as manifests say
    Apply(apply::Apply),
    /// Connect with what runs in a container
    Attach(attach::Attach),
    /// Let no new pods come to nodes
    Cordon(cordon::Cordon),
    /// Delete objects
    Delete(delete::Delete),
    /// Show objects with all that is known of them
    Describe(describe::Describe),
    /// Cordon nodes and evict their pods
    Drain(drain::Drain),
    /// Run a command in a container
    Exec(exec::Exec),
    /// Show objects
    Get(get::Get),
    /// Load, list and remove images of the nodes
    Image(image::Image),
    /// Set and remove labels
    Label(label::Label),
    /// Print what containers printed
    Logs(logs::Logs),
    /// Make ports of a pod ports of this machine
    PortForward(port_forward::PortForward),
    /// Follow and undo changes of a Deployment
    Rollout(rollout::Rollout),
    /// Set the number of replicas
    Scale(scale::Scale),
    /// Set and remove taints of nodes
    Taint(taint::Taint),
    /// Make and take back tokens by which machines join
    Token(token::Token),
    /// Let new pods come to nodes again
    Uncordon(cordon::Uncordon),
    /// Print the versions of this program and of the server
    Version(version::Version),
    /// Wait until objects are as wanted
    Wait(wait::Wait),
}

impl Verb {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        match self {
            Self::Annotate(verb) => verb.run(connection).await,
            Self::Apply(verb) => verb.run(connection).await,
            Self::Attach(verb) => verb.run(connection).await,
            Self::Cordon(verb) => verb.run(connection).await,
            Self::Delete(verb) => verb.run(connection).await,
            Self::Describe(verb) => verb.run(connection).await,
            Self::Drain(verb) => verb.run(connection).await,
            Self::Exec(verb) => verb.run(connection).await,
            Self::Get(verb) => verb.run(connection).await,
            Self::Image(verb) => verb.run(connection).await,
            Self::Label(verb) => verb.run(connection).await,
            Self::Logs(verb) => verb.run(connection).await,
            Self::PortForward(verb) => verb.run(connection).await,
            Self::Rollout(verb) => verb.run(connection).await,
            Self::Scale(verb) => verb.run(connection).await,
            Self::Taint(verb) => verb.run(connection).await,
            Self::Token(verb) => verb.run(connection).await,
            Self::Uncordon(verb) => verb.run(connection).await,
            Self::Version(verb) => verb.run(connection).await,
            Self::Wait(verb) => verb.run(connection).await,
        }
    }
}

/// An object that `apply` brought about.
#[derive(Clone, Debug)]
pub struct Applied {
    pub resource: crate::resources::Resource,
    /// Empty for a cluster-scoped one.
    pub namespace: String,
    pub name: String,
}

/// A Go duration as kubectl's flags take it; a bare number is seconds, 0 is without a limit.
fn duration(text: &str) -> Result<Option<std::time::Duration>> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok((seconds > 0).then(|| std::time::Duration::from_secs(seconds)));
    }
    match api::time::parse_duration(text) {
        Ok(duration) => Ok(std::time::Duration::try_from(duration).ok().filter(|limit| !limit.is_zero())),
        Err(_) => bail!("{text:?} is not a duration such as 30s or 5m"),
    }
}
