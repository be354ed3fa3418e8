//! NodeUnschedulable: a cordoned node takes only pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::tolerates;
use crate::framework::{Change, Filter, Plugin, Refusal};
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

pub struct NodeUnschedulable;

const REFUSED: &str = "node(s) were unschedulable";

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Filter<'a> {
        let cordoned = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        if tolerates(&pod.tolerations, &cordoned) {
            return Filter::Pass;
        }
        Filter::Check(Box::new(|row| {
            if snapshot.node(row).unschedulable { Err(Refusal::unresolvable(REFUSED)) } else { Ok(()) }
        }))
    }

    fn helped_by(&self, _pod: &PodInfo, change: &Change<'_>) -> bool {
        match change {
            Change::NodeAdded(node) => !node.unschedulable,
            Change::NodeUpdated { old, new } => old.unschedulable && !new.unschedulable,
            Change::PodRemoved(_) | Change::PodShrunk(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, refusals};

    #[test]
    fn a_cordoned_node_wants_a_toleration() {
        let nodes = [node("open"), node("cordoned").cordoned()];
        let expected = ["open: fits", "cordoned: node(s) were unschedulable"];
        assert_eq!(refusals(&NodeUnschedulable, &pod("p").info(), &nodes), expected);
        let tolerant = pod("p").tolerate("node.kubernetes.io/unschedulable", "Exists", "", "NoSchedule").info();
        assert_eq!(refusals(&NodeUnschedulable, &tolerant, &nodes), ["open: fits", "cordoned: fits"]);
    }
}
