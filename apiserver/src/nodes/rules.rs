//! What a node may do: by the graph, by names, and by the rules that hold for all nodes.

use std::sync::{Arc, LazyLock};

use api::selector::FieldSelector;

use super::graph::{Graph, Kind};
use crate::rbac::{Rule, bootstrap};
use crate::request::RequestInfo;

const LEASES: &str = "kube-node-lease";
/// What all nodes may do alike: the rules of the role that nodes had before there was this authorizer.
static SHARED: LazyLock<Vec<Rule>> = LazyLock::new(|| bootstrap::rules("clusterroles", "system:node"));

/// Allowed, or why not, which may be empty.
pub type Verdict = Result<(), String>;

#[derive(Clone, Debug)]
pub struct Rules {
    pub graph: Arc<Graph>,
}

/// A request of a node.
struct Asked<'r> {
    graph: &'r Graph,
    node: &'r str,
    request: &'r RequestInfo,
}

impl Rules {
    /// `node` is the name that the user has as a node; it is empty when the user says it is a node and not which.
    pub fn decide(&self, node: &str, user: &str, request: &RequestInfo) -> Verdict {
        if node.is_empty() {
            return Err(format!("unknown node for user {user:?}"));
        }
        let asked = Asked { graph: &self.graph, node, request };
        if !request.is_resource {
            return asked.shared();
        }
        match (request.group.as_str(), request.resource.as_str()) {
            ("", "secrets") => asked.read(Kind::Secret),
            ("", "configmaps") => asked.read(Kind::ConfigMap),
            ("", "persistentvolumeclaims") if request.subresource == "status" => asked.update_status(Kind::Claim),
            ("", "persistentvolumeclaims") => asked.get(Kind::Claim),
            ("", "persistentvolumes") => asked.get(Kind::Volume),
            ("resource.k8s.io", "resourceclaims") => asked.get(Kind::ResourceClaim),
            ("storage.k8s.io", "volumeattachments") => asked.get(Kind::Attachment),
            ("", "serviceaccounts") => asked.service_account(),
            ("coordination.k8s.io", "leases") => asked.lease(),
            ("storage.k8s.io", "csinodes") => asked.csi_node(),
            ("resource.k8s.io", "resourceslices") => asked.slice(),
            ("", "nodes") => asked.nodes(),
            ("", "pods") => asked.pods(),
            ("certificates.k8s.io", "podcertificaterequests") => refuse(""),
            _ => asked.shared(),
        }
    }
}

fn refuse(why: &str) -> Verdict {
    Err(why.to_owned())
}

