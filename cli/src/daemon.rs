//! `--detach`: a process of its own that serves, whose parent learns when it is up or why not.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const READY: &str = "ready";

/// Starts this program again as a daemon with these arguments, and waits until it says that it is ready.
///
/// # Errors
/// The daemon's own error, when it could not start.
pub fn spawn(arguments: impl IntoIterator<Item = OsString>, path: &Path) -> Result<()> {
    let log =
        OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("open {}", path.display()))?;
    let (reader, writer) = rustix::pipe::pipe().context("make a pipe")?;
    let inherited = writer.as_raw_fd();
    let mut command = Command::new(std::env::current_exe().context("find this program's file")?);
    command.args(arguments).arg("--ready-fd").arg(inherited.to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // The daemon outlives the terminal.
            rustix::process::setsid()?;
            Ok(())
        });
    }
    let mut child = command.spawn().context("start the daemon")?;
    drop(writer);
    let mut message = String::new();
    std::fs::File::from(reader).read_to_string(&mut message).context("hear from the daemon")?;
    if message.trim() == READY {
        return Ok(());
    }
    let status = child.wait().context("wait for the daemon")?;
    if message.trim().is_empty() {
        bail!("the daemon ended with {status} before it was ready: see {}", path.display());
    }
    bail!("{}", message.trim())
}

/// The daemon's end of the pipe; dropping it unsaid tells the parent that something went wrong.
#[derive(Debug)]
pub struct Parent(std::fs::File);

impl Parent {
    /// `fd` was passed by [`spawn`].
    pub fn from_fd(fd: i32) -> Result<Self> {
        if fd < 3 {
            bail!("--ready-fd is for the program's own use");
        }
        // SAFETY: the number comes from our own parent, and nothing else in this process uses it.
        let pipe = unsafe { OwnedFd::from_raw_fd(fd) };
        rustix::io::fcntl_setfd(&pipe, rustix::io::FdFlags::CLOEXEC).context("use --ready-fd")?;
        Ok(Self(pipe.into()))
    }

    pub fn ready(mut self) {
        // A parent that was killed does not matter.
        let _ = self.0.write_all(READY.as_bytes());
    }

    pub fn failed(mut self, error: &anyhow::Error) {
        let text = crate::words(error);
        let _ = self.0.write_all(text.trim_start_matches("error: ").as_bytes());
    }
}
