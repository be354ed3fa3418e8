//! What `exec` and `attach` share: which container, and our streams connected with its own.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use futures::SinkExt;
use futures::channel::mpsc::Sender;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

use super::pods;
use crate::output;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Streams {
    /// A pod, or an object that has pods: `web-0`, `deployment/web`
    what: String,
    /// Which container of the pod
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// There is a terminal on both sides
    #[arg(short = 't', long)]
    tty: bool,
}

impl Streams {
    /// The pods of the session's namespace, the name of the one that is meant, and what goes there and back.
    pub async fn open(&self, session: &Session) -> Result<(Api<Pod>, String, AttachParams)> {
        let name = pods::meant(session, &self.what).await?.name().to_owned();
        let terminal = terminal(self.tty);
        let parameters = AttachParams {
            container: self.container.clone(),
            stdin: self.stdin,
            stdout: true,
            stderr: !terminal,
            tty: terminal,
            ..AttachParams::default()
        };
        Ok((Api::namespaced(session.client.clone(), &session.namespace), name, parameters))
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
fn terminal(asked: bool) -> bool {
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
