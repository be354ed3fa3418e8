//! A further process in a running container.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::error::{StartError, Step};
use super::process::{self, Process, Stdio};
use super::{Identity, Report, Reporter};
use crate::cgroup::Cgroups;
use crate::sys;

/// Everything the child needs, prepared by the launcher.
pub struct Plan<'a> {
    /// The container's first process.
    pub container: &'a OwnedFd,
    pub cgroups: &'a Cgroups,
    pub cgroup: &'a str,
    pub oom_score_adj: &'a str,
    pub stdio: Stdio,
    pub process: Process<'a>,
}

/// Namespaces of a container, without the process namespace: that one is chosen before the clone.
const NAMESPACES: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;

/// Runs in the child, which is in the container's process namespace and, where there is v2, in its cgroup. It cannot be
/// traced or looked into from there: the launcher is not dumpable (CVE-2016-9962).
pub fn run(plan: &Plan<'_>, reporter: &mut Reporter) -> StartError {
    match join(plan, reporter) {
        Ok(()) => process::run(&plan.process),
        Err(error) => error,
    }
}

fn join(plan: &Plan<'_>, reporter: &mut Reporter) -> Result<(), StartError> {
    rustix::process::setsid().step(|| "start a session".into())?;
    plan.cgroups.join_v1(plan.cgroup).step(|| "join the cgroups".into())?;
    // The container's own, so a process of it cannot outlive it.
    let _ = std::fs::write("/proc/self/oom_score_adj", plan.oom_score_adj);
    sys::setns(plan.container, NAMESPACES).step(|| "join the namespaces of the container".into())?;
    let identity: &Identity = plan.process.identity;
    let terminal = plan.stdio.establish(open_devpts, identity.uid)?;
    let ready = Report::Ready { identity: identity.clone(), environment: Vec::new() };
    let sent = reporter.push(&ready, terminal.into_iter().collect()).and_then(|()| reporter.flush());
    sent.step(|| "report to the launcher".into())
}

fn open_devpts() -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/pts", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
