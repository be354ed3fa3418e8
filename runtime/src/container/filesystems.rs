//! The file systems every container has: /proc, /sys, /sys/fs/cgroup and /dev.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, makedev};
use rustix::mount::MountAttrFlags;

use super::error::{StartError, Step};
use super::inroot::{self, Kind};
use super::mount::{self, FsOption, INERT};

/// The roots of mounts that later steps work in.
pub struct Filesystems {
    pub proc: OwnedFd,
    pub sys: OwnedFd,
    pub devpts: OwnedFd,
}

/// What the mounts depend on.
pub struct Wanted<'a> {
    pub privileged: bool,
    /// File system type, options and directory name of each cgroup hierarchy.
    pub cgroups: &'a [(&'static str, String, String)],
    /// The sandbox' /dev/shm, detached.
    pub shm: &'a OwnedFd,
}

/// Nodes of /dev with their device numbers.
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

pub fn mount_all(root: impl AsFd, wanted: &Wanted<'_>) -> Result<Filesystems, StartError> {
    let root = root.as_fd();
    let read_only = if wanted.privileged { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    let proc = mount_on(root, "/proc", "proc", &[], INERT)?;
    let sys = mount_on(root, "/sys", "sysfs", &[], INERT | read_only)?;
    mount_cgroups(root, wanted.cgroups, read_only)?;
    let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let dev = mount_on(root, "/dev", "tmpfs", &[("mode", "755"), ("size", "65536k")], nosuid)?;
    make_nodes(&dev)?;
    if wanted.privileged {
        copy_nodes(&dev, Path::new("/dev"), 0)?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &dev, name).step(|| format!("create /dev/{name}"))?;
    }
    let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    let inert = nosuid | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let devpts = mount_on(root, "/dev/pts", "devpts", &options, inert)?;
    mount_on(root, "/dev/mqueue", "mqueue", &[], INERT)?;
    let shm = inroot::ensure(root, Path::new("/dev/shm"), Kind::Directory).step(|| "create /dev/shm".into())?;
    mount::attach(wanted.shm, &shm).step(|| "mount /dev/shm".into())?;
    Ok(Filesystems { proc, sys, devpts })
}

fn mount_on(
    root: impl AsFd,
    target: &str,
    kind: &str,
    options: &[FsOption<'_>],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, StartError> {
    let explain = || format!("mount {target}");
    let place = inroot::ensure(root, Path::new(target), Kind::Directory).step(explain)?;
    let made = mount::create(kind, options, attributes).step(explain)?;
    mount::attach(&made, &place).step(explain)?;
    Ok(made)
}

/// The hierarchies as seen from the container's own groups: one directory each, or v2 alone in the directory itself.
fn mount_cgroups(
    root: impl AsFd,
    views: &[(&'static str, String, String)],
    read_only: MountAttrFlags,
) -> Result<(), StartError> {
    const TARGET: &str = "/sys/fs/cgroup";
    let root = root.as_fd();
    if views.is_empty() {
        return Ok(());
    }
    if let [(kind, _, name)] = views
        && name.is_empty()
    {
        return mount_on(root, TARGET, kind, &[], INERT | read_only).map(drop);
    }
    let tmpfs = mount_on(root, TARGET, "tmpfs", &[("mode", "755"), ("size", "64k")], INERT)?;
    for (kind, controllers, name) in views {
        let options: Vec<FsOption<'_>> =
            controllers.split(',').filter(|name| !name.is_empty()).map(|name| (name, "")).collect();
        let target = format!("{TARGET}/{name}");
        rustix::fs::mkdirat(&tmpfs, name, Mode::from_raw_mode(0o755)).step(|| format!("create {target}"))?;
        mount_on(root, &target, kind, &options, INERT | read_only)?;
    }
    if read_only.is_empty() {
        return Ok(());
    }
    mount::set_read_only(&tmpfs, false).step(|| format!("make {TARGET} read-only"))
}

fn make_nodes(dev: impl AsFd) -> Result<(), StartError> {
    let mode = Mode::from_raw_mode(0o666);
    for (name, major, minor) in NODES {
        rustix::fs::mknodat(dev.as_fd(), name, FileType::CharacterDevice, mode, makedev(major, minor))
            .step(|| format!("create /dev/{name}"))?;
    }
    Ok(())
}

/// Gives a privileged container the host's devices. Its terminals, shared memory and queues stay its own.
fn copy_nodes(dev: impl AsFd, host: &Path, depth: usize) -> Result<(), StartError> {
    const OWN: [&str; 7] = ["pts", "shm", "mqueue", "hugepages", "fd", "console", "ptmx"];
    /// As deep as udev makes directories.
    const DEPTH_MAX: usize = 4;
    let entries = std::fs::read_dir(host).step(|| format!("list {}", host.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        // A device may go away while we look.
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        if OWN.iter().any(|own| *own == name) {
            continue;
        }
        let explain = || format!("create {}", entry.path().display());
        let kind = metadata.file_type();
        if kind.is_dir() && depth < DEPTH_MAX {
            // Not made at all when it would be empty of devices is not worth a second walk.
            rustix::fs::mkdirat(dev.as_fd(), &name, Mode::from_raw_mode(0o755)).step(explain)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let below = rustix::fs::openat(dev.as_fd(), &name, flags, Mode::empty()).step(explain)?;
            copy_nodes(&below, &entry.path(), depth + 1)?;
            continue;
        }
        let node = match (kind.is_char_device(), kind.is_block_device()) {
            (true, _) => FileType::CharacterDevice,
            (_, true) => FileType::BlockDevice,
            _ => continue,
        };
        match rustix::fs::mknodat(dev.as_fd(), &name, node, Mode::from_raw_mode(metadata.mode()), metadata.rdev()) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).step(explain),
        }
    }
    Ok(())
}
