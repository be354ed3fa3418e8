//! A pseudo terminal of the container's own devpts, so that it has a name inside.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::termios::Winsize;

use super::error::{StartError, Step};
use super::{inroot, mount};
use crate::sys;

pub struct Terminal {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// `devpts` is a descriptor of a devpts file system's root.
pub fn open(devpts: impl AsFd) -> Result<Terminal, StartError> {
    let explain = || "open a terminal".to_owned();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat(devpts.as_fd(), "ptmx", flags | OFlags::NOFOLLOW, Mode::empty()).step(explain)?;
    if rustix::fs::fstatfs(&master).step(explain)?.f_type as u64 != libc::DEVPTS_SUPER_MAGIC as u64 {
        return Err(StartError::failed("open a terminal: ptmx is not in a devpts file system"));
    }
    rustix::pty::unlockpt(&master).step(explain)?;
    // By the master, not by a path that could name something else.
    // SAFETY: the request takes open flags and answers a new descriptor.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags.bits()) };
    sys::check(slave.into()).step(explain)?;
    // SAFETY: the kernel has just made it for us.
    let slave = unsafe { OwnedFd::from_raw_fd(slave) };
    // What a program sees before the first resize.
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).step(explain)?;
    Ok(Terminal { master, slave })
}

/// Shows the terminal on standard input as /dev/console, in a container that has just been entered.
pub fn mount_console() -> Result<(), StartError> {
    let explain = || "mount /dev/console".to_owned();
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step(explain)?;
    let target = inroot::ensure(&root, Path::new("/dev/console"), inroot::Kind::File).step(explain)?;
    let slave = mount::clone_fd(rustix::stdio::stdin()).step(explain)?;
    mount::attach(&slave, &target).step(explain)
}

/// Makes it the controlling terminal of this session, which the calling process leads.
pub fn control(terminal: &Terminal) -> Result<(), StartError> {
    rustix::process::ioctl_tiocsctty(&terminal.slave).step(|| "take the terminal".into())
}
