//! The namespaces of a sandbox: made by a short-lived child, kept by the launcher as descriptors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use super::error::{StartError, Step};
use super::{Report, Reporter};
use crate::net::{self, Netlink};
use crate::spec::SandboxSpec;
use crate::sys;

/// The namespaces a sandbox has of its own. The host's name goes with the host's network, as in Kubernetes.
pub fn namespaces(spec: &SandboxSpec) -> Vec<(libc::c_int, &'static str)> {
    let mut kinds = Vec::new();
    if spec.network.is_some() {
        kinds.push((libc::CLONE_NEWNET, "net"));
    }
    if !spec.host_ipc {
        kinds.push((libc::CLONE_NEWIPC, "ipc"));
    }
    if spec.network.is_some() {
        kinds.push((libc::CLONE_NEWUTS, "uts"));
    }
    kinds
}

/// Runs in the child: makes the namespaces, sets them up and sends them to the launcher.
pub fn run(spec: &SandboxSpec, reporter: &mut Reporter) -> Result<(), StartError> {
    let host = Netlink::open().step(|| "open rtnetlink".into())?;
    let kinds = namespaces(spec);
    sys::unshare(kinds.iter().fold(0, |all, (kind, _)| all | kind)).step(|| "make namespaces".into())?;
    let open = |name: &str| File::open(format!("/proc/self/ns/{name}")).map(OwnedFd::from);
    let fds =
        kinds.iter().map(|(_, name)| open(name)).collect::<io::Result<Vec<_>>>().step(|| "open namespaces".into())?;
    if let (Some(network), Some(namespace)) = (&spec.network, fds.first()) {
        let inside = Netlink::open().step(|| "open rtnetlink".into())?;
        net::loopback_up(&inside).map_err(|error| StartError::failed(error.to_string()))?;
        net::connect_sandbox(&host, &inside, namespace.as_fd(), &spec.id, network)
            .map_err(|error| StartError::failed(error.to_string()))?;
        rustix::system::sethostname(spec.hostname.as_bytes()).step(|| "set the host name".into())?;
    }
    set_sysctls(&spec.sysctls, &kinds)?;
    reporter.push(&Report::Namespaces, fds).and_then(|()| reporter.flush()).step(|| "report to the launcher".into())
}

/// Only sysctls of a namespace that the sandbox has of its own: others would change the host.
fn set_sysctls(sysctls: &BTreeMap<String, String>, kinds: &[(libc::c_int, &str)]) -> Result<(), StartError> {
    for (name, value) in sysctls {
        let path = sysctl_path(name);
        let belongs = kinds.iter().any(|(kind, _)| match *kind {
            libc::CLONE_NEWNET => path.starts_with("net"),
            libc::CLONE_NEWIPC => is_ipc(name),
            _ => false,
        });
        if !belongs {
            return Err(StartError::failed(format!("set sysctl {name}: it is not of a namespace of this sandbox")));
        }
        let full = PathBuf::from("/proc/sys").join(path);
        std::fs::write(&full, value).step(|| format!("set sysctl {name} to {value:?}"))?;
    }
    Ok(())
}

fn is_ipc(name: &str) -> bool {
    let name = name.replace('/', ".");
    ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix)) || name == "kernel.sem"
}

/// `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are the same; in the second form dots are part of a name.
fn sysctl_path(name: &str) -> PathBuf {
    let slashes = name.find('/').is_some_and(|slash| name.find('.').is_none_or(|dot| slash < dot));
    let path = if slashes { name.to_owned() } else { name.replace('.', "/") };
    // No step upwards leaves /proc/sys.
    path.split('/').filter(|part| !part.is_empty() && *part != "..").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_stay_in_their_namespace() {
        let paths = [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net/../kernel/panic", "net/kernel/panic"),
        ];
        for (name, path) in paths {
            assert_eq!(sysctl_path(name), PathBuf::from(path), "{name}");
        }
        let refused =
            [("kernel.panic", true), ("net.core.somaxconn", false), ("kernel.shmmax", true), ("vm.swappiness", true)];
        for (name, with_network) in refused {
            let kinds: &[(libc::c_int, &str)] =
                if with_network { &[(libc::CLONE_NEWNET, "net")] } else { &[(libc::CLONE_NEWIPC, "ipc")] };
            let sysctls = [(name.to_owned(), "1".to_owned())].into();
            let error = set_sysctls(&sysctls, kinds).expect_err(name);
            assert!(error.message.contains("not of a namespace"), "{name}: {}", error.message);
        }
    }
}
