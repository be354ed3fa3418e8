//! The way to other nodes' pods: Nodes in, one hop for each range of pods out. Pure.
//!
//! Nodes on one link route straight to each other. To others the way is a tunnel whose ends are known from the Nodes alone: an
//! end's link-layer address follows from the node's address, so nothing is to be agreed upon.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Node;

/// A network of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

/// How packets get to a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// By way of a neighbour: the node itself.
    Gateway(Ipv4Addr),
    /// Through the tunnel, whose other end is at the node's address.
    Tunnel(Ipv4Addr),
}

/// When packets between nodes are wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// To nodes that are not on a link with this one.
    #[default]
    WhereNeeded,
    Always,
}

pub type Routes = BTreeMap<Range, Hop>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Set(Range, Hop),
    Remove(Range, Hop),
}

impl Range {
    /// `10.244.1.0/24`, host bits dropped. `None` for anything else, IPv6 included.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| (1..=32).contains(prefix))?;
        let mask = u32::MAX << (32 - prefix);
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Self { address: Ipv4Addr::from(u32::from(address) & mask), prefix })
    }

    pub fn overlaps(self, other: Self) -> bool {
        let mask = u32::MAX << (32 - u32::from(self.prefix.min(other.prefix)));
        (u32::from(self.address) ^ u32::from(other.address)) & mask == 0
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The routes of the node called `own`. `on_link`: whether packets to an address need no gateway. A node without a range, without
/// an address, or with a range that overlaps this node's is left out.
pub fn wanted<'a>(
    nodes: impl IntoIterator<Item = &'a Node>,
    own: &str,
    overlay: Overlay,
    on_link: &dyn Fn(Ipv4Addr) -> bool,
) -> Routes {
    let nodes: Vec<(&str, Range, Ipv4Addr)> = nodes.into_iter().filter_map(place).collect();
    let own_range = nodes.iter().find(|(name, ..)| *name == own).map(|(_, range, _)| *range);
    let mut routes = Routes::new();
    for (name, range, address) in nodes {
        if name == own || own_range.is_some_and(|own| own.overlaps(range)) {
            continue;
        }
        let straight = overlay == Overlay::WhereNeeded && on_link(address);
        routes.insert(range, if straight { Hop::Gateway(address) } else { Hop::Tunnel(address) });
    }
    routes
}

fn place(node: &Node) -> Option<(&str, Range, Ipv4Addr)> {
    let range = Range::parse(node.spec.as_ref()?.pod_cidr.as_deref()?)?;
    let addresses = node.status.as_ref()?.addresses.iter().flatten();
    let internal = addresses.filter(|address| address.type_ == "InternalIP");
    let address = internal.filter_map(|address| address.address.parse().ok()).next()?;
    Some((node.metadata.name.as_deref()?, range, address))
}

/// What makes `want` of `have`. A range that is reached in another way is set without being removed before.
pub fn changes(have: &Routes, want: &Routes) -> Vec<Change> {
    let gone = have.iter().filter(|(range, _)| !want.contains_key(range));
    let removed = gone.map(|(range, hop)| Change::Remove(*range, *hop));
    let new = want.iter().filter(|(range, hop)| have.get(range) != Some(hop));
    removed.chain(new.map(|(range, hop)| Change::Set(*range, *hop))).collect()
}

/// The link-layer address of the tunnel's end at a node: locally administered, unicast.
pub fn tunnel_mac(node: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = node.octets();
    [0x02, 0x78, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, address: &str, range: &str) -> Node {
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"podCIDR": range},
            "status": {"addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]}}))
        .expect("a node")
    }

    fn lines(routes: &Routes) -> Vec<String> {
        routes.iter().map(|(range, hop)| format!("{range} {hop:?}")).collect()
    }

    #[test]
    fn every_other_node_has_a_way() {
        let mut unplaced = node("d", "10.0.0.4", "10.244.3.0/24");
        unplaced.spec = None;
        let nodes = [
            node("a", "10.0.0.1", "10.244.0.0/24"),
            node("b", "10.0.0.2", "10.244.1.0/24"),
            node("c", "192.0.2.3", "10.244.2.0/24"),
            unplaced,
            node("twin", "10.0.0.9", "10.244.0.0/25"),
        ];
        let near = |address: Ipv4Addr| address.octets()[0] == 10;
        let table: [(&str, Overlay, &[&str]); 3] = [
            ("a", Overlay::WhereNeeded, &["10.244.1.0/24 Gateway(10.0.0.2)", "10.244.2.0/24 Tunnel(192.0.2.3)"]),
            ("a", Overlay::Always, &["10.244.1.0/24 Tunnel(10.0.0.2)", "10.244.2.0/24 Tunnel(192.0.2.3)"]),
            (
                "b",
                Overlay::WhereNeeded,
                &[
                    "10.244.0.0/24 Gateway(10.0.0.1)",
                    "10.244.0.0/25 Gateway(10.0.0.9)",
                    "10.244.2.0/24 Tunnel(192.0.2.3)",
                ],
            ),
        ];
        for (own, overlay, expected) in table {
            assert_eq!(lines(&wanted(&nodes, own, overlay, &near)), *expected, "{own} {overlay:?}");
        }
    }

    #[test]
    fn only_what_differs_changes() {
        let range = |text: &str| Range::parse(text).expect("a range");
        let (a, b, c) = (range("10.1.0.0/24"), range("10.2.0.0/24"), range("10.3.0.0/24"));
        let by = |last: u8| Hop::Gateway(Ipv4Addr::new(10, 0, 0, last));
        let have = Routes::from([(a, by(1)), (b, by(2))]);
        let want = Routes::from([(b, by(9)), (c, by(3))]);
        assert_eq!(changes(&have, &want), [Change::Remove(a, by(1)), Change::Set(b, by(9)), Change::Set(c, by(3))]);
        assert_eq!(changes(&want, &want), []);
    }

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("10.1.2.3/24", Some("10.1.2.0/24")),
            ("10.1.2.3/0", None),
            ("10.1.2.3/33", None),
            ("fd00::/64", None),
            ("10.1.2.3", None),
        ] {
            assert_eq!(Range::parse(text).map(|range| range.to_string()).as_deref(), expected, "{text}");
        }
    }
}
