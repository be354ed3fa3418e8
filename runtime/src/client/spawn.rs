//! Reaching the launcher, and starting it when nobody answers.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::OpenTreeFlags;

use super::{Error, Result};
use crate::config::Config;
use crate::sys::{self, MountAttr};
use crate::wire;

/// A connection to the launcher of this node. Blocks while the launcher starts.
pub fn reach(config: &Config) -> Result<OwnedFd> {
    match wire::connect(&config.socket) {
        Ok(socket) => return Ok(socket),
        Err(error) if nobody_listens(&error) => {}
        Err(source) => return Err(Error::Io { what: "connect to the launcher", source }),
    }
    start(config)?;
    wire::connect(&config.socket).map_err(|source| Error::Io { what: "connect to the launcher", source })
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The launcher listens before it leaves its parent: when the command has ended well, the socket answers.
fn start(config: &Config) -> Result<()> {
    let (program, arguments) =
        config.launcher.split_first().ok_or_else(|| Error::Spawn("no launcher is configured".into()))?;
    for dir in [Some(config.state_dir.as_path()), config.socket.parent()].into_iter().flatten() {
        std::fs::create_dir_all(dir).map_err(|error| Error::Spawn(format!("create {}: {error}", dir.display())))?;
    }
    let executable = read_only(Path::new(program)).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Error::Spawn("containers need root (or CAP_SYS_ADMIN)".into()),
        _ => Error::Spawn(format!("open {}: {error}", program.display())),
    })?;
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
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Spawn(format!("{} ({})", message.trim_end(), output.status)));
    }
    Ok(())
}

/// The executable on a read-only mount of its own that is in no mount namespace: a container that reaches the launcher's
/// /proc/PID/exe can neither open it for writing (CVE-2019-5736) nor remount it.
fn read_only(program: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, program, flags)?;
    sys::mount_setattr(&tree, MountAttr { set: sys::MOUNT_ATTR_RDONLY, ..MountAttr::default() }, false)?;
    Ok(tree)
}
