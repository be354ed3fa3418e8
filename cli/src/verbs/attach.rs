//! `attach`: the streams of a container's own process, from now on.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;

use super::exec;
use crate::output;
use crate::session::{Connection, Session};
use crate::target;

#[derive(Debug, clap::Args)]
pub struct Attach {
    /// The pod: `web-0` or `pod/web-0`
    pod: String,
    /// Which container of the pod
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input to the container
    #[arg(short = 'i', long)]
    stdin: bool,
    /// The container has a terminal, and so have we
    #[arg(short = 't', long)]
    tty: bool,
}

impl Attach {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let (resource, name) = target::one(&session, std::slice::from_ref(&self.pod), Some("pods")).await?;
        if resource.plural != "pods" {
            bail!("{} have no containers to attach to: name a pod", resource.plural);
        }
        let terminal = exec::terminal(self.tty);
        let parameters = AttachParams {
            container: self.container.clone(),
            stdin: self.stdin,
            stdout: true,
            stderr: !terminal,
            tty: terminal,
            ..AttachParams::default()
        };
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
        let mut process = pods.attach(&name, &parameters).await.context("attach to the container")?;
        if terminal {
            output::note(format_args!("If you don't see a command prompt, try pressing enter."));
        }
        let status = exec::interact(&mut process, terminal).await?;
        match status.filter(|status| status.status.as_deref() != Some("Success")) {
            Some(status) => bail!("{}", status.message.unwrap_or_else(|| "the connection failed".into())),
            None => Ok(ExitCode::SUCCESS),
        }
    }
}
