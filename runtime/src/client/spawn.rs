//! Reaching the launcher, and starting it when nobody answers.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::mount::OpenTreeFlags;

use super::{Error, Result};
use crate::config::Config;
use crate::launcher;
use crate::sys::{self, MountAttr};
use crate::wire;

/// A connection to the launcher of this node. Blocks while the launcher starts, or another one ends.
pub fn reach(config: &Config) -> Result<OwnedFd> {
    const ATTEMPTS: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(10);
    for attempt in 1.. {
        match wire::connect(&config.socket) {
            Ok(socket) => return Ok(socket),
            Err(error) if nobody_listens(&error) => {}
            Err(source) => return Err(Error::Io { what: "connect to the launcher", source }),
        }
        match start(config)? {
            Start::Listens => {}
            // It is just starting, or on its way out.
            Start::Busy(message) if attempt == ATTEMPTS => return Err(Error::Spawn(message)),
            Start::Busy(_) => std::thread::sleep(PAUSE),
        }
    }
    Err(Error::Disconnected)
}

enum Start {
    Listens,
    /// Another launcher holds the state directory.
    Busy(String),
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The launcher listens before it leaves its parent: when the command has ended well, the socket answers.
fn start(config: &Config) -> Result<Start> {
    let (program, arguments) =
        config.launcher.split_first().ok_or_else(|| Error::Spawn("no launcher is configured".into()))?;
    for dir in [Some(config.state_dir.as_path()), config.socket.parent()].into_iter().flatten() {
        std::fs::create_dir_all(dir).map_err(|error| Error::Spawn(format!("create {}: {error}", dir.display())))?;
    }
    let executable = executable(config)?;
    let output = Command::new(format!("/proc/self/fd/{}", executable.as_raw_fd()))
        .arg0(program)
        .args(arguments)
        .arg("--state-dir")
        .arg(&config.state_dir)
        .arg("--socket")
        .arg(&config.socket)
        .args(["--cgroup-root", &config.cgroup_root])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .current_dir("/")
        .output()
        .map_err(|error| Error::Spawn(format!("execute {}: {error}", program.display())))?;
    let message = || String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    match output.status.code() {
        Some(0) => Ok(Start::Listens),
        Some(launcher::BUSY) => Ok(Start::Busy(message())),
        _ => Err(Error::Spawn(format!("{} ({})", message(), output.status))),
    }
}

/// The file of the launcher's program, not to be written to.
pub fn executable(config: &Config) -> Result<OwnedFd> {
    let program = config.launcher.first().ok_or_else(|| Error::Spawn("no launcher is configured".into()))?;
    read_only(Path::new(program)).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Error::Spawn("containers need root (or CAP_SYS_ADMIN)".into()),
        _ => Error::Spawn(format!("open {}: {error}", program.display())),
    })
}

/// The executable on a read-only mount of its own that is in no mount namespace: a container that reaches the launcher's
/// /proc/PID/exe can neither open it for writing (CVE-2019-5736) nor remount it.
fn read_only(program: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, program, flags)?;
    sys::mount_setattr(&tree, MountAttr { set: sys::MOUNT_ATTR_RDONLY, ..MountAttr::default() }, false)?;
    Ok(tree)
}
