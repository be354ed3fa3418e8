//! Parts of /proc and /sys that say or change too much of the host.
//!
//! Worked on by descriptors of the mounts we made: a path could have been replaced by a volume or a link
//! (CVE-2025-31133, CVE-2025-52881).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::error::{StartError, Step};
use super::filesystems::Filesystems;
use super::mount;

const MASKED_PROC: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "scsi",
];
const MASKED_SYS: [&str; 2] = ["firmware", "devices/virtual/powercap"];
const READ_ONLY_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// Hides files behind the host's /dev/null and directories behind an empty read-only tmpfs.
pub fn apply(filesystems: &Filesystems) -> Result<(), StartError> {
    let null = rustix::fs::open("/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .step(|| "open /dev/null".into())?;
    let stat = rustix::fs::fstat(&null).step(|| "look at /dev/null".into())?;
    if stat.st_rdev != rustix::fs::makedev(1, 3) {
        return Err(StartError::failed("/dev/null of the host is not the null device"));
    }
    let proc = MASKED_PROC.iter().map(|path| (&filesystems.proc, "/proc", path));
    let sys = MASKED_SYS.iter().map(|path| (&filesystems.sys, "/sys", path));
    for (mount, name, path) in proc.chain(sys) {
        mask(mount, path, &null).step(|| format!("mask {name}/{path}"))?;
    }
    for path in READ_ONLY_PROC {
        read_only(&filesystems.proc, path).step(|| format!("make /proc/{path} read-only"))?;
    }
    Ok(())
}

/// `None` when this kernel has no such file.
fn open(mount: impl AsFd, path: &str) -> rustix::io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(mount, path, flags, Mode::empty(), resolve) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn mask(mount: impl AsFd, path: &str, null: &OwnedFd) -> std::io::Result<()> {
    let Some(target) = open(mount, path)? else { return Ok(()) };
    let cover = if FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode) == FileType::Directory {
        let attributes = mount::INERT | MountAttrFlags::MOUNT_ATTR_RDONLY;
        mount::create("tmpfs", &[("size", "0"), ("nr_inodes", "2")], attributes)?
    } else {
        mount::clone_fd(null)?
    };
    mount::attach(&cover, &target)
}

fn read_only(mount: impl AsFd, path: &str) -> std::io::Result<()> {
    let Some(target) = open(mount, path)? else { return Ok(()) };
    let cover = mount::clone_fd(&target)?;
    mount::set_read_only(&cover, true)?;
    mount::attach(&cover, &target)
}
