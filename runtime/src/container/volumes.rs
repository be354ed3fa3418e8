//! The mounts that a container asks for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::MountAttrFlags;

use super::error::{StartError, Step};
use super::inroot::{self, Kind};
use super::mount;
use crate::spec::{Mount, Propagation};

/// A mount that is ready to be attached.
#[derive(Debug)]
pub struct Volume<'a> {
    mount: OwnedFd,
    kind: Kind,
    target: &'a Path,
}

/// Opens all sources while the host's mounts can still be seen, as peers of the host's: propagation is set here, per mount.
/// In the order in which they must be attached.
pub fn prepare(mounts: &[Mount]) -> Result<Vec<Volume<'_>>, StartError> {
    let mut volumes = Vec::with_capacity(mounts.len());
    for wanted in mounts {
        let mount = open(wanted).step(|| format!("mount {} on {}", wanted.source.display(), wanted.target))?;
        let stat = rustix::fs::fstat(&mount).step(|| format!("look at {}", wanted.source.display()))?;
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let kind = if directory { Kind::Directory } else { Kind::File };
        volumes.push(Volume { mount, kind, target: Path::new(&wanted.target) });
    }
    // Parents first, whatever the order they were named in.
    volumes.sort_by_key(|volume| volume.target.components().count());
    Ok(volumes)
}

fn open(wanted: &Mount) -> io::Result<OwnedFd> {
    if wanted.source.as_os_str().is_empty() {
        return open_tmpfs(wanted);
    }
    let mount = match &wanted.sub_path {
        None => mount::clone_path(&wanted.source)?,
        Some(sub_path) => {
            let volume = rustix::fs::openat(CWD, &wanted.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            mount::clone_fd(inroot::ensure(&volume, sub_path, Kind::Directory)?)?
        }
    };
    let propagation = match wanted.propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::HostToContainer => libc::MS_SLAVE,
        Propagation::Bidirectional => libc::MS_SHARED,
    };
    mount::set_propagation(&mount, propagation)?;
    if wanted.read_only || wanted.recursive_read_only {
        mount::set_read_only(&mount, wanted.recursive_read_only)?;
    }
    Ok(mount)
}

fn open_tmpfs(wanted: &Mount) -> io::Result<OwnedFd> {
    let size = wanted.tmpfs_size_bytes.map(|size| size.to_string());
    let mut options = vec![("mode", "1777")];
    if let Some(size) = &size {
        options.push(("size", size));
    }
    let read_only = if wanted.read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    mount::create("tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | read_only)
}

/// Attaches in order; targets that do not exist are made.
pub fn attach(volumes: &[Volume<'_>], root: impl AsFd) -> Result<(), StartError> {
    for volume in volumes {
        let explain = || format!("mount on {}", volume.target.display());
        let target = inroot::ensure(root.as_fd(), volume.target, volume.kind).step(explain)?;
        refuse(&root, &target, volume.target)?;
        mount::attach(&volume.mount, &target).step(explain)?;
    }
    Ok(())
}

/// The masks of /proc must not be undone, and nothing may cover the root itself.
fn refuse(root: impl AsFd, target: &OwnedFd, path: &Path) -> Result<(), StartError> {
    let explain = || format!("look at {}", path.display());
    let file_system = rustix::fs::fstatfs(target).step(explain)?;
    if file_system.f_type as u64 == libc::PROC_SUPER_MAGIC as u64 {
        return Err(StartError::failed(format!("mount on {}: nothing may be mounted in /proc", path.display())));
    }
    let (root, stat) = (rustix::fs::fstat(root).step(explain)?, rustix::fs::fstat(target).step(explain)?);
    if (root.st_dev, root.st_ino) == (stat.st_dev, stat.st_ino) {
        return Err(StartError::failed(format!("mount on {}: it is the root file system", path.display())));
    }
    Ok(())
}
