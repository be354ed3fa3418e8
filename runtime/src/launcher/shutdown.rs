//! The end: everything of this runtime is removed, then the launcher ends. Its own empty groups remain for the daemon to remove:
//! a process cannot remove the group it is in.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::clients::ReplyTo;
use super::poller::Token;
use super::report;
use super::state::Launcher;
use crate::protocol::ToDaemon;

impl Launcher {
    pub fn begin_end(&mut self, to: ReplyTo) {
        self.ending = Some(to);
        for id in self.sandboxes.keys().cloned().collect::<Vec<_>>() {
            // It cannot be missing.
            let _ = self.remove_sandbox(&id, None);
        }
        let orphans =
            self.containers.values().filter(|it| it.live.is_none() && !self.sandboxes.contains_key(&it.status.sandbox));
        for id in orphans.map(|it| it.status.id.clone()).collect::<Vec<_>>() {
            self.finish_remove(&id);
        }
    }

    /// True when all is gone and the answer is sent.
    pub fn finish(&mut self) -> bool {
        let gone = self.sandboxes.is_empty() && self.containers.is_empty() && self.chores.are_done();
        if !gone || !self.chores.links_are_gone() {
            return false;
        }
        if let Err(error) = self.records.remove_all() {
            report(&format!("cannot remove the records: {error}"));
        }
        for path in [self.options.socket.clone(), self.options.state_dir.join("launcher.lock")] {
            let _ = std::fs::remove_file(path);
        }
        let asked = self.ending.take();
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            match asked {
                Some(to) if to.client == client => self.reply_done([to]),
                _ => self.send(client, &ToDaemon::Ended, Vec::new()),
            }
            self.wait_until_sent(client);
        }
        true
    }

    fn wait_until_sent(&mut self, client: Token) {
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        while let Some(client) = self.clients.get_mut(&client).filter(|client| client.has_output()) {
            let mut socket = [PollFd::from_borrowed_fd(client.socket().as_fd(), PollFlags::OUT)];
            let ready = rustix::event::poll(&mut socket, Some(&patience));
            if !matches!(ready, Ok(1)) || client.flush().is_err() {
                return;
            }
        }
    }
}
