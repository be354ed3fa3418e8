//! Paths inside a container's root file system, which its image and its volumes may have filled with traps.
//!
//! Every step resolves by openat2 with RESOLVE_IN_ROOT from a descriptor of the root: a link to `/` or `..` means the
//! container's root, whoever changes the tree meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// What a path shall lead to when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
}

fn open_with(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    // Relative: with RESOLVE_IN_ROOT `/` and the root itself are the same.
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        // AGAIN: something was renamed while `..` was resolved.
        match rustix::fs::openat2(root.as_fd(), relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Opens a path as a place to mount on or look at, links followed.
pub fn open(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    Ok(open_with(root, path, OFlags::PATH)?)
}

/// The text of a small file; empty when there is none.
pub fn read(root: impl AsFd, path: &Path) -> io::Result<String> {
    /// /etc/passwd of a large site; protects the launcher's memory.
    const TEXT_MAX: u64 = 16 << 20;
    let fd = match open_with(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    File::from(fd).take(TEXT_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a path like `open`, making what is missing of it: directories on the way, and at its end what `kind` says.
/// A link that leads nowhere is followed and its target is made.
pub fn ensure(root: impl AsFd, path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    let root = root.as_fd();
    // Most are there.
    if let Ok(found) = open_with(root, path, OFlags::PATH) {
        return Ok(found);
    }
    let mut todo: VecDeque<PathBuf> = parts(path).collect();
    let mut done = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part.as_os_str() == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        let last = todo.is_empty();
        let found = match open_with(root, &next, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => {
                make(root, &done, &part, if last { kind } else { Kind::Directory })?;
                done = next;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::Symlink {
            done = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes();
        let target = PathBuf::from(std::ffi::OsString::from_vec(target));
        if target.is_absolute() {
            done.clear();
        }
        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
            todo.push_front(part);
        }
    }
    open(root, &done)
}

fn make(root: impl AsFd, parent: &Path, name: &Path, kind: Kind) -> io::Result<()> {
    let parent = open_with(root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
    let made = match kind {
        Kind::Directory => rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)),
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_is_made_or_opened_outside_the_root() {
        let dir = tempfile::tempdir().expect("tempdir");
        let root_path = dir.path().join("root");
        let outside = dir.path().join("outside");
        std::fs::create_dir_all(root_path.join("etc")).expect("mkdir");
        std::fs::create_dir(&outside).expect("mkdir");
        symlink(&outside, root_path.join("absolute")).expect("link");
        symlink("../../outside", root_path.join("relative")).expect("link");
        symlink("/run", root_path.join("etc/dangling")).expect("link");
        symlink("loop", root_path.join("loop")).expect("link");
        symlink("../etc/./hosts", root_path.join("etc/link")).expect("link");
        let root = File::open(&root_path).expect("open");

        let inside = outside.strip_prefix("/").expect("absolute");
        let cases: [(&str, Kind, PathBuf); 8] = [
            ("/a/b/c", Kind::Directory, "a/b/c".into()),
            ("/a/b/file", Kind::File, "a/b/file".into()),
            ("/absolute/x", Kind::Directory, inside.join("x")),
            ("/relative/y", Kind::File, "outside/y".into()),
            ("/etc/dangling/secrets", Kind::Directory, "run/secrets".into()),
            ("/../../../up", Kind::Directory, "up".into()),
            ("/etc/link", Kind::File, "etc/hosts".into()),
            ("/", Kind::Directory, "".into()),
        ];
        for (path, kind, expected) in cases {
            ensure(&root, Path::new(path), kind).unwrap_or_else(|error| panic!("{path}: {error}"));
            let made = root_path.join(&expected);
            assert_eq!(made.is_dir(), kind == Kind::Directory, "{path} -> {}", made.display());
            assert!(made.exists(), "{path} -> {}", made.display());
        }
        assert_eq!(std::fs::read_dir(&outside).expect("read").count(), 0, "nothing came out");
        ensure(&root, Path::new("/loop/x"), Kind::File).expect_err("loop");
        ensure(&root, Path::new("/a/b/file/x"), Kind::File).expect_err("a file is no directory");
        assert_eq!(read(&root, Path::new("/nothing")).expect("read"), "");
        std::fs::write(outside.join("secret"), "secret").expect("write");
        assert_eq!(read(&root, Path::new("/relative/secret")).expect("read"), "");
    }
}
