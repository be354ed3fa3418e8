//! Nodes: a node writes its own, and nothing by which it could draw pods that are not meant for it.

use std::collections::BTreeSet;

use api::Object;
use serde_json::Value;

use super::super::{Attributes, Operation};
use super::{Checked, because, name};

/// Labels of Kubernetes that say what a kubelet knows.
const KNOWN: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// Parts of Kubernetes' label space that are kubelets' own.
const OWN: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const RESTRICTED: &str = "node-restriction.kubernetes.io";

pub(super) fn check(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Checked {
    let name = name(cx, object);
    if name != own {
        return because(format!("node {own:?} is not allowed to modify node {name:?}"));
    }
    let labels = |node: &Object| node["metadata"]["labels"].clone();
    match (cx.operation, cx.old, object) {
        (Operation::Create, _, Some(node)) => {
            if node["spec"]["configSource"].is_object() {
                return because(format!("node {own:?} is not allowed to create pods with a non-nil configSource"));
            }
            let forbidden = forbidden(&labels(node), &Value::Null);
            if !forbidden.is_empty() {
                return because(format!("node {own:?} is not allowed to set the following labels: {forbidden}"));
            }
            Ok(())
        }
        (Operation::Update, Some(old), Some(new)) => {
            let (before, after) = (&old["spec"]["configSource"], &new["spec"]["configSource"]);
            if after.is_object() && before != after {
                return because(format!(
                    "node {own:?} is not allowed to update configSource to a new non-nil configSource"
                ));
            }
            // A node that could would let pods come that are not meant for it.
            if differs(&old["spec"]["taints"], &new["spec"]["taints"]) {
                return because(format!("node {own:?} is not allowed to modify taints"));
            }
            if differs(&old["metadata"]["ownerReferences"], &new["metadata"]["ownerReferences"]) {
                return because(format!("node {own:?} is not allowed to modify ownerReferences"));
            }
            let forbidden = forbidden(&labels(new), &labels(old));
            if !forbidden.is_empty() {
                return because(format!("is not allowed to modify labels: {forbidden}"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An empty list is none.
fn differs(old: &Value, new: &Value) -> bool {
    let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    old != new && !(empty(old) && empty(new))
}

/// Labels that differ and are not the node's to say, sorted.
fn forbidden(new: &Value, old: &Value) -> String {
    let keys = [new, old].into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys);
    let changed: BTreeSet<&str> = keys.filter(|key| new.get(key) != old.get(key)).map(String::as_str).collect();
    let forbidden: Vec<&str> = changed.into_iter().filter(|key| is_forbidden(key)).collect();
    forbidden.join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let space = label.split_once('/').map(|(space, _)| space).unwrap_or_default();
    let within = |parent: &str| space == parent || space.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    let of_kubernetes = within("kubernetes.io") || within("k8s.io");
    let of_kubelets = KNOWN.contains(&label) || OWN.into_iter().any(within);
    within(RESTRICTED) || of_kubernetes && !of_kubelets
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_of_kubernetes_are_not_a_nodes_to_say() {
        let table = [
            (json!({"a": "b", "example.com/x": "y", "kubernetes.io/os": "linux"}), json!({}), ""),
            (json!({"x.node.kubernetes.io/y": "", "kubelet.kubernetes.io/z": ""}), json!({}), ""),
            (json!({"node-role.kubernetes.io/control-plane": ""}), json!({}), "node-role.kubernetes.io/control-plane"),
            (json!({"node-role.kubernetes.io/x": ""}), json!({"node-role.kubernetes.io/x": ""}), ""),
            (json!({}), json!({"k8s.io/b": "", "x.k8s.io/a": ""}), "k8s.io/b, x.k8s.io/a"),
            (
                json!({"example.node-restriction.kubernetes.io/a": "1"}),
                json!({"example.node-restriction.kubernetes.io/a": "2"}),
                "example.node-restriction.kubernetes.io/a",
            ),
            (json!({"mykubernetes.io/a": ""}), json!(null), ""),
        ];
        for (new, old, expected) in table {
            assert_eq!(forbidden(&new, &old), expected, "{new} {old}");
        }
    }
}
