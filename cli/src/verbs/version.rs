//! `version`: this program's and the server's.

use std::process::ExitCode;

use anyhow::Result;

use crate::output::line;
use crate::session::{Connection, Session};

#[derive(Debug, clap::Args)]
pub struct Version {
    /// Only this program's version; needs no server
    #[arg(long)]
    client: bool,
}

impl Version {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        line(format_args!("Client Version: {}", env!("CARGO_PKG_VERSION")));
        if !self.client {
            let session = Session::open(connection).await?;
            let version = session.get("/version").await?;
            line(format_args!("Server Version: {}", version["gitVersion"].as_str().unwrap_or("unknown")));
        }
        Ok(ExitCode::SUCCESS)
    }
}
