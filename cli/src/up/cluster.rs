//! The composition root of `up`: a control plane and a node in this process, the launcher beside it.
//!
//! Order of a start: lock, facts, credentials; bridges; store and API server, with their listeners; launcher, kubelet and service
//! rules; controllers and scheduler; further nodes. A stop is the reverse.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use apiserver::UserInfo;
use apiserver::audit::Audit;
use apiserver::front::pki::Identity;
use jiff::Timestamp;
use store::Store;

use super::DEFAULT_PORT;
use super::fleet;
use super::layout::{Facts, Layout};
use crate::addresses::parse_routes;
use crate::control::audit::AuditFlags;
use crate::control::backend::{self, EtcdFlags};
use crate::control::shared::{self, Networks};
use crate::control::{self, Candidate, ControlPlane, Credentials, Serving, election};
use crate::lock::{self, Lock};
use crate::parts::Parts;
use crate::{kubeconfig, node, preflight};

/// What a start may be told, beside where its data are.
#[derive(Debug, Default)]
pub struct Settings {
    /// `None`: the one of the last start, or the default.
    pub api_port: Option<u16>,
    /// `None`: the API server's default.
    pub compaction_interval: Option<Duration>,
    /// How long a node may be silent; `None`: upstream's default.
    pub node_grace_period: Option<Duration>,
    /// Nodes on this machine; `None`: as many as at the last start, or one.
    pub nodes: Option<u32>,
    /// Wrap pods' packets between nodes.
    pub always_tunnel: bool,
    /// Where other machines reach this one; `None`: as at the last start, or not at all.
    pub advertise: Option<Ipv4Addr>,
    /// Where the state is; `None`: where it was at the last start, or in a store of its own.
    pub etcd: Option<EtcdFlags>,
    /// Which requests are told to whom.
    pub audit: Setting<AuditFlags>,
    /// What is on beside what every server has.
    pub features: apiserver::features::Features,
    /// Whether claims get directories of this machine; `None`: as at the last start, or not.
    pub host_paths: Option<bool>,
    /// Who logs in by tokens of other issuers.
    pub authentication: Setting<PathBuf>,
}

/// What is kept from one start to the next.
#[derive(Clone, Debug, Default)]
pub enum Setting<T> {
    #[default]
    AsBefore,
    None,
    To(T),
}

impl<T> Setting<T> {
    pub fn new(given: Option<T>, none: bool) -> Self {
        match given {
            Some(given) => Self::To(given),
            None if none => Self::None,
            None => Self::AsBefore,
        }
    }

    fn after(self, before: Option<T>) -> Option<T> {
        match self {
            Self::AsBefore => before,
            Self::None => None,
            Self::To(given) => Some(given),
        }
    }
}

/// A running control plane and node. Dropping it without `stop` is a crash, which it survives.
pub struct Cluster {
    parts: Parts,
    _lock: Lock,
}

impl Cluster {
    /// Returns when the API answers and the kubeconfig is written; the node becomes Ready a moment later. `progress` hears of
    /// each step.
    pub async fn start(layout: &Layout, settings: &Settings, progress: &(dyn Fn(&str) + Sync)) -> Result<Self> {
        preflight::raise_file_limit();
        layout.prepare()?;
        let lock = match lock::acquire(&layout.lock())? {
            Ok(lock) => lock,
            Err(holder) => anyhow::bail!("process {} has {}", holder.pid, layout.data.display()),
        };
        let (facts, is_new) = facts(layout, settings)?;
        match assemble(layout, facts, settings, progress).await {
            Ok(parts) => Ok(Self { parts, _lock: lock }),
            Err(error) => {
                // A first start that fails leaves nothing; a later one leaves its containers alone.
                if is_new && let Err(left) = super::stop::tear_down(layout, Duration::ZERO).await {
                    tracing::warn!(error = %left, "cleaning up after the failed start failed");
                }
                Err(error)
            }
        }
    }

    /// Ends the control plane and the kubelet; containers go on.
    pub async fn stop(self) {
        self.parts.stop().await;
    }
}

