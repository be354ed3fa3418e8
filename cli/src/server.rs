//! `setpoint server`: a control plane without a node, one of several on an etcd.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;

use crate::addresses::Network;
use crate::control::audit::AuditFlags;
use crate::control::backend::EtcdFlags;
use crate::control::features::FeatureFlags;
use crate::control::shared::{self, Networks};
use crate::control::{self, Candidate, ControlPlane, Credentials, PodRanges, Serving, election};
use crate::files::private_folder;
use crate::parts::Parts;
use crate::{kubeconfig, lock, output, preflight, signals};

const DEFAULT_DATA_DIR: &str = "/var/lib/setpoint-server";
const NODE_PREFIX: u8 = 24;

#[derive(Debug, clap::Args)]
pub struct Server {
    #[command(flatten)]
    etcd: EtcdFlags,
    /// Where this server keeps its keys and its kubeconfig
    #[arg(long, default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Port of the API
    #[arg(long, default_value_t = 6443)]
    api_port: u16,
    /// Address at which nodes, pods and other machines reach this server [default: the one of the default route]
    #[arg(long, value_name = "IP")]
    advertise_address: Option<Ipv4Addr>,
    /// Addresses of Services, of a cluster that is new
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/16", value_parser = network)]
    service_cluster_ip_range: Network,
    /// Addresses of pods, of a cluster that is new
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/16", value_parser = network)]
    cluster_cidr: Network,
    /// Who logs in by tokens of other issuers (an AuthenticationConfiguration, YAML); read again when it changes
    #[arg(long, value_name = "FILE")]
    authentication_config: Option<PathBuf>,
    /// For how long a leader of which nothing is heard is believed to be there, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = election::LEASE.as_secs(), value_parser = clap::value_parser!(u64).range(2..=300))]
    leader_elect_lease_duration: u64,
    #[command(flatten)]
    audit: AuditFlags,
    #[command(flatten)]
    features: FeatureFlags,
    /// How often history is compacted [default: 5m]
    #[arg(long, hide = true, env = "SETPOINT_COMPACTION_INTERVAL", value_parser = crate::up::interval)]
    compaction_interval: Option<Duration>,
}

impl Server {
    /// Until a signal.
    pub async fn run(self) -> Result<ExitCode> {
        let Some(etcd) = self.etcd.clone().named()? else {
            bail!("a server shares its state with others: say where with --etcd-endpoints (or use `setpoint up`)");
        };
        let (audit, features) = (self.audit.open()?, self.features.open()?);
        preflight::raise_file_limit();
        let data = std::path::absolute(&self.data_dir).context("make the data directory's path absolute")?;
        let keys = data.join("pki");
        private_folder(&data).and_then(|()| private_folder(&keys))?;
        let _lock = match lock::acquire(&data.join("lock"))? {
            Ok(lock) => lock,
            Err(holder) => bail!("process {} has {}", holder.pid, data.display()),
        };
        preflight::port_is_free(self.api_port)?;
        let address = match self.advertise_address {
            Some(address) => address,
            None => default_address()?,
        };
        ensure!(
            !address.is_loopback(),
            "{address} is reached from this machine only: choose another --advertise-address"
        );
        let store = etcd.connect().await?;
        let own = Networks {
            services: self.service_cluster_ip_range,
            pods: self.cluster_cidr,
            node_prefix: Some(NODE_PREFIX),
        };
        let now = Timestamp::now();
        let networks = shared::join(&*store, &keys, own, now).await?;
        let local = IpAddr::from([127, 0, 0, 1]);
        let addresses = [local, address.into(), networks.services.nth(1).into()];
        let credentials = Credentials::open(&keys, Serving { names: &[], addresses: &addresses }, now)?;
        let mut parts = Parts::new();
        let advertise = SocketAddr::from((address, self.api_port));
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let config = control::Config {
            store,
            features,
            audit,
            listen: vec![SocketAddr::from((local, self.api_port)), advertise],
            advertise,
            service_network: networks.services,
            compaction_interval: self.compaction_interval,
            node_grace_period: None,
            host_paths: false,
            authentication: self.authentication_config.clone(),
            pod_ranges: networks.node_prefix.map(|prefix| PodRanges {
                cluster: networks.pods,
                node_prefix: prefix,
                // As `up` has it: its own node takes the first one.
                reserved: vec![networks.pods.first(prefix)],
            }),
            candidate: Candidate {
                identity: format!("{}_{advertise}", host.trim()),
                lease: Duration::from_secs(self.leader_elect_lease_duration),
            },
        };
        let control = ControlPlane::start(config, &credentials, &mut parts).await?;
        let server = format!("https://127.0.0.1:{}", self.api_port);
        let (authority, admin) = (credentials.authority.certificate(), &credentials.admin);
        let path = data.join("kubeconfig");
        kubeconfig::write(&path, &kubeconfig::render(&server, authority, &admin.certificate, &admin.key))?;
        control.start_controllers(&mut parts);
        output::line(format_args!("API server:  {server} (for others: https://{advertise})"));
        output::line(format_args!("Kubeconfig:  {}", path.display()));
        signals::ending().await?;
        parts.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// The address from which this machine talks to others. Nothing is sent.
fn default_address() -> Result<Ipv4Addr> {
    let address = || -> std::io::Result<SocketAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    match address() {
        Ok(SocketAddr::V4(address)) => Ok(*address.ip()),
        _ => bail!("this machine has no default route: say with --advertise-address where others reach this server"),
    }
}

fn network(text: &str) -> Result<Network, String> {
    let whole = |network: &Network| {
        let host = u32::MAX.checked_shr(network.prefix.into()).unwrap_or(0);
        (8..=28).contains(&network.prefix) && u32::from(network.address) & host == 0
    };
    Network::parse(text).filter(whole).ok_or_else(|| format!("{text:?} is no IPv4 network such as 10.96.0.0/16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_whole() {
        assert_eq!(network("10.96.0.0/16").unwrap().to_string(), "10.96.0.0/16");
        for text in ["10.96.0.0", "10.96.0.1/16", "10.96.0.0/33", "10.96.0.0/4", "::/16", "x/16"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
