//! The policy of a running server: follows the watch caches, and decides.
//!
//! A change is in force when the caches show it: the index is told of each change before any reader of the caches is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::object::{Binding, Place, rules};
use super::policy::{Grant, Outcome, Policy};
use super::rule::Rule;
use crate::authorizer::{Decision, UserRules};
use crate::cache::{Follower, Stored};
use crate::request::RequestInfo;
use crate::user::UserInfo;

const GROUP: &str = "rbac.authorization.k8s.io";
/// How long a request waits for the roles of a server that starts.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Index {
    policy: RwLock<Policy>,
    /// The caches are loaded and the bootstrap policy is in force.
    ready: watch::Sender<bool>,
}

/// A resource that the index follows.
#[derive(Clone, Copy)]
enum Kind {
    Role,
    Binding,
}

/// What kind a resource's part of the key is of, and whether its objects are in namespaces.
fn kind(resource: &str) -> Option<(Kind, bool)> {
    Some(match resource.strip_prefix(GROUP)?.strip_prefix('/')? {
        "roles" => (Kind::Role, true),
        "clusterroles" => (Kind::Role, false),
        "rolebindings" => (Kind::Binding, true),
        "clusterrolebindings" => (Kind::Binding, false),
        _ => return None,
    })
}

impl Follower for Index {
    fn loaded(&self, resource: &str, objects: &BTreeMap<Box<str>, Arc<Stored>>) {
        let Some((kind, namespaced)) = kind(resource) else { return };
        self.change(|policy| {
            match kind {
                Kind::Role => policy.clear_roles(namespaced),
                Kind::Binding => policy.clear_bindings(namespaced),
            }
            for stored in objects.values() {
                put(policy, kind, Place::new(&stored.namespace, &stored.name), Some(&stored.json));
            }
        });
    }

    fn changed(&self, resource: &str, key: &str, current: Option<&Stored>) {
        let Some((kind, _)) = kind(resource) else { return };
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        self.change(|policy| put(policy, kind, Place::new(namespace, name), current.map(|stored| &*stored.json)));
    }
}

/// What cannot be read grants nothing.
fn put(policy: &mut Policy, kind: Kind, place: Place, json: Option<&[u8]>) {
    let unreadable = |error: &serde_json::Error| tracing::error!(%error, ?place, "a role or binding is unreadable");
    match kind {
        Kind::Role => {
            let rules = json.and_then(|json| rules(json).inspect_err(unreadable).ok());
            policy.set_role(place, rules);
        }
        Kind::Binding => {
            let binding =
                json.and_then(|json| Binding::read(&place.namespace, &place.name, json).inspect_err(unreadable).ok());
            match binding {
                Some(binding) => policy.set_binding(binding),
                None => policy.remove_binding(&place),
            }
        }
    }
}

impl Index {
    fn read(&self) -> RwLockReadGuard<'_, Policy> {
        // A change that panicked half-way could only have granted less.
        self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.policy.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// From now on nobody waits.
    pub(crate) fn set_ready(&self) {
        self.ready.send_replace(true);
    }

    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits for the bootstrap policy, but not for ever.
    pub async fn wait(&self) {
        let mut ready = self.ready.subscribe();
        let _ = tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready)).await;
    }

    /// May be asked at any time; before [`Index::is_ready`] it knows too little and allows too little.
    pub fn decide(&self, user: &UserInfo, request: &RequestInfo) -> Decision {
        let policy = self.read();
        match policy.decide(user, request) {
            Outcome::Allowed => Decision::Allow,
            Outcome::Refused => Decision::NoOpinion(String::new()),
            Outcome::RoleMissing => {
                let doubts = doubts(&policy.grants(user, &request.namespace)).unwrap_or_default();
                Decision::NoOpinion(format!("RBAC: {doubts}"))
            }
        }
    }

    /// The binding by which the user may, as upstream tells it; `None` when the user may not.
    pub fn reason(&self, user: &UserInfo, request: &RequestInfo) -> Option<String> {
        let policy = self.read();
        let grants = policy.grants(user, &request.namespace);
        let allows = |grant: &&Grant| grant.rules.is_some_and(|rules| rules.iter().any(|rule| rule.allows(request)));
        let Grant { binding, subject, .. } = grants.iter().find(allows)?;
        Some(format!("RBAC: allowed by {binding} to {subject}"))
    }

    /// All that the user may do in a namespace, cluster-wide rights included.
    pub fn rules(&self, user: &UserInfo, namespace: &str) -> UserRules {
        let policy = self.read();
        let grants = policy.grants(user, namespace);
        let rules = grants.iter().filter_map(|grant| grant.rules).flatten().cloned().collect();
        UserRules { rules, incomplete: false, error: doubts(&grants).unwrap_or_default() }
    }

    /// The rules of a role, which is a ClusterRole when the namespace is empty; `None` when there is no such role.
    pub fn role(&self, namespace: &str, name: &str) -> Option<Vec<Rule>> {
        self.read().role(&Place::new(namespace, name)).map(<[Rule]>::to_vec)
    }
}

/// Roles that bindings name and that do not exist. Several are shown as Go shows errors.
fn doubts(grants: &[Grant<'_>]) -> Option<String> {
    let missing = grants.iter().filter(|grant| grant.rules.is_none()).map(|grant| {
        let Place { namespace, name } = &grant.binding.role;
        let resource = if namespace.is_empty() { "clusterrole" } else { "role" };
        format!("{resource}.{GROUP} {name:?} not found")
    });
    let mut seen = BTreeSet::new();
    let distinct: Vec<String> = missing.filter(|text| seen.insert(text.clone())).collect();
    match distinct.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    }
}
