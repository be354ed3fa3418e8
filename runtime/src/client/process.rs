//! Streams of exec and attach as asynchronous pipes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fs::OFlags;
use rustix::termios::Winsize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::{Error, Result, Runtime};
use crate::protocol::Stream;
use crate::spec::Exit;

/// A command running in a container. Dropping the streams does not end it: see [`Exec::signal`].
#[derive(Debug)]
pub struct Exec {
    /// Present when the spec asked for it. Dropping it is the end of the input, except on a terminal.
    pub stdin: Option<Input>,
    pub stdout: Option<Output>,
    /// Absent on a terminal, which has one output.
    pub stderr: Option<Output>,
    pub terminal: Option<Terminal>,
    pub exit: ExecExit,
    pub handle: ExecHandle,
}

impl Exec {
    pub async fn signal(&self, signal: i32) -> Result<()> {
        self.handle.signal(signal).await
    }
}

/// Reaches the command while its streams are used elsewhere.
#[derive(Clone, Debug)]
pub struct ExecHandle {
    runtime: Runtime,
    exec: u64,
}

impl ExecHandle {
    pub async fn signal(&self, signal: i32) -> Result<()> {
        self.runtime.signal_exec(self.exec, signal).await
    }
}

/// How the command ends.
#[derive(Debug)]
pub struct ExecExit(oneshot::Receiver<Exit>);

impl ExecExit {
    /// `Disconnected` when the launcher was lost before the command ended. Can be dropped and called again until it answers.
    pub async fn wait(&mut self) -> Result<Exit> {
        (&mut self.0).await.map_err(|_| Error::Disconnected)
    }
}

/// Input and output of a running container.
#[derive(Debug)]
pub struct Attach {
    /// Present when the container was started with `stdin` (and, with `stdin_once`, for the first who attaches).
    pub stdin: Option<Input>,
    /// What the container writes from now on. A reader that lags more than a pipe behind is cut off: it sees the end.
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    pub terminal: Option<Terminal>,
}

/// The window of a terminal.
#[derive(Clone, Debug)]
pub struct Terminal(Arc<OwnedFd>);

impl Terminal {
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(&self.0, size)?)
    }
}

/// The writing end of a pipe or a terminal.
#[derive(Debug)]
pub struct Input(pipe::Sender);

/// The reading end of a pipe or a terminal.
#[derive(Debug)]
pub struct Output(pipe::Receiver);

impl Input {
    fn new(fd: OwnedFd) -> Result<Self> {
        nonblocking(&fd)?;
        pipe::Sender::from_owned_fd_unchecked(fd).map(Self).map_err(stream)
    }
}

impl Output {
    fn new(fd: OwnedFd) -> Result<Self> {
        nonblocking(&fd)?;
        pipe::Receiver::from_owned_fd_unchecked(fd).map(Self).map_err(stream)
    }
}

impl AsyncRead for Output {
    /// A terminal whose last process is gone answers EIO: that is its end.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, buffer) {
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::EIO) => Poll::Ready(Ok(())),
            other => other,
        }
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

pub(super) fn exec(
    runtime: Runtime,
    exec: u64,
    streams: VecDeque<(Stream, OwnedFd)>,
    exit: oneshot::Receiver<Exit>,
) -> Result<Exec> {
    let streams = Streams::new(streams)?;
    let Streams { stdin, stdout, stderr, terminal } = streams;
    Ok(Exec { stdin, stdout, stderr, terminal, exit: ExecExit(exit), handle: ExecHandle { runtime, exec } })
}

pub(super) fn attach(streams: VecDeque<(Stream, OwnedFd)>) -> Result<Attach> {
    let Streams { stdin, stdout, stderr, terminal } = Streams::new(streams)?;
    Ok(Attach { stdin, stdout, stderr, terminal })
}

#[derive(Default)]
struct Streams {
    stdin: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    terminal: Option<Terminal>,
}

impl Streams {
    fn new(fds: VecDeque<(Stream, OwnedFd)>) -> Result<Self> {
        let mut streams = Self::default();
        for (stream, fd) in fds {
            match stream {
                Stream::Stdin => streams.stdin = Some(Input::new(fd)?),
                Stream::Stdout => streams.stdout = Some(Output::new(fd)?),
                Stream::Stderr => streams.stderr = Some(Output::new(fd)?),
                Stream::Terminal => streams.terminal = Some(Terminal(Arc::new(fd))),
            }
        }
        Ok(streams)
    }
}

fn nonblocking(fd: impl AsFd) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd).map_err(|error| stream(error.into()))?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK).map_err(|error| stream(error.into()))
}

fn stream(source: io::Error) -> Error {
    Error::Io { what: "use a stream of a container", source }
}
