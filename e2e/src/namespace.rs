//! A network namespace with nothing but loopback, held by a descriptor: it is gone when nobody is in it any more.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

#[derive(Clone, Debug)]
pub struct Namespace {
    handle: Arc<File>,
}

impl Namespace {
    pub fn new() -> Result<Self> {
        let make = || -> Result<Self> {
            // SAFETY: a network namespace of its own does not touch what threads share in memory or descriptors.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("make a network namespace")?;
            bring_up_loopback().context("bring up loopback")?;
            Self::current()
        };
        // The thread is lost to the namespace: it ends here.
        thread::spawn(make).join().map_err(|_| anyhow!("the thread that makes a namespace panicked"))?
    }

    /// The one that this thread is in.
    pub fn current() -> Result<Self> {
        let handle = File::open("/proc/thread-self/ns/net").context("hold the network namespace")?;
        Ok(Self { handle: Arc::new(handle) })
    }

    /// One that is mounted on a file.
    pub fn pinned(path: &Path) -> Result<Self> {
        let handle = File::open(path).with_context(|| format!("open {}", path.display()))?;
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Moves this thread into it, and with it all that it starts from now on.
    pub fn enter(&self) -> Result<()> {
        enter(&self.handle).context("enter the network namespace")
    }

    /// Another descriptor of it, for programs that take a namespace by its path.
    pub fn file(&self) -> io::Result<File> {
        self.handle.try_clone()
    }

    /// The kernel's number for it, the same for every process in it.
    pub fn inode(&self) -> Result<u64> {
        Ok(self.handle.metadata()?.ino())
    }

    /// A program that will run inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let handle = self.handle.clone();
        // SAFETY: one system call between fork and exec, on a descriptor that the closure keeps open.
        unsafe {
            command.pre_exec(move || enter(&handle));
        }
        command
    }

    /// Runs on a thread inside: what it connects and listens to is the cluster's.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| enter(&self.handle).map(|()| work()));
            match inside.join() {
                Ok(done) => done.context("enter the network namespace"),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Names of the links, loopback included.
    pub fn links(&self) -> Result<Vec<String>> {
        let table = self.run(|| fs::read_to_string("/proc/thread-self/net/dev"))?.context("list links")?;
        let names = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
        Ok(names.collect())
    }
}

fn enter(handle: &File) -> io::Result<()> {
    move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network)).map_err(io::Error::from)
}

fn bring_up_loopback() -> Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all zeroes is a value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the ifreq that is passed.
    let failed = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) } < 0;
    if failed { Err(io::Error::last_os_error().into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_loopback_only_and_is_not_this_one() {
        if !rustix::process::geteuid().is_root() {
            return crate::missing("network namespaces need root").unwrap();
        }
        let namespace = Namespace::new().unwrap();
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert_ne!(namespace.inode().unwrap(), own);
        assert_eq!(fs::metadata("/proc/thread-self/ns/net").unwrap().ino(), own, "this thread stays where it was");
        assert_eq!(namespace.links().unwrap().iter().filter(|name| *name == "lo").count(), 1);
        let echo = namespace.run(|| {
            let server = std::net::TcpListener::bind("127.0.0.1:80")?;
            std::net::TcpStream::connect(server.local_addr()?).map(drop)
        });
        echo.unwrap().expect("loopback is up");
        let out = namespace.command("readlink").arg("/proc/self/ns/net").output().unwrap();
        assert!(String::from_utf8_lossy(&out.stdout).contains(&namespace.inode().unwrap().to_string()));
    }
}
