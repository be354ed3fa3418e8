//! What an API server is built from: collaborators and constants; no globals, no clock and no randomness of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use store::Store;

use crate::aggregation::FrontProxy;
use crate::audit::Audit;
use crate::authorizer::{AlwaysAllow, Authorizer};
use crate::features::Features;
use crate::front::authz::Standard;
use crate::front::oidc::Login;
use crate::node_proxy::{NoNodes, NodeProxy};
use crate::nodes::Graph;
use crate::rbac::Index;
use crate::token::{NoTokens, TokenIssuer};

/// The wall clock, injected.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// 64 random bits, injected: uids, generated names and address allocation come from it.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Adds lines to what `/metrics` answers.
pub type Figures = Arc<dyn Fn(&mut String) + Send + Sync>;

/// An IPv4 network, such as 10.96.0.0/16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

pub struct Config {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub random: Random,
    pub authorizer: Arc<dyn Authorizer>,
    /// Kept true to the roles and bindings that are stored. `None`: these are data that means nothing, and anybody who may
    /// write them may write any.
    pub rbac: Option<Arc<Index>>,
    /// How many requests are served at once, counted in seats of priority and fairness. `None`: all are served at once, and
    /// FlowSchemas mean nothing.
    pub max_in_flight: Option<u32>,
    /// Kept true to what leads to nodes. `None`: nobody asks it.
    pub nodes: Option<Arc<Graph>>,
    /// Nodes of this cluster make routes and rules of Services by themselves, with the identity of their kubelets: they may read
    /// what kube-proxy may, and what is told to machines that join.
    pub nodes_are_whole: bool,
    /// The controllers of this program come to it: they may some things beside what upstream's may.
    pub own_controllers: bool,
    /// What is on beside what every server has.
    pub features: Features,
    /// `None`: nothing is told.
    pub audit: Option<Arc<Audit>>,
    pub node_proxy: Arc<dyn NodeProxy>,
    pub token_issuer: Arc<dyn TokenIssuer>,
    /// Who logs in by tokens of other issuers.
    pub login: Arc<Login>,
    /// This server as a client of the API servers behind it; `None`: they do not know it.
    pub front_proxy: Option<FrontProxy>,
    /// Components of the control plane that live and end with this server.
    pub components: &'static [&'static str],
    /// Cluster addresses of Services. The first one is that of `default/kubernetes`.
    pub service_cidr: Cidr,
    pub node_ports: RangeInclusive<u16>,
    /// What other components of the process tell at `/metrics`, in the text format of Prometheus.
    pub figures: Vec<Figures>,
    /// Where pods reach this server: the endpoint of `default/kubernetes`. Never a loopback address, which endpoints may not
    /// have. The default is of a network for documentation, where nobody is.
    pub advertise: SocketAddr,
    pub event_ttl: Duration,
    /// How often history is compacted; what is younger than one interval stays readable.
    pub compaction_interval: Duration,
}

impl Config {
    /// Upstream's defaults: everything allowed, no nodes, no tokens.
    pub fn new(store: Arc<dyn Store>, clock: Clock, random: Random) -> Self {
        Self {
            store,
            clock,
            random,
            authorizer: Arc::new(AlwaysAllow),
            rbac: None,
            max_in_flight: None,
            nodes: None,
            nodes_are_whole: false,
            own_controllers: false,
            features: Features::default(),
            audit: None,
            node_proxy: Arc::new(NoNodes),
            token_issuer: Arc::new(NoTokens),
            login: Arc::default(),
            front_proxy: None,
            components: &[],
            figures: Vec::new(),
            service_cidr: Cidr { address: Ipv4Addr::new(10, 96, 0, 0), prefix: 16 },
            node_ports: 30000..=32767,
            advertise: SocketAddr::from(([192, 0, 2, 1], 6443)),
            event_ttl: Duration::from_secs(3600),
            compaction_interval: Duration::from_secs(300),
        }
    }

    /// Upstream's chain of authorizers, with the bootstrap roles and bindings in the store.
    pub fn enforce_rbac(&mut self) {
        let (index, nodes) = (Arc::new(Index::default()), Arc::new(Graph::default()));
        self.authorizer = Arc::new(Standard::new(index.clone(), nodes.clone()));
        self.rbac = Some(index);
        self.nodes = Some(nodes);
    }
}
