//! NodeName: a pod that names its node runs there and nowhere else.

use crate::framework::{Change, Filter, Plugin, Refusal};
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

pub struct NodeName;

const REFUSED: &str = "node(s) didn't match the requested node name";

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn filter<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Filter<'a> {
        let Some(wanted) = &pod.node else { return Filter::Pass };
        Filter::Check(Box::new(move |row| {
            if snapshot.node(row).name == *wanted { Ok(()) } else { Err(Refusal::unresolvable(REFUSED)) }
        }))
    }

    fn helped_by(&self, pod: &PodInfo, change: &Change<'_>) -> bool {
        matches!(change, Change::NodeAdded(node) if pod.node.as_ref() == Some(&node.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, refusals};

    #[test]
    fn only_the_named_node_fits() {
        let nodes = [node("a"), node("b")];
        assert_eq!(refusals(&NodeName, &pod("free").info(), &nodes), ["a: fits", "b: fits"]);
        let expected = ["a: node(s) didn't match the requested node name", "b: fits"];
        assert_eq!(refusals(&NodeName, &pod("bound").on("b").info(), &nodes), expected);
    }
}
