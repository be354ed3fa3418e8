//! What connects nodes: a network namespace that is a machine of its own, routes to other machines' sandboxes, and a tunnel
//! (VXLAN) where no route can go. Everything acts in the network namespace of the calling thread, and blocks.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::link::Vxlan;
use super::{NetError, Netlink, Result, connect_sandbox, context, forward, loopback_up, lost};
use crate::spec::SandboxNetwork;
use crate::sys;

/// `NSFS_MAGIC`: what a pinned namespace is a file of.
const NSFS: i128 = 0x6e73_6673;

/// A network namespace that lives as long as it is pinned at `path`, with loopback up. Nothing happens when it is there.
pub fn ensure_namespace(path: &Path) -> Result<()> {
    if is_namespace(path) {
        return Ok(());
    }
    let make = || -> io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::File::create(path)?;
        sys::unshare(libc::CLONE_NEWNET)?;
        loopback_up(&Netlink::open()?).map_err(|error| error.source)?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", path).map_err(io::Error::from)
    };
    // The thread is lost to the new namespace: it ends here.
    let made = std::thread::scope(|scope| scope.spawn(make).join());
    context(joined(made), || format!("make the network namespace {}", path.display()))
}

/// No error when there is none. The namespace goes with the last process in it.
pub fn remove_namespace(path: &Path) -> Result<()> {
    let remove = || -> io::Result<()> {
        if is_namespace(path) {
            rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    };
    context(remove(), || format!("remove the network namespace {}", path.display()))
}

fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| i128::from(stat.f_type) == NSFS)
}

pub fn open_namespace(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Links a pinned namespace to a bridge of this one, as `eth0` with an address and a default route. Nothing happens when it is
/// linked already. `id` gives the link's name on this side, as a sandbox's does.
pub fn connect_namespace(path: &Path, id: &str, network: &SandboxNetwork) -> Result<()> {
    let namespace = context(open_namespace(path), || format!("open {}", path.display()))?;
    let enter = || -> io::Result<Netlink> {
        sys::setns(&namespace, libc::CLONE_NEWNET)?;
        Netlink::open()
    };
    let inside = std::thread::scope(|scope| scope.spawn(enter).join());
    let inside = context(joined(inside), || format!("enter {}", path.display()))?;
    if context(inside.link_index("eth0"), || "find eth0".into())?.is_some() {
        return Ok(());
    }
    let host = context(Netlink::open(), || "open rtnetlink".into())?;
    connect_sandbox(&host, &inside, namespace.as_fd(), id, network)
}

fn joined<T>(outcome: std::thread::Result<io::Result<T>>) -> io::Result<T> {
    outcome.unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

/// Whether packets to the address need no gateway. False when there is no route to it at all.
pub fn is_on_link(address: Ipv4Addr) -> Result<bool> {
    let netlink = context(Netlink::open(), || "open rtnetlink".into())?;
    match netlink.gateway_to(address.into()) {
        Ok(gateway) => Ok(!gateway),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => Ok(false),
        Err(error) => Err(NetError { what: format!("look up the route to {address}"), source: error }),
    }
}

/// Sends what is addressed to a network to a neighbour on a link. Replaces an earlier route to it.
pub fn set_route(network: Ipv4Addr, prefix_len: u8, gateway: Ipv4Addr) -> Result<()> {
    let netlink = context(Netlink::open(), || "open rtnetlink".into())?;
    context(netlink.add_route_by(network.into(), prefix_len, gateway.into(), None), || {
        format!("route {network}/{prefix_len} by way of {gateway}")
    })
}

/// No error when there is none.
pub fn remove_route(network: Ipv4Addr, prefix_len: u8) -> Result<()> {
    let netlink = context(Netlink::open(), || "open rtnetlink".into())?;
    match netlink.delete_route(network.into(), prefix_len) {
        // It went with its link.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
        other => context(other, || format!("remove the route to {network}/{prefix_len}")),
    }
}

/// One node's end of the tunnel between all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel<'a> {
    /// Of the link.
    pub name: &'a str,
    /// Where this node's packets come from.
    pub local: Ipv4Addr,
    pub mac: [u8; 6],
    pub mtu: u32,
}

/// Another node's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelPeer {
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
    /// Its sandboxes.
    pub network: Ipv4Addr,
    pub prefix_len: u8,
}

/// Makes the tunnel's link with the first address of the node's own `network`; nothing happens when it is there.
pub fn ensure_tunnel(tunnel: &Tunnel<'_>, network: Ipv4Addr) -> Result<()> {
    let netlink = context(Netlink::open(), || "open rtnetlink".into())?;
    let find = || context(netlink.link_index(tunnel.name), || format!("find link {}", tunnel.name));
    let index = match find()? {
        Some(index) => index,
        None => {
            let vxlan = Vxlan { name: tunnel.name, local: tunnel.local.into(), mac: tunnel.mac, mtu: tunnel.mtu };
            context(netlink.add_vxlan(&vxlan), || format!("make tunnel {}", tunnel.name))?;
            find()?.ok_or_else(|| lost(tunnel.name))?
        }
    };
    context(netlink.add_address(index, network.into(), 32), || format!("give {} its address", tunnel.name))?;
    context(netlink.set_up(index), || format!("bring up {}", tunnel.name))?;
    forward(tunnel.name, network.into())
}

/// Sends what is addressed to a peer's sandboxes through the tunnel: whom to ask for is fixed, nothing is learned from packets.
pub fn set_tunnel_peer(tunnel: &str, peer: &TunnelPeer) -> Result<()> {
    let netlink = context(Netlink::open(), || "open rtnetlink".into())?;
    let index = context(netlink.link_index(tunnel), || format!("find link {tunnel}"))?.ok_or_else(|| lost(tunnel))?;
    let gateway = IpAddr::from(peer.network);
    let set = || -> io::Result<()> {
        netlink.set_forwarding(index, peer.mac, peer.address.into())?;
        netlink.set_neighbour(index, gateway, peer.mac)?;
        netlink.add_route_by(gateway, peer.prefix_len, gateway, Some(index))
    };
    context(set(), || format!("reach {}/{} through {tunnel}", peer.network, peer.prefix_len))
}

/// Removes the tunnel's link and all that goes through it; no error when there is none.
pub fn remove_tunnel(name: &str) -> Result<()> {
    super::remove_bridge(name)
}
