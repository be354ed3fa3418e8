//! Who depends on whom, by UID: a pure graph over the metadata of all objects.
//!
//! A change gives the UIDs of the objects to look at. What to do about one is `decision`'s, on live state.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, ObjectMeta};
use reconcile::Key;

pub(super) const ORPHAN: &str = "orphan";
pub(super) const FOREGROUND: &str = "foregroundDeletion";

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub resource: ApiResource,
    pub key: Key,
    pub uid: String,
    pub owners: Vec<OwnerReference>,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Lives,
    /// On its way out; the garbage collector has no part in it.
    Leaves,
    /// On its way out once its dependents have let go of it.
    Orphans,
    /// On its way out once its blocking dependents are gone.
    WaitsForDependents,
}

impl Node {
    pub fn new(resource: &ApiResource, meta: &ObjectMeta) -> Self {
        let has = |name: &str| meta.finalizers.iter().flatten().any(|finalizer| finalizer == name);
        let state = match meta.deletion_timestamp {
            None => State::Lives,
            Some(_) if has(ORPHAN) => State::Orphans,
            Some(_) if has(FOREGROUND) => State::WaitsForDependents,
            Some(_) => State::Leaves,
        };
        Self {
            resource: resource.clone(),
            key: Key::new(meta.namespace.as_deref(), meta.name.as_deref().unwrap_or("")),
            uid: meta.uid.clone().unwrap_or_default(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            state,
        }
    }

    pub fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|each| each.uid == owner && each.block_owner_deletion == Some(true))
    }
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<String, Node>,
    /// By the owner, which need not be known.
    dependents: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &Node> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|uid| self.nodes.get(uid))
    }

    pub fn uids_of(&self, resource: &ApiResource) -> Vec<String> {
        self.nodes.values().filter(|node| node.resource == *resource).map(|node| node.uid.clone()).collect()
    }

    /// Take in an object as it is now.
    pub fn apply(&mut self, node: Node) -> Vec<String> {
        let uid = node.uid.clone();
        let mut work = Vec::new();
        let before = self.unlink(&uid);
        for owner in &node.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
            let owner_stays = self.nodes.get(&owner.uid).is_some_and(|owner| owner.state != State::WaitsForDependents);
            let known = before.as_ref().is_some_and(|before| before.owners.contains(owner));
            if !owner_stays && !known {
                work.push(uid.clone());
            }
        }
        if let Some(before) = &before {
            // An owner may have waited for what does not depend on it, or block it, any more.
            let changed = before.owners.iter().filter(|owner| !node.owners.contains(owner));
            work.extend(changed.filter(|owner| self.waits(&owner.uid)).map(|owner| owner.uid.clone()));
        }
        let state_before = before.map_or(State::Lives, |before| before.state);
        if node.state != state_before && node.state != State::Leaves {
            work.push(uid.clone());
            if node.state == State::WaitsForDependents {
                work.extend(self.dependents(&uid).map(|dependent| dependent.uid.clone()));
            }
        }
        self.nodes.insert(uid, node);
        work
    }

    /// An object is gone.
    pub fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(node) = self.unlink(uid) else { return Vec::new() };
        let mut work: Vec<String> = self.dependents(uid).map(|dependent| dependent.uid.clone()).collect();
        work.extend(node.owners.iter().filter(|owner| self.waits(&owner.uid)).map(|owner| owner.uid.clone()));
        work
    }

    fn waits(&self, uid: &str) -> bool {
        self.nodes.get(uid).is_some_and(|node| node.state == State::WaitsForDependents)
    }

    fn unlink(&mut self, uid: &str) -> Option<Node> {
        let node = self.nodes.remove(uid)?;
        for owner in &node.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        Some(node)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// `uid [<owner[!]]... [orphan|foreground|leaves]`: `!` blocks the owner's deletion.
    pub fn node(text: &str) -> Node {
        let mut words = text.split_whitespace();
        let uid = words.next().expect("a uid");
        let mut meta = json!({"name": uid, "namespace": "shop", "uid": uid, "ownerReferences": [], "finalizers": []});
        for word in words {
            if let Some(owner) = word.strip_prefix('<') {
                let name = owner.trim_end_matches('!');
                let owner = json!({"apiVersion": "v1", "kind": "Thing", "name": name, "uid": name,
                    "blockOwnerDeletion": owner.ends_with('!')});
                meta["ownerReferences"].as_array_mut().expect("a list").push(owner);
                continue;
            }
            meta["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
            match word {
                "orphan" => meta["finalizers"] = json!([ORPHAN]),
                "foreground" => meta["finalizers"] = json!([FOREGROUND]),
                "leaves" => {}
                other => panic!("what is {other}?"),
            }
        }
        Node::new(&thing(), &serde_json::from_value::<ObjectMeta>(meta).expect("metadata"))
    }

    pub fn thing() -> ApiResource {
        ApiResource {
            group: String::new(),
            version: "v1".into(),
            api_version: "v1".into(),
            kind: "Thing".into(),
            plural: "things".into(),
        }
    }

    #[test]
    fn changes_say_what_to_look_at() {
        // The world before, the change (`-uid` removes), the work.
        let table: &[(&str, &[&str], &str, &[&str])] = &[
            ("an object without owner", &[], "a", &[]),
            ("its owner is there", &["o"], "a <o", &[]),
            ("its owner is unknown", &[], "a <o", &["a"]),
            ("its owner waits", &["o foreground"], "a <o", &["a"]),
            ("a change that concerns nobody", &["a <o"], "a <o", &[]),
            ("the owner goes", &["o", "a <o", "b <o"], "-o", &["a", "b"]),
            ("a dependent of a waiting owner goes", &["o foreground", "a <o!"], "-a", &["o"]),
            ("a dependent lets go", &["o foreground", "a <o!"], "a", &["o"]),
            ("a dependent does not block any more", &["o foreground", "a <o!"], "a <o", &["o"]),
            ("foreground begins", &["o", "a <o", "b <o!"], "o foreground", &["a", "b", "o"]),
            ("orphaning begins", &["o", "a <o"], "o orphan", &["o"]),
            ("a plain deletion begins", &["o", "a <o"], "o leaves", &[]),
        ];
        for (name, world, change, expected) in table {
            let mut graph = Graph::default();
            for text in *world {
                graph.apply(node(text));
            }
            let mut work = match change.strip_prefix('-') {
                Some(uid) => graph.remove(uid),
                None => graph.apply(node(change)),
            };
            work.sort();
            work.dedup();
            // A dependent that changes its reference to a waiting owner is looked at itself too: that does no harm.
            work.retain(|uid| expected.contains(&uid.as_str()) || !change.starts_with(uid.as_str()));
            assert_eq!(work, *expected, "{name}");
        }
    }

    #[test]
    fn links_go_with_their_objects() {
        let mut graph = Graph::default();
        graph.apply(node("a <o <p"));
        graph.apply(node("a <p"));
        assert_eq!(graph.dependents("o").count(), 0);
        assert_eq!(graph.dependents("p").count(), 1);
        graph.remove("a");
        assert_eq!((graph.nodes.len(), graph.dependents.len()), (0, 0));
    }
}
