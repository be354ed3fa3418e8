//! System call filters: the default one of container engines, and profile files.
//!
//! [`syscalls`] has the names and the default list, [`profile`] reads files, [`compile`] makes programs. They are compiled once by the
//! launcher and kept; loading one takes a system call.

mod compile;
mod profile;
mod syscalls;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use libc::sock_filter;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spec::Seccomp;
use crate::sys;
use compile::{Action, Condition, Operator, Rule, Rules};

#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    #[error("read the seccomp profile {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("parse the seccomp profile {path}: {source}")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("compile the seccomp profile {path}: {reason}")]
    Compile { path: PathBuf, reason: &'static str },
}

/// A program for the kernel.
pub struct Filter(Vec<sock_filter>);

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter({} instructions)", self.0.len())
    }
}

impl Filter {
    /// Applies to the calling process for good. Needs CAP_SYS_ADMIN or no_new_privs.
    pub fn load(&self) -> io::Result<()> {
        let len = u16::try_from(self.0.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog { len, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: pointer and length of one array, which the kernel copies.
        sys::check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) })
            .map(drop)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|step| (step.code, step.jt, step.jf, step.k)))
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let steps = Vec::<(u16, u8, u8, u32)>::deserialize(deserializer)?;
        Ok(Self(steps.into_iter().map(|(code, jt, jf, k)| sock_filter { code, jt, jf, k }).collect()))
    }
}

/// Compiled filters by what they depend on.
#[derive(Debug, Default)]
pub struct Cache {
    default: BTreeMap<u64, Rc<Filter>>,
}

impl Cache {
    /// `capabilities` widen the default filter. `None`: no filter. A profile file is read at each start, since it may change.
    pub fn filter(&mut self, seccomp: &Seccomp, capabilities: u64) -> Result<Option<Rc<Filter>>, SeccompError> {
        match seccomp {
            Seccomp::Unconfined => Ok(None),
            Seccomp::RuntimeDefault => {
                let key = capabilities & relevant();
                let filter = self.default.entry(key).or_insert_with(|| Rc::new(runtime_default(key)));
                Ok(Some(Rc::clone(filter)))
            }
            Seccomp::Localhost(path) => from_file(path).map(|filter| Some(Rc::new(filter))),
        }
    }
}

fn from_file(path: &PathBuf) -> Result<Filter, SeccompError> {
    let text = std::fs::read(path).map_err(|source| SeccompError::Read { path: path.clone(), source })?;
    let profile = serde_json::from_slice(&text).map_err(|source| SeccompError::Parse { path: path.clone(), source })?;
    let refuse = |reason| SeccompError::Compile { path: path.clone(), reason };
    let (rules, default) = profile::rules(&profile).ok_or_else(|| refuse("a system call has six arguments"))?;
    let program = compile::compile(&rules, default);
    if program.len() > libc::BPF_MAXINSNS as usize {
        return Err(refuse("it is too long for the kernel"));
    }
    Ok(Filter(program))
}

const CAP_SYS_RAWIO: u32 = 17;

fn has(capabilities: u64, capability: u32) -> bool {
    capabilities & (1 << capability) != 0
}

/// The capabilities that the default filter depends on.
fn relevant() -> u64 {
    syscalls::BY_CAPABILITY.iter().fold(1 << CAP_SYS_RAWIO, |set, (capability, _)| set | 1 << capability)
}

