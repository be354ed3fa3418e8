//! What a controller decided: data that the driver performs, and that a test compares.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::core::{ApiResource, DynamicObject};
use serde::Serialize;
use serde_json::Value;

use crate::Key;

pub use crate::events::EventType;

/// The driver performs the actions in their order and then writes the status. Neighbouring creates of one kind go out in growing
/// batches (1, 2, 4, ...), neighbouring deletes of one kind all at once; the first failure ends the plan and has the key
/// retried.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Written when all actions succeeded. `None`: the status is as it should be.
    pub status: Option<StatusWrite>,
    /// Written instead when an action failed, unless the decision was just outdated; `{error}` in its strings becomes the
    /// failure.
    pub status_if_failed: Option<StatusWrite>,
    /// Decide again then, also if nothing changes.
    pub requeue_after: Option<Duration>,
    /// Told when all actions succeeded.
    pub events: Vec<PlanEvent>,
}

/// A merge patch of the root's `/status`, refused by the server when the root has changed meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite(pub Value);

#[derive(Clone, Debug)]
pub struct Action {
    pub verb: Verb,
    pub resource: ApiResource,
    /// The name is empty when the server makes it from `generateName`.
    pub key: Key,
    /// Sent along and checked by the server.
    pub preconditions: Preconditions,
    /// The driver adds the root as the controlling owner (of a create).
    pub owned: bool,
    /// Asked of the server, and not of the cache, before the plan is performed; if it does not hold, nothing is done.
    pub confirm: Option<Confirm>,
    /// `{name}` in the message becomes the object's name.
    pub on_success: Option<PlanEvent>,
    /// `{error}` in the message becomes the failure.
    pub on_failure: Option<PlanEvent>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Confirm {
    /// The root is still there and is not being deleted: for adoptions.
    RootLives,
    /// There is no such object: for what is done because of its absence.
    Absent { resource: ApiResource, key: Key },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    Create(Value),
    /// PUT; the body has the resourceVersion it was made from.
    Replace(Value),
    Patch {
        kind: PatchKind,
        body: Value,
        /// `status`, `finalize`, ...; `None` is the object itself.
        subresource: Option<&'static str>,
    },
    Delete {
        grace_period_seconds: Option<u32>,
        propagation: Option<Propagation>,
    },
    /// Asks the disruption budgets.
    Evict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlanEvent {
    pub kind: EventType,
    pub reason: String,
    pub message: String,
    /// `None`: the root.
    pub regarding: Option<Box<ObjectReference>>,
}

impl PlanEvent {
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self { kind: EventType::Normal, reason: reason.to_owned(), message: message.into(), regarding: None }
    }

    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self { kind: EventType::Warning, ..Self::normal(reason, message) }
    }

    pub fn about<K: Resource<DynamicType = ()>>(mut self, object: &K) -> Self {
        self.regarding = Some(Box::new(object.object_ref(&())));
        self
    }
}

impl Plan {
    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.status.is_none() && self.events.is_empty()
    }

    /// The status becomes `new`; nothing is written when it is so already.
    pub fn set_status<S: Serialize>(&mut self, old: &S, new: &S) {
        self.status = StatusWrite::between(old, new);
    }

    pub fn set_status_if_failed<S: Serialize>(&mut self, old: &S, new: &S) {
        self.status_if_failed = StatusWrite::between(old, new);
    }

    /// The earlier wish wins.
    pub fn requeue_after(&mut self, wait: Duration) {
        self.requeue_after = Some(self.requeue_after.map_or(wait, |earlier| earlier.min(wait)));
    }
}

impl StatusWrite {
    /// The merge patch that makes `new` of `old`; `None` when they are equal.
    pub fn between<S: Serialize>(old: &S, new: &S) -> Option<Self> {
        merge_diff(&tree(old), &tree(new)).map(Self)
    }
}

/// Serializing our own types to a tree fails only for maps with keys that are no strings, which no API type has.
fn tree<S: Serialize>(object: &S) -> Value {
    serde_json::to_value(object).unwrap_or(Value::Null)
}

