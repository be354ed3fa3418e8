//! The seam to the container runtime: everything the kubelet asks of it, as one trait, so that a fake can stand in.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::OwnedFd;

use futures::future::BoxFuture;
use runtime::Error;
use runtime::images::{Image, ImageError};
use runtime::spec::{ContainerSpec, ExecSpec, Exit, Listing, ProcessId, SandboxSpec};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

pub type Input = Box<dyn AsyncWrite + Send + Unpin>;
pub type Output = Box<dyn AsyncRead + Send + Unpin>;
/// Columns and rows.
pub type Resize = Box<dyn Fn(u16, u16) + Send + Sync>;

/// Streams of a command or of a container; those that were not asked for, or do not exist, are `None`.
#[derive(Default)]
pub struct Streams {
    pub stdin: Option<Input>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    pub resize: Option<Resize>,
}

/// A command running in a container.
pub struct Execution {
    pub streams: Streams,
    pub exit: BoxFuture<'static, Result<Exit, Error>>,
    /// Sends a signal to it.
    pub signal: Box<dyn Fn(i32) -> BoxFuture<'static, ()> + Send + Sync>,
}

pub trait NodeRuntime: Send + Sync + 'static {
    fn create_sandbox(&self, spec: SandboxSpec) -> Answer<'_, ()>;
    fn remove_sandbox(&self, id: String) -> Answer<'_, ()>;
    fn start_container(&self, spec: ContainerSpec) -> Answer<'_, ProcessId>;
    fn signal_container(&self, id: String, signal: i32) -> Answer<'_, ()>;
    fn kill_container(&self, id: String) -> Answer<'_, ()>;
    fn remove_container(&self, id: String) -> Answer<'_, ()>;
    fn exec(&self, spec: ExecSpec) -> Answer<'_, Execution>;
    fn attach(&self, id: String) -> Answer<'_, Streams>;
    fn list(&self) -> Answer<'_, Listing>;
    /// Ready when no container that is being started now is still between clone and execve.
    fn settle(&self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// Of a sandbox; `None`: the node's own.
    fn network_namespace(&self, _sandbox: String) -> Answer<'_, Option<OwnedFd>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn resolve_image(&self, reference: &str) -> Option<Image>;
    fn list_images(&self) -> Vec<Image>;
    /// Changes whenever an image came or went.
    fn image_changes(&self) -> watch::Receiver<u64>;
    /// Blocks.
    fn load_images(&self, archive: Box<dyn Read + Send>) -> Result<Vec<Image>, ImageError>;
    /// Blocks.
    fn remove_image(&self, reference: &str, in_use: &BTreeSet<String>) -> Result<Image, ImageError>;
}

fn boxed<T>(value: Option<T>) -> Option<Output>
where
    T: AsyncRead + Send + Unpin + 'static,
{
    value.map(|stream| Box::new(stream) as Output)
}

fn resize(terminal: Option<runtime::Terminal>) -> Option<Resize> {
    terminal.map(|terminal| {
        Box::new(move |columns, rows| {
            if let Err(error) = terminal.resize(columns, rows) {
                tracing::debug!(%error, "terminal not resized");
            }
        }) as Resize
    })
}

impl NodeRuntime for runtime::Runtime {
    fn create_sandbox(&self, spec: SandboxSpec) -> Answer<'_, ()> {
        Box::pin(self.create_sandbox(spec))
    }

    fn remove_sandbox(&self, id: String) -> Answer<'_, ()> {
        Box::pin(async move { self.remove_sandbox(&id).await })
    }

    fn start_container(&self, spec: ContainerSpec) -> Answer<'_, ProcessId> {
        Box::pin(self.start_container(spec))
    }

    fn signal_container(&self, id: String, signal: i32) -> Answer<'_, ()> {
        Box::pin(async move { self.signal_container(&id, signal).await })
    }

    fn kill_container(&self, id: String) -> Answer<'_, ()> {
        Box::pin(async move { self.kill_container(&id).await })
    }

    fn remove_container(&self, id: String) -> Answer<'_, ()> {
        Box::pin(async move { self.remove_container(&id).await })
    }

    fn exec(&self, spec: ExecSpec) -> Answer<'_, Execution> {
        Box::pin(async move {
            let exec = self.exec(spec).await?;
            let streams = Streams {
                stdin: exec.stdin.map(|stream| Box::new(stream) as Input),
                stdout: boxed(exec.stdout),
                stderr: boxed(exec.stderr),
                resize: resize(exec.terminal),
            };
            let mut exit = exec.exit;
            let handle = exec.handle;
            let signal = move |number: i32| -> BoxFuture<'static, ()> {
                let handle = handle.clone();
                Box::pin(async move {
                    if let Err(error) = handle.signal(number).await {
                        tracing::debug!(%error, "command not signalled");
                    }
                })
            };
            Ok(Execution { streams, exit: Box::pin(async move { exit.wait().await }), signal: Box::new(signal) })
        })
    }

    fn attach(&self, id: String) -> Answer<'_, Streams> {
        Box::pin(async move {
            let attach = self.attach(&id).await?;
            Ok(Streams {
                stdin: attach.stdin.map(|stream| Box::new(stream) as Input),
                stdout: boxed(attach.stdout),
                stderr: boxed(attach.stderr),
                resize: resize(attach.terminal),
            })
        })
    }

    fn list(&self) -> Answer<'_, Listing> {
        Box::pin(self.list())
    }

    fn settle(&self) -> Answer<'_, ()> {
        Box::pin(self.settle())
    }

    fn network_namespace(&self, sandbox: String) -> Answer<'_, Option<OwnedFd>> {
        Box::pin(async move { self.network_namespace(&sandbox).await.map(Some) })
    }

    fn resolve_image(&self, reference: &str) -> Option<Image> {
        self.images().resolve(reference)
    }

    fn list_images(&self) -> Vec<Image> {
        self.images().list()
    }

    fn image_changes(&self) -> watch::Receiver<u64> {
        self.images().subscribe()
    }

    fn load_images(&self, archive: Box<dyn Read + Send>) -> Result<Vec<Image>, ImageError> {
        self.images().load(archive)
    }

    fn remove_image(&self, reference: &str, in_use: &BTreeSet<String>) -> Result<Image, ImageError> {
        self.images().remove(reference, in_use)
    }
}
