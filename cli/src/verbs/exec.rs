//! `exec`: a command in a running container, with a terminal when asked for. [`super::attach`] shares what follows the connection.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use futures::SinkExt;
use futures::channel::mpsc::Sender;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

use crate::output;
use crate::session::{Connection, Session};
use crate::target;

#[derive(Debug, clap::Args)]
pub struct Exec {
    /// The pod: `web-0` or `pod/web-0`
    pod: String,
    /// Which container of the pod
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input to the command
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// The command, after --
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Exec {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let (resource, name) = target::one(&session, std::slice::from_ref(&self.pod), Some("pods")).await?;
        if resource.plural != "pods" {
            bail!("{} have no containers to run a command in: name a pod", resource.plural);
        }
        let terminal = terminal(self.tty);
        let parameters = AttachParams {
            container: self.container.clone(),
            stdin: self.stdin,
            stdout: true,
            stderr: !terminal,
            tty: terminal,
            ..AttachParams::default()
        };
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
        let mut process = pods.exec(&name, &self.command, &parameters).await.context("run the command")?;
        let status = interact(&mut process, terminal).await?;
        Ok(exit_code(status.as_ref()))
    }
}

/// Connects our streams with those of the container, until its output ends. `None`: the server does not say how.
pub async fn interact(process: &mut AttachedProcess, terminal: bool) -> Result<Option<Status>> {
    let _raw = if terminal { Some(RawTerminal::enter()?) } else { None };
    if let Some(sizes) = process.terminal_size() {
        tokio::spawn(follow_size(sizes));
    }
    if let Some(mut stdin) = process.stdin() {
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut stdin).await;
            let _ = stdin.shutdown().await;
        });
    }
    let status = process.take_status();
    let stdout = process.stdout().map(|stream| copy(stream, tokio::io::stdout()));
    let stderr = process.stderr().map(|stream| copy(stream, tokio::io::stderr()));
    let copy_both = futures::future::join(
        async {
            if let Some(copy) = stdout {
                copy.await
            }
        },
        async {
            if let Some(copy) = stderr {
                copy.await
            }
        },
    );
    copy_both.await;
    Ok(match status {
        Some(status) => status.await,
        None => None,
    })
}

/// Whether there is a terminal to give away; says so when one was asked for and there is none.
pub fn terminal(asked: bool) -> bool {
    let terminal = asked && std::io::stdin().is_terminal();
    if asked && !terminal {
        output::note(format_args!("Unable to use a TTY - input is not a terminal or the right kind of file"));
    }
    terminal
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl tokio::io::AsyncWrite + Unpin) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() || to.flush().await.is_err() {
            break;
        }
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

/// Sends the size of the terminal now and whenever it changes.
async fn follow_size(mut sizes: Sender<TerminalSize>) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Ok(size) = tcgetwinsize(std::io::stdin()) {
            let size = TerminalSize { width: size.ws_col, height: size.ws_row };
            if sizes.send(size).await.is_err() {
                return;
            }
        }
        changes.recv().await;
    }
}

/// Keys go to the command as they are; dropping it gives the terminal back.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).context("set the terminal to raw mode")?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
