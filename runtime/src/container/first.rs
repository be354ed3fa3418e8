//! The first process of a container.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::command::environment;
use super::error::{StartError, Step};
use super::filesystems::{self, Wanted};
use super::process::{self, Process, Stdio};
use super::{Report, Reporter, inroot, mask, rootfs, terminal, users, volumes};
use crate::cgroup::Cgroups;
use crate::seccomp::Filter;
use crate::spec::ContainerSpec;
use crate::sys;

/// Everything the child needs, prepared by the launcher.
pub struct Plan<'a> {
    pub spec: &'a ContainerSpec,
    pub layers: &'a [PathBuf],
    /// The container's directory of the state directory.
    pub dir: &'a Path,
    /// Where the root file system is mounted until it becomes the root.
    pub place: &'a Path,
    pub cgroups: &'a Cgroups,
    pub cgroup: &'a str,
    /// Namespaces of the sandbox to join, with their kind for setns.
    pub namespaces: Vec<(&'a OwnedFd, libc::c_int)>,
    pub shm: OwnedFd,
    pub stdio: Stdio,
    pub hostname: &'a str,
    pub capabilities: u64,
    pub seccomp: Option<&'a Filter>,
    pub open_files: Option<u64>,
}

/// Runs in the child, which is in new mount (and process) namespaces and, where there is v2, in its cgroup.
pub fn run(plan: &Plan<'_>, reporter: &mut Reporter) -> StartError {
    match build(plan, reporter) {
        Ok((identity, environment)) => {
            let security = &plan.spec.security;
            process::run(&Process {
                args: &plan.spec.args,
                environment: &environment,
                cwd: &plan.spec.cwd,
                identity: &identity,
                capabilities: plan.capabilities,
                no_new_privileges: security.no_new_privileges,
                seccomp: plan.seccomp,
                open_files: plan.open_files,
            })
        }
        Err(error) => error,
    }
}

fn build(plan: &Plan<'_>, reporter: &mut Reporter) -> Result<(users::Identity, Vec<String>), StartError> {
    let (spec, security) = (plan.spec, &plan.spec.security);
    rustix::process::setsid().step(|| "start a session".into())?;
    rustix::process::umask(rustix::fs::Mode::empty());
    plan.cgroups.join_v1(plan.cgroup).step(|| "join the cgroups".into())?;
    set_oom_score(spec.oom_score_adj)?;
    // Only now: a cgroup namespace is rooted where its maker is.
    sys::unshare(libc::CLONE_NEWCGROUP).step(|| "make a cgroup namespace".into())?;
    for (namespace, kind) in &plan.namespaces {
        sys::setns(namespace, *kind).step(|| "join the namespaces of the sandbox".into())?;
    }
    let volumes = volumes::prepare(&spec.mounts)?;
    rootfs::detach_from_host()?;
    let rootfs = rootfs::mount_overlay(plan.dir, plan.place, plan.layers)?;
    let views = plan.cgroups.views();
    let wanted = Wanted { privileged: security.privileged, cgroups: &views, shm: &plan.shm };
    let filesystems = filesystems::mount_all(&rootfs.root, &wanted)?;
    if !security.privileged && !security.unmasked_proc {
        mask::apply(&filesystems)?;
    }
    volumes::attach(&volumes, &rootfs.root)?;
    drop(volumes);
    let text = |path: &str| inroot::read(&rootfs.root, Path::new(path)).step(|| format!("read {path}"));
    let identity = users::lookup(&spec.user, &text("/etc/passwd")?, &text("/etc/group")?)
        .map_err(|error| StartError::failed(error.to_string()))?;
    ensure_cwd(&rootfs, &spec.cwd)?;
    if security.read_only_rootfs {
        rootfs.set_read_only()?;
    }
    rootfs.enter()?;
    let environment = environment(&spec.env, &identity.home, plan.hostname, spec.terminal);
    let terminal = plan.stdio.establish(|| filesystems.devpts.try_clone(), identity.uid)?;
    if terminal.is_some() {
        terminal::mount_console()?;
    }
    let ready = Report::Ready { identity: identity.clone(), environment: environment.clone() };
    let sent = reporter.push(&ready, terminal.into_iter().collect()).and_then(|()| reporter.flush());
    sent.step(|| "report to the launcher".into())?;
    Ok((identity, environment))
}

/// Made while the root file system can still be written.
fn ensure_cwd(rootfs: &rootfs::Rootfs, cwd: &str) -> Result<(), StartError> {
    let path = Path::new(if cwd.is_empty() { "/" } else { cwd });
    inroot::ensure(&rootfs.root, path, inroot::Kind::Directory).step(|| format!("chdir to {cwd:?}")).map(drop)
}

/// Without CAP_SYS_RESOURCE a score cannot go below that of the launcher: then as low as it goes.
fn set_oom_score(score: i32) -> Result<(), StartError> {
    const PATH: &str = "/proc/self/oom_score_adj";
    let write = |score: i32| std::fs::write(PATH, score.to_string());
    let score = score.clamp(-1000, 1000);
    match write(score) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && score < 0 => write(0),
        other => other,
    }
    .step(|| "set the out-of-memory score".into())
}
