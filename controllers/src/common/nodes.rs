//! What a node's state means to controllers.

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use reconcile::informer::Caches;
use reconcile::{Key, Watch, indexed};

/// The index of Pods by the name of their node.
pub const PODS_BY_NODE: &str = "node";

pub fn pods_by_node() -> Watch {
    indexed::<Pod>(PODS_BY_NODE, |pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        node.filter(|name| !name.is_empty()).into_iter().collect()
    })
}

/// The keys of the pods on a node.
pub fn pods_on(node: &Node, caches: &Caches) -> Vec<Key> {
    let name = node.metadata.name.as_deref().unwrap_or("");
    caches.get::<Pod>().by_index(PODS_BY_NODE, name).iter().map(|pod| Key::of(&**pod)).collect()
}

pub fn condition<'a>(node: &'a Node, type_: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

pub fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|ready| ready.status == "True")
}

pub fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or(&[])
}
