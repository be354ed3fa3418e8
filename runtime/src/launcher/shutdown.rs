//! The end: everything of this runtime is removed, then the launcher ends. Its own empty groups remain for the daemon to remove:
//! a process cannot remove the group it is in.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use serde::{Deserialize, Serialize};

use super::chores::monotonic;
use super::clients::ReplyTo;
use super::poller::Token;
use super::report;
use super::state::Launcher;
use crate::protocol::ToDaemon;

/// Deleting writable layers may take longer than anyone wants to wait: the disk decides. The rest is left in the trash.
const DELETE_NS: i64 = 2_000_000_000;

/// The runtime is being taken down.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ending {
    asked: Vec<ReplyTo>,
    /// On the monotonic clock.
    since: i64,
}

impl Launcher {
    pub fn begin_end(&mut self, to: ReplyTo) {
        if let Some(ending) = &mut self.ending {
            return ending.asked.push(to);
        }
        self.ending = Some(Ending { asked: vec![to], since: monotonic() });
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
        let since = self.ending.as_ref().map_or(0, |ending| ending.since);
        let gone = self.sandboxes.is_empty() && self.containers.is_empty() && self.chores.groups_are_gone();
        let deleted = self.chores.trash_is_empty() || monotonic() - since > DELETE_NS;
        if !gone || !deleted || !self.chores.links_are_gone() {
            return false;
        }
        self.chores.stop_deleting();
        if let Err(error) = self.records.remove_all() {
            report(&format!("cannot remove the records: {error}"));
        }
        // The lock stays: a file that is unlinked can be locked by two.
        let _ = std::fs::remove_file(&self.options.socket);
        let asked = self.ending.take().map(|ending| ending.asked).unwrap_or_default();
        self.reply_done(asked.iter().copied());
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.send(client, &ToDaemon::Ended, Vec::new());
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
