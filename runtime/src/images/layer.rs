//! One layer's tar -> one directory that overlayfs can use as a lower layer.
//!
//! Every path of the tar is resolved below the directory by the kernel (`openat2`, `RESOLVE_BENEATH` and no symlinks in parents
//! that the tar made point elsewhere), so no archive can write outside of it. Whiteouts become overlayfs's own: a character
//! device 0:0, or the `trusted.overlay.opaque` attribute.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};

use super::content::at;
use super::{ImageError, Result};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Reads `tar` to its end (so that a digest computed on the way is complete) into the new directory `target`. `lower` are the layers
/// below, top first: a directory that the tar implies without naming it looks as it does there.
pub(super) fn unpack(mut tar: impl Read, target: &Path, lower: &[PathBuf]) -> Result<()> {
    std::fs::create_dir(target).map_err(at(target))?;
    let root = fs::open(target, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| at(target)(error.into()))?;
    let unpacker = Unpacker { root, lower };
    unpacker.adopt_root().map_err(|error| at(target)(error))?;
    let broken = |error: io::Error| ImageError::Archive(format!("layer: {error}"));
    let mut directory_times = Vec::new();
    {
        let mut archive = tar::Archive::new(&mut tar);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = entry.path().map_err(broken)?.into_owned();
            let unpacked = unpacker.entry(&mut entry, &path, &mut directory_times);
            unpacked.map_err(|error| ImageError::Archive(format!("layer entry {}: {error}", path.display())))?;
        }
    }
    for (path, times) in directory_times {
        // A later entry may have replaced the directory.
        let _ = fs::utimensat(&unpacker.root, &path, &times, AtFlags::SYMLINK_NOFOLLOW);
    }
    io::copy(&mut tar, &mut io::sink()).map_err(broken)?;
    Ok(())
}

struct Unpacker<'a> {
    root: OwnedFd,
    lower: &'a [PathBuf],
}

