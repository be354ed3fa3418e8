//! Who may do what: upstream's chain. `system:masters` may everything; nodes what the node authorizer says; and everybody what
//! roles say.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::authorizer::{Authorizer, Decision, UserRules};
use crate::nodes;
use crate::rbac::Index;
use crate::request::RequestInfo;
use crate::user::UserInfo;

/// Paths that do not wait for roles while a server starts; they are what anybody may get by the role
/// system:public-info-viewer.
const HEALTH: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// The chain. Roles come from the index, and what belongs to nodes from the graph; both are to be those of the server's
/// configuration.
#[derive(Clone, Debug)]
pub struct Standard {
    roles: Arc<Index>,
    nodes: nodes::Rules,
}

impl Standard {
    pub fn new(roles: Arc<Index>, nodes: Arc<nodes::Graph>) -> Self {
        Self { roles, nodes: nodes::Rules { graph: nodes } }
    }

    /// Waits while a server starts: its roles may not be there yet, and no is an answer that clients believe.
    fn wait<'a>(&'a self, user: &UserInfo, request: &RequestInfo) -> Option<BoxFuture<'a, ()>> {
        let decided = self.roles.is_ready() || is_health(request) || is_master(user);
        (!decided).then(|| Box::pin(self.roles.wait()) as BoxFuture<'a, ()>)
    }

    fn decide(&self, user: &UserInfo, request: &RequestInfo) -> Decision {
        if is_master(user) {
            return Decision::Allow;
        }
        let refused = match self.as_node(user, request) {
            None => String::new(),
            Some(Ok(())) => return Decision::Allow,
            Some(Err(why)) => why,
        };
        match self.roles.decide(user, request) {
            Decision::NoOpinion(_) if !self.roles.is_ready() && is_health(request) => Decision::Allow,
            Decision::NoOpinion(why) if !refused.is_empty() => {
                let both = if why.is_empty() { refused } else { format!("{refused}\n{why}") };
                Decision::NoOpinion(both)
            }
            decision => decision,
        }
    }

    /// `None`: the user is no node.
    fn as_node(&self, user: &UserInfo, request: &RequestInfo) -> Option<Result<(), String>> {
        Some(self.nodes.decide(user.node()?, &user.name, request))
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
                Decision::Allow if is_master(user) => String::new(),
                Decision::Allow if matches!(self.as_node(user, request), Some(Ok(()))) => String::new(),
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
            if user.node().is_some() {
                found.incomplete = true;
                found.error = "node authorizer does not support user rule resolution".to_owned();
            }
            found
        })
    }
}

fn is_master(user: &UserInfo) -> bool {
    user.in_group("system:masters")
}

fn is_health(request: &RequestInfo) -> bool {
    !request.is_resource && request.verb == "get" && HEALTH.contains(&request.path.as_str())
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
        let cases = [
            (&admin, "DELETE", "/api/v1/namespaces/x", true),
            (&node, "GET", "/api/v1/services", true),
            (&node, "GET", "/api/v1/pods", false),
            (&node, "PATCH", "/api/v1/nodes/a/status", true),
            (&node, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a", true),
            (&node, "PUT", "/apis/coordination.k8s.io/v1/namespaces/x/leases/a", false),
            (&node, "POST", "/apis/apps/v1/namespaces/x/deployments", false),
            (&pretender, "GET", "/api/v1/pods", false),
            (&pod, "GET", "/api/v1/namespaces/x/pods", false),
            (&pod, "GET", "/metrics", false),
        ];
        let index = Arc::new(Index::default());
        index.set_ready();
        let authorizer = Standard::new(index, Arc::default());
        for (user, method, path, allowed) in cases {
            let request = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(""));
            let decision = authorizer.authorize(user, &request).await;
            assert_eq!(decision == Decision::Allow, allowed, "{} {method} {path}", user.name);
        }
    }

    #[tokio::test]
    async fn a_server_that_starts_lets_wait_but_tells_its_health() {
        let index = Arc::new(Index::default());
        let authorizer = Standard::new(index.clone(), Arc::default());
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
