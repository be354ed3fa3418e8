//! A node without a control plane: pod bridge, launcher, kubelet and service rules, all of them clients of an API that may be
//! in this process or far away.
//!
//! [`Config`] and [`start`] are the node, [`Place`] is what it has on the machine. A node that is a process of its own (the
//! `command`s, [`run`]) finds its identity in a folder ([`record`]) and its range of addresses in its Node. `fabric` is the way to
//! other nodes' pods. `join` makes such an identity, by `certificate` requests; `renewal` keeps it good.

mod certificate;
mod client;
mod command;
mod fabric;
mod join;
mod place;
mod range;
pub mod record;
mod renewal;
pub mod run;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use apiserver::front::pki::{self, ClientCertificate, Identity};
use fabric::Fabric;
use network::routes::Overlay;
use reconcile::informer::Informers;

use crate::addresses::Network;
use crate::parts::Parts;
pub use command::Node;
pub use place::Place;

/// The image that the binary carries: itself.
const DEMO_IMAGE: &str = "setpoint/demo:v1";
pub const POD_MTU: u32 = 1500;
const KUBELET_PORT: u16 = 10250;
/// The API that is spoken.
const KUBERNETES_VERSION: &str = "v1.35.0";

/// What a node is.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: String,
    /// Where the API server and other nodes reach it.
    pub address: Ipv4Addr,
    /// Addresses of its pods; the first is the bridge's.
    pub pods: Network,
    /// Addresses of all pods of the cluster.
    pub cluster_pods: Network,
    pub services: Network,
    /// Whether pods' packets between nodes are always wrapped, and not only where nodes are on different links.
    pub always_tunnel: bool,
    /// Nodes that reach the world through this one, and the bridge that they are on.
    pub guests: Option<(Network, String)>,
    pub place: Place,
    /// The cluster's authority, PEM: who it issued a client certificate to may call the kubelet.
    pub authority: String,
    /// The kubelet as a server.
    pub serving: Identity,
}

/// The node as its parts come to the API.
pub struct Clients {
    pub kubelet: kube::Client,
    pub service_rules: kube::Client,
}

impl Config {
    fn gateway(&self) -> Ipv4Addr {
        self.pods.nth(1)
    }
}

/// The bridge with its address: before whoever listens on it.
pub fn prepare_network(config: &Config) -> Result<()> {
    let gateway = IpAddr::from(config.gateway());
    runtime::net::ensure_bridge(&config.place.bridge, gateway, config.pods.prefix, POD_MTU)
        .context("make the pod bridge")?;
    runtime::net::route_to_bridge(&config.place.bridge, config.services.address.into(), config.services.prefix)
        .context("route service addresses")
}

/// Starts launcher, kubelet and service rules, in the network namespace of this process. The network is prepared.
pub async fn start(config: Config, clients: Clients, parts: &mut Parts) -> Result<()> {
    let (runtime, events) = runtime::Runtime::connect(config.place.runtime()).await.context("start the launcher")?;
    let images = runtime.images().clone();
    tokio::task::spawn_blocking(move || provide_demo_image(&images)).await??;
    let kubelet = kubelet::Kubelet::new(kubelet_config(&config)?, clients.kubelet, Arc::new(runtime), events);
    let cancel = parts.cancel.clone();
    parts.spawn(async move {
        if let Err(error) = kubelet.run(cancel).await {
            tracing::error!(%error, "the kubelet ended");
        }
    });
    start_network(config, clients.service_rules, parts);
    Ok(())
}

fn kubelet_config(config: &Config) -> Result<kubelet::Config> {
    let pods = kubelet::config::PodCidr { network: config.pods.address, prefix_len: config.pods.prefix };
    let mut kubelet = kubelet::Config::new(&config.name, config.address.into(), pods, config.place.data.clone());
    kubelet.bridge = config.place.bridge.clone();
    kubelet.mtu = POD_MTU;
    kubelet.kubelet_version = KUBERNETES_VERSION.to_owned();
    kubelet.server = Some(kubelet_server(config)?);
    Ok(kubelet)
}

/// On the usual port when it is free, else on any: the Node object says which.
fn kubelet_server(config: &Config) -> Result<kubelet::config::Server> {
    let on = |port| std::net::TcpListener::bind(SocketAddr::from((config.address, port)));
    let listener =
        on(KUBELET_PORT).or_else(|_| on(0)).with_context(|| format!("listen on {} for the kubelet", config.address))?;
    listener.set_nonblocking(true)?;
    let tls = pki::server_config(&config.serving, &config.authority, ClientCertificate::Required, &["http/1.1"])?;
    let authorize = kubelet::config::default_authorize();
    Ok(kubelet::config::Server { listener: Arc::new(listener), tls: Arc::new(tls), authorize })
}

/// Service rules and the routes to other nodes' pods.
fn start_network(config: Config, client: kube::Client, parts: &mut Parts) {
    let range = |network: Network| (network.address, network.prefix);
    let rules = network::Config {
        node: network::Node { name: config.name.clone() },
        pods: network::nft::PodNetwork {
            cluster: range(config.cluster_pods),
            bridge: config.place.bridge.clone(),
            guests: config.guests.map(|(network, bridge)| (range(network), bridge)),
        },
        table: config.place.table.clone(),
    };
    let cancel = parts.cancel.clone();
    let informers = Informers::new(client, cancel.clone());
    let overlay = if config.always_tunnel { Overlay::Always } else { Overlay::WhereNeeded };
    let fabric = Fabric::new(&config.place.run, config.place.tunnel(), config.address, config.pods, POD_MTU);
    let (others, stop) = (informers.clone(), cancel.clone());
    parts.spawn(async move { network::keep_routes(&others, config.name, overlay, fabric, stop).await });
    parts.spawn(async move {
        if let Err(error) = network::run(&informers, rules, cancel).await {
            tracing::error!(%error, "services do not work: failed to write their rules");
        }
    });
}

/// This machine's host name, as a Node may be called (DNS-1123 subdomain).
pub fn name_of_host() -> String {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let lower = hostname.trim().to_lowercase();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = lower.chars().map(allowed).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() { "setpoint".to_owned() } else { name }
}

fn provide_demo_image(images: &runtime::images::ImageStore) -> Result<()> {
    let executable = std::env::current_exe().context("find this program's file")?;
    let config = runtime::images::ImageConfig {
        entrypoint: vec!["/setpoint".to_owned(), "demo".to_owned()],
        ..runtime::images::ImageConfig::default()
    };
    images.provide(DEMO_IMAGE, &executable, "setpoint", config).context("make the demo image")?;
    Ok(())
}