async fn assemble(
    layout: &Layout,
    mut facts: Facts,
    settings: &Settings,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Parts> {
    preflight::port_is_free(facts.api_port)?;
    let audit = facts.audit.as_ref().map(AuditFlags::open).transpose()?.flatten();
    progress("opening the store");
    let store = backend::open(facts.etcd.as_ref(), &layout.store(), &layout.encryption_keys()).await?;
    if store.is_shared() {
        join_others(layout, &mut facts, &*store).await?;
    }
    let facts = &facts;
    let address = IpAddr::from(facts.node_address());
    let now = Timestamp::now();
    let serving = Serving {
        names: &[&facts.node_name],
        addresses: &[IpAddr::from([127, 0, 0, 1]), address, facts.service_network.nth(1).into()],
    };
    let credentials = Credentials::open(&layout.pki(), serving, now)?;
    progress("starting the API server");
    let identity = credentials.node(&facts.node_name, address, now)?;
    let node = node_config(layout, facts, credentials.authority.certificate(), identity);
    fleet::prepare(facts)?;
    node::prepare_network(&node)?;
    let mut parts = Parts::new();
    let control = ControlPlane::start(control_config(facts, settings, store, audit), &credentials, &mut parts).await?;
    // With what this start was told and has been found good: it holds for the next ones.
    if Facts::load(&layout.facts())?.as_ref() != Some(facts) {
        facts.save(&layout.facts())?;
    }
    write_kubeconfig(layout, facts, &credentials)?;
    progress("starting the node");
    let name = format!("system:node:{}", facts.node_name);
    let user = UserInfo::new(&name, &["system:nodes", "system:authenticated"]);
    let clients = node::Clients {
        kubelet: control.client(user.clone(), "kubelet"),
        service_rules: control.client(user, "kube-proxy"),
    };
    node::start(node, clients, &mut parts).await?;
    control.start_controllers(&mut parts);
    fleet::start(layout, facts, &credentials, &mut parts).await?;
    Ok(parts)
}

/// Takes the keys and networks of the cluster on this etcd, or gives it this one's.
async fn join_others(layout: &Layout, facts: &mut Facts, store: &dyn Store) -> Result<()> {
    let own = Networks { services: facts.service_network, pods: facts.pod_network, node_prefix: facts.node_prefix };
    let networks = shared::join(store, &layout.pki(), own, Timestamp::now()).await?;
    if networks.services != facts.service_network {
        facts.service_network = networks.services;
        facts.save(&layout.facts())?;
    }
    Ok(())
}

fn control_config(
    facts: &Facts,
    settings: &Settings,
    store: Arc<dyn Store>,
    audit: Option<Arc<Audit>>,
) -> control::Config {
    let advertise = SocketAddr::from((facts.node_address(), facts.api_port));
    control::Config {
        store,
        features: settings.features.clone(),
        audit,
        // Loopback for people on this machine, the bridge for pods: nothing is open to other machines unless it was asked for.
        listen: vec![SocketAddr::from(([127, 0, 0, 1], facts.api_port)), advertise],
        advertise,
        service_network: facts.service_network,
        compaction_interval: settings.compaction_interval,
        node_grace_period: settings.node_grace_period,
        authentication: facts.authentication.clone(),
        host_paths: facts.host_paths,
        pod_ranges: facts.node_prefix.map(|prefix| control::PodRanges {
            cluster: facts.pod_network,
            node_prefix: prefix,
            // This machine's node has its range before it has an object.
            reserved: vec![facts.node_range()],
        }),
        candidate: Candidate { identity: format!("{}_{}", facts.node_name, facts.id), lease: election::LEASE },
    }
}

/// The node of this machine; `serving` is its kubelet's certificate.
fn node_config(layout: &Layout, facts: &Facts, authority: &str, serving: Identity) -> node::Config {
    node::Config {
        name: facts.node_name.clone(),
        address: facts.node_address(),
        pods: facts.node_range(),
        cluster_pods: facts.pod_network,
        services: facts.service_network,
        always_tunnel: facts.always_tunnel,
        guests: facts.link.map(|link| (link, facts.link_bridge())),
        place: facts.place(layout),
        authority: authority.to_owned(),
        serving,
    }
}

/// The facts of an earlier start, or new ones; true when they are new.
fn facts(layout: &Layout, settings: &Settings) -> Result<(Facts, bool)> {
    let path = layout.facts();
    let known = Facts::load(&path)?;
    let routes = parse_routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default());
    let mut facts = match known.clone() {
        Some(facts) => facts,
        None => {
            let id = format!("{:06x}", crate::random() & 0xff_ffff);
            Facts::choose(id, node::name_of_host(), DEFAULT_PORT, &routes)?
        }
    };
    facts.api_port = settings.api_port.unwrap_or(facts.api_port);
    if let Some(address) = settings.advertise {
        facts.open_to_others(address)?;
    }
    facts.always_tunnel |= settings.always_tunnel;
    facts.host_paths = settings.host_paths.unwrap_or(facts.host_paths);
    anyhow::ensure!(
        settings.etcd.is_none() || facts.etcd.is_some() || known.is_none(),
        "the cluster in {} has a store of its own: start one on etcd with another --data-dir",
        layout.data.display()
    );
    facts.etcd = match (settings.etcd.clone(), facts.etcd) {
        // Without it nothing that is there could be read.
        (Some(now), Some(before)) => Some(EtcdFlags {
            encryption_provider_config: now.encryption_provider_config.or(before.encryption_provider_config),
            ..now
        }),
        (now, before) => now.or(before),
    };
    facts.grow(settings.nodes.unwrap_or(facts.nodes), &routes)?;
    if known.as_ref() != Some(&facts) {
        facts.save(&path)?;
    }
    facts.audit = settings.audit.clone().after(facts.audit);
    facts.authentication = settings.authentication.clone().after(facts.authentication);
    Ok((facts, known.is_none()))
}

fn write_kubeconfig(layout: &Layout, facts: &Facts, credentials: &Credentials) -> Result<()> {
    let server = format!("https://127.0.0.1:{}", facts.api_port);
    let admin = &credentials.admin;
    let config = kubeconfig::render(&server, credentials.authority.certificate(), &admin.certificate, &admin.key);
    kubeconfig::write(&layout.kubeconfig(), &config)
}
