//! Telling pod templates apart: equality, hash, name and revision of the ReplicaSet that a template belongs to.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::selector::{self, Labels};

pub(super) const HASH_LABEL: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// What a ReplicaSet does not take over from its Deployment's annotations.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// The longest history that is kept, in characters.
const HISTORY_LIMIT: usize = 2000;

/// Names are not longer than this (DNS subdomain).
const NAME_LIMIT: usize = 253;

/// A template in the form in which templates are compared: without the hash label and without what is empty, for an empty list
/// or map and an absent one mean the same.
pub(super) fn comparable(template: &PodTemplateSpec) -> Value {
    // Serializing our own types to a tree does not fail.
    let mut tree = serde_json::to_value(template).unwrap_or(Value::Null);
    if let Some(labels) = tree["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    drop_empty(&mut tree, "");
    tree
}

/// An empty object may say something, as `emptyDir: {}` does; in these places it does not.
const MAPS: [&str; 7] = ["metadata", "labels", "annotations", "nodeSelector", "limits", "requests", "matchLabels"];

fn drop_empty(value: &mut Value, name: &str) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => {
            items.iter_mut().for_each(|item| {
                drop_empty(item, "");
            });
            items.is_empty()
        }
        Value::Object(fields) => {
            fields.retain(|name, field| !drop_empty(field, name));
            fields.is_empty() && MAPS.contains(&name)
        }
        _ => false,
    }
}

/// Stable over restarts and versions, as it only names ReplicaSets: which is the right one says [`comparable`]. The alphabet
/// is upstream's, which spells no words.
pub(super) fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const LENGTH: usize = 10;
    let mut digest = Sha256::new();
    digest.update(comparable(template).to_string());
    digest.update(collisions.to_be_bytes());
    digest
        .finalize()
        .iter()
        .take(LENGTH)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

pub(super) fn hash_of(deployment: &Deployment) -> String {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    deployment.spec.as_ref().map(|spec| hash(&spec.template, collisions)).unwrap_or_default()
}

/// The name of the ReplicaSet for the Deployment's template.
pub(super) fn set_name(deployment: &Deployment) -> String {
    let hash = hash_of(deployment);
    let mut name = deployment.metadata.name.clone().unwrap_or_default();
    name.truncate(NAME_LIMIT - hash.len() - 1);
    format!("{name}-{hash}")
}

/// 0 when there is none, or none that can be read.
pub(super) fn revision(set: &ReplicaSet) -> i64 {
    selector::labels(&set.metadata.annotations).get(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or(0)
}

/// The annotations of the new ReplicaSet: the Deployment's, and a revision above all others. A revision that it had before goes
/// into its history: the Deployment was rolled back to it.
pub(super) fn annotate(annotations: &mut Labels, from: &Labels, new_revision: i64) {
    for (key, value) in from {
        if !NOT_COPIED.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let old = annotations.get(REVISION).cloned();
    let old_number = match &old {
        None => 0,
        // Somebody wrote something else there: leave it alone.
        Some(text) => match text.parse::<i64>() {
            Ok(number) => number,
            Err(_) => return,
        },
    };
    if old_number >= new_revision {
        return;
    }
    annotations.insert(REVISION.to_owned(), new_revision.to_string());
    let Some(old) = old else { return };
    let history = annotations.get(REVISION_HISTORY).cloned().unwrap_or_default();
    let mut history: Vec<&str> = history.split(',').filter(|revision| !revision.is_empty()).collect();
    history.push(&old);
    while history.len() > 1 && history.iter().map(|revision| revision.len() + 1).sum::<usize>() > HISTORY_LIMIT {
        history.remove(0);
    }
    annotations.insert(REVISION_HISTORY.to_owned(), history.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(value: Value) -> PodTemplateSpec {
        serde_json::from_value(value).expect("a template")
    }

    #[test]
    fn templates_are_compared_by_meaning() {
        let base = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}],
            "volumes": [{"name": "v", "emptyDir": {}}]}});
        let edit = |path: &str, value: Value| {
            let mut copy = base.clone();
            *copy.pointer_mut(path).expect("a path") = value;
            copy
        };
        let table = [
            ("equal", base.clone(), true),
            ("with the hash", edit("/metadata/labels", json!({"app": "web", HASH_LABEL: "x"})), true),
            (
                "an empty list",
                edit("/spec/containers/0", json!({"name": "c", "image": "i:1", "env": [], "command": []})),
                true,
            ),
            ("another image", edit("/spec/containers/0/image", json!("i:2")), false),
            ("another label", edit("/metadata/labels", json!({"app": "web", "x": "y"})), false),
            ("another volume", edit("/spec/volumes/0", json!({"name": "v"})), false),
        ];
        let base = template(base);
        for (name, other, equal) in table {
            let other = template(other);
            assert_eq!(comparable(&base) == comparable(&other), equal, "{name}");
            assert_eq!(hash(&base, 0) == hash(&other, 0), equal, "{name}");
        }
        assert_ne!(hash(&base, 0), hash(&base, 1), "a collision gives another name");
    }

    #[test]
    fn the_hash_does_not_change_from_version_to_version() {
        let template = template(json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}));
        assert_eq!(hash(&template, 0), "6mnm7j7zgs");
    }

    #[test]
    fn revisions_grow_and_remember() {
        let labels =
            |pairs: &[(&str, &str)]| Labels::from_iter(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let table: [(&str, Pairs, Pairs); 4] = [
            ("new", &[], &[("note", "n"), (REVISION, "3")]),
            ("rolled back to", &[(REVISION, "1")], &[("note", "n"), (REVISION, "3"), (REVISION_HISTORY, "1")]),
            (
                "rolled back again",
                &[(REVISION, "2"), (REVISION_HISTORY, "1")],
                &[("note", "n"), (REVISION, "3"), (REVISION_HISTORY, "1,2")],
            ),
            ("newest already", &[(REVISION, "5")], &[("note", "n"), (REVISION, "5")]),
        ];
        let from = labels(&[("note", "n"), (REVISION, "7"), (NOT_COPIED[0], "{}")]);
        for (name, before, after) in table {
            let mut annotations = labels(before);
            annotate(&mut annotations, &from, 3);
            assert_eq!(annotations, labels(after), "{name}");
        }
    }
}
