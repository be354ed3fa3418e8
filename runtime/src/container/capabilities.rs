//! Capability sets: by name, and applied to the calling process.

use std::io;

use crate::spec::Security;
use crate::sys;

/// By number, as in capability.h.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What every container engine gives by default.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {0:?}")]
pub struct UnknownCapability(String);

/// The capabilities of a container as a bit set. Containerd's order: `ALL` in either list first, then the names to add, then
/// the names to drop. `available` are the launcher's own: others cannot be given.
pub fn resolve(security: &Security, available: u64) -> Result<u64, UnknownCapability> {
    if security.privileged {
        return Ok(available);
    }
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let mut set = DEFAULT.iter().filter_map(|name| number(name)).fold(0, |set, bit| set | 1 << bit);
    if security.add_capabilities.iter().any(is_all) {
        set = u64::MAX;
    }
    if security.drop_capabilities.iter().any(is_all) {
        set = 0;
    }
    for name in security.add_capabilities.iter().filter(|name| !is_all(name)) {
        set |= 1 << number(name).ok_or_else(|| UnknownCapability(name.clone()))?;
    }
    for name in security.drop_capabilities.iter().filter(|name| !is_all(name)) {
        set &= !(1 << number(name).ok_or_else(|| UnknownCapability(name.clone()))?);
    }
    Ok(set & available)
}

fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == plain).map(|index| index as u32)
}

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// One half (32 bits) of the three sets.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The capabilities this process may use or give away.
pub fn permitted() -> io::Result<u64> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads the header and fills two structures.
    sys::check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    Ok(u64::from(data[0].permitted) | u64::from(data[1].permitted) << 32)
}

/// Takes all capabilities outside `set` out of the bounding set: no program executed later can regain them. Empties the
/// ambient set.
pub fn bound(set: u64) -> io::Result<()> {
    // The kernel may know more capabilities than we do, or fewer.
    for bit in (0..64).take_while(|bit| sys::prctl(libc::PR_CAPBSET_READ, *bit, 0).is_ok()) {
        if set & (1 << bit) == 0 {
            sys::prctl(libc::PR_CAPBSET_DROP, bit, 0)?;
        }
    }
    sys::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0).map(drop)
}

/// Makes `set` the effective and permitted sets. The inheritable set stays empty (CVE-2022-24769).
pub fn apply(set: u64) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    let half = |bits: u32| Data { effective: bits, permitted: bits, inheritable: 0 };
    let data = [half(set as u32), half((set >> 32) as u32)];
    // SAFETY: version 3 reads the header and two structures.
    sys::check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn add_and_drop_follow_containerd() {
        const DEFAULTS: u64 = 0xa804_25fb;
        const ALL: u64 = (1 << 41) - 1;
        let available = ALL & !(1 << 24);
        type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Result<u64, &'a str>);
        let cases: [Case<'_>; 8] = [
            ("defaults", &[], &[], Ok(DEFAULTS)),
            ("add", &["NET_ADMIN"], &[], Ok(DEFAULTS | 1 << 12)),
            ("prefix and case", &["cap_net_admin"], &["CAP_CHOWN"], Ok((DEFAULTS | 1 << 12) & !1)),
            ("drop all, add one", &["NET_BIND_SERVICE"], &["ALL"], Ok(1 << 10)),
            ("add all, drop one", &["ALL"], &["SYS_ADMIN"], Ok(available & !(1 << 21))),
            ("drop wins", &["KILL"], &["KILL"], Ok(DEFAULTS & !(1 << 5))),
            ("not available", &["SYS_RESOURCE"], &["ALL"], Ok(0)),
            ("unknown", &["FLY"], &[], Err("unknown capability \"FLY\"")),
        ];
        for (name, add, drop, expected) in cases {
            let security = Security {
                add_capabilities: add.iter().map(|name| (*name).to_owned()).collect(),
                drop_capabilities: drop.iter().map(|name| (*name).to_owned()).collect(),
                ..Security::default()
            };
            let got = resolve(&security, available).map_err(|error| error.to_string());
            assert_eq!(got, expected.map_err(str::to_owned), "{name}");
        }
        let privileged = Security { privileged: true, ..Security::default() };
        assert_eq!(resolve(&privileged, available), Ok(available));
    }
}
