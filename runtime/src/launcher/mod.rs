//! The process that is the parent of all containers of a node.
//!
//! Single-threaded and small, it survives the daemon: it clones containers, reads their output, keeps their exits and serves one
//! socket. It must not panic and not block: what is slow is done by children or by trying again later.
//!
//! ```text
//! main: options, lock, listen, leave the parent ──> state::Launcher::run: epoll loop
//!   requests    one arm for each request            sandboxes   namespaces, shared process namespaces
//!   begin, containers  start, exit, remove          execs       further processes
//!   output, log what containers write               chores      deleting and removing groups, later and again
//!   clients     sockets                             records     what a next launcher must know
//!   handover    another build of the program takes over, in this process
//! ```

mod begin;
mod chores;
mod clients;
mod containers;
mod execs;
mod handover;
mod log;
mod options;
mod output;
mod poller;
mod processes;
mod records;
mod requests;
mod sandboxes;
mod shutdown;
mod start;
mod state;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::process::{Resource, Rlimit};

use crate::cgroup::{Cgroups, Devices, Hierarchies, Kind};
use crate::spec::Resources;
use crate::{container, sys, wire};
use options::{Options, Task};
use state::Launcher;

/// Exit code: another launcher uses the state directory.
pub(crate) const BUSY: i32 = 75;

/// The launcher's own group.
const GROUP: &str = "launcher";

/// Runs the launcher until it is told to shut down, with the arguments that follow `launcher` on the command line. The call returns
/// in the process that made it as soon as the launcher stands on its own and listens.
///
/// Must be called before the process has a second thread. Answers the exit code for the process.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let result = Options::parse(arguments).map_err(io::Error::other).and_then(|(options, task)| match task {
        Task::Start => start(options),
        Task::Check(state) => handover::check_state(state),
        Task::TakeOver(state) => handover::take_over(state).and_then(|mut launcher| launcher.run()),
    });
    match result {
        Ok(()) => 0,
        Err(error) => {
            report(&error.to_string());
            if error.kind() == io::ErrorKind::WouldBlock { BUSY } else { 1 }
        }
    }
}

fn explain<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> io::Result<T> {
    result.map_err(|error| io::Error::other(format!("{what}: {error}")))
}

fn start(options: Options) -> io::Result<()> {
    // Whatever whoever started the daemon had open, such as a pipe to a terminal, must not stay open for ever.
    sys::close_range(3, 0)?;
    let lock = lock(&options)?;
    let cgroups =
        Cgroups::new(explain(Hierarchies::detect(), "find the cgroups of this machine")?, &options.cgroup_root);
    explain(clear(&cgroups), "remove the cgroups of an earlier launcher")?;
    explain(cgroups.create(GROUP, &Resources::default(), Kind::Leaf(Devices::All)), "make the launcher's cgroup")?;
    let group = cgroups.open_unified(GROUP)?;
    let listener = explain(wire::listen(&options.socket), "listen")?;
    // SAFETY: `main` is called with one thread.
    if explain(unsafe { sys::clone_process(0, group.as_ref()) }, "clone the launcher")?.is_some() {
        return Ok(());
    }
    drop(group);
    let code =
        match detach(&options, &cgroups).and_then(|open_files| serve(options, cgroups, listener, lock, open_files)) {
            Ok(()) => 0,
            Err(error) => {
                report(&format!("launcher: {error}"));
                1
            }
        };
    container::exit(code)
}

/// A launcher that was killed has left containers that nobody can be asked about any more. The groups go, too: Linux 6.18 kills
/// what is cloned into a group that was killed before (it compares the kill counters of two different groups).
fn clear(cgroups: &Cgroups) -> io::Result<()> {
    const ATTEMPTS: u32 = 1000;
    const PAUSE: Duration = Duration::from_millis(5);
    for _ in 0..ATTEMPTS {
        match cgroups.kill("") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if cgroups.remove("")? {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(io::Error::other("their processes do not end"))
}

/// Held by every descriptor of the file: as long as the launcher lives.
fn lock(options: &Options) -> io::Result<File> {
    let path = options.state_dir.join("launcher.lock");
    let file = explain(OpenOptions::new().create(true).truncate(false).write(true).open(path), "open the lock")?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::WouldBlock, "lock the state directory: another launcher uses it"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Leaves the daemon's session, groups, streams and limits. Answers the soft limit of open files that containers get.
fn detach(options: &Options, cgroups: &Cgroups) -> io::Result<Option<u64>> {
    rustix::process::setsid()?;
    cgroups.join_v1(GROUP)?;
    let null = File::options().read(true).open("/dev/null")?;
    let log = File::options().create(true).append(true).open(options.state_dir.join("launcher.log"))?;
    rustix::stdio::dup2_stdin(null)?;
    rustix::stdio::dup2_stdout(&log)?;
    rustix::stdio::dup2_stderr(&log)?;
    // Children that lost their parent come to us, not to the first process of the machine.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)?;
    // Containers must not look into a child of ours before it has executed (CVE-2016-9962).
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
    // Last to be killed; without CAP_SYS_RESOURCE the kernel refuses, and the launcher stays as it is.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-998");
    sys::ignore_signals(&[libc::SIGPIPE, libc::SIGHUP, libc::SIGINT, libc::SIGTERM]);
    sys::block_signals(&[libc::SIGCHLD])?;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.current)
}

fn serve(options: Options, cgroups: Cgroups, listener: OwnedFd, lock: File, open_files: Option<u64>) -> io::Result<()> {
    let mut launcher = Launcher::new(options, cgroups, listener, lock, open_files)?;
    launcher.recover()?;
    launcher.listen()?;
    launcher.run()
}

/// To whoever started the launcher, which reads standard error until the launcher stands on its own; later to its log file.
fn report(message: &str) {
    // Nobody may be listening.
    let _ = writeln!(io::stderr(), "{message}");
}

/// Nanoseconds since the epoch.
fn now() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
