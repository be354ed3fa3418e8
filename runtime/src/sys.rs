//! System calls that rustix does not wrap, or not as we need them. Everything unsafe of the runtime is here or says why not.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::descriptor::Descriptor;

pub const MOUNT_ATTR_RDONLY: u64 = 0x1;

/// mount_setattr(2)'s `struct mount_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MountAttr {
    pub set: u64,
    pub clear: u64,
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, or 0 to leave it.
    pub propagation: u64,
    pub userns_fd: u64,
}

/// Changes the mount that `mount` is the root of, and with `recursive` all below it.
pub fn mount_setattr(mount: impl AsFd, attr: MountAttr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a literal, the structure lives through the call and its size is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

/// clone3(2)'s `struct clone_args`, version 2.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A child process, known by a descriptor that no other process can take over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Child {
    pub pid: i32,
    pub pidfd: Descriptor,
}

/// Clones this process like fork: `None` in the child.
///
/// # Safety
/// The process must have one thread only: the child owns a copy of all memory, locks included.
pub unsafe fn clone_process(namespaces: u64, cgroup: Option<&OwnedFd>) -> io::Result<Option<Child>> {
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: namespaces | CLONE_PIDFD,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: the arguments live through the call; with stack 0 the child goes on here on its copy of the stack.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel made this descriptor for us.
    Ok(Some(Child { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) }.into() }))
}

/// Executes the file with our environment; comes back only when that fails.
pub fn execute(file: &OwnedFd, arguments: &[CString]) -> io::Result<std::convert::Infallible> {
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut pointers: Vec<*const libc::c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: path and arguments are strings that live through the call, the array ends with a null pointer.
    unsafe { libc::execv(path.as_ptr(), pointers.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Closes (or with `CLOSE_RANGE_CLOEXEC` marks) all descriptors from `first` on.
pub fn close_range(first: i32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: numbers only. Whoever owns a descriptor in the range is about to end or to execute.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) }).map(drop)
}

pub fn setns(namespace: impl AsFd, kinds: libc::c_int) -> io::Result<()> {
    // SAFETY: a descriptor and a number.
    check(unsafe { libc::setns(namespace.as_fd().as_raw_fd(), kinds) }.into()).map(drop)
}

pub fn unshare(kinds: libc::c_int) -> io::Result<()> {
    // SAFETY: a number.
    check(unsafe { libc::unshare(kinds) }.into()).map(drop)
}

pub fn pidfd_send_signal(process: impl AsFd, signal: libc::c_int) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a descriptor, a number, and no siginfo.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_fd().as_raw_fd(), signal, info, 0) }).map(drop)
}

/// prctl(2) with numbers only.
pub fn prctl(option: libc::c_int, arg2: libc::c_ulong, arg3: libc::c_ulong) -> io::Result<libc::c_int> {
    // SAFETY: the callers pass options whose arguments are numbers.
    check(unsafe { libc::prctl(option, arg2, arg3, 0 as libc::c_ulong, 0 as libc::c_ulong) }.into())
        .map(|value| value as libc::c_int)
}

pub fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: a zeroed set is a place to write to; sigemptyset and sigaddset fill it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

pub fn block_signals(signals: &[libc::c_int]) -> io::Result<()> {
    let set = signal_set(signals);
    // SAFETY: a filled set; the old one is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) }.into()).map(drop)
}

/// Makes no signal blocked and gives all their default action, as a new program expects.
pub fn reset_signals() -> io::Result<()> {
    // The kernel's structure, all zero: the default action, no flags, no mask. libc would refuse the two signals that it keeps.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: structure and mask size are the kernel's; the old action is not asked for. KILL and STOP refuse, as they should.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8) };
    }
    let set = signal_set(&[]);
    // SAFETY: a filled set; the old one is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) }.into()).map(drop)
}

pub fn ignore_signals(signals: &[libc::c_int]) {
    for signal in signals {
        // SAFETY: ignoring is no handler of ours.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Waits until one of these blocked signals arrives.
pub fn wait_for_signal(signals: &[libc::c_int]) {
    let set = signal_set(signals);
    let mut received = 0;
    // SAFETY: a filled set and a place for the answer. An interruption is as good as a signal to the callers.
    unsafe { libc::sigwait(&raw const set, &raw mut received) };
}

/// A descriptor that is readable while one of these blocked signals waits.
pub fn signal_descriptor(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: a filled set; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(fd.into())?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
