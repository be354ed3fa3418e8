//! Where a cluster keeps its things, and the facts it is born with.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::addresses::Network;
use crate::control::audit::AuditFlags;
use crate::control::backend::EtcdFlags;
use crate::node::Place;

/// Paths below the data directory, and outside it what the kernel wants elsewhere.
#[derive(Clone, Debug)]
pub struct Layout {
    pub data: PathBuf,
}

impl Layout {
    /// `data` is made absolute, so that a daemon with another working directory finds it.
    pub fn new(data: &Path) -> Result<Self> {
        let data = std::path::absolute(data).context("make the data directory's path absolute")?;
        Ok(Self { data })
    }

    pub fn prepare(&self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        for path in [self.data.clone(), self.pki(), self.node()] {
            fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        }
        // Keys and Secrets are below.
        fs::set_permissions(&self.data, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("protect {}", self.data.display()))
    }

    pub fn facts(&self) -> PathBuf {
        self.data.join("cluster.json")
    }

    pub fn lock(&self) -> PathBuf {
        self.data.join("lock")
    }

    pub fn pki(&self) -> PathBuf {
        self.data.join("pki")
    }

    /// Not below the store: a copy of that is worth nothing without them.
    pub fn encryption_keys(&self) -> PathBuf {
        self.pki().join("encryption-keys")
    }

    pub fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    pub fn log(&self) -> PathBuf {
        self.data.join("setpoint.log")
    }

    pub fn node(&self) -> PathBuf {
        self.data.join("node")
    }
}

/// Chosen at the first start and kept: names in the kernel and addresses must stay the same while containers run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Six hex digits that tell this cluster's links, cgroups and tables from another one's on the same machine.
    pub id: String,
    pub node_name: String,
    /// Addresses of the cluster's pods.
    pub pod_network: Network,
    /// Fixed bits of one node's part of it. `None`: this machine's node has all of it, as in clusters made by version 0.1.
    #[serde(default)]
    pub node_prefix: Option<u8>,
    pub service_network: Network,
    pub api_port: u16,
    /// Nodes on this machine.
    #[serde(default = "one")]
    pub nodes: u32,
    /// Addresses of the nodes, when there are several on this machine.
    #[serde(default)]
    pub link: Option<Network>,
    /// Whether pods' packets between nodes are always wrapped.
    #[serde(default)]
    pub always_tunnel: bool,
    /// Whether claims of `kubernetes.io/host-path` get directories of this machine.
    #[serde(default)]
    pub host_paths: bool,
    /// The machine's address at which other machines reach its node and the API. `None`: nothing is open to others.
    #[serde(default)]
    pub advertise: Option<Ipv4Addr>,
    /// The etcd that has the state. `None`: it is in a store below the data directory.
    #[serde(default)]
    pub etcd: Option<EtcdFlags>,
    /// Which requests are told to whom. `None`: there is no audit log.
    #[serde(default)]
    pub audit: Option<AuditFlags>,
    /// Who logs in by tokens of other issuers, a file. `None`: nobody does.
    #[serde(default)]
    pub authentication: Option<PathBuf>,
}

fn one() -> u32 {
    1
}

/// Fixed bits of a node's part of the pods' addresses: room for 254 pods.
const NODE_PREFIX: u8 = 24;
/// More would not fit beside one another on a machine.
const MOST_NODES: u32 = 50;

const FULL: &str = "every network from which addresses could be taken is in use by this machine's routes";

const ALL_ADDRESSES: &str =
    "the node of this cluster has all addresses of pods, as version 0.1 gave them: start anew with another --data-dir";
const NODES_OR_MACHINES: &str =
    "nodes in namespaces are not reached from other machines: use either --nodes or --advertise-address";

/// The first network 10.X.0.0 that overlaps with no route.
fn free(second: std::ops::RangeInclusive<u8>, prefix: u8, routes: &[Network]) -> Option<Network> {
    let candidates = second.map(|second| Network { address: Ipv4Addr::new(10, second, 0, 0), prefix });
    candidates.into_iter().find(|network| routes.iter().all(|route| !network.overlaps(*route)))
}

impl Facts {
    /// Other machines reach this one at an address from now on.
    pub fn open_to_others(&mut self, address: Ipv4Addr) -> Result<()> {
        anyhow::ensure!(self.node_prefix.is_some(), ALL_ADDRESSES);
        anyhow::ensure!(self.link.is_none(), NODES_OR_MACHINES);
        self.advertise = Some(address);
        Ok(())
    }

