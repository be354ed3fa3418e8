//! The last steps of every process in a container, its first one and exec's alike: identity, limits, privileges, execve.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Gid, Uid};
use rustix::process::{Resource, Rlimit};

use super::capabilities;
use super::command;
use super::error::{StartError, Step};
use super::inroot::{self, Kind};
use super::users::Identity;
use crate::seccomp::Filter;
use crate::sys;

/// Standard streams of a process.
#[derive(Debug)]
pub enum Stdio {
    Pipes {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A terminal is made inside the container and its master side sent to the launcher.
    Terminal,
}

/// What a process may do and where it runs.
pub struct Process<'a> {
    pub args: &'a [String],
    pub environment: &'a [String],
    pub cwd: &'a str,
    pub identity: &'a Identity,
    pub capabilities: u64,
    pub no_new_privileges: bool,
    pub seccomp: Option<&'a Filter>,
    /// Soft limit of open files that the launcher itself was started with.
    pub open_files: Option<u64>,
}

/// Never returns when all goes well.
pub fn run(process: &Process<'_>) -> StartError {
    match prepare(process) {
        Ok(path) => command::execute(&path, process.args, process.environment),
        Err(error) => error,
    }
}

fn prepare(process: &Process<'_>) -> Result<std::path::PathBuf, StartError> {
    restore_defaults(process.open_files)?;
    enter_directory(process.cwd)?;
    if process.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).step(|| "set no_new_privs".into())?;
    }
    capabilities::bound(process.capabilities).step(|| "limit the capabilities".into())?;
    // Loading a filter takes no_new_privs or CAP_SYS_ADMIN, which is given up next.
    if let (Some(filters), false) = (process.seccomp, process.no_new_privileges) {
        filters.load().step(|| "load the seccomp filter".into())?;
    }
    become_user(process.identity)?;
    capabilities::apply(process.capabilities).step(|| "set the capabilities".into())?;
    let path = command::find(process.args.first().map_or("", String::as_str), process.environment)?;
    sys::close_range(3, libc::CLOSE_RANGE_CLOEXEC).step(|| "mark descriptors".into())?;
    if let (Some(filters), true) = (process.seccomp, process.no_new_privileges) {
        filters.load().step(|| "load the seccomp filter".into())?;
    }
    Ok(path)
}

/// Undoes what the launcher set for itself and a program would inherit.
fn restore_defaults(open_files: Option<u64>) -> Result<(), StartError> {
    // The program lives without huge pages; what it starts decides for itself. Kernels without the switch have nothing to undo.
    let _ = sys::prctl(libc::PR_SET_THP_DISABLE, 0, 0);
    sys::reset_signals().step(|| "reset signals".into())?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if let Some(open_files) = open_files {
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        let current = maximum.map_or(open_files, |maximum| maximum.min(open_files));
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum })
            .step(|| "set the limit of open files".into())?;
    }
    Ok(())
}

fn enter_directory(cwd: &str) -> Result<(), StartError> {
    let path = Path::new(if cwd.is_empty() { "/" } else { cwd });
    let explain = || format!("chdir to {cwd:?}");
    if !path.is_absolute() {
        return Err(StartError::failed(format!("chdir to {cwd:?}: the path is not absolute")));
    }
    if rustix::process::chdir(path).is_err() {
        let root =
            rustix::fs::open("/", rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())
                .step(explain)?;
        inroot::ensure(&root, path, Kind::Directory).step(explain)?;
        rustix::process::chdir(path).step(explain)?;
    }
    // A directory that leads out of the container has no name in it (CVE-2024-21626).
    let name = rustix::process::getcwd(Vec::new()).step(explain)?;
    if name.to_bytes().first() != Some(&b'/') {
        return Err(StartError::failed(format!("chdir to {cwd:?}: it is outside the container")));
    }
    Ok(())
}

fn become_user(identity: &Identity) -> Result<(), StartError> {
    let groups: Vec<libc::gid_t> = identity.groups.clone();
    // SAFETY: pointer and length of one list.
    sys::check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }.into()).step(|| "set the groups".into())?;
    sys::prctl(libc::PR_SET_KEEPCAPS, 1, 0).step(|| "keep the capabilities".into())?;
    let (uid, gid) = (identity.uid, identity.gid);
    // SAFETY: numbers.
    sys::check(unsafe { libc::setresgid(gid, gid, gid) }.into()).step(|| format!("become group {gid}"))?;
    // SAFETY: numbers.
    sys::check(unsafe { libc::setresuid(uid, uid, uid) }.into()).step(|| format!("become user {uid}")).map(drop)
}

/// Puts the streams in place and gives them to the user, who may open them again by /dev/stdout.
pub fn redirect(
    stdin: BorrowedFd<'_>,
    stdout: BorrowedFd<'_>,
    stderr: BorrowedFd<'_>,
    uid: u32,
) -> Result<(), StartError> {
    let explain = || "redirect the standard streams".to_owned();
    rustix::stdio::dup2_stdin(stdin).step(explain)?;
    rustix::stdio::dup2_stdout(stdout).step(explain)?;
    rustix::stdio::dup2_stderr(stderr).step(explain)?;
    let null = rustix::fs::makedev(1, 3);
    for fd in [stdin, stdout, stderr] {
        let stat = rustix::fs::fstat(fd).step(explain)?;
        if stat.st_rdev != null && stat.st_uid != uid {
            rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None::<Gid>).step(explain)?;
        }
    }
    Ok(())
}

impl Stdio {
    /// Puts the streams in place. A terminal is made in the devpts file system that `devpts` opens; its master side is given.
    pub fn establish<F>(&self, devpts: F, uid: u32) -> Result<Option<OwnedFd>, StartError>
    where
        F: FnOnce() -> std::io::Result<OwnedFd>,
    {
        match self {
            Self::Pipes { stdin, stdout, stderr } => {
                redirect(stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), uid)?;
                Ok(None)
            }
            Self::Terminal => {
                let devpts = devpts().step(|| "open /dev/pts".into())?;
                let terminal = super::terminal::open(&devpts)?;
                super::terminal::control(&terminal)?;
                let slave = terminal.slave.as_fd();
                redirect(slave, slave, slave, uid)?;
                Ok(Some(terminal.master))
            }
        }
    }
}
