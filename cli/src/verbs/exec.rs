//! `exec`: a command in a running container, with a terminal when asked for.

use std::process::ExitCode;

use anyhow::{Context, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

use super::streams::{Streams, interact};
use crate::output;
use crate::session::{Connection, Session};

#[derive(Debug, clap::Args)]
pub struct Exec {
    #[command(flatten)]
    streams: Streams,
    /// The command, after --
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Exec {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let (pods, name, parameters) = self.streams.open(&session).await?;
        let mut process = pods.exec(&name, &self.command, &parameters).await.context("run the command")?;
        let status = interact(&mut process, parameters.tty).await?;
        Ok(exit_code(status.as_ref()))
    }
}

/// The command's own exit code, as kubectl passes it on.
fn exit_code(status: Option<&Status>) -> ExitCode {
    let Some(status) = status else { return ExitCode::FAILURE };
    if status.status.as_deref() == Some("Success") {
        return ExitCode::SUCCESS;
    }
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref()).into_iter().flatten();
    let code = causes.into_iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message.as_ref()?.parse::<u8>().ok());
    if let Some(code) = code {
        output::note(format_args!("command terminated with exit code {code}"));
        return ExitCode::from(code);
    }
    output::note(format_args!("error: {}", status.message.as_deref().unwrap_or("the command failed")));
    ExitCode::FAILURE
}