    /// This many nodes from now on. `routes` are the networks that the machine reaches already.
    pub fn grow(&mut self, nodes: u32, routes: &[Network]) -> Result<()> {
        if nodes == self.nodes {
            return Ok(());
        }
        anyhow::ensure!((1..=MOST_NODES).contains(&nodes), "--nodes must be between 1 and {MOST_NODES}");
        anyhow::ensure!(
            nodes > self.nodes,
            "this cluster has {} nodes: start one with fewer on another --data-dir",
            self.nodes
        );
        anyhow::ensure!(self.node_prefix.is_some(), ALL_ADDRESSES);
        anyhow::ensure!(self.advertise.is_none(), NODES_OR_MACHINES);
        self.link = Some(self.link.or_else(|| free(64..=95, 24, routes)).context(FULL)?);
        self.nodes = nodes;
        Ok(())
    }

    /// `routes` are the networks that the machine reaches already.
    pub fn choose(id: String, node_name: String, api_port: u16, routes: &[Network]) -> Result<Self> {
        let free = |second| free(second, 16, routes);
        let full = FULL;
        Ok(Self {
            id,
            node_name,
            pod_network: free(244..=254).or_else(|| free(128..=243)).context(full)?,
            node_prefix: Some(NODE_PREFIX),
            service_network: free(96..=127).context(full)?,
            api_port,
            nodes: 1,
            link: None,
            always_tunnel: false,
            host_paths: false,
            advertise: None,
            etcd: None,
            audit: None,
            authentication: None,
        })
    }

    pub fn load(path: &Path) -> Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged; restore it, or start anew with another --data-dir", path.display())
            })?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        let temporary = path.with_extension("new");
        fs::write(&temporary, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::File::open(&temporary)?.sync_all())
            .and_then(|()| fs::rename(&temporary, path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Addresses of the pods of this machine's node.
    pub fn node_range(&self) -> Network {
        self.node_prefix.map_or(self.pod_network, |prefix| self.pod_network.first(prefix))
    }

    /// Of this machine's node and of the API server: where others reach it, or else its bridge's.
    pub fn node_address(&self) -> Ipv4Addr {
        let on_link = self.link.map(|link| link.nth(1));
        self.advertise.or(on_link).unwrap_or_else(|| self.node_range().nth(1))
    }

    /// Between the nodes of this machine.
    pub fn link_bridge(&self) -> String {
        format!("sp{}n", self.id)
    }

    /// What the node of this machine has, outside the data directory too.
    pub fn place(&self, layout: &Layout) -> Place {
        Place::new(layout.node(), &self.id, &self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::parse_routes;

    #[test]
    fn networks_avoid_the_machines_routes() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     sp1\t0000F40A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     eth0\t0000600A\t00000000\t0001\t0\t0\t0\t000080FF\t0\t0\t0\n";
        let routes = parse_routes(table);
        assert_eq!(routes.iter().map(Network::to_string).collect::<Vec<_>>(), ["10.244.0.0/16", "10.96.0.0/9"]);
        let facts = Facts::choose("abc123".into(), "n".into(), 1, &routes[..1]).unwrap();
        assert_eq!(facts.pod_network.to_string(), "10.245.0.0/16");
        assert_eq!(facts.service_network.to_string(), "10.96.0.0/16");
        assert!(Facts::choose("abc123".into(), "n".into(), 1, &routes).is_err(), "10.0.0.0/9 is one route here");
    }

    #[test]
    fn clusters_grow_and_do_not_shrink() {
        let mut facts = Facts::choose("abc123".into(), "n".into(), 1, &[]).unwrap();
        assert_eq!(facts.node_address(), Ipv4Addr::new(10, 244, 0, 1));
        facts.grow(3, &[Network::parse("10.64.0.0/16").unwrap()]).unwrap();
        assert_eq!(facts.node_address(), Ipv4Addr::new(10, 65, 0, 1));
        assert_eq!(facts.node_range().to_string(), "10.244.0.0/24");
        facts.grow(3, &[]).unwrap();
        let mut old = facts.clone();
        (old.node_prefix, old.nodes) = (None, 1);
        assert_eq!(old.node_range(), facts.pod_network);
        for (mut facts, nodes, words) in [
            (facts.clone(), 2, "this cluster has 3 nodes"),
            (facts.clone(), 0, "between 1 and"),
            (old, 2, "all addresses of pods"),
            (Facts { advertise: Some(Ipv4Addr::LOCALHOST), ..facts }, 4, "not reached from other machines"),
        ] {
            let error = facts.grow(nodes, &[]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn facts_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.json");
        assert_eq!(Facts::load(&path).unwrap(), None);
        let facts = Facts::choose("abc123".into(), "n".into(), 6443, &[]).unwrap();
        facts.save(&path).unwrap();
        assert_eq!(Facts::load(&path).unwrap(), Some(facts));
        fs::write(&path, "{").unwrap();
        assert!(Facts::load(&path).unwrap_err().to_string().contains("damaged"));
    }
}