impl Unpacker<'_> {
    /// The layer's root directory decides the container's `/`: take it over from below.
    fn adopt_root(&self) -> io::Result<()> {
        self.imitate(Path::new(""), &open_directory(&self.root, ".")?)
    }

    fn entry(
        &self,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Path,
        directory_times: &mut Vec<(PathBuf, Timestamps)>,
    ) -> io::Result<()> {
        let path = relative(path)?;
        let kind = entry.header().entry_type();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            // "./": the root itself.
            let root = open_directory(&self.root, ".")?;
            return self.attributes(entry, &root);
        };
        let parent_fd = self.directory(parent)?;
        let text = name.to_str().unwrap_or_default();
        if text == OPAQUE {
            return Ok(fs::setxattr(proc_path(&parent_fd), "trusted.overlay.opaque", b"y", XattrFlags::empty())?);
        }
        if let Some(hidden) = text.strip_prefix(WHITEOUT) {
            self.clear(&parent_fd, Path::new(hidden), false)?;
            return Ok(fs::mknodat(&parent_fd, hidden, FileType::CharacterDevice, Mode::empty(), 0)?);
        }
        self.clear(&parent_fd, Path::new(name), kind.is_dir())?;
        self.make(entry, kind, &parent_fd, name)?;
        if kind.is_hard_link() {
            return Ok(()); // It shares the inode, whose attributes are set.
        }
        if kind.is_symlink() {
            let (uid, gid) = owner(entry)?;
            fs::chownat(&parent_fd, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            return Ok(fs::utimensat(&parent_fd, name, &times(entry)?, AtFlags::SYMLINK_NOFOLLOW)?);
        }
        let handle = fs::openat(&parent_fd, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        self.attributes(entry, &handle)?;
        if kind.is_dir() {
            directory_times.push((path.clone(), times(entry)?));
        } else {
            fs::utimensat(&parent_fd, name, &times(entry)?, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    fn make(
        &self,
        entry: &mut tar::Entry<'_, impl Read>,
        kind: tar::EntryType,
        parent: &OwnedFd,
        name: &std::ffi::OsStr,
    ) -> io::Result<()> {
        let device = |kind| -> io::Result<()> {
            let header = entry.header();
            let device = fs::makedev(header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
            Ok(fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device)?)
        };
        match kind {
            tar::EntryType::Directory => match fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                Err(rustix::io::Errno::EXIST) => Ok(()),
                other => Ok(other?),
            },
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
                io::copy(entry, &mut std::fs::File::from(file)).map(drop)
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or_else(|| invalid("a symlink without a target"))?;
                Ok(fs::symlinkat(target.as_ref(), parent, name)?)
            }
            tar::EntryType::Link => {
                let target = entry.link_name()?.ok_or_else(|| invalid("a hard link without a target"))?;
                let target = relative(&target)?;
                let source = self.directory(target.parent().unwrap_or(Path::new("")))?;
                let source_name = target.file_name().ok_or_else(|| invalid("a hard link to the root"))?;
                Ok(fs::linkat(&source, source_name, parent, name, AtFlags::empty())?)
            }
            tar::EntryType::Char => device(FileType::CharacterDevice),
            tar::EntryType::Block => device(FileType::BlockDevice),
            tar::EntryType::Fifo => device(FileType::Fifo),
            other => Err(invalid(&format!("an entry of unknown type {other:?}"))),
        }
    }

    /// Owner, mode and extended attributes, in this order: chown clears set-uid bits and capabilities.
    fn attributes(&self, entry: &mut tar::Entry<'_, impl Read>, handle: &OwnedFd) -> io::Result<()> {
        let (uid, gid) = owner(entry)?;
        fs::chownat(handle, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        let through = proc_path(handle);
        fs::chmod(&through, Mode::from_raw_mode(entry.header().mode()? & 0o7777))?;
        let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
        for extension in extensions {
            let extension = extension?;
            let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else { continue };
            let name = std::str::from_utf8(name).map_err(|_| invalid("an attribute name that is not UTF-8"))?;
            // An image must not decide how overlayfs reads this layer.
            if !name.starts_with("trusted.overlay.") {
                fs::setxattr(&through, name, extension.value_bytes(), XattrFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Opens a directory below the root, making what is missing.
    fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return open_directory(&self.root, ".");
        }
        match open_directory(&self.root, path) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOENT.raw_os_error()) => {}
            other => return other,
        }
        let parent = self.directory(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().ok_or_else(|| invalid("a path without a name"))?;
        fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
        let made = open_directory(&self.root, path)?;
        self.imitate(path, &made)?;
        Ok(made)
    }

    /// Gives a directory the owner and mode that it has in the layers below.
    fn imitate(&self, path: &Path, made: &OwnedFd) -> io::Result<()> {
        let below = self.lower.iter().find_map(|layer| {
            let status = fs::lstat(layer.join(path)).ok()?;
            (FileType::from_raw_mode(status.st_mode) == FileType::Directory).then_some(status)
        });
        let Some(status) = below else { return Ok(()) };
        let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
        fs::chownat(made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        Ok(fs::chmod(proc_path(made), Mode::from_raw_mode(status.st_mode & 0o7777))?)
    }

    /// Removes what an entry replaces: later entries of a tar win. A directory stays when a directory comes.
    fn clear(&self, parent: &OwnedFd, name: &Path, directory_comes: bool) -> io::Result<()> {
        let status = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            other => other?,
        };
        let is_directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
        match (is_directory, directory_comes) {
            (true, true) => Ok(()),
            (true, false) => std::fs::remove_dir_all(Path::new(&proc_path(parent)).join(name)),
            (false, _) => Ok(fs::unlinkat(parent, name, AtFlags::empty())?),
        }
    }
}

fn open_directory(root: &OwnedFd, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // IN_ROOT: a symlinked parent (`lib -> usr/lib`) works as it would in the container, and never leaves the root.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(fs::openat2(root, path.as_ref(), flags, Mode::empty(), resolve)?)
}

/// An `O_PATH` handle's way through /proc, for calls that want a path.
fn proc_path(handle: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

/// A path of a tar, without `./`, leading `/`; `..` is refused.
fn relative(path: &Path) -> io::Result<PathBuf> {
    let mut answer = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => answer.push(name),
            Component::ParentDir => return Err(invalid("a path with ..")),
            _ => {}
        }
    }
    Ok(answer)
}

fn owner(entry: &tar::Entry<'_, impl Read>) -> io::Result<(Uid, Gid)> {
    let id = |value: u64| u32::try_from(value).map_err(|_| invalid("an owner that is no 32-bit number"));
    Ok((Uid::from_raw(id(entry.header().uid()?)?), Gid::from_raw(id(entry.header().gid()?)?)))
}

fn times(entry: &tar::Entry<'_, impl Read>) -> io::Result<Timestamps> {
    let seconds = i64::try_from(entry.header().mtime()?).unwrap_or(0);
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Ok(Timestamps { last_access: time, last_modification: time })
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
