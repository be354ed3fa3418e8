//! fsGroup: files of a volume belong to the pod's group and are usable by it.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

/// For everything below `path` and itself. Links are given the group but never followed.
pub fn apply(path: &Path, group: u32, read_only: bool) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if metadata.file_type().is_symlink() {
        return Ok(());
    }
    let usable = if read_only { 0o440 } else { 0o660 };
    let mode = metadata.permissions().mode() & 0o7777 | usable;
    if !metadata.is_dir() {
        return fs::set_permissions(path, fs::Permissions::from_mode(mode));
    }
    // What is made in it later belongs to the group as well.
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o2110))?;
    for entry in fs::read_dir(path)? {
        apply(&entry?.path(), group, read_only)?;
    }
    Ok(())
}
