//! Work that may wait and must not hold up a start: removing cgroups, deleting writable layers.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::state::{Launcher, Owner};
use super::{now, report};
use crate::cgroup::Cgroups;
use crate::net::{self, Netlink};
use crate::{container, sys};

/// Between attempts to remove a group whose processes are still ending.
const RETRY: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Nobody waits longer for a link to go away.
const LINK_ENDS_NS: i64 = 5_000_000_000;

/// Groups in one go: each takes up to 0.2 ms, and containers wait to be started.
const BATCH: usize = 32;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Chores {
    groups: VecDeque<String>,
    /// When to try the next of them, in nanoseconds of the monotonic clock.
    due: i64,
    /// In a row without one that could be removed.
    attempts: u32,
    /// Something is in the trash that no deleter has been started for.
    pub trash: bool,
    /// The child that empties it.
    deleter: Option<i32>,
    /// Links whose namespace was dropped lately, and when: the kernel deletes them.
    links: Vec<(String, i64)>,
}

impl Chores {
    pub fn remove_group(&mut self, path: String) {
        if self.groups.is_empty() {
            (self.due, self.attempts) = (0, 0);
        }
        self.groups.push_back(path);
    }

    /// Removes what can be removed, if it is time. How long to wait for the rest, if there is any.
    fn remove_groups(&mut self, cgroups: &Cgroups, now: i64) -> Option<Duration> {
        if now >= self.due {
            let before = self.groups.len();
            for path in self.groups.drain(..before.min(BATCH)).collect::<Vec<_>>() {
                match cgroups.remove(&path) {
                    Ok(true) => {}
                    Ok(false) => self.groups.push_back(path),
                    Err(error) => report(&format!("cannot remove cgroup {path}: {error}")),
                }
            }
            self.attempts = if self.groups.len() < before { 1 } else { self.attempts + 1 };
            self.due = now + (RETRY * self.attempts).min(RETRY_MAX).as_nanos() as i64;
        }
        (!self.groups.is_empty()).then(|| Duration::from_nanos((self.due - now).max(0) as u64))
    }

    /// A group of this path is about to be used: nothing of an older one may be left, nor be removed later.
    pub fn make_way(&mut self, cgroups: &Cgroups, path: &str) -> io::Result<()> {
        const ATTEMPTS: u32 = 100;
        const PAUSE: Duration = Duration::from_millis(2);
        let concerns = |pending: &String| pending == path || pending.starts_with(&format!("{path}/"));
        if !self.groups.iter().any(concerns) {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            if cgroups.remove(path)? {
                self.groups.retain(|pending| !concerns(pending));
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(io::Error::other("processes of an older one do not end"))
    }

    pub fn groups_are_gone(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn trash_is_empty(&self) -> bool {
        !self.trash && self.deleter.is_none()
    }

    /// What is left in the trash stays for the next launcher.
    pub fn stop_deleting(&self) {
        if let Some(pid) = self.deleter.and_then(Pid::from_raw) {
            // It is our child and not waited for, so the number is still its own.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    pub fn link_ends(&mut self, name: String) {
        self.links.retain(|(_, since)| now() - since < LINK_ENDS_NS);
        self.links.push((name, now()));
    }

    /// Whether the kernel has deleted them all, or takes so long that something else holds them.
    pub fn links_are_gone(&mut self) -> bool {
        let netlink = Netlink::open();
        self.links.retain(|(name, since)| {
            let exists = netlink.as_ref().is_ok_and(|netlink| net::link_exists(netlink, name).unwrap_or(false));
            exists && now() - since < LINK_ENDS_NS
        });
        self.links.is_empty()
    }

    pub fn deleted(&mut self) {
        self.deleter = None;
    }
}

impl Launcher {
    /// Does what can be done now. When something is left that no event will announce: how long to wait for it.
    pub fn do_chores(&mut self) -> Option<Duration> {
        let wait = self.chores.remove_groups(&self.cgroups, monotonic());
        if self.chores.trash && self.chores.deleter.is_none() {
            self.delete_trash();
        }
        wait
    }

    fn delete_trash(&mut self) {
        let (trash, hurry) = (self.records.trash(), self.ending.is_some());
        self.chores.trash = false;
        // SAFETY: the launcher has one thread.
        match unsafe { sys::clone_process(0, None) } {
            Ok(Some(child)) => {
                self.chores.deleter = Some(child.pid);
                self.children.insert(child.pid, Owner::Deleter);
            }
            Ok(None) => {
                // Containers wait for the end of pipes that we would hold.
                let _ = sys::close_range(3, 0);
                if !hurry {
                    let _ = rustix::process::nice(10);
                }
                container::exit(delete(&trash));
            }
            Err(error) => report(&format!("cannot start deleting: {error}")),
        }
    }
}

/// Nanoseconds of a clock that nobody sets.
pub fn monotonic() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn delete(trash: &Path) -> i32 {
    let Ok(entries) = std::fs::read_dir(trash) else { return 1 };
    let mut code = 0;
    for entry in entries.flatten() {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            report(&format!("cannot delete {}: {error}", entry.path().display()));
            code = 1;
        }
    }
    code
}
