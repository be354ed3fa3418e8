//! The kernel's side of the ways to other nodes' pods: routes and tunnel by netlink, remembered in the run directory, so that
//! a route of a node that has gone meanwhile is found and nothing is left at the end.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use network::routes::{Hop, Range, Routes, tunnel_mac};
use runtime::net::between::{self, Tunnel, TunnelPeer};
use serde::{Deserialize, Serialize};

use crate::addresses::Network;

/// What VXLAN adds to a packet.
const TUNNEL_OVERHEAD: u32 = 50;

/// A line of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Way {
    range: Network,
    /// The other node.
    node: Ipv4Addr,
    tunnel: bool,
}

#[derive(Debug)]
pub struct Fabric {
    /// Gone at reboot, as routes are.
    memory: PathBuf,
    /// Name of the tunnel's link.
    tunnel: String,
    address: Ipv4Addr,
    pods: Network,
    mtu: u32,
    routes: Routes,
}

impl Fabric {
    pub fn new(run: &Path, tunnel: String, address: Ipv4Addr, pods: Network, mtu: u32) -> Self {
        let memory = memory(run);
        let routes = remembered(&memory);
        Self { memory, tunnel, address, pods, mtu: mtu - TUNNEL_OVERHEAD, routes }
    }

    fn remember(&mut self) -> io::Result<()> {
        let ways = self.routes.iter().map(|(range, hop)| match *hop {
            Hop::Gateway(node) => Way { range: network(*range), node, tunnel: false },
            Hop::Tunnel(node) => Way { range: network(*range), node, tunnel: true },
        });
        let text = serde_json::to_vec(&ways.collect::<Vec<_>>())?;
        let temporary = self.memory.with_extension("new");
        std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &self.memory))
    }

    fn enter(&self, range: Range, hop: Hop) -> Result<(), runtime::net::NetError> {
        match hop {
            Hop::Gateway(node) => between::set_route(range.address, range.prefix, node),
            Hop::Tunnel(node) => {
                let (name, local) = (self.tunnel.as_str(), self.address);
                let tunnel = Tunnel { name, local, mac: tunnel_mac(local), mtu: self.mtu };
                between::ensure_tunnel(&tunnel, self.pods.address)?;
                let mac = tunnel_mac(node);
                let peer = TunnelPeer { address: node, mac, network: range.address, prefix_len: range.prefix };
                between::set_tunnel_peer(name, &peer)
            }
        }
    }
}

impl network::Kernel for Fabric {
    /// A tunnel may be gone with its routes: then they are set again.
    fn known(&self) -> Routes {
        self.routes.clone()
    }

    fn on_link(&self, address: Ipv4Addr) -> bool {
        between::is_on_link(address).unwrap_or_else(|error| {
            tracing::warn!(%address, %error, "not known whether a node is on a link with this one");
            false
        })
    }

    fn set(&mut self, range: Range, hop: Hop) -> io::Result<()> {
        // Remembered first: what is remembered and not there does no harm.
        self.routes.insert(range, hop);
        self.remember()?;
        self.enter(range, hop).map_err(io::Error::other)
    }

    fn remove(&mut self, range: Range, _hop: Hop) -> io::Result<()> {
        between::remove_route(range.address, range.prefix).map_err(io::Error::other)?;
        self.routes.remove(&range);
        self.remember()
    }
}

/// Removes all ways that were set, and the tunnel.
pub fn remove_all(run: &Path, tunnel: &str) -> Result<()> {
    for range in remembered(&memory(run)).into_keys() {
        between::remove_route(range.address, range.prefix).context("remove the routes to other nodes")?;
    }
    between::remove_tunnel(tunnel).context("remove the tunnel to other nodes")
}

fn memory(run: &Path) -> PathBuf {
    run.join("routes.json")
}

/// What cannot be read is as good as nothing: the routes are set anew.
fn remembered(memory: &Path) -> Routes {
    let ways: Vec<Way> =
        std::fs::read(memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let route = |way: Way| {
        let range = Range { address: way.range.address, prefix: way.range.prefix };
        (range, if way.tunnel { Hop::Tunnel(way.node) } else { Hop::Gateway(way.node) })
    };
    ways.into_iter().map(route).collect()
}

fn network(range: Range) -> Network {
    Network { address: range.address, prefix: range.prefix }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let pods = Network { address: Ipv4Addr::new(10, 244, 1, 0), prefix: 24 };
        let open = || Fabric::new(folder.path(), "spvtest".into(), Ipv4Addr::new(10, 0, 0, 1), pods, 1500);
        let mut fabric = open();
        assert!(fabric.routes.is_empty());
        let near = Range::parse("10.244.2.0/24").unwrap();
        let far = Range::parse("10.244.3.0/24").unwrap();
        let routes = Routes::from([
            (near, Hop::Gateway(Ipv4Addr::new(10, 0, 0, 2))),
            (far, Hop::Tunnel(Ipv4Addr::new(192, 0, 2, 3))),
        ]);
        fabric.routes = routes.clone();
        fabric.remember().unwrap();
        assert_eq!(network::Kernel::known(&open()), routes);
        std::fs::write(memory(folder.path()), "[").unwrap();
        assert!(open().routes.is_empty());
    }
}
