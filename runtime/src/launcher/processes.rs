//! Children: how they are cloned and what their end means.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{WaitOptions, WaitStatus};

use super::state::{Launcher, Owner};
use crate::container::Reporter;
use crate::descriptor::Descriptor;
use crate::spec::ProcessId;
use crate::sys::{self, Child};
use crate::wire::Channel;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// 128 + signal when a signal ended it.
    pub code: i32,
    pub signal: Option<i32>,
}

impl Ending {
    fn of(status: WaitStatus) -> Self {
        match status.terminating_signal() {
            Some(signal) => Self { code: 128 + signal, signal: Some(signal) },
            None => Self { code: status.exit_status().unwrap_or(255), signal: None },
        }
    }
}

/// Two ends of a socket for reports; both close when a program is executed.
pub fn report_socket() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Clones a child that runs `body` with its end of the report socket. Answers the child and the launcher's end.
pub fn spawn(
    namespaces: libc::c_int,
    cgroup: Option<&OwnedFd>,
    body: impl FnOnce(Reporter),
) -> io::Result<(Child, Channel<Descriptor>)> {
    let (ours, theirs) = report_socket()?;
    // SAFETY: the launcher has one thread.
    match unsafe { sys::clone_process(namespaces as u64, cgroup) }? {
        Some(child) => Ok((child, Channel::new(ours.into()))),
        None => {
            drop(ours);
            // A panic must not unwind into the launcher's loop: there is one launcher.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(Channel::new(theirs))));
            crate::container::exit(done.map_or(1, |()| 0))
        }
    }
}

impl ProcessId {
    /// Of a process that cannot have been reaped yet.
    pub(super) fn read(pid: i32) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name may hold anything, blanks and parentheses too; fields are counted after it.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let start_time = after_name.split(' ').nth(19).and_then(|field| field.parse().ok());
        Ok(Self { pid, start_time: start_time.unwrap_or(0) })
    }
}

impl Launcher {
    /// Takes the end of every child that has ended, ours and those that lost their parent. Safe by number: a number is not
    /// given away again before it is waited for, and only this waits.
    pub fn reap(&mut self) -> io::Result<()> {
        let mut signals = [0u8; 128 * 4];
        // One signal may stand for many: the children are asked, not the signals.
        while rustix::io::read(&self.signals, &mut signals).is_ok() {}
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.child_ended(pid.as_raw_pid(), Ending::of(status)),
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn child_ended(&mut self, pid: i32, ending: Ending) {
        match self.children.remove(&pid) {
            Some(Owner::Container(id)) => self.container_ended(&id, ending),
            Some(Owner::Exec(exec)) => self.exec_ended(exec, ending),
            Some(Owner::Sandbox(id)) => self.read_report(Owner::Sandbox(id)),
            Some(Owner::Reaper(id)) => self.reaper_ended(&id),
            Some(Owner::Deleter) => self.chores.deleted(),
            Some(Owner::Nobody) | None => {}
        }
    }

    /// A child says something, or has executed, or is gone.
    pub fn read_report(&mut self, owner: Owner) {
        match owner {
            Owner::Sandbox(id) => self.read_sandbox_report(&id),
            Owner::Container(id) => self.read_container_report(&id),
            Owner::Exec(exec) => self.read_exec_report(exec),
            Owner::Reaper(_) | Owner::Deleter | Owner::Nobody => {}
        }
    }
}