fn runtime_default(capabilities: u64) -> Filter {
    let allow = || vec![Rule::always(Action::Allow)];
    let allow_if = |operator, value| {
        let condition = Condition { argument: 0, operator, value, lower_half: true };
        Rule { conditions: vec![condition], action: Action::Allow }
    };
    let mut rules: Rules = syscalls::allowed().map(|(_, number)| (*number, allow())).collect();
    /// Linux, with or without the flags of old 32-bit programs, and the question for the current one.
    const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    let personalities = PERSONALITIES.into_iter().map(|value| allow_if(Operator::Equal, value)).collect();
    rules.insert(libc::SYS_personality as u32, personalities);
    // Not the host's hypervisor.
    rules.insert(libc::SYS_socket as u32, vec![allow_if(Operator::NotEqual, libc::AF_VSOCK as u64)]);
    // No new namespaces. clone3's flags are behind a pointer, which a filter cannot read: without it, libc uses clone.
    const NEW_NAMESPACES: u64 = 0x7e02_0000;
    rules.insert(libc::SYS_clone as u32, vec![allow_if(Operator::MaskedEqual(NEW_NAMESPACES), 0)]);
    rules.insert(libc::SYS_clone3 as u32, vec![Rule::always(Action::Errno(libc::ENOSYS as u16))]);
    for (capability, list) in syscalls::BY_CAPABILITY {
        if has(capabilities, *capability) {
            rules.extend(list.iter().map(|(_, number)| (*number, allow())));
        }
    }
    if has(capabilities, CAP_SYS_RAWIO) {
        rules.extend(syscalls::RAW_IO.iter().map(|(_, number)| (*number, allow())));
    }
    Filter(compile::compile(&rules, Action::Errno(libc::EPERM as u16)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP_SYS_ADMIN: u32 = 21;

    /// Runs `call` in a child under the filters; its exit code is the errno, 0 when the call was let through.
    fn errno_under(filters: &Filter, call: fn() -> libc::c_long) -> i32 {
        // SAFETY: the child makes system calls and ends; it takes no lock.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).ok();
            let code = match filters.load().and_then(|()| sys::check(call())) {
                Ok(_) => 0,
                Err(error) => error.raw_os_error().unwrap_or(255),
            };
            // SAFETY: ends the child without running the test harness' exit handlers.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for our own child.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
    }

    fn unshare() -> libc::c_long {
        // SAFETY: a number.
        unsafe { libc::syscall(libc::SYS_unshare, 0) }
    }
    fn getpid() -> libc::c_long {
        // SAFETY: no arguments.
        unsafe { libc::syscall(libc::SYS_getpid) }
    }
    fn clone3() -> libc::c_long {
        // SAFETY: a null argument is refused.
        unsafe { libc::syscall(libc::SYS_clone3, 0, 0) }
    }
    fn keyctl() -> libc::c_long {
        // SAFETY: numbers.
        unsafe { libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0) }
    }
    fn vsock() -> libc::c_long {
        // SAFETY: numbers.
        unsafe { libc::syscall(libc::SYS_socket, libc::AF_VSOCK, libc::SOCK_STREAM, 0) }
    }
    fn personality() -> libc::c_long {
        // SAFETY: a number.
        unsafe { libc::syscall(libc::SYS_personality, 0x1234) }
    }

    #[test]
    fn the_default_filter_depends_on_capabilities() {
        let mut cache = Cache::default();
        let mut get =
            |capabilities| cache.filter(&Seccomp::RuntimeDefault, capabilities).expect("compile").expect("some");
        let (plain, admin) = (get(0), get(1 << CAP_SYS_ADMIN));
        assert!(Rc::ptr_eq(&plain, &get(1)), "CAP_DAC_OVERRIDE changes nothing, so nothing is compiled");
        type Case<'a> = (&'a str, &'a Filter, fn() -> libc::c_long, i32);
        let cases: [Case<'_>; 8] = [
            ("getpid", &plain, getpid, 0),
            ("unshare", &plain, unshare, libc::EPERM),
            ("unshare with SYS_ADMIN", &admin, unshare, 0),
            ("clone3", &plain, clone3, libc::ENOSYS),
            ("clone3 with SYS_ADMIN reaches the kernel", &admin, clone3, libc::EINVAL),
            ("keyctl", &admin, keyctl, libc::EPERM),
            ("vsock", &admin, vsock, libc::EPERM),
            ("personality", &plain, personality, libc::EPERM),
        ];
        for (name, filters, call, expected) in cases {
            assert_eq!(errno_under(filters, call), expected, "{name}");
        }
    }

    #[test]
    fn a_profile_file_names_actions() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            {"names": ["unshare", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42},
            {"names": ["personality"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 0, "value": 4660, "op": "SCMP_CMP_EQ"}]},
            {"names": ["keyctl"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
        std::fs::write(file.path(), text).expect("write");
        let seccomp = Seccomp::Localhost(file.path().to_owned());
        let filters = Cache::default().filter(&seccomp, 0).expect("compile").expect("some");
        assert_eq!(errno_under(&filters, unshare), 42);
        assert_eq!(errno_under(&filters, personality), libc::EPERM);
        assert_eq!(errno_under(&filters, getpid), 0);
        assert_eq!(errno_under(&filters, keyctl), -libc::SIGSYS);

        std::fs::write(file.path(), "{").expect("write");
        assert!(matches!(Cache::default().filter(&seccomp, 0), Err(SeccompError::Parse { .. })));
    }
}
