//! Whether this machine can run a node at all: each refusal is one sentence that says what is missing and what to do.

use std::fs;
use std::net::TcpListener;

use anyhow::{Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};

/// What can be told before anything is made.
pub fn check() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("starting a node needs root, for namespaces, mounts and cgroups: run `sudo setpoint up`");
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        bail!("this kernel has no overlayfs, which containers' root file systems need: try `modprobe overlay`");
    }
    for (namespace, option) in
        [("net", "NET_NS"), ("pid", "PID_NS"), ("mnt", "NAMESPACES"), ("ipc", "IPC_NS"), ("uts", "UTS_NS")]
    {
        if !fs::exists(format!("/proc/self/ns/{namespace}")).unwrap_or(false) {
            bail!(
                "this kernel has no {namespace} namespaces, which containers need: use one built with CONFIG_{option}"
            );
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if !mounts.contains(" - cgroup") {
        bail!("no cgroup hierarchy is mounted, which containers' limits need: `mount -t cgroup2 none /sys/fs/cgroup`");
    }
    if let Err(error) = network::nft::Table::open("setpoint_probe") {
        bail!("this kernel has no nftables, which Services need: try `modprobe nf_tables` ({error})");
    }
    Ok(())
}

/// Fails in words when a port is taken. The listener is closed again: the server binds it itself a moment later.
pub fn port_is_free(port: u16) -> Result<()> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("port {port} is in use on this machine: choose another with --api-port")
        }
        Err(error) => bail!("port {port} cannot be used: {error}"),
    }
}

/// Watches, containers' pipes and connections all want file descriptors: take as many as we may.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "raising the limit of open files failed");
    }
}
