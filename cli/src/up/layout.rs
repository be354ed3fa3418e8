//! Where a cluster keeps its things, and the facts it is born with.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::addresses::Network;
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
    /// Addresses of the cluster's pods; a one-node cluster's node has all of it.
    pub pod_network: Network,
    pub service_network: Network,
    pub api_port: u16,
}

impl Facts {
    /// `routes` are the networks that the machine reaches already.
    pub fn choose(id: String, node_name: String, api_port: u16, routes: &[Network]) -> Result<Self> {
        let free = |second: std::ops::RangeInclusive<u8>| {
            let candidates = second.map(|second| Network { address: Ipv4Addr::new(10, second, 0, 0), prefix: 16 });
            candidates.into_iter().find(|network| routes.iter().all(|route| !network.overlaps(*route)))
        };
        let full = "every network from which addresses could be taken is in use by this machine's routes";
        Ok(Self {
            id,
            node_name,
            pod_network: free(244..=254).or_else(|| free(128..=243)).context(full)?,
            service_network: free(96..=127).context(full)?,
            api_port,
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

    /// The node's address: its bridge's.
    pub fn node_address(&self) -> Ipv4Addr {
        self.pod_network.nth(1)
    }

    /// What the node of this machine has, outside the data directory too.
    pub fn place(&self, layout: &Layout) -> Place {
        Place {
            data: layout.node(),
            run: PathBuf::from(format!("/run/setpoint-{}", self.id)),
            bridge: format!("sp{}", self.id),
            table: format!("setpoint_{}", self.id),
            cgroup: format!("setpoint-{}", self.id),
        }
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
