//! What a kubelet is told at its start.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

/// The addresses of a node's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodCidr {
    pub network: Ipv4Addr,
    pub prefix_len: u8,
}

impl PodCidr {
    /// `10.244.0.0/24`; host bits must be zero, and there must be room for a gateway and a pod.
    pub fn parse(text: &str) -> Option<PodCidr> {
        let (address, prefix_len) = text.split_once('/')?;
        let network: Ipv4Addr = address.parse().ok()?;
        let prefix_len: u8 = prefix_len.parse().ok()?;
        let fits = (8..=30).contains(&prefix_len);
        (fits && network.to_bits() & (u32::MAX >> prefix_len) == 0).then_some(PodCidr { network, prefix_len })
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => (ip.to_bits() ^ self.network.to_bits()) >> (32 - self.prefix_len) == 0,
            IpAddr::V6(_) => false,
        }
    }

    /// The node's own address on the pod network: the first.
    pub fn gateway(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self.network.to_bits() + 1))
    }
}

impl fmt::Display for PodCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_len)
    }
}

/// Who a client of the kubelet's server is, by its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub common_name: String,
    pub organizations: Vec<String>,
}

/// Whether a client may use the kubelet's server. The TLS configuration has verified its certificate already.
pub type Authorize = Arc<dyn Fn(&Peer) -> bool + Send + Sync>;

/// The kubelet's own HTTPS server.
#[derive(Clone)]
pub struct Server {
    /// Bound already, so that its port is known; shared because a configuration can be cloned.
    pub listener: Arc<TcpListener>,
    /// Must require and verify client certificates.
    pub tls: Arc<rustls::ServerConfig>,
    pub authorize: Authorize,
}

/// The API server and cluster administrators.
pub fn default_authorize() -> Authorize {
    Arc::new(|peer: &Peer| {
        peer.common_name == "kube-apiserver-kubelet-client"
            || peer.organizations.iter().any(|name| name == "system:masters")
    })
}

#[derive(Clone)]
pub struct Config {
    pub node_name: String,
    /// First is the primary one.
    pub node_ips: Vec<IpAddr>,
    pub pod_cidr: PodCidr,
    /// The bridge that sandboxes are attached to; it exists.
    pub bridge: String,
    pub mtu: u32,
    pub cluster_domain: String,
    /// Empty: pods use the node's resolver.
    pub cluster_dns: Vec<IpAddr>,
    /// Pods' files and volumes. On a file system that holds what pods write.
    pub data_dir: PathBuf,
    pub log_dir: PathBuf,
    pub max_pods: u32,
    /// Beside the ones that every node has.
    pub node_labels: BTreeMap<String, String>,
    /// nodeInfo.kubeletVersion, such as `v1.35.0`.
    pub kubelet_version: String,
    /// nodeInfo.containerRuntimeVersion, such as `setpoint://0.1.0`.
    pub runtime_version: String,
    /// The node's resolver configuration, for pods that use it.
    pub resolv_conf: PathBuf,
    /// One log file of a container, and how many are kept.
    pub log_max_bytes: u64,
    pub log_max_files: u32,
    pub server: Option<Server>,
}

impl Config {
    /// Upstream's defaults for everything that has one.
    pub fn new(node_name: &str, node_ip: IpAddr, pod_cidr: PodCidr, data_dir: PathBuf) -> Config {
        Config {
            node_name: node_name.to_owned(),
            node_ips: vec![node_ip],
            pod_cidr,
            bridge: "setpoint0".to_owned(),
            mtu: 1500,
            cluster_domain: "cluster.local".to_owned(),
            cluster_dns: Vec::new(),
            log_dir: data_dir.join("logs"),
            data_dir,
            max_pods: 110,
            node_labels: BTreeMap::new(),
            kubelet_version: "v1.35.0".to_owned(),
            runtime_version: format!("setpoint://{}", env!("CARGO_PKG_VERSION")),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            log_max_bytes: 10 << 20,
            log_max_files: 5,
            server: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pod_ranges() {
        let table = [
            ("10.244.1.0/24", Some("10.244.1.1")),
            ("10.244.1.1/24", None),
            ("10.244.1.0/31", None),
            ("10.244.1.0", None),
            ("fd00::/64", None),
        ];
        for (text, gateway) in table {
            let cidr = PodCidr::parse(text);
            assert_eq!(cidr.map(|cidr| cidr.gateway().to_string()).as_deref(), gateway, "{text}");
        }
        let cidr = PodCidr::parse("10.244.1.0/24").expect("a range");
        assert!(
            cidr.contains("10.244.1.200".parse().expect("ip")) && !cidr.contains("10.244.2.1".parse().expect("ip"))
        );
    }
}