/// The JSON merge patch (RFC 7396) from `old` to `new`. A null in either is an absent field.
pub fn merge_diff(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let mut patch = serde_json::Map::new();
    for (field, value) in new {
        match old.get(field) {
            None | Some(Value::Null) if value.is_null() => {}
            None => {
                patch.insert(field.clone(), value.clone());
            }
            Some(before) => {
                if let Some(change) = merge_diff(before, value) {
                    patch.insert(field.clone(), change);
                }
            }
        }
    }
    for (field, value) in old {
        if !new.contains_key(field) && !value.is_null() {
            patch.insert(field.clone(), Value::Null);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

impl Action {
    fn new<K: Resource<DynamicType = ()>>(object: &K, verb: Verb) -> Self {
        Self::raw(ApiResource::erase::<K>(&()), Key::of(object), verb)
    }

    /// For kinds that have no type here.
    pub fn raw(resource: ApiResource, key: Key, verb: Verb) -> Self {
        Self {
            verb,
            resource,
            key,
            preconditions: Preconditions::default(),
            owned: false,
            confirm: None,
            on_success: None,
            on_failure: None,
        }
    }

    pub fn create<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        Self::new(object, Verb::Create(tree(object)))
    }

    pub fn replace<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        Self::new(object, Verb::Replace(tree(object)))
    }

    pub fn merge_patch<K: Resource<DynamicType = ()>>(object: &K, body: Value) -> Self {
        Self::new(object, Verb::Patch { kind: PatchKind::Merge, body, subresource: None })
    }

    pub fn strategic_patch<K: Resource<DynamicType = ()>>(object: &K, body: Value) -> Self {
        Self::new(object, Verb::Patch { kind: PatchKind::Strategic, body, subresource: None })
    }

    /// A strategic merge patch of `/status`.
    pub fn patch_status<K: Resource<DynamicType = ()>>(object: &K, status: Value) -> Self {
        let body = serde_json::json!({ "status": status });
        Self::new(object, Verb::Patch { kind: PatchKind::Strategic, body, subresource: Some("status") })
    }

    /// Deletes this very object, not a namesake made since.
    pub fn delete<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        Self::new(object, Verb::Delete { grace_period_seconds: None, propagation: None }).same_uid(object)
    }

    pub fn evict<K: Resource<DynamicType = ()>>(pod: &K) -> Self {
        Self::new(pod, Verb::Evict).same_uid(pod)
    }

    pub fn owned(mut self) -> Self {
        self.owned = true;
        self
    }

    pub fn confirm_root(mut self) -> Self {
        self.confirm = Some(Confirm::RootLives);
        self
    }

    pub fn confirm_absent<K: Resource<DynamicType = ()>>(mut self, key: Key) -> Self {
        self.confirm = Some(Confirm::Absent { resource: ApiResource::erase::<K>(&()), key });
        self
    }

    pub fn same_uid<K: Resource>(mut self, object: &K) -> Self {
        self.preconditions.uid = object.meta().uid.clone();
        self
    }

    /// Refuse if the object is not exactly what was seen.
    pub fn unchanged<K: Resource>(self, object: &K) -> Self {
        let mut action = self.same_uid(object);
        action.preconditions.resource_version = object.meta().resource_version.clone();
        action
    }

    pub fn grace(mut self, seconds: u32) -> Self {
        if let Verb::Delete { grace_period_seconds, .. } = &mut self.verb {
            *grace_period_seconds = Some(seconds);
        }
        self
    }

    pub fn propagation(mut self, wanted: Propagation) -> Self {
        if let Verb::Delete { propagation, .. } = &mut self.verb {
            *propagation = Some(wanted);
        }
        self
    }

    pub fn on_success(mut self, event: PlanEvent) -> Self {
        self.on_success = Some(event);
        self
    }

    pub fn on_failure(mut self, event: PlanEvent) -> Self {
        self.on_failure = Some(event);
        self
    }

    pub fn path(&self) -> String {
        DynamicObject::url_path(&self.resource, self.key.namespace.as_deref())
    }
}

/// One line per decision, for tests and debug logs.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for action in &self.actions {
            writeln!(f, "{action}")?;
        }
        if let Some(StatusWrite(status)) = &self.status {
            writeln!(f, "status {status}")?;
        }
        if let Some(wait) = self.requeue_after {
            writeln!(f, "again in {}s", wait.as_secs_f64())?;
        }
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, detail) = match &self.verb {
            Verb::Create(body) => {
                let prefix = body["metadata"]["generateName"].as_str().map(|prefix| format!("{prefix}*"));
                ("create", prefix.unwrap_or_default())
            }
            Verb::Replace(_) => ("replace", String::new()),
            Verb::Patch { body, subresource: None, .. } => ("patch", format!(" {body}")),
            Verb::Patch { body, subresource: Some(name), .. } => ("patch", format!("/{name} {body}")),
            Verb::Delete { propagation: None, .. } => ("delete", String::new()),
            Verb::Delete { propagation: Some(propagation), .. } => ("delete", format!(" {propagation:?}")),
            Verb::Evict => ("evict", String::new()),
        };
        write!(f, "{verb} {} {}{detail}", self.resource.kind, self.key)
    }
}

impl fmt::Display for PlanEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {:?} {}: {}", self.kind, self.reason, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_diff_says_only_what_changes() {
        let table = [
            ("equal", json!({"a": 1, "b": [1]}), json!({"a": 1, "b": [1]}), None),
            ("a null is an absent field", json!({"a": null}), json!({}), None),
            ("changed", json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}), Some(json!({"b": 3}))),
            ("removed", json!({"a": 1, "b": 2}), json!({"a": 1}), Some(json!({"b": null}))),
            ("nested", json!({"a": {"x": 1, "y": 2}}), json!({"a": {"x": 1}}), Some(json!({"a": {"y": null}}))),
            ("lists are replaced", json!({"a": [1, 2]}), json!({"a": [2]}), Some(json!({"a": [2]}))),
            ("from nothing", Value::Null, json!({"a": 1}), Some(json!({"a": 1}))),
        ];
        for (name, old, new, expected) in table {
            assert_eq!(merge_diff(&old, &new), expected, "{name}");
        }
    }
}
