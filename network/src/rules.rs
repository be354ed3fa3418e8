//! Services and their endpoints -> where packets go. Pure: what upstream's kube-proxy decides in `proxy/nftables`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// IP protocol numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp = 6,
    Udp = 17,
    Sctp = 132,
}

impl Protocol {
    fn parse(text: Option<&str>) -> Option<Self> {
        match text.unwrap_or("TCP") {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// What a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frontend {
    /// A cluster IP, external IP or load balancer address.
    Address { address: Ipv4Addr, protocol: Protocol, port: u16 },
    /// A port on each address of the node.
    NodePort { protocol: Protocol, port: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    pub address: Ipv4Addr,
    pub port: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Sorted, without duplicates. Empty: connections are refused.
    pub backends: Vec<Backend>,
    /// One client address keeps to one backend while the backends stay the same (sessionAffinity: ClientIP).
    pub affinity: bool,
    /// The backend sees the node's address instead of the client's, so that its answer comes back this way.
    pub masquerade: bool,
}

/// What the node must know to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Value of `nodeName` in endpoints that are here.
    pub name: String,
}

pub type Rules = BTreeMap<Frontend, Rule>;

/// The rules of one service, given all of its slices.
pub fn of_service<'a>(service: &Service, slices: impl IntoIterator<Item = &'a EndpointSlice>, node: &Node) -> Rules {
    let mut rules = Rules::new();
    let Some(spec) = &service.spec else { return rules };
    if spec.type_.as_deref() == Some("ExternalName") {
        return rules;
    }
    let slices: Vec<&EndpointSlice> = slices.into_iter().filter(|slice| slice.address_type == "IPv4").collect();
    let affinity = spec.session_affinity.as_deref() == Some("ClientIP");
    let local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    let external_local = local(&spec.external_traffic_policy);
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = Protocol::parse(port.protocol.as_deref()) else { continue };
        let Some(number) = valid_port(port.port) else { continue };
        let rule = |only_local: bool, masquerade: bool| {
            let backends = backends(&slices, port, only_local.then_some(node));
            Rule { backends, affinity, masquerade }
        };
        for address in cluster_addresses(spec) {
            let frontend = Frontend::Address { address, protocol, port: number };
            rules.insert(frontend, rule(local(&spec.internal_traffic_policy), false));
        }
        for address in external_addresses(service, spec) {
            let frontend = Frontend::Address { address, protocol, port: number };
            rules.insert(frontend, rule(external_local, !external_local));
        }
        if let Some(node_port) = port.node_port.and_then(valid_port) {
            let frontend = Frontend::NodePort { protocol, port: node_port };
            rules.insert(frontend, rule(external_local, !external_local));
        }
    }
    rules
}

fn cluster_addresses(spec: &ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let all = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    all.filter_map(|address| address.parse().ok()).collect()
}

fn external_addresses(service: &Service, spec: &ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let ingress = ingress.filter_map(|ingress| ingress.ip.as_ref());
    spec.external_ips.iter().flatten().chain(ingress).filter_map(|address| address.parse().ok()).collect()
}

/// Ready endpoints; when there is none, those that still serve while they terminate, so that a rollout drops nothing.
fn backends(slices: &[&EndpointSlice], port: &ServicePort, only: Option<&Node>) -> Vec<Backend> {
    let mut ready = BTreeSet::new();
    let mut draining = BTreeSet::new();
    for slice in slices {
        let wanted = port.name.as_deref().unwrap_or_default();
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let target = slice.ports.iter().flatten().find(|target| {
            target.name.as_deref().unwrap_or_default() == wanted
                && target.protocol.as_deref().unwrap_or("TCP") == protocol
        });
        let Some(number) = target.and_then(|target| target.port).and_then(valid_port) else { continue };
        let here = |endpoint: &&Endpoint| only.is_none_or(|node| endpoint.node_name.as_deref() == Some(&node.name));
        for endpoint in slice.endpoints.iter().filter(here) {
            // A slice's addresses are fungible: the first stands for the endpoint.
            let Some(address) = endpoint.addresses.first().and_then(|address| address.parse().ok()) else { continue };
            let backend = Backend { address, port: number };
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            if conditions.ready.unwrap_or(true) {
                ready.insert(backend);
            } else if conditions.serving.unwrap_or(false) && conditions.terminating.unwrap_or(false) {
                draining.insert(backend);
            }
        }
    }
    let chosen = if ready.is_empty() { draining } else { ready };
    chosen.into_iter().collect()
}

fn valid_port(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}

/// All rules of the node, by service, and what must change to get from one state to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    by_service: BTreeMap<String, Rules>,
}

/// A step from one rule set to another; costs as much as what changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub removed: Vec<(Frontend, Rule)>,
    /// Old rule where there was one, and the new one.
    pub set: Vec<(Frontend, Option<Rule>, Rule)>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.set.is_empty()
    }
}

impl RuleSet {
    /// Replaces a service's rules. `service` is its namespaced name; empty rules forget it.
    pub fn replace(&mut self, service: &str, rules: Rules) -> Changes {
        let before = self.by_service.remove(service).unwrap_or_default();
        let mut changes = Changes::default();
        for (frontend, rule) in &before {
            if !rules.contains_key(frontend) {
                changes.removed.push((*frontend, rule.clone()));
            }
        }
        for (frontend, rule) in &rules {
            let old = before.get(frontend);
            if old != Some(rule) {
                changes.set.push((*frontend, old.cloned(), rule.clone()));
            }
        }
        if !rules.is_empty() {
            self.by_service.insert(service.to_owned(), rules);
        }
        changes
    }

    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.by_service.keys().map(String::as_str)
    }

    /// Everything, as a change from nothing.
    pub fn all(&self) -> Changes {
        let rules = self.by_service.values().flatten();
        let set = rules.map(|(frontend, rule)| (*frontend, None, rule.clone())).collect();
        Changes { removed: Vec::new(), set }
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