impl Asked<'_> {
    fn verb(&self) -> &str {
        &self.request.verb
    }

    fn subresource(&self) -> &str {
        &self.request.subresource
    }

    fn shared(&self) -> Verdict {
        if SHARED.iter().any(|rule| rule.allows(self.request)) { Ok(()) } else { refuse("") }
    }

    fn related(&self, kind: Kind) -> Verdict {
        let RequestInfo { namespace, name, .. } = self.request;
        if self.graph.leads(kind, namespace, name, self.node) {
            return Ok(());
        }
        Err(format!("no relationship found between node '{}' and this object", self.node))
    }

    fn named(&self, kind: Kind) -> Verdict {
        if self.request.name.is_empty() { refuse("No Object name found") } else { self.related(kind) }
    }

    fn get(&self, kind: Kind) -> Verdict {
        if self.verb() != "get" {
            return refuse("can only get individual resources of this type");
        }
        if !self.subresource().is_empty() {
            return refuse("cannot get subresource");
        }
        self.named(kind)
    }

    fn read(&self, kind: Kind) -> Verdict {
        if !matches!(self.verb(), "get" | "list" | "watch") {
            return refuse("can only read resources of this type");
        }
        if !self.subresource().is_empty() {
            return refuse("cannot read subresource");
        }
        if self.request.namespace.is_empty() {
            return refuse("can only read namespaced object of this type");
        }
        self.named(kind)
    }

    fn update_status(&self, kind: Kind) -> Verdict {
        if !matches!(self.verb(), "update" | "patch") {
            return refuse("can only get/update/patch this type");
        }
        self.named(kind)
    }

    fn service_account(&self) -> Verdict {
        if self.verb() == "get" && self.subresource().is_empty() {
            return self.read(Kind::ServiceAccount);
        }
        if self.verb() != "create" || self.request.name.is_empty() {
            return refuse("can only create tokens for individual service accounts");
        }
        if self.subresource() != "token" {
            return refuse("can only create token subresource of serviceaccount");
        }
        self.related(Kind::ServiceAccount)
    }

    fn lease(&self) -> Verdict {
        if !matches!(self.verb(), "get" | "create" | "update" | "patch" | "delete") {
            return refuse("can only get, create, update, patch, or delete a node lease");
        }
        if self.request.namespace != LEASES {
            return Err(format!("can only access leases in the {LEASES:?} system namespace"));
        }
        // Who creates one names it in the body.
        if self.verb() != "create" && self.request.name != self.node {
            return refuse("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    fn csi_node(&self) -> Verdict {
        if !matches!(self.verb(), "get" | "create" | "update" | "patch" | "delete") {
            return refuse("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.subresource().is_empty() {
            return refuse("cannot authorize CSINode subresources");
        }
        if self.verb() != "create" && self.request.name != self.node {
            return refuse("can only access CSINode with the same name as the requesting node");
        }
        Ok(())
    }

    fn slice(&self) -> Verdict {
        if !self.subresource().is_empty() {
            return refuse("cannot authorize ResourceSlice subresources");
        }
        match self.verb() {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.named(Kind::Slice),
            "watch" | "list" | "deletecollection" if self.selects("spec.nodeName") => Ok(()),
            "watch" | "list" | "deletecollection" => {
                refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => refuse(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                 delete, deletecollection",
            ),
        }
    }

    /// Whose Node it is that is written is seen by admission.
    fn nodes(&self) -> Verdict {
        let name = self.request.name.as_str();
        match (self.subresource(), self.verb()) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") if name == self.node => Ok(()),
            ("", "get" | "list" | "watch") if name.is_empty() => {
                Err(format!("node '{}' cannot read all nodes, only its own Node object", self.node))
            }
            ("", "get" | "list" | "watch") => {
                Err(format!("node '{}' cannot read '{name}', only its own Node object", self.node))
            }
            _ => refuse(""),
        }
    }

    /// Whose pod it is that is written is seen by admission.
    fn pods(&self) -> Verdict {
        match (self.subresource(), self.verb()) {
            ("", "get") => self.get(Kind::Pod),
            ("", "list" | "watch") if self.selects("spec.nodeName") => Ok(()),
            ("", "list" | "watch") if !self.request.name.is_empty() => self.related(Kind::Pod),
            ("", "list" | "watch") => refuse("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => refuse(""),
        }
    }

    /// The request is about objects only whose field is this node's name.
    fn selects(&self, field: &str) -> bool {
        let selector = FieldSelector::parse(&self.request.field_selector).unwrap_or_default();
        selector.terms.iter().any(|term| term.field == field && !term.negated && term.value == self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[test]
    fn a_node_may_what_upstream_lets_it() {
        let rules = Rules { graph: Arc::default() };
        let mine = |path: &str| format!("/api/v1/namespaces/n/{path}");
        let stranger = "no relationship found between node 'w' and this object";
        let table = [
            ("GET /api/v1/nodes/w", Ok(())),
            ("GET /api/v1/nodes?fieldSelector=metadata.name=w&watch=1", Ok(())),
            ("GET /api/v1/nodes/x", Err("node 'w' cannot read 'x', only its own Node object")),
            ("GET /api/v1/nodes", Err("node 'w' cannot read all nodes, only its own Node object")),
            ("PATCH /api/v1/nodes/w/status", Ok(())),
            ("DELETE /api/v1/nodes/w", Err("")),
            ("GET /api/v1/pods?fieldSelector=spec.nodeName=w", Ok(())),
            (
                "GET /api/v1/pods?fieldSelector=spec.nodeName!=w",
                Err("can only list/watch pods with spec.nodeName field selector"),
            ),
            ("GET /api/v1/namespaces/n/pods/p", Err(stranger)),
            ("GET /api/v1/namespaces/n/secrets/s", Err(stranger)),
            ("GET /api/v1/namespaces/n/secrets", Err("No Object name found")),
            ("GET /api/v1/secrets", Err("can only read namespaced object of this type")),
            ("PUT /api/v1/namespaces/n/secrets/s", Err("can only read resources of this type")),
            ("GET /api/v1/persistentvolumes", Err("can only get individual resources of this type")),
            ("POST /api/v1/namespaces/n/serviceaccounts/a/token", Err(stranger)),
            (
                "PUT /api/v1/namespaces/n/serviceaccounts/a",
                Err("can only create tokens for individual service accounts"),
            ),
            ("PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/w", Ok(())),
            (
                "PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/x",
                Err("can only access node lease with the same name as the requesting node"),
            ),
            (
                "GET /apis/coordination.k8s.io/v1/namespaces/n/leases/w",
                Err("can only access leases in the \"kube-node-lease\" system namespace"),
            ),
            ("DELETE /apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName=w", Ok(())),
            ("GET /apis/certificates.k8s.io/v1/certificatesigningrequests", Ok(())),
            ("GET /api/v1/services", Ok(())),
            ("GET /apis/discovery.k8s.io/v1/endpointslices", Err("")),
            ("GET /apis/apps/v1/deployments", Err("")),
            ("GET /metrics", Err("")),
        ];
        for (request, expected) in table {
            let (method, target) = request.split_once(' ').unwrap();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query));
            assert_eq!(rules.decide("w", "system:node:w", &info), expected.map_err(str::to_owned), "{request}");
        }
        let info = RequestInfo::parse(&http::Method::GET, &mine("secrets/s"), &Query::default());
        let nobody = rules.decide("", "system:node:", &info);
        assert_eq!(nobody, Err("unknown node for user \"system:node:\"".to_owned()));
    }
}
