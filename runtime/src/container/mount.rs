//! Mounts as descriptors: made or cloned detached, changed, then attached to a descriptor. No path is looked up twice.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::sys::{self, MountAttr};

/// nosuid, nodev and noexec.
pub const INERT: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV).union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// An option of a file system: `name=value`, or `name` when the value is empty.
pub type FsOption<'a> = (&'a str, &'a str);

/// A new file system, mounted nowhere yet.
pub fn create(kind: &str, options: &[FsOption<'_>], attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        match *value {
            "" => rustix::mount::fsconfig_set_flag(&context, *name)?,
            value => rustix::mount::fsconfig_set_string(&context, *name, value)?,
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A second mount of what a path shows, mounts below it included, mounted nowhere yet and in the same peer group.
pub fn clone_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(CWD, path, CLONE | OpenTreeFlags::AT_RECURSIVE)?)
}

/// Like `clone_path` for a descriptor of a directory, file or detached mount.
pub fn clone_fd(fd: impl AsFd) -> io::Result<OwnedFd> {
    let flags = CLONE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(rustix::mount::open_tree(fd, "", flags)?)
}

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// Mounts `mount` on what `target` was opened at.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

pub fn set_read_only(mount: impl AsFd, recursive: bool) -> io::Result<()> {
    sys::mount_setattr(mount, MountAttr { set: sys::MOUNT_ATTR_RDONLY, ..MountAttr::default() }, recursive)
}

/// `propagation` is one of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`.
pub fn set_propagation(mount: impl AsFd, propagation: libc::c_ulong) -> io::Result<()> {
    sys::mount_setattr(mount, MountAttr { propagation, ..MountAttr::default() }, true)
}
