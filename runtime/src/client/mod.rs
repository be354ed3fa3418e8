//! The daemon's handle of the runtime.
//!
//! [`Runtime`] is cheap to clone. One task ([`connection`]) owns the socket and matches replies to calls; [`spawn`] starts the
//! launcher when nobody answers; [`greeting`] makes sure that it is of this build; [`process`] holds the streams of exec and attach.

mod connection;
mod greeting;
mod process;
mod spawn;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::cgroup::{Cgroups, Hierarchies};
use crate::config::Config;
use crate::images::{ImageError, ImageStore};
use crate::protocol::{Answer, Failure, Request, Stream};
use crate::spec::{ContainerSpec, ExecSpec, Exit, Listing, ProcessId, RuntimeEvent, SandboxSpec, Usage};
use connection::Command;
pub use process::{Attach, Exec, ExecExit, ExecHandle, Input, Output, Terminal};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The launcher refused.
    #[error(transparent)]
    Launcher(#[from] Failure),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("start the launcher: {0}")]
    Spawn(String),
    /// The request may or may not have been done; `list` tells.
    #[error("reach the launcher: the connection was lost")]
    Disconnected,
    #[error("talk to the launcher: it answers {0}")]
    Protocol(String),
    /// Of another build, which cannot be replaced. Its containers go on.
    #[error(
        "talk to the launcher: it speaks version {launcher} of the protocol, this program version {own}, and it stays: {reason}; \
         end its containers with `down` of the program that started them"
    )]
    Version { launcher: u32, own: u32, reason: String },
    #[error("{what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
}

impl Error {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Launcher(Failure::NotFound { .. }))
    }

    pub fn is_not_running(&self) -> bool {
        matches!(self, Self::Launcher(Failure::NotRunning { .. }))
    }
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// How many calls may wait to be written; a caller then waits with its request.
const COMMANDS: usize = 256;
/// How many events may wait for the daemon. More are kept by the connection, in order.
const EVENTS: usize = 256;

/// A node's runtime. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Runtime {
    images: ImageStore,
    commands: mpsc::Sender<Command>,
    cgroup_root: Arc<str>,
}

impl Runtime {
    /// Connects to the launcher of this node, starting it when none answers. The receiver gives what happens from now on;
    /// what happened before is in [`Runtime::list`].
    pub async fn connect(config: Config) -> Result<(Self, mpsc::Receiver<RuntimeEvent>)> {
        let images_dir = config.images_dir.clone();
        let images = tokio::task::spawn_blocking(move || ImageStore::open(&images_dir))
            .await
            .map_err(|error| Error::Spawn(error.to_string()))??;
        let channel = greeting::open(&config).await?;
        let cgroup_root = config.cgroup_root.as_str().into();
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (events, event_receiver) = mpsc::channel(EVENTS);
        tokio::spawn(connection::run(config, channel, receiver, events));
        Ok((Self { images, commands, cgroup_root }, event_receiver))
    }

    pub fn images(&self) -> &ImageStore {
        &self.images
    }

    /// Makes the cgroup, the namespaces and the network. Containers can be started when it returns.
    pub async fn create_sandbox(&self, spec: SandboxSpec) -> Result<()> {
        self.done(Request::CreateSandbox(Box::new(spec))).await
    }

