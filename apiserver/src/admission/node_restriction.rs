//! NodeRestriction: a node changes its own Node and the pods that are bound to it, and nobody else's. What a node may do at all is
//! said by the authorizer; whose it is can only be seen here.

use api::Object;
use api::status::{Qualified, Status};

use super::{Admission, Attributes, Operation, Verdict};

#[derive(Debug)]
pub struct NodeRestriction;

const MIRROR: &str = "kubernetes.io/config.mirror";

impl Admission for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        let own = cx.user.node().filter(|_| cx.resource.group.is_empty());
        let why = own.and_then(|own| match cx.resource.plural.as_str() {
            // An eviction ends in a deletion, which is looked at here.
            "pods" => pod(cx, own, object),
            "nodes" => node(cx, own, object),
            _ => None,
        });
        let resource = Qualified::new("", &cx.resource.plural);
        let verdict = why.map_or(Ok(()), |why| Err(Status::forbidden(resource, cx.name, &why)));
        Box::pin(std::future::ready(verdict))
    }
}

fn bound_to(pod: &Object, node: &str) -> bool {
    pod["spec"]["nodeName"] == node
}

/// Why not, or nothing.
fn pod(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Option<String> {
    match (cx.operation, cx.subresource) {
        (Operation::Create, "") => {
            let pod = object?;
            if pod["metadata"]["annotations"][MIRROR].is_null() {
                return Some(format!(
                    "pod does not have {MIRROR:?} annotation, node {own:?} can only create mirror pods"
                ));
            }
            (!bound_to(pod, own)).then(|| format!("node {own:?} can only create pods with spec.nodeName set to itself"))
        }
        (Operation::Delete, "") => (!cx.old.is_some_and(|pod| bound_to(pod, own)))
            .then(|| format!("node {own:?} can only delete pods with spec.nodeName set to itself")),
        (Operation::Update, "status") => {
            let old = cx.old?;
            if !bound_to(old, own) {
                return Some(format!(
                    "node {own:?} can only update pod status for pods with spec.nodeName set to itself"
                ));
            }
            (object?["metadata"]["labels"] != old["metadata"]["labels"])
                .then(|| format!("node {own:?} cannot update labels through pod status"))
        }
        _ => None,
    }
}

fn node(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Option<String> {
    let name = match (cx.name, object) {
        ("", Some(node)) => node["metadata"]["name"].as_str().unwrap_or_default(),
        (name, _) => name,
    };
    if name != own {
        return Some(format!("node {own:?} is not allowed to modify node {name:?}"));
    }
    let (Operation::Update, Some(old), Some(new)) = (cx.operation, cx.old, object) else { return None };
    // A node that could would let pods come that are not meant for it.
    (old["spec"]["taints"] != new["spec"]["taints"]).then(|| format!("node {own:?} is not allowed to modify taints"))
}
