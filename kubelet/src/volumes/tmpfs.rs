//! Memory-backed directories, and what is mounted below a directory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

/// True when `path` is a mount point of its own.
pub fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.dev()).ok();
    path.parent().is_some_and(|parent| device(path).is_some() && device(path) != device(parent))
}

/// Mounts a tmpfs at `path`, which is made; nothing happens when there is one. `mode` in octal.
pub fn mount(path: &Path, size_bytes: Option<u64>, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if is_mounted(path) {
        return Ok(());
    }
    let size = size_bytes.map(|size| format!(",size={size}")).unwrap_or_default();
    let options = std::ffi::CString::new(format!("mode={mode:o}{size}")).map_err(io::Error::other)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str())?;
    Ok(())
}

/// Mount points below `dir` and `dir` itself, deepest first.
pub fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(unescape(path)))
        .filter(|path| path.starts_with(dir))
        .collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    Ok(found)
}

/// The kernel writes blanks and backslashes in octal.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => out.push(code as char),
            None => out.push('\\'),
        }
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    out + rest
}

/// Unmounts everything below `dir`. What is busy is detached: it vanishes with its last user.
pub fn unmount_below(dir: &Path) -> io::Result<()> {
    for path in mounts_below(dir)? {
        if rustix::mount::unmount(&path, UnmountFlags::NOFOLLOW).is_err() {
            rustix::mount::unmount(&path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_escapes() {
        assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
        assert_eq!(unescape("/plain\\"), "/plain\\");
    }
}
