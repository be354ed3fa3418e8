//! NodePorts: a host port can be open once per node, address and protocol.

use crate::framework::{Change, Filter, Plugin, Refusal};
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

pub struct NodePorts;

const REFUSED: &str = "node(s) didn't have free ports for the requested pod ports";

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn filter<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Filter<'a> {
        if pod.host_ports.is_empty() {
            return Filter::Pass;
        }
        Filter::Check(Box::new(|row| {
            let taken = snapshot.used_ports(row).any(|used| pod.host_ports.iter().any(|wanted| wanted.conflicts(used)));
            if taken { Err(Refusal::resolvable(REFUSED)) } else { Ok(()) }
        }))
    }

    fn helped_by(&self, pod: &PodInfo, change: &Change<'_>) -> bool {
        match change {
            Change::NodeAdded(_) => true,
            Change::PodRemoved(gone) => {
                gone.host_ports.iter().any(|freed| pod.host_ports.iter().any(|wanted| wanted.conflicts(freed)))
            }
            Change::NodeUpdated { .. } | Change::PodShrunk(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, refusals};

    #[test]
    fn a_port_is_free_by_address_and_protocol() {
        let refused = "n: node(s) didn't have free ports for the requested pod ports";
        let cases = [
            ("the same", (80, "TCP", ""), refused),
            ("another number", (81, "TCP", ""), "n: fits"),
            ("another protocol", (80, "UDP", ""), "n: fits"),
            ("one address of all", (80, "TCP", "10.0.0.1"), refused),
            ("another address", (90, "TCP", "10.0.0.2"), "n: fits"),
            ("the same address", (90, "TCP", "10.0.0.1"), refused),
            ("all addresses of one", (90, "TCP", "0.0.0.0"), refused),
        ];
        let nodes = [node("n")
            .running(pod("all").host_port(80, "TCP", ""))
            .running(pod("one").host_port(90, "TCP", "10.0.0.1"))];
        for (name, (port, protocol, ip), expected) in cases {
            let pod = pod("p").host_port(port, protocol, ip).info();
            assert_eq!(refusals(&NodePorts, &pod, &nodes), [expected], "{name}");
        }
    }
}
