//! What must be true, at every step and after calm. Each file has one group of rules; all are told of what happened and
//! compare it with the history of the store, which is the truth.
//!
//! Rules say precisely what components can guarantee: where a fault makes something unavoidable (a node that is lost takes its
//! pods with it, a forced deletion leaves containers that nobody asked), the rule excludes it and says so.

mod calm;
mod clients;
mod commits;
mod nodes;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::clock;
use crate::disk::Commit;

pub use clients::Answered;
pub use nodes::Running;

#[derive(Default)]
pub struct Oracle {
    /// What is stored, by key.
    pub objects: BTreeMap<String, Arc<Value>>,
    /// When something was last written that is no heartbeat.
    pub busy_at: u64,
    /// That write: by whom, and to which key.
    pub busy_with: String,
    pub commits: u64,
    /// The first rule that was broken, and how.
    pub violation: Option<String>,
    pub(crate) rollout: rollout::Rollouts,
    pub(crate) nodes: nodes::Nodes,
    clients: clients::Clients,
    /// By revision, from 1 on: the key, and the revision of the write to it before.
    log: Vec<(String, u64)>,
    /// Revisions by resource, such as `core/pods`.
    by_resource: BTreeMap<String, Vec<u64>>,
    newest_of_key: BTreeMap<String, u64>,
    /// Until then the scheduler may not know what it has bound.
    pub(crate) scheduler_doubts_until: u64,
}

impl Oracle {
    pub(crate) fn violated(&mut self, rule: &str, how: impl std::fmt::Display) {
        if self.violation.is_none() {
            self.violation = Some(format!("{rule}: {how}"));
        }
    }

    pub fn revision(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn committed(&mut self, commit: &Commit) {
        self.commits += 1;
        if !is_heartbeat(commit) {
            self.busy_at = commit.at;
            self.busy_with = format!("{} {} {}", commit.client, commit.via, commit.key);
        }
        self.remember(commit);
        if !commit.key.starts_with(ROOT) {
            // The server's own notes are no objects.
            return;
        }
        let after =
            commit.after.as_ref().map(|json| Arc::<Value>::new(serde_json::from_slice(json).unwrap_or_default()));
        let before = match &after {
            Some(after) => self.objects.insert(commit.key.clone(), after.clone()),
            None => self.objects.remove(&commit.key),
        };
        self.check_commit(commit, before.as_deref(), after.as_deref());
    }

    fn remember(&mut self, commit: &Commit) {
        if commit.revision != self.revision() + 1 {
            self.violated("revisions have no gaps", format!("{} after {}", commit.revision, self.revision()));
        }
        let last = self.newest_of_key.insert(commit.key.clone(), commit.revision).unwrap_or(0);
        self.log.push((commit.key.clone(), last));
        self.by_resource.entry(resource_of(&commit.key)).or_default().push(commit.revision);
    }

    /// Objects of a resource such as `core/pods`.
    pub(crate) fn all<'a>(&'a self, resource: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let prefix = format!("/registry/{resource}/");
        let end = format!("/registry/{resource}0");
        self.objects.range(prefix..end).map(|(_, object)| &**object)
    }

    pub(crate) fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<&Value> {
        let slash = if namespace.is_empty() { "" } else { "/" };
        self.objects.get(&format!("/registry/{resource}/{namespace}{slash}{name}")).map(|object| &**object)
    }

    pub(crate) fn uids(&self) -> BTreeSet<&str> {
        self.objects.values().map(|object| text(&object["metadata"]["uid"])).collect()
    }
}

/// Below it are the objects.
const ROOT: &str = "/registry/";

/// Leases, expired Events and signs of life of nodes are written in the deepest calm.
fn is_heartbeat(commit: &Commit) -> bool {
    commit.key.contains("/leases/")
        || commit.key.contains("/core/events/") && commit.after.is_none()
        || commit.key.contains("/core/nodes/") && commit.via.contains("/status") && commit.client.starts_with("node-")
}

/// `core/pods` of `/registry/core/pods/shop/web`.
fn resource_of(key: &str) -> String {
    let mut parts = key.split('/').skip(2);
    format!("{}/{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn is_terminal(pod: &Value) -> bool {
    matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed")
}

pub(crate) fn is_leaving(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

pub(crate) fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)
}

/// In thousandths.
pub(crate) fn cpu(value: &Value) -> i64 {
    let text = text(value);
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().unwrap_or(0),
        None => text.parse::<i64>().unwrap_or(0) * 1000,
    }
}

pub(crate) fn cpu_of(pod: &Value) -> i64 {
    let containers = pod["spec"]["containers"].as_array();
    containers.into_iter().flatten().map(|container| cpu(&container["resources"]["requests"]["cpu"])).sum()
}

/// Whether a selector of `matchLabels` alone selects the object.
pub(crate) fn selects(labels: &Value, object: &Value) -> bool {
    let wanted = labels.as_object();
    wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| object["metadata"]["labels"][key] == *value))
}

pub(crate) fn name_of(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]))
}

/// A loss of a pod excuses what was decided before it was known for so long.
pub(crate) const NEWS_TAKE: u64 = 3 * clock::SECOND;
