//! Validation of the security contexts of pods and containers.

use std::collections::BTreeSet;

use api::names;

use super::super::cursor::{Cursor, Errors, text};
use super::{paths, windows};

/// A container's `securityContext`.
pub fn container(at: &Cursor, host_users: bool, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    ids(at, &["runAsUser", "runAsGroup"], errors);
    let proc_mount = at.child("procMount");
    if proc_mount.is_set() {
        errors.one_of_if_set(&proc_mount, &["Default", "Unmasked"]);
        if host_users && proc_mount.str() == "Unmasked" {
            errors.invalid(&proc_mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(&at.child("seccompProfile"), errors);
    if at.flag("allowPrivilegeEscalation") == Some(false) {
        if at.flag("privileged") == Some(true) {
            errors.invalid(at, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let capabilities = at.child("capabilities");
        if capabilities.child("add").items().any(|capability| capability.str() == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(at, detail);
        }
    }
    windows::options(&at.child("windowsOptions"), errors);
    app_armor(&at.child("appArmorProfile"), errors);
}

/// A PodSpec's `securityContext`, and what it shares with the fields beside it.
pub fn pod(spec: &Cursor, errors: &mut Errors) {
    let at = spec.child("securityContext");
    ids(&at, &["fsGroup", "runAsUser", "runAsGroup"], errors);
    for group in at.child("supplementalGroups").items() {
        if let Some(message) = names::numeric_id(group.int().unwrap_or_default()) {
            errors.invalid(&group, message);
        }
    }
    if spec.flag("hostPID") == Some(true) && spec.flag("shareProcessNamespace") == Some(true) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid_as(&at.child("shareProcessNamespace"), true, detail);
    }
    sysctls(spec, &at.child("sysctls"), errors);
    errors.one_of_if_set(&at.child("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    seccomp(&at.child("seccompProfile"), errors);
    windows::options(&at.child("windowsOptions"), errors);
    app_armor(&at.child("appArmorProfile"), errors);
    errors.one_of_if_set(&at.child("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    errors.one_of_if_set(&at.child("seLinuxChangePolicy"), &["Recursive"]);
}

fn ids(at: &Cursor, fields: &[&str], errors: &mut Errors) {
    for field in fields {
        let id = at.child(field);
        if let Some(number) = id.int()
            && let Some(message) = names::numeric_id(number)
        {
            errors.invalid(&id, message);
        }
    }
}

fn seccomp(at: &Cursor, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.child("type"), at.child("localhostProfile"));
    match kind.str() {
        "" => errors.required_because(&kind, "type is required when seccompProfile is set"),
        "Localhost" | "RuntimeDefault" | "Unconfined" => {}
        _ => errors.not_supported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
    if kind.str() != "Localhost" {
        if profile.is_set() {
            errors.invalid_as(&profile, at.value.clone(), "can only be set when seccomp type is Localhost");
        }
    } else if profile.is_set() {
        paths::descending(&profile, profile.str(), errors);
    } else {
        errors.required_because(&profile, "must be set when seccomp type is Localhost");
    }
}

fn app_armor(at: &Cursor, errors: &mut Errors) {
    const MAX_PROFILE: usize = 4095;
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.child("type"), at.child("localhostProfile"));
    match kind.str() {
        "Localhost" => {
            let name = profile.str();
            if !profile.is_set() || (name.is_empty()) {
                errors.required_because(&profile, "must be set when AppArmor type is Localhost");
            } else if name.trim() != name {
                errors.invalid(&profile, "must not be padded with whitespace");
            }
            if name.len() > MAX_PROFILE {
                errors.too_long(&profile, MAX_PROFILE);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if profile.is_set() {
                errors.invalid(&profile, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => errors.required_because(&kind, "type is required when appArmorProfile is set"),
        _ => errors.not_supported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

const SYSCTL_LENGTH: usize = 253;
const SYSCTL_RULE: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

fn sysctls(spec: &Cursor, at: &Cursor, errors: &mut Errors) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for sysctl in at.items() {
        let name = sysctl.child("name");
        if name.str().is_empty() {
            errors.required(&name);
        } else if !is_sysctl(name.str()) {
            errors
                .invalid(&name, format!("must have at most {SYSCTL_LENGTH} characters and match regex {SYSCTL_RULE}"));
        } else if seen.contains(name.str()) {
            errors.duplicate(&name);
        }
        let (host_network, host_ipc) = (spec.flag("hostNetwork"), spec.flag("hostIPC"));
        match sysctl_namespace(name.str()) {
            Some("net") if host_network == Some(true) => {
                errors.invalid_text(&name, "may not be specified when 'hostNetwork' is true");
            }
            Some("ipc") if host_ipc == Some(true) => {
                errors.invalid_text(&name, "may not be specified when 'hostIPC' is true");
            }
            _ => {}
        }
        seen.insert(text(sysctl.value, "name"));
    }
}

fn is_sysctl(name: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '_';
    let edge =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    name.len() <= SYSCTL_LENGTH
        && name
            .split(['.', '/'])
            .all(|segment| edge(segment.chars().next()) && edge(segment.chars().last()) && segment.chars().all(inner))
}

/// The kernel namespace that a sysctl belongs to.
fn sysctl_namespace(name: &str) -> Option<&'static str> {
    let slashes = name.chars().find(|letter| matches!(letter, '/' | '.')) == Some('/');
    let dotted = if slashes { swap_separators(name) } else { name.to_owned() };
    let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix));
    if ipc || dotted == "kernel.sem" {
        Some("ipc")
    } else if dotted.starts_with("net.") {
        Some("net")
    } else {
        None
    }
}

fn swap_separators(name: &str) -> String {
    name.chars()
        .map(|letter| match letter {
            '/' => '.',
            '.' => '/',
            other => other,
        })
        .collect()
}
