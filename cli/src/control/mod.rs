//! A control plane without a node: API server over a store, controllers and scheduler. `up` has one beside a node, `server`
//! one alone. Everything in it but the API server is a client of the API.
//!
//! `backend` says where the state is. Several control planes may share an etcd: `shared` is what they have in common, and of
//! their controllers and schedulers `election` lets one at a time do the work.

pub mod audit;
pub mod backend;
mod client;
mod cluster_info;
mod credentials;
pub mod election;
pub mod features;
mod login;
pub mod shared;
mod signer;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::front::kubelet::KubeletClient;
use apiserver::front::pki::{self, Authority, ClientCertificate};
use apiserver::front::request_header::FrontProxies;
use apiserver::front::serve::{Front, serve};
use apiserver::front::tokens::ServiceAccountTokens;
use apiserver::{ApiServer, UserInfo};
use controllers::storage::Provisioners;
use controllers::storage::hostpath::HostPath;
use jiff::Timestamp;
use reconcile::informer::Informers;
use tokio::net::TcpListener;

use crate::addresses::Network;
use crate::parts::Parts;
pub use cluster_info::{ClusterInfo, NAME as CLUSTER_INFO_NAME, NAMESPACE as CLUSTER_INFO_NAMESPACE};
pub use credentials::{Credentials, Serving};
pub use election::Candidate;

/// The scheduler's name in pods.
const PROFILE: &str = "default-scheduler";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

pub struct Config {
    pub store: Arc<dyn store::Store>,
    /// Every address on which the API is served.
    pub listen: Vec<SocketAddr>,
    /// Where pods and other nodes reach it: the endpoint of the Service `kubernetes`. Not a loopback address.
    pub advertise: SocketAddr,
    pub service_network: Network,
    /// `None`: the API server's default.
    pub compaction_interval: Option<Duration>,
    /// How long a node may be silent; `None`: the controller's default.
    pub node_grace_period: Option<Duration>,
    /// From which nodes are given their ranges. `None`: they come with them.
    pub pod_ranges: Option<PodRanges>,
    /// What is on beside what every server has.
    pub features: apiserver::features::Features,
    /// `None`: there is no audit log.
    pub audit: Option<Arc<apiserver::audit::Audit>>,
    /// Whether claims of `kubernetes.io/host-path` get directories of this machine.
    pub host_paths: bool,
    /// Who logs in by tokens of other issuers: an AuthenticationConfiguration.
    pub authentication: Option<PathBuf>,
    /// How it takes part in the elections of several control planes.
    pub candidate: Candidate,
}

/// Addresses of pods, and how nodes get their parts.
#[derive(Clone, Debug)]
pub struct PodRanges {
    pub cluster: Network,
    /// Fixed bits of one node's part.
    pub node_prefix: u8,
    /// Not to be given out.
    pub reserved: Vec<Network>,
}

/// A running API server, and what its companions need.
pub struct ControlPlane {
    server: Arc<ApiServer>,
    authority: Arc<Authority>,
    pod_ranges: Option<PodRanges>,
    node_grace_period: Option<Duration>,
    host_paths: bool,
    advertise: SocketAddr,
    services: Network,
    /// No node may serve there.
    own_addresses: Vec<IpAddr>,
    /// `None`: there is no other control plane.
    candidate: Option<Candidate>,
    /// What controllers and scheduler do, as `/metrics` tells it.
    figures: (reconcile::metrics::Metrics, Arc<scheduler::metrics::Metrics>),
}

