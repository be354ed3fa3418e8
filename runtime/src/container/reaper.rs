//! The first process of a process namespace that containers share: it reaps what they leave behind and does nothing else.

use std::io::{self, Write};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::WaitOptions;

use super::{capabilities, exit, mount};
use crate::sys;

/// Nobody on the host, as pause containers have it.
const USER: u32 = 65535;

/// Runs until it is killed. The containers can see this process, so it owns nothing: no file, no root, no privilege.
pub fn run() -> ! {
    if let Err(error) = become_nobody() {
        // Into the launcher's log.
        let _ = writeln!(io::stderr(), "reaper of a process namespace: {error}");
        exit(1);
    }
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // No child yet: one that is orphaned wakes us by a signal.
            Err(_) => sys::wait_for_signal(&[libc::SIGCHLD]),
        }
    }
}

fn become_nobody() -> io::Result<()> {
    rustix::process::setsid()?;
    sys::block_signals(&[libc::SIGCHLD])?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let empty =
        mount::create("tmpfs", &[("size", "0"), ("nr_inodes", "2")], mount::INERT | MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    let place = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    mount::attach(&empty, &place)?;
    rustix::process::fchdir(&empty)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    drop((empty, place));
    // All that the launcher owns: this copy of it is never used.
    sys::close_range(0, 0)?;
    capabilities::bound(0)?;
    // SAFETY: numbers and an empty list.
    unsafe {
        sys::check(libc::setgroups(0, std::ptr::null()).into())?;
        sys::check(libc::setresgid(USER, USER, USER).into())?;
        sys::check(libc::setresuid(USER, USER, USER).into())?;
    }
    capabilities::apply(0)?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}
