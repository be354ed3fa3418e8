//! System call filters: the default one of container engines, and profile files.
//!
//! Filters are compiled once by the launcher and kept; loading one takes a system call.

mod profile;
mod syscalls;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::spec::Seccomp;
use crate::sys;

#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    #[error("read the seccomp profile {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("parse the seccomp profile {path}: {source}")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("compile the seccomp profile: {0}")]
    Compile(#[from] seccompiler::BackendError),
}

/// Rules by system call number; `None`: whatever the arguments.
type Rules = BTreeMap<i64, Option<Vec<SeccompRule>>>;

/// Programs to load in this order; the kernel takes the strictest of their answers, of equals the last one's.
#[derive(Debug)]
pub struct Filters(Vec<BpfProgram>);

impl Filters {
    /// Applies to the calling process for good. Needs CAP_SYS_ADMIN or no_new_privs.
    pub fn load(&self) -> io::Result<()> {
        for program in &self.0 {
            let length = u16::try_from(program.len()).map_err(io::Error::other)?;
            let program = libc::sock_fprog { len: length, filter: program.as_ptr() as *mut libc::sock_filter };
            // SAFETY: seccompiler's instruction has the layout of sock_filter (both are the kernel's); the kernel copies.
            sys::check(unsafe {
                libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
            })?;
        }
        Ok(())
    }
}

/// Compiled filters by what they depend on.
#[derive(Debug, Default)]
pub struct Cache {
    default: BTreeMap<u64, Rc<Filters>>,
}

impl Cache {
    /// `capabilities` widen the default filter. `None`: no filter. A profile file is read at each start, since it may change.
    pub fn filters(&mut self, seccomp: &Seccomp, capabilities: u64) -> Result<Option<Rc<Filters>>, SeccompError> {
        match seccomp {
            Seccomp::Unconfined => Ok(None),
            Seccomp::RuntimeDefault => {
                let key = capabilities & relevant();
                if let Some(known) = self.default.get(&key) {
                    return Ok(Some(Rc::clone(known)));
                }
                let filters = Rc::new(runtime_default(key)?);
                self.default.insert(key, Rc::clone(&filters));
                Ok(Some(filters))
            }
            Seccomp::Localhost(path) => {
                let text = std::fs::read(path).map_err(|source| SeccompError::Read { path: path.clone(), source })?;
                let profile = serde_json::from_slice(&text)
                    .map_err(|source| SeccompError::Parse { path: path.clone(), source })?;
                let filters = profile::filters(&profile)?;
                let programs = filters.into_iter().map(|(rules, other, matching)| compile(rules, other, matching));
                Ok(Some(Rc::new(Filters(programs.collect::<Result<_, _>>()?))))
            }
        }
    }
}

const CAP_SYS_RAWIO: u32 = 17;
const CAP_SYS_ADMIN: u32 = 21;

fn has(capabilities: u64, capability: u32) -> bool {
    capabilities & (1 << capability) != 0
}

/// The capabilities that the default filter depends on.
fn relevant() -> u64 {
    syscalls::BY_CAPABILITY.iter().fold(1 << CAP_SYS_RAWIO, |set, (capability, _)| set | 1 << capability)
}

fn runtime_default(capabilities: u64) -> Result<Filters, SeccompError> {
    let mut rules: Rules = syscalls::allowed().map(|(_, number)| (*number, None)).collect();
    for (capability, list) in syscalls::BY_CAPABILITY {
        if has(capabilities, *capability) {
            rules.extend(list.iter().map(|(_, number)| (*number, None)));
        }
    }
    if has(capabilities, CAP_SYS_RAWIO) {
        rules.extend(syscalls::RAW_IO.iter().map(|(_, number)| (*number, None)));
    }
    /// Linux, with or without the flags of old 32-bit programs, and the question for the current one.
    const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    let personalities = PERSONALITIES.into_iter().map(|value| condition(0, SeccompCmpOp::Eq, value));
    rules.insert(libc::SYS_personality, Some(personalities.collect::<Result<_, _>>()?));
    // Not the host's hypervisor.
    rules.insert(libc::SYS_socket, Some(vec![condition(0, SeccompCmpOp::Ne, libc::AF_VSOCK as u64)?]));

    let errno = |errno: i32| SeccompAction::Errno(errno as u32);
    if has(capabilities, CAP_SYS_ADMIN) {
        return Ok(Filters(vec![compile(rules, errno(libc::EPERM), SeccompAction::Allow)?]));
    }
    // No new namespaces. clone3's flags are behind a pointer, which a filter cannot read: without it, libc uses clone.
    const NEW_NAMESPACES: u64 = 0x7e02_0000;
    rules.insert(libc::SYS_clone, Some(vec![condition(0, SeccompCmpOp::MaskedEq(NEW_NAMESPACES), 0)?]));
    rules.insert(libc::SYS_clone3, None);
    let clone3: Rules = [(libc::SYS_clone3, None)].into();
    Ok(Filters(vec![
        compile(rules, errno(libc::EPERM), SeccompAction::Allow)?,
        compile(clone3, SeccompAction::Allow, errno(libc::ENOSYS))?,
    ]))
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, SeccompError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn compile(rules: Rules, other: SeccompAction, matching: SeccompAction) -> Result<BpfProgram, SeccompError> {
    let arch = if cfg!(target_arch = "x86_64") { TargetArch::x86_64 } else { TargetArch::aarch64 };
    Ok(SeccompFilter::new(profile::flatten(rules), other, matching, arch)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `call` in a child under the filters; its exit code is the errno, 0 when the call was let through.
    fn errno_under(filters: &Filters, call: fn() -> libc::c_long) -> i32 {
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
            |capabilities| cache.filters(&Seccomp::RuntimeDefault, capabilities).expect("compile").expect("some");
        let (plain, admin) = (get(0), get(1 << CAP_SYS_ADMIN));
        assert!(Rc::ptr_eq(&plain, &get(1)), "CAP_DAC_OVERRIDE changes nothing, so nothing is compiled");
        type Case<'a> = (&'a str, &'a Filters, fn() -> libc::c_long, i32);
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
        let filters = Cache::default().filters(&seccomp, 0).expect("compile").expect("some");
        assert_eq!(errno_under(&filters, unshare), 42);
        assert_eq!(errno_under(&filters, personality), libc::EPERM);
        assert_eq!(errno_under(&filters, getpid), 0);
        assert_eq!(errno_under(&filters, keyctl), -libc::SIGSYS);

        std::fs::write(file.path(), "{").expect("write");
        assert!(matches!(Cache::default().filters(&seccomp, 0), Err(SeccompError::Parse { .. })));
    }
}
