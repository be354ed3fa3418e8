//! The root file system: an overlay of the image's layers and the container's own, and the way into it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, UnmountFlags};

use super::error::{StartError, Step};
use super::mount;

/// A mounted root file system.
pub struct Rootfs {
    /// Its root directory, in this mount namespace.
    pub root: OwnedFd,
}

/// Mounts an overlay on `place`, which all containers of a node share: each is alone in its mount namespace. `layers` are the
/// image's directories, top first; what the container writes goes to `dir/upper`, which is used once and never synced.
pub fn mount_overlay(dir: &Path, place: &Path, layers: &[PathBuf]) -> Result<Rootfs, StartError> {
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    for made in [&upper, &work] {
        rustix::fs::mkdir(made, Mode::from_raw_mode(0o755)).step(|| format!("create {}", made.display()))?;
    }
    let explain = || "mount the overlay of the image's layers".to_owned();
    match overlay_by_descriptor(layers, &upper, &work) {
        Ok(overlay) => {
            let target = open_directory(place).step(explain)?;
            mount::attach(&overlay, &target).step(explain)?;
        }
        // Before Linux 6.5 layers cannot be added one by one, and each path had to be short.
        Err(Errno::INVAL) => overlay_by_options(layers, &upper, &work, place)
            .step(|| format!("{} (the upper layer must be on a file system such as ext4, xfs or tmpfs)", explain()))?,
        Err(error) => return Err(error).step(explain),
    }
    Ok(Rootfs { root: open_directory(place).step(explain)? })
}

fn overlay_by_descriptor(layers: &[PathBuf], upper: &Path, work: &Path) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in layers {
        rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    rustix::mount::fsconfig_set_string(&context, "upperdir", upper)?;
    rustix::mount::fsconfig_set_string(&context, "workdir", work)?;
    rustix::mount::fsconfig_set_flag(&context, "volatile")?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn overlay_by_options(layers: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> rustix::io::Result<()> {
    let escape = |path: &Path| path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,");
    let lower: Vec<String> = layers.iter().map(|layer| escape(layer)).collect();
    let options = format!("lowerdir={},upperdir={},workdir={},volatile", lower.join(":"), escape(upper), escape(work));
    let options = std::ffi::CString::new(options).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str())
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

impl Rootfs {
    pub fn set_read_only(&self) -> Result<(), StartError> {
        mount::set_read_only(&self.root, false).step(|| "make the root file system read-only".into())
    }

    /// Makes this the root of the process' mount namespace and drops the host's. Its current directory becomes `/`.
    pub fn enter(&self) -> Result<(), StartError> {
        self.pivot().step(|| "pivot into the root file system".into())
    }

    fn pivot(&self) -> io::Result<()> {
        rustix::process::fchdir(&self.root)?;
        // The old root lands on top of the new one, where `.` is: the next call takes it away.
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        Ok(rustix::process::chdir("/")?)
    }
}

/// From now on mounts of this namespace do not reach the host; the host's still reach it, until the root is left.
pub fn detach_from_host() -> Result<(), StartError> {
    let root = open_directory(Path::new("/")).step(|| "open /".into())?;
    mount::set_propagation(root.as_fd(), libc::MS_SLAVE).step(|| "make the mounts of the host slaves".into())
}