    /// Kills and removes its containers, then the sandbox. Their logs stay. Returns when the processes are gone.
    pub async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.done(Request::RemoveSandbox { id: id.to_owned() }).await
    }

    /// Returns when the process has executed the command. A failure to start leaves the container in `list`, exited with
    /// `start_error`, until it is removed.
    pub async fn start_container(&self, spec: ContainerSpec) -> Result<ProcessId> {
        let layers = self.images.layers(&spec.image)?;
        self.start_container_from(spec, layers).await
    }

    /// Like `start_container`, with a root file system of these directories (top first) instead of the image's.
    pub async fn start_container_from(&self, spec: ContainerSpec, layers: Vec<PathBuf>) -> Result<ProcessId> {
        match self.call(Request::StartContainer { spec: Box::new(spec), layers }).await?.0 {
            Answer::Started(process) => Ok(process),
            other => Err(unexpected(&other)),
        }
    }

    /// To the container's first process alone.
    pub async fn signal_container(&self, id: &str, signal: i32) -> Result<()> {
        self.done(Request::SignalContainer { id: id.to_owned(), signal }).await
    }

    /// SIGKILL to all its processes; the exit is reported as an event.
    pub async fn kill_container(&self, id: &str) -> Result<()> {
        self.done(Request::KillContainer { id: id.to_owned() }).await
    }

    /// Kills it when it runs, then forgets it and its writable layer. The log stays.
    pub async fn remove_container(&self, id: &str) -> Result<()> {
        self.done(Request::RemoveContainer { id: id.to_owned() }).await
    }

    /// Runs a command in a container. An error of kind [`Failure::Start`] says that the command could not be executed.
    pub async fn exec(&self, spec: ExecSpec) -> Result<Exec> {
        let (exit_sender, exit) = oneshot::channel();
        let (answer, fds) = self.send(Request::Exec(Box::new(spec)), Some(exit_sender)).await?;
        let Answer::Exec { exec, streams } = answer else { return Err(unexpected(&answer)) };
        process::exec(self.clone(), exec, pair(streams, fds)?, exit)
    }

    /// Input and output of a running container from now on. What it wrote before is in its log.
    pub async fn attach(&self, id: &str) -> Result<Attach> {
        let (answer, fds) = self.call(Request::Attach { id: id.to_owned() }).await?;
        let Answer::Attached { streams } = answer else { return Err(unexpected(&answer)) };
        process::attach(pair(streams, fds)?)
    }

    /// The network namespace of a sandbox, to make sockets in it. An error when it uses the host's.
    pub async fn network_namespace(&self, sandbox: &str) -> Result<OwnedFd> {
        let (answer, mut fds) = self.call(Request::NetworkNamespace { sandbox: sandbox.to_owned() }).await?;
        match (&answer, fds.pop()) {
            (Answer::Namespace, Some(fd)) => Ok(fd),
            _ => Err(unexpected(&answer)),
        }
    }

    pub async fn list(&self) -> Result<Listing> {
        match self.call(Request::List).await?.0 {
            Answer::Listing(listing) => Ok(listing),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns when every container that is being started now runs or has failed, also for a daemon that is gone.
    pub async fn settle(&self) -> Result<()> {
        self.done(Request::Settle).await
    }

    /// Of a container or a sandbox.
    pub async fn usage(&self, id: &str) -> Result<Usage> {
        match self.call(Request::Usage { id: id.to_owned() }).await?.0 {
            Answer::Usage(usage) => Ok(usage),
            other => Err(unexpected(&other)),
        }
    }

    /// Stops everything and removes every mount, namespace, cgroup and link of this runtime; the launcher ends. Images and
    /// logs stay. No call works afterwards.
    pub async fn shutdown(&self) -> Result<()> {
        self.done(Request::Shutdown).await?;
        let root = Arc::clone(&self.cgroup_root);
        tokio::task::spawn_blocking(move || remove_cgroups(&root))
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|source| Error::Io { what: "remove the cgroups", source })
    }

    pub(crate) async fn signal_exec(&self, exec: u64, signal: i32) -> Result<()> {
        self.done(Request::SignalExec { exec, signal }).await
    }

    async fn done(&self, request: Request) -> Result<()> {
        match self.call(request).await?.0 {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn call(&self, request: Request) -> Result<(Answer, Vec<OwnedFd>)> {
        self.send(request, None).await
    }

    async fn send(&self, request: Request, exit: Option<oneshot::Sender<Exit>>) -> Result<(Answer, Vec<OwnedFd>)> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command { request, reply, exit }).await.map_err(|_| Error::Disconnected)?;
        answer.await.map_err(|_| Error::Disconnected)?
    }
}

/// The launcher has answered and is ending: its own group can be removed when it is gone.
fn remove_cgroups(root: &str) -> std::io::Result<()> {
    const ATTEMPTS: u32 = 400;
    const PAUSE: Duration = Duration::from_millis(5);
    let cgroups = Cgroups::new(Hierarchies::detect()?, root);
    for _ in 0..ATTEMPTS {
        if cgroups.remove("")? {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(std::io::ErrorKind::ResourceBusy.into())
}

fn unexpected(answer: &Answer) -> Error {
    Error::Protocol(format!("{answer:?}"))
}

fn pair(streams: Vec<Stream>, fds: Vec<OwnedFd>) -> Result<VecDeque<(Stream, OwnedFd)>> {
    if streams.len() != fds.len() {
        return Err(Error::Protocol(format!("{} streams and {} descriptors", streams.len(), fds.len())));
    }
    Ok(streams.into_iter().zip(fds).collect())
}
