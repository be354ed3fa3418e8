//! The pump: what a container writes goes to its log and to whoever is attached.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};

use super::log::{LogFile, Splitter, timestamp};
use super::poller::Token;
use crate::descriptor::Descriptor;
use crate::protocol::Stream;

/// A container may write this much before it waits for the pump.
const PIPE_BYTES: usize = 1 << 20;
const READ: usize = 64 * 1024;
/// Reads of one stream before others get their turn.
const READS_PER_TURN: usize = 8;

/// One output of a container: the reading end of a pipe, or a terminal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Output {
    pub stream: Stream,
    pub fd: Descriptor,
    /// Registered with the poller while it may give more.
    pub token: Option<Token>,
    splitter: Splitter,
    sinks: Vec<Descriptor>,
}

/// What a turn of the pump came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// More may come.
    Open,
    /// Nobody can write any more.
    End,
}

impl Output {
    pub fn new(stream: Stream, fd: OwnedFd) -> Self {
        Self { stream, fd: fd.into(), token: None, splitter: Splitter::default(), sinks: Vec::new() }
    }

    fn name(&self) -> &'static str {
        if self.stream == Stream::Stderr { "stderr" } else { "stdout" }
    }

    /// A pipe that gets a copy of everything from now on. It is closed when its reader lags a whole pipe behind.
    pub fn tee(&mut self) -> io::Result<OwnedFd> {
        let (reader, writer) = pipe()?;
        set_nonblocking(&writer)?;
        self.sinks.push(writer.into());
        Ok(reader)
    }

    /// Moves what is there now. `all`: until nothing is left, instead of a fair share.
    pub fn pump(&mut self, log: &mut LogFile, now: i64, all: bool) -> io::Result<Turn> {
        let time = timestamp(now);
        let mut buffer = [0u8; READ];
        let mut failed = Ok(());
        let mut reads = 0;
        let turn = loop {
            if reads == READS_PER_TURN && !all {
                break Turn::Open;
            }
            reads += 1;
            let length = match rustix::io::read(&self.fd, &mut buffer) {
                Ok(0) => break Turn::End,
                Ok(length) => length,
                Err(Errno::AGAIN) => break Turn::Open,
                Err(Errno::INTR) => continue,
                // A terminal that nobody has open any more.
                Err(_) => break Turn::End,
            };
            let bytes = &buffer[..length];
            self.sinks.retain(|sink| copy(sink, bytes));
            let name = self.name();
            self.splitter.feed(bytes, |tag, content| keep_error(&mut failed, log.record(&time, name, tag, content)));
        };
        failed.and(log.flush()).map(|()| turn)
    }

    /// Writes what is left of a last line, when nothing more can come.
    pub fn finish(&mut self, log: &mut LogFile, now: i64) -> io::Result<()> {
        let (time, name, mut failed) = (timestamp(now), self.name(), Ok(()));
        self.splitter.finish(|tag, content| keep_error(&mut failed, log.record(&time, name, tag, content)));
        failed.and(log.flush())
    }
}

fn keep_error(first: &mut io::Result<()>, result: io::Result<()>) {
    if first.is_ok() {
        *first = result;
    }
}

/// False when the reader is gone or too slow.
fn copy(sink: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(sink, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// A large pipe, both ends blocking and closed on exec: reader, writer.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // Over the limit for all pipes of a user it stays at 64 KiB, which works too.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES);
    Ok((reader, writer))
}

pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}
