//! The node's bridge and its sandboxes' links, by raw rtnetlink ([`netlink`]: messages, [`link`]: requests), and what connects
//! nodes ([`between`]).
//!
//! A veth is never deleted: that waits 28 ms for the kernel, while dropping the sandbox's namespace takes it along.

pub mod between;
mod link;
mod netlink;

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::spec::SandboxNetwork;
use link::{LOOPBACK, Veth};
pub(crate) use netlink::Netlink;

#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct NetError {
    pub what: String,
    pub source: io::Error,
}

type Result<T> = std::result::Result<T, NetError>;

fn context<T>(result: io::Result<T>, what: impl FnOnce() -> String) -> Result<T> {
    result.map_err(|source| NetError { what: what(), source })
}

/// Makes (or repairs) the bridge that sandboxes are plugged into, with `gateway` as the host's address on it, and lets the
/// host forward. Blocks. Acts in the network namespace of the calling thread.
pub fn ensure_bridge(name: &str, gateway: IpAddr, prefix_len: u8, mtu: u32) -> Result<()> {
    let netlink = context(Netlink::open(), || "open rtnetlink".into())?;
    let index = match bridge_index(&netlink, name)? {
        Some(index) => index,
        None => {
            context(netlink.add_bridge(name, mac(name), mtu), || format!("make bridge {name}"))?;
            bridge_index(&netlink, name)?.ok_or_else(|| lost(name))?
        }
    };
    context(netlink.set_mtu(index, mtu), || format!("set the MTU of bridge {name}"))?;
    context(netlink.add_address(index, gateway, prefix_len), || format!("give bridge {name} the address {gateway}"))?;
    context(netlink.set_up(index), || format!("bring up bridge {name}"))?;
    forward(name, gateway)
}

/// Sends what the host addresses to a network to the bridge, with the bridge's address as its source. Addresses that exist only
/// in translation rules need a route to be translated at all. Goes with the bridge. Blocks.
pub fn route_to_bridge(name: &str, network: IpAddr, prefix_len: u8) -> Result<()> {
    let netlink = context(Netlink::open(), || "open rtnetlink".into())?;
    let index = bridge_index(&netlink, name)?.ok_or_else(|| lost(name))?;
    context(netlink.add_route(index, network, prefix_len), || format!("route {network}/{prefix_len} to bridge {name}"))
}

/// Removes the bridge; no error when there is none. Blocks.
pub fn remove_bridge(name: &str) -> Result<()> {
    let netlink = context(Netlink::open(), || "open rtnetlink".into())?;
    match bridge_index(&netlink, name)? {
        Some(index) => context(netlink.delete_link(index), || format!("remove bridge {name}")),
        None => Ok(()),
    }
}

/// Sysctls of the thread's network namespace. Replies between two sandboxes on the bridge must pass the service rules
/// (bridge-nf-call), and node ports on 127.0.0.1 must reach sandboxes (route_localnet).
fn forward(bridge: &str, gateway: IpAddr) -> Result<()> {
    let always = match gateway {
        IpAddr::V4(_) => vec!["net/ipv4/ip_forward".to_owned(), format!("net/ipv4/conf/{bridge}/route_localnet")],
        IpAddr::V6(_) => vec!["net/ipv6/conf/all/forwarding".to_owned()],
    };
    let present = match gateway {
        IpAddr::V4(_) => "net/bridge/bridge-nf-call-iptables",
        IpAddr::V6(_) => "net/bridge/bridge-nf-call-ip6tables",
    };
    let path = |name: &str| PathBuf::from("/proc/sys").join(name);
    for name in always {
        context(std::fs::write(path(&name), "1"), || format!("set sysctl {name}"))?;
    }
    // Absent without the br_netfilter module.
    if path(present).exists() {
        context(std::fs::write(path(present), "1"), || format!("set sysctl {present}"))?;
    }
    Ok(())
}

/// Plugs a sandbox into the bridge. `host` was opened in the host's network namespace, `inside` in `namespace`.
pub(crate) fn connect_sandbox(
    host: &Netlink,
    inside: &Netlink,
    namespace: BorrowedFd<'_>,
    id: &str,
    network: &SandboxNetwork,
) -> Result<()> {
    let bridge = bridge_index(host, &network.bridge)?.ok_or_else(|| lost(&network.bridge))?;
    let name = host_link(id);
    context(add_veth(host, &Veth { name: &name, bridge, namespace, mtu: network.mtu }), || {
        format!("make link {name} on bridge {}", network.bridge)
    })?;
    let port = context(host.link_index(&name), || format!("find link {name}"))?.ok_or_else(|| lost(&name))?;
    context(host.set_hairpin(port), || format!("set hairpin mode of link {name}"))?;
    let eth0 = context(inside.link_index("eth0"), || "find eth0".into())?.ok_or_else(|| lost("eth0"))?;
    context(inside.add_address(eth0, network.address, network.prefix_len), || {
        format!("give eth0 the address {}", network.address)
    })?;
    context(inside.set_up(eth0), || "bring up eth0".into())?;
    context(inside.add_default_route(eth0, network.gateway), || format!("route by way of {}", network.gateway))
}

/// An earlier sandbox of the same id may have left its link: the kernel deletes it some time after its namespace.
fn add_veth(host: &Netlink, veth: &Veth<'_>) -> io::Result<()> {
    const ATTEMPTS: u32 = 20;
    for _ in 0..ATTEMPTS {
        match host.add_veth(veth) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
        if let Some(index) = host.link_index(veth.name)? {
            // It may be gone by itself now.
            let _ = host.delete_link(index);
        }
    }
    host.add_veth(veth)
}

pub(crate) fn loopback_up(inside: &Netlink) -> Result<()> {
    context(inside.set_up(LOOPBACK), || "bring up lo".into())
}

/// The host's end of a sandbox's link, at most 15 bytes.
pub fn host_link(sandbox: &str) -> String {
    format!("sp{}", hex(&Sha256::digest(sandbox.as_bytes())[..6]))
}

/// Whether the link is (still) there.
pub(crate) fn link_exists(netlink: &Netlink, name: &str) -> io::Result<bool> {
    Ok(netlink.link_index(name)?.is_some())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Locally administered, unicast.
fn mac(name: &str) -> [u8; 6] {
    let digest = Sha256::digest(name.as_bytes());
    [0x02, digest[0], digest[1], digest[2], digest[3], digest[4]]
}

fn bridge_index(netlink: &Netlink, name: &str) -> Result<Option<u32>> {
    context(netlink.link_index(name), || format!("find link {name}"))
}

fn lost(name: &str) -> NetError {
    NetError { what: format!("find link {name}"), source: io::Error::from_raw_os_error(libc::ENODEV) }
}

#[cfg(test)]
mod tests;
