//! Owns:    a node's range of pod addresses.
//! Watches: Nodes.
//! Writes:  Nodes (spec.podCIDR of those that have none).
//!
//! Ranges are of one size, cut from the cluster's; the lowest free one is given out. A node that came with its range keeps it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch};
use serde_json::json;

/// How often a node that got nothing asks again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// A network: its address and the number of bits that are fixed.
pub type Range = (Ipv4Addr, u8);

#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of all pods.
    pub cluster: Range,
    /// Fixed bits of one node's range (upstream's --node-cidr-mask-size).
    pub node_prefix: u8,
    /// Not to be given out: of a node that has its range before it has an object.
    pub reserved: Vec<Range>,
}

pub struct NodeIpam {
    config: Config,
    /// What was given out by node, until the cache shows it: two nodes are never given the same.
    given: Mutex<BTreeMap<String, Range>>,
}

impl NodeIpam {
    pub fn new(config: Config) -> Self {
        Self { config, given: Mutex::default() }
    }

    /// The range for a node that has none, beside the ranges in use. `None`: all are taken.
    fn give(&self, node: &str, used: &[Range]) -> Option<Range> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(range) = given.get(node) {
            return Some(*range);
        }
        let (address, prefix) = self.config.cluster;
        let bits = u32::from(self.config.node_prefix.checked_sub(prefix)?);
        let size = 1u32.checked_shl(32 - u32::from(self.config.node_prefix))?;
        let candidates = (0..1u64 << bits).map_while(|index| {
            let offset = u32::try_from(index).ok()?.checked_mul(size)?;
            Some((Ipv4Addr::from(u32::from(address).checked_add(offset)?), self.config.node_prefix))
        });
        let taken: Vec<Range> = used.iter().chain(&self.config.reserved).chain(given.values()).copied().collect();
        let range = candidates.into_iter().find(|range| !taken.iter().any(|other| overlap(*range, *other)))?;
        given.insert(node.to_owned(), range);
        Some(range)
    }

    fn forget(&self, node: &str) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

impl Controller for NodeIpam {
    const NAME: &'static str = "node-ipam-controller";
    const ACCOUNT: &'static str = "node-controller";
    type Root = Node;
    /// What this node is given; `None` when all ranges are taken, or none is wanted.
    type View = Option<Range>;

    fn watches() -> Vec<Watch> {
        Vec::new()
    }

    fn view(&self, root: &Node, caches: &Caches) -> Option<Range> {
        let name = root.metadata.name.as_deref().unwrap_or("");
        if has_range(root) {
            self.forget(name);
            return None;
        }
        let used: Vec<Range> = caches.get::<Node>().list().iter().flat_map(|node| ranges(node)).collect();
        self.give(name, &used)
    }

    fn decide(&self, root: &Node, range: &Option<Range>, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if has_range(root) || root.metadata.deletion_timestamp.is_some() {
            return plan;
        }
        let Some((address, prefix)) = range else {
            let name = root.metadata.name.as_deref().unwrap_or("");
            let message = format!("Node {name} status is now: CIDRNotAvailable");
            plan.events.push(PlanEvent::normal("CIDRNotAvailable", message));
            plan.requeue_after(ASK_AGAIN);
            return plan;
        };
        let text = format!("{address}/{prefix}");
        plan.push(Action::merge_patch(root, json!({"spec": {"podCIDR": text, "podCIDRs": [text]}})).unchanged(root));
        plan
    }

    fn absent(&self, key: &Key, _: &Caches) -> Plan {
        self.forget(&key.name);
        Plan::default()
    }
}

fn has_range(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.pod_cidr.as_deref().is_some_and(|range| !range.is_empty()))
}

/// The node's IPv4 ranges.
fn ranges(node: &Node) -> Vec<Range> {
    let spec = node.spec.as_ref();
    let all = spec.into_iter().flat_map(|spec| spec.pod_cidr.iter().chain(spec.pod_cidrs.iter().flatten()));
    all.filter_map(|text| {
        let (address, prefix) = text.split_once('/')?;
        Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?))
    })
    .collect()
}

fn overlap(a: Range, b: Range) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(a.1.min(b.1))).unwrap_or(0);
    (u32::from(a.0) ^ u32::from(b.0)) & mask == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object};
    use serde_json::Value;

    fn node(name: &str, range: &str) -> Node {
        let spec = if range.is_empty() { json!({}) } else { json!({"podCIDR": range, "podCIDRs": [range]}) };
        object(json!({"metadata": {"name": name}, "spec": spec}))
    }

    fn controller(prefix: u8) -> NodeIpam {
        let reserved = vec![(Ipv4Addr::new(10, 244, 0, 0), 24)];
        NodeIpam::new(Config { cluster: (Ipv4Addr::new(10, 244, 0, 0), prefix), node_prefix: 24, reserved })
    }

    /// The range that a node is given in a world of nodes.
    fn given(controller: &NodeIpam, new: &str, world: &[(&str, &str)]) -> Option<String> {
        let caches = Caches::default();
        caches.insert::<Node>(world.iter().map(|(name, range)| node(name, range)).collect());
        let root = node(new, "");
        let plan = controller.decide(&root, &controller.view(&root, &caches), now());
        let patch = actions(&plan).pop()?;
        let body: Value = serde_json::from_str(patch.strip_prefix(&format!("patch Node {new} "))?).ok()?;
        Some(body["spec"]["podCIDR"].as_str()?.to_owned())
    }

    #[test]
    fn the_lowest_free_range_is_given() {
        type World = &'static [(&'static str, &'static str)];
        let table: [(&str, u8, World, Option<&str>); 5] = [
            ("first", 16, &[], Some("10.244.1.0/24")),
            ("a gap", 16, &[("a", "10.244.1.0/24"), ("c", "10.244.3.0/24")], Some("10.244.2.0/24")),
            ("a range of another size", 16, &[("a", "10.244.0.0/22")], Some("10.244.4.0/24")),
            ("one node has all", 16, &[("a", "10.244.0.0/16")], None),
            ("all are taken", 23, &[("a", "10.244.1.0/24")], None),
        ];
        for (name, prefix, world, expected) in table {
            assert_eq!(given(&controller(prefix), "new", world).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn two_nodes_are_never_given_the_same() {
        let controller = controller(16);
        assert_eq!(given(&controller, "a", &[]).as_deref(), Some("10.244.1.0/24"));
        assert_eq!(given(&controller, "b", &[]).as_deref(), Some("10.244.2.0/24"), "the cache does not show a's yet");
        assert_eq!(given(&controller, "a", &[]).as_deref(), Some("10.244.1.0/24"), "a retry gives the same");
        controller.absent(&Key::cluster("a"), &Caches::default());
        assert_eq!(given(&controller, "c", &[("b", "10.244.2.0/24")]).as_deref(), Some("10.244.1.0/24"));
    }

    #[test]
    fn who_has_a_range_keeps_it() {
        let controller = controller(16);
        let caches = Caches::default();
        let root = node("a", "10.9.0.0/16");
        assert!(controller.decide(&root, &controller.view(&root, &caches), now()).is_empty());
    }
}
