//! Who may do what: upstream's chain. `system:masters` may everything; the controllers of this process likewise; nodes what nodes
//! need; everybody else what roles say.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::authorizer::{Authorizer, Decision, UserRules};
use crate::rbac::{Index, Rule};
use crate::request::RequestInfo;
use crate::user::UserInfo;

/// All controllers share one identity and one set of informers, where upstream gives each a service account and a role of its
/// own. The scheduler lives by its role.
const CONTROLLERS: &str = "system:kube-controller-manager";

/// Paths that do not wait for roles while a server starts; they are what anybody may get by the role
/// system:public-info-viewer.
const HEALTH: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// What a node reads, cluster-wide.
const NODE_READS: [&str; 15] = [
    "certificatesigningrequests",
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

/// The chain. Roles come from the index, which is to be the one of the server's configuration.
#[derive(Clone, Debug)]
pub struct Standard {
    roles: Arc<Index>,
}

impl Standard {
    pub fn new(roles: Arc<Index>) -> Self {
        Self { roles }
    }

    /// Waits while a server starts: its roles may not be there yet, and no is an answer that clients believe.
    fn wait<'a>(&'a self, user: &UserInfo, request: &RequestInfo) -> Option<BoxFuture<'a, ()>> {
        let decided = self.roles.is_ready() || is_health(request) || needs_no_role(user, request);
        (!decided).then(|| Box::pin(self.roles.wait()) as BoxFuture<'a, ()>)
    }

    fn decide(&self, user: &UserInfo, request: &RequestInfo) -> Decision {
        if needs_no_role(user, request) {
            return Decision::Allow;
        }
        match self.roles.decide(user, request) {
            Decision::NoOpinion(_) if !self.roles.is_ready() && is_health(request) => Decision::Allow,
            decision => decision,
        }
    }
}

impl Authorizer for Standard {
    fn authorize<'a>(&'a self, user: &'a UserInfo, request: &'a RequestInfo) -> BoxFuture<'a, Decision> {
        match self.wait(user, request) {
            None => Box::pin(std::future::ready(self.decide(user, request))),
            Some(wait) => Box::pin(async move {
                wait.await;
                self.decide(user, request)
            }),
        }
    }

    fn explain<'a>(&'a self, user: &'a UserInfo, request: &'a RequestInfo) -> BoxFuture<'a, (Decision, String)> {
        Box::pin(async move {
            let decision = self.authorize(user, request).await;
            let reason = match &decision {
                Decision::Allow if needs_no_role(user, request) => String::new(),
                Decision::Allow => self.roles.reason(user, request).unwrap_or_default(),
                Decision::Deny(reason) | Decision::NoOpinion(reason) => reason.clone(),
            };
            (decision, reason)
        })
    }

    fn rules<'a>(&'a self, user: &'a UserInfo, namespace: &'a str) -> BoxFuture<'a, UserRules> {
        Box::pin(async move {
            if !self.roles.is_ready() {
                self.roles.wait().await;
            }
            let mut found = self.roles.rules(user, namespace);
            if user.name == CONTROLLERS {
                found.rules.extend(Rule::everything());
            }
            if user.node().is_some() {
                found.incomplete = true;
                found.error = "node authorizer does not support user rule resolution".to_owned();
            }
            found
        })
    }
}

fn needs_no_role(user: &UserInfo, request: &RequestInfo) -> bool {
    user.in_group("system:masters") || user.name == CONTROLLERS || node(user, request)
}

fn is_health(request: &RequestInfo) -> bool {
    !request.is_resource && request.verb == "get" && HEALTH.contains(&request.path.as_str())
}

/// A node writes its own Node, Lease and pods' statuses, and reads what pods need. Which pods are its own is seen by
/// admission (NodeRestriction).
fn node(user: &UserInfo, request: &RequestInfo) -> bool {
    let Some(own) = user.node() else { return false };
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
    use super::super::authn::AUTHENTICATED;
    use super::*;
    use crate::query::Query;

    #[tokio::test]
    async fn some_need_no_roles() {
        let admin = UserInfo::admin();
        let node = UserInfo::new("system:node:a", &["system:nodes", AUTHENTICATED]);
        let pretender = UserInfo::new("system:node:a", &[AUTHENTICATED]);
        let pod = UserInfo::new("system:serviceaccount:x:default", &["system:serviceaccounts", AUTHENTICATED]);
        let controller = UserInfo::new(CONTROLLERS, &[AUTHENTICATED]);
        let cases = [
            (&admin, "DELETE", "/api/v1/namespaces/x", true),
            (&controller, "POST", "/api/v1/namespaces/x/pods", true),
            (&node, "GET", "/api/v1/pods", true),
            (&node, "PATCH", "/api/v1/nodes/a/status", true),
            (&node, "PATCH", "/api/v1/nodes/b/status", false),
            (&node, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a", true),
            (&node, "PUT", "/apis/coordination.k8s.io/v1/namespaces/x/leases/a", false),
            (&node, "POST", "/apis/apps/v1/namespaces/x/deployments", false),
            (&pretender, "GET", "/api/v1/pods", false),
            (&pod, "GET", "/api/v1/namespaces/x/pods", false),
            (&pod, "GET", "/metrics", false),
        ];
        let index = Arc::new(Index::default());
        index.set_ready();
        let authorizer = Standard::new(index);
        for (user, method, path, allowed) in cases {
            let request = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(""));
            let decision = authorizer.authorize(user, &request).await;
            assert_eq!(decision == Decision::Allow, allowed, "{} {method} {path}", user.name);
        }
    }

    #[tokio::test]
    async fn a_server_that_starts_lets_wait_but_tells_its_health() {
        let index = Arc::new(Index::default());
        let authorizer = Standard::new(index.clone());
        let anonymous = UserInfo::new("system:anonymous", &["system:unauthenticated"]);
        let ask = |path: &str| RequestInfo::parse(&http::Method::GET, path, &Query::parse(""));
        let (health, pods) = (ask("/readyz"), ask("/api/v1/pods"));
        assert_eq!(authorizer.authorize(&anonymous, &health).await, Decision::Allow);
        let mut waiting = authorizer.authorize(&anonymous, &pods);
        assert!(futures::poll!(&mut waiting).is_pending());
        index.set_ready();
        assert_eq!(waiting.await, Decision::NoOpinion(String::new()));
        assert_ne!(authorizer.authorize(&anonymous, &health).await, Decision::Allow, "there is no role for it");
    }
}
