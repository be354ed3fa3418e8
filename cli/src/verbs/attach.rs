//! `attach`: the streams of a container's own process, from now on.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::streams::{Streams, interact};
use crate::output;
use crate::session::{Connection, Session};

#[derive(Debug, clap::Args)]
pub struct Attach {
    #[command(flatten)]
    streams: Streams,
}

impl Attach {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let (pods, name, parameters) = self.streams.open(&session).await?;
        let mut process = pods.attach(&name, &parameters).await.context("attach to the container")?;
        if parameters.tty {
            output::note(format_args!("If you don't see a command prompt, try pressing enter."));
        }
        let status = interact(&mut process, parameters.tty).await?;
        match status.filter(|status| status.status.as_deref() != Some("Success")) {
            Some(status) => bail!("{}", status.message.unwrap_or_else(|| "the connection failed".into())),
            None => Ok(ExitCode::SUCCESS),
        }
    }
}
