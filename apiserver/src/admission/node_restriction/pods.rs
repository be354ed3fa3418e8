//! Pods: a node makes mirrors of its own, tells how those that are bound to it are, evicts and ends them.

use api::Object;
use api::status::{Qualified, Status};
use serde::Deserialize;
use serde_json::Value;

use super::super::{Attributes, Operation};
use super::{Checked, because, operation};
use crate::nodes::graph::Kind;
use crate::nodes::references::Pod;

const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) async fn check(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Checked {
    match (cx.subresource, cx.operation) {
        ("", Operation::Create) => match object {
            Some(pod) => create(cx, own, pod).await,
            None => Ok(()),
        },
        ("", Operation::Delete) if cx.old.is_some_and(|pod| bound_to(pod, own)) => Ok(()),
        ("", Operation::Delete) => {
            because(format!("node {own:?} can only delete pods with spec.nodeName set to itself"))
        }
        ("", _) => {
            let operation = operation(cx);
            because(format!("unexpected operation {operation:?}, node {own:?} can only create and delete mirror pods"))
        }
        ("status", Operation::Update) => status(cx, own, object),
        ("eviction", Operation::Create) => {
            let found = cx.reader.get("", "pods", cx.namespace, cx.name).await?;
            match found.ok_or_else(|| Status::not_found(Qualified::new("", "pods"), cx.name))? {
                pod if bound_to(&pod, own) => Ok(()),
                _ => because(format!("node {own} can only evict pods with spec.nodeName set to itself")),
            }
        }
        ("status" | "eviction", _) => because(format!("unexpected operation {:?}", operation(cx))),
        (other, _) => {
            because(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
    }
}

fn bound_to(pod: &Object, node: &str) -> bool {
    pod["spec"]["nodeName"] == node
}

fn status(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Checked {
    let (Some(old), Some(new)) = (cx.old, object) else { return Ok(()) };
    if !bound_to(old, own) {
        return because(format!("node {own:?} can only update pod status for pods with spec.nodeName set to itself"));
    }
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    let (before, after) = (&old["metadata"]["labels"], &new["metadata"]["labels"]);
    if before != after && !(empty(before) && empty(after)) {
        return because(format!("node {own:?} cannot update labels through pod status"));
    }
    let claims = |pod: &Object| -> Vec<(Value, Value)> {
        let list = pod["status"]["resourceClaimStatuses"].as_array().into_iter().flatten();
        list.map(|claim| (claim["name"].clone(), claim["resourceClaimName"].clone())).collect()
    };
    if claims(old) != claims(new) {
        return because(format!("node {own:?} cannot update resource claim statues"));
    }
    let extended = |pod: &Object| pod["status"]["extendedResourceClaimStatus"].clone();
    if extended(old) != extended(new) {
        return because(format!("node {own:?} cannot update extended resource claim status"));
    }
    Ok(())
}

async fn create(cx: &Attributes<'_>, own: &str, pod: &Object) -> Checked {
    if pod["metadata"]["annotations"][MIRROR].is_null() {
        return because(format!("pod does not have {MIRROR:?} annotation, node {own:?} can only create mirror pods"));
    }
    if !bound_to(pod, own) {
        return because(format!("node {own:?} can only create pods with spec.nodeName set to itself"));
    }
    let owners = pod["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let owner = match owners {
        [] => return because(format!("node {own:?} can only create pods with an owner reference set to itself")),
        [owner] => owner,
        _ => return because(format!("node {own:?} can only create pods with a single owner reference set to itself")),
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != own {
        return because(format!("node {own:?} can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        return because(format!("node {own:?} can only create pods with a controller owner reference set to itself"));
    }
    if owner["blockOwnerDeletion"] == true {
        return because(format!("node {own:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let node = cx.reader.get("", "nodes", "", own).await?;
    let node = node.ok_or_else(|| Status::not_found(Qualified::new("", "node"), own))?;
    if owner["uid"] != node["metadata"]["uid"] {
        let (asked, there) = (text(&owner["uid"]), text(&node["metadata"]["uid"]));
        return because(format!("node {own} UID mismatch: expected {asked} got {there}"));
    }
    match referenced(pod) {
        Some(resource) => because(format!("node {own:?} can not create pods that reference {resource}")),
        None => Ok(()),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The first kind of object that a pod cannot be without: the node would be let to it.
fn referenced(pod: &Object) -> Option<&'static str> {
    let spec = &pod["spec"];
    if !text(&spec["serviceAccountName"]).is_empty() {
        return Some("serviceaccounts");
    }
    let uses = Pod::deserialize(pod).map(|pod| pod.uses()).unwrap_or_default();
    for (kind, shown) in [(Kind::Secret, "secrets"), (Kind::ConfigMap, "configmaps")] {
        if uses.iter().any(|used| used.kind() == kind) {
            return Some(shown);
        }
    }
    if spec["resourceClaims"].as_array().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceclaims");
    }
    spec["volumes"].as_array().into_iter().flatten().find_map(referenced_by_volume)
}

fn referenced_by_volume(volume: &Value) -> Option<&'static str> {
    const VOLUMES: [(&str, &str); 7] = [
        ("configMap", "configmaps (via configmap volumes)"),
        ("secret", "secrets (via secret volumes)"),
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ];
    const PROJECTED: [(&str, &str); 5] = [
        ("configMap", "configmaps (via projected volumes)"),
        ("secret", "secrets (via projected volumes)"),
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    let first = |source: &Value, table: &[(&str, &'static str)]| {
        table.iter().find(|(member, _)| source[*member].is_object()).map(|(_, shown)| *shown)
    };
    let projected = volume["projected"]["sources"].as_array().into_iter().flatten();
    first(volume, &VOLUMES).or_else(|| projected.into_iter().find_map(|source| first(source, &PROJECTED)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_references_is_told() {
        let table = [
            (json!({"volumes": [{"emptyDir": {}}, {"projected": {"sources": [{"downwardAPI": {}}]}}]}), None),
            (json!({"serviceAccountName": "a"}), Some("serviceaccounts")),
            (json!({"containers": [{"envFrom": [{"secretRef": {"name": "s"}}]}]}), Some("secrets")),
            (json!({"volumes": [{"name": "v", "configMap": {"name": "m"}}]}), Some("configmaps")),
            (json!({"volumes": [{"configMap": {}}]}), Some("configmaps (via configmap volumes)")),
            (json!({"resourceClaims": [{"name": "c"}]}), Some("resourceclaims")),
            (
                json!({"volumes": [{"name": "v", "ephemeral": {}}]}),
                Some("persistentvolumeclaims (via ephemeral volumes)"),
            ),
            (
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
                Some("serviceaccounts (via projected volumes)"),
            ),
        ];
        for (spec, expected) in table {
            let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec});
            assert_eq!(referenced(&pod), expected, "{pod}");
        }
    }
}
