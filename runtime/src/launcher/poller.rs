//! epoll, with a number of ours for each descriptor.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};

use crate::descriptor::Descriptor;

/// Names a registered descriptor; never used again.
pub type Token = u64;

/// Registrations stay when the process executes another program: they are of open files, by the numbers that stay, too.
#[derive(Debug, Serialize, Deserialize)]
pub struct Poller {
    epoll: Descriptor,
    next: Token,
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?.into(), next: 0 })
    }

    /// Watches for input and hang-up.
    pub fn add(&mut self, fd: impl AsFd) -> io::Result<Token> {
        self.next += 1;
        epoll::add(&self.epoll, fd, EventData::new_u64(self.next), EventFlags::IN)?;
        Ok(self.next)
    }

    /// Also watches for room to write, or no longer.
    pub fn watch_output(&self, fd: impl AsFd, token: Token, output: bool) -> io::Result<()> {
        let flags = if output { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags)?)
    }

    /// To be called before a descriptor is closed: others may hold the same open file, and epoll would go on.
    pub fn remove(&self, fd: impl AsFd) {
        // It fails only when the descriptor is not registered, which is what is wanted.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits for events, for ever without a timeout.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Token>> {
        /// What is left comes with the next call.
        const EVENTS: usize = 128;
        let mut events = [MaybeUninit::uninit(); EVENTS];
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => Ok(events.iter().map(|event| event.data.u64()).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
