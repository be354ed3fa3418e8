//! Work that may wait and must not hold up a start: removing cgroups, deleting writable layers.

use std::io;
use std::path::Path;
use std::time::Duration;

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

#[derive(Debug, Default)]
pub struct Chores {
    groups: Vec<String>,
    attempts: u32,
    /// Something is in the trash that no deleter has been started for.
    pub trash: bool,
    deleting: bool,
    /// Links whose namespace was dropped lately, and when: the kernel deletes them.
    links: Vec<(String, i64)>,
}

impl Chores {
    pub fn remove_group(&mut self, path: String) {
        self.attempts = 0;
        self.groups.push(path);
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

    pub fn are_done(&self) -> bool {
        self.groups.is_empty() && !self.trash && !self.deleting
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
        self.deleting = false;
    }
}

impl Launcher {
    /// Does what can be done now. When something is left that no event will announce: how long to wait for it.
    pub fn do_chores(&mut self) -> Option<Duration> {
        let cgroups = &self.cgroups;
        self.chores.groups.retain(|path| match cgroups.remove(path) {
            Ok(gone) => !gone,
            Err(error) => {
                report(&format!("cannot remove cgroup {path}: {error}"));
                false
            }
        });
        if self.chores.trash && !self.chores.deleting {
            self.delete_trash();
        }
        if self.chores.groups.is_empty() {
            return None;
        }
        self.chores.attempts += 1;
        Some((RETRY * self.chores.attempts).min(RETRY_MAX))
    }

    fn delete_trash(&mut self) {
        let trash = self.records.trash();
        self.chores.trash = false;
        // SAFETY: the launcher has one thread.
        match unsafe { sys::clone_process(0, None) } {
            Ok(Some(child)) => {
                self.chores.deleting = true;
                self.children.insert(child.pid, Owner::Deleter);
            }
            Ok(None) => {
                // Containers wait for the end of pipes that we would hold.
                let _ = sys::close_range(3, 0);
                let _ = rustix::process::nice(10);
                container::exit(delete(&trash));
            }
            Err(error) => report(&format!("cannot start deleting: {error}")),
        }
    }
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
