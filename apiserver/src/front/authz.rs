//! Who may do what, for the identities that a cluster has before RBAC objects are evaluated: the administrator, the control
//! plane's own components, nodes, and what everybody may.

use futures::future::BoxFuture;

use super::authn::AUTHENTICATED;
use crate::authorizer::{Authorizer, Decision};
use crate::request::RequestInfo;
use crate::user::UserInfo;

const NODE_PREFIX: &str = "system:node:";

/// Users that are parts of the control plane. Upstream gives each a narrower role; here they share one process.
const COMPONENTS: [&str; 2] = ["system:kube-controller-manager", "system:kube-scheduler"];

/// Paths that anyone may get, without a credential too.
const PUBLIC: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Paths that any authenticated user may get (upstream's role system:discovery).
const DISCOVERY: [&str; 4] = ["/api", "/apis", "/openapi", "/.well-known/openid-configuration"];

/// Resources that any authenticated user may create: questions about oneself (upstream's role system:basic-user).
const ABOUT_ONESELF: [&str; 3] = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];

/// What a node reads, cluster-wide.
const NODE_READS: [&str; 14] = [
    "nodes",
    "pods",
    "services",
    "endpoints",
    "endpointslices",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "leases",
    "runtimeclasses",
    "persistentvolumes",
    "persistentvolumeclaims",
    "csidrivers",
    "csinodes",
];

/// Answers for the identities above and has no opinion on others.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinAuthorizer;

impl Authorizer for BuiltinAuthorizer {
    fn authorize<'a>(&'a self, user: &'a UserInfo, request: &'a RequestInfo) -> BoxFuture<'a, Decision> {
        let allowed = is_component(user) || everybody(user, request) || node(user, request);
        let decision = if allowed { Decision::Allow } else { Decision::NoOpinion(String::new()) };
        Box::pin(std::future::ready(decision))
    }
}

fn is_component(user: &UserInfo) -> bool {
    user.in_group("system:masters") || COMPONENTS.contains(&user.name.as_str())
}

fn everybody(user: &UserInfo, request: &RequestInfo) -> bool {
    if !request.is_resource {
        let under = |roots: &[&str]| {
            roots.iter().any(|root| {
                request.path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let reads = matches!(request.verb.as_str(), "get" | "head");
        return reads && (under(&PUBLIC) || user.in_group(AUTHENTICATED) && under(&DISCOVERY));
    }
    user.in_group(AUTHENTICATED) && request.verb == "create" && ABOUT_ONESELF.contains(&request.resource.as_str())
}

/// A node writes its own Node, Lease and pods' statuses, and reads what pods need. Which pods are its own is not checked here.
fn node(user: &UserInfo, request: &RequestInfo) -> bool {
    let Some(own) = user.name.strip_prefix(NODE_PREFIX).filter(|_| user.in_group("system:nodes")) else { return false };
    let verb = request.verb.as_str();
    if matches!(verb, "get" | "list" | "watch") {
        return NODE_READS.contains(&request.resource.as_str());
    }
    let named = request.name == own;
    match (request.resource.as_str(), request.subresource.as_str()) {
        ("nodes", "") => verb == "create" || named && matches!(verb, "update" | "patch"),
        ("nodes", "status") => named && matches!(verb, "update" | "patch"),
        ("leases", "") => {
            let own_lease = request.namespace == "kube-node-lease" && (named || verb == "create");
            own_lease && matches!(verb, "create" | "update" | "patch" | "delete")
        }
        ("pods", "status") => matches!(verb, "update" | "patch"),
        // A mirror pod is created; a terminated one is deleted for good.
        ("pods", "") => matches!(verb, "create" | "delete"),
        ("pods", "eviction") => verb == "create",
        ("events", "") => matches!(verb, "create" | "update" | "patch"),
        ("serviceaccounts", "token") | ("tokenreviews" | "subjectaccessreviews", "") => verb == "create",
        ("certificatesigningrequests", "") => verb == "create",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[tokio::test]
    async fn each_identity_may_do_its_own() {
        let admin = UserInfo::admin();
        let node = UserInfo::new("system:node:a", &["system:nodes", AUTHENTICATED]);
        let pod = UserInfo::new("system:serviceaccount:x:default", &["system:serviceaccounts", AUTHENTICATED]);
        let anonymous = UserInfo::new(super::super::authn::ANONYMOUS, &[super::super::authn::UNAUTHENTICATED]);
        let controller = UserInfo::new("system:kube-controller-manager", &[AUTHENTICATED]);
        let cases = [
            (&admin, "DELETE", "/api/v1/namespaces/x", true),
            (&controller, "POST", "/api/v1/namespaces/x/pods", true),
            (&node, "GET", "/api/v1/pods", true),
            (&node, "PATCH", "/api/v1/nodes/a/status", true),
            (&node, "PATCH", "/api/v1/nodes/b/status", false),
            (&node, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a", true),
            (&node, "PUT", "/apis/coordination.k8s.io/v1/namespaces/x/leases/a", false),
            (&node, "POST", "/apis/apps/v1/namespaces/x/deployments", false),
            (&pod, "GET", "/api/v1/namespaces/x/pods", false),
            (&pod, "GET", "/apis/apps/v1", true),
            (&pod, "GET", "/openapi/v3", true),
            (&pod, "GET", "/metrics", false),
            (&pod, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", true),
            (&anonymous, "GET", "/version", true),
            (&anonymous, "GET", "/readyz/etcd", true),
            (&anonymous, "GET", "/versions", false),
            (&anonymous, "GET", "/api", false),
            (&anonymous, "GET", "/api/v1/pods", false),
        ];
        for (user, method, path, allowed) in cases {
            let request = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(""));
            let decision = BuiltinAuthorizer.authorize(user, &request).await;
            assert_eq!(decision == Decision::Allow, allowed, "{} {method} {path}", user.name);
        }
    }
}