impl ControlPlane {
    /// Returns when the API is served. Controllers and scheduler are started by [`Self::start_controllers`].
    pub async fn start(config: Config, credentials: &Credentials, parts: &mut Parts) -> Result<Self> {
        let tokens = Arc::new(ServiceAccountTokens::new(&credentials.token_key, ISSUER).context("use the token key")?);
        let authority = credentials.authority.certificate();
        let candidate = config.store.is_shared().then_some(config.candidate);
        let mut api = apiserver::Config::new(config.store, Arc::new(Timestamp::now), Arc::new(crate::random));
        api.enforce_rbac();
        api.max_in_flight = Some(apiserver::flowcontrol::DEFAULT_SEATS);
        // Each node has one identity, and rules of Services and routes to others beside its kubelet.
        api.nodes_are_whole = true;
        api.own_controllers = true;
        api.features = config.features;
        api.audit = config.audit;
        api.token_issuer = tokens.clone();
        if let Some(path) = config.authentication {
            let text = login::open(&path, &api.login)?;
            parts.spawn(login::follow(path, text, api.login.clone(), parts.cancel.clone()));
        }
        api.node_proxy = Arc::new(KubeletClient::new(pki::client_config(&credentials.kubelet_client, authority)?));
        let Network { address, prefix } = config.service_network;
        api.service_cidr = apiserver::config::Cidr { address, prefix };
        api.advertise = config.advertise;
        api.components = &["controller-manager", "scheduler"];
        api.front_proxy = Some(credentials.front_proxy.clone());
        let figures = (reconcile::metrics::Metrics::default(), Arc::<scheduler::metrics::Metrics>::default());
        let (queues, scheduling) = figures.clone();
        api.figures.push(Arc::new(move |text: &mut String| queues.render(text)));
        api.figures.push(Arc::new(move |text: &mut String| scheduling.render(PROFILE, text)));
        api.compaction_interval = config.compaction_interval.unwrap_or(api.compaction_interval);
        let server = Arc::new(ApiServer::new(api));

        let protocols = ["h2", "http/1.1"];
        let clients = format!("{authority}{}", credentials.front_proxy.authority);
        let tls = pki::server_config(&credentials.api_server, &clients, ClientCertificate::Optional, &protocols)?;
        let proxies = Some(FrontProxies::new(&credentials.front_proxy.authority)?);
        let front = Arc::new(Front { server: server.clone(), tokens, tls: Arc::new(tls), proxies });
        let mut own_addresses: Vec<IpAddr> = config.listen.iter().map(SocketAddr::ip).collect();
        own_addresses.extend([config.advertise.ip(), config.service_network.nth(1).into()]);
        for address in config.listen {
            let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
            parts.spawn(serve(front.clone(), listener, parts.cancel.clone()));
        }
        let (background, cancel) = (server.clone(), parts.cancel.clone());
        parts.spawn(async move { background.run_background(cancel).await });
        Ok(Self {
            server,
            authority: credentials.authority.clone(),
            pod_ranges: config.pod_ranges,
            node_grace_period: config.node_grace_period,
            host_paths: config.host_paths,
            advertise: config.advertise,
            services: config.service_network,
            own_addresses,
            candidate,
            figures,
        })
    }

    /// A client of the API in this process, as a user. `component` is the name that it has in managedFields.
    pub fn client(&self, user: UserInfo, component: &'static str) -> kube::Client {
        client::in_process(&self.server, user, http::HeaderValue::from_static(component))
    }

    /// Controllers and scheduler; of several control planes only the leaders' work.
    pub fn start_controllers(&self, parts: &mut Parts) {
        let mut node_lifecycle = controllers::nodelifecycle::Config::default();
        node_lifecycle.grace_period = self.node_grace_period.unwrap_or(node_lifecycle.grace_period);
        let config = controllers::Config {
            node_lifecycle,
            root_ca: self.authority.certificate().to_owned(),
            certificates: Some(controllers::certificates::Config {
                signer: Arc::new(signer::LocalSigner(self.authority.clone())),
                reserved: self.own_addresses.clone(),
            }),
            node_ranges: self.pod_ranges.as_ref().map(node_ranges),
            provisioners: Provisioners(vec![Arc::new(HostPath::new(self.host_paths))]),
        };
        let info =
            self.pod_ranges.as_ref().map(|ranges| ClusterInfo::new(self.advertise, ranges.cluster, self.services));
        let authority = self.authority.certificate().to_owned();
        let manager = "kube-controller-manager";
        let client = client::component(&self.server, manager);
        let (server, (queues, scheduling)) = (self.server.clone(), self.figures.clone());
        let clients: reconcile::Clients = Arc::new(move |account| client::account(&server, account));
        election::run(manager, self.candidate.as_ref(), client.clone(), parts, move |cancel| {
            // The informers are the manager's and shared; what a controller asks and writes beside them it does by itself.
            let informers = Informers::new(client.clone(), cancel.clone());
            let manager = reconcile::Manager::with_clients(informers, clients.clone(), queues.clone(), cancel.clone());
            controllers::start(&manager, config.clone());
            // Machines join at the leader.
            let signer = || clients(cluster_info::ACCOUNT);
            let publish = info.clone().map(|info| info.publish(signer(), authority.clone(), cancel));
            async move {
                tokio::join!(manager.run(), async {
                    if let Some(publish) = publish {
                        publish.await;
                    }
                });
            }
        });
        let scheduler = "kube-scheduler";
        let client = client::component(&self.server, scheduler);
        election::run(scheduler, self.candidate.as_ref(), client.clone(), parts, move |cancel| {
            let (scheduler_name, metrics) = (PROFILE.to_owned(), scheduling.clone());
            let config = scheduler::Config { scheduler_name, seed: crate::random(), metrics };
            scheduler::run(client.clone(), config, cancel)
        });
    }
}

fn node_ranges(ranges: &PodRanges) -> controllers::nodeipam::Config {
    let range = |network: &Network| (network.address, network.prefix);
    controllers::nodeipam::Config {
        cluster: range(&ranges.cluster),
        node_prefix: ranges.node_prefix,
        reserved: ranges.reserved.iter().map(range).collect(),
    }
}
