//! What becomes of one object, given what the server says of its owners.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use reconcile::plan::{PatchKind, Preconditions, Propagation, Verb};
use reconcile::{Action, Plan};
use serde_json::{Value, json};

use super::graph::{FOREGROUND, Node, ORPHAN, State};

/// An owner, asked of the server by name and compared by UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Lives,
    /// Not there, or another object of its name.
    Absent,
    /// Is being deleted in the foreground, and waits for this object.
    Waits,
}

/// `latest` is the object's live metadata, `owners` tells of each of its owner references in order, `dependents` are those that
/// the graph knows.
pub(super) fn collect(node: &Node, latest: &ObjectMeta, owners: &[Owner], dependents: &[&Node]) -> Plan {
    let mut plan = Plan::default();
    let references = latest.owner_references.as_deref().unwrap_or(&[]);
    let of = |wanted: Owner| owners.contains(&wanted);
    if references.is_empty() || (of(Owner::Lives) && !of(Owner::Absent) && !of(Owner::Waits)) {
        return plan;
    }
    if of(Owner::Lives) {
        // Somebody still wants it: only forget the others, or a waiting one would wait for ever.
        let kept = references.iter().zip(owners).filter(|(_, owner)| **owner == Owner::Lives);
        let kept: Vec<&OwnerReference> = kept.map(|(reference, _)| reference).collect();
        plan.push(merge(node, latest, json!({ "ownerReferences": kept })));
        return plan;
    }
    if of(Owner::Waits) && !dependents.is_empty() {
        // A circle of waiting ones would never end: this one stops blocking its owners.
        if dependents.iter().any(|dependent| dependent.state == State::WaitsForDependents) {
            let unblocked = references
                .iter()
                .cloned()
                .map(|reference| OwnerReference { block_owner_deletion: Some(false), ..reference });
            plan.push(merge(node, latest, json!({ "ownerReferences": Vec::from_iter(unblocked) })));
            plan.push(delete(node, None, Propagation::Foreground));
            return plan;
        }
        plan.push(delete(node, Some(latest), Propagation::Foreground));
        return plan;
    }
    let has = |name: &str| latest.finalizers.iter().flatten().any(|finalizer| finalizer == name);
    let propagation = if has(ORPHAN) {
        Propagation::Orphan
    } else if has(FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    plan.push(delete(node, Some(latest), propagation));
    plan
}

/// Take `owner` out of the owners of a dependent.
pub(super) fn disown(dependent: &Node, latest: &ObjectMeta, owner: &str) -> Option<Action> {
    let references = latest.owner_references.as_deref().unwrap_or(&[]);
    let kept: Vec<&OwnerReference> = references.iter().filter(|reference| reference.uid != owner).collect();
    (kept.len() < references.len()).then(|| merge(dependent, latest, json!({ "ownerReferences": kept })))
}

/// The garbage collector has done its part for an object that is being deleted.
pub(super) fn lift_finalizer(node: &Node, latest: &ObjectMeta, finalizer: &str) -> Option<Action> {
    let finalizers = latest.finalizers.as_deref().unwrap_or(&[]);
    let kept: Vec<&String> = finalizers.iter().filter(|name| *name != finalizer).collect();
    (kept.len() < finalizers.len()).then(|| merge(node, latest, json!({ "finalizers": kept })))
}

/// A merge patch replaces the whole list, so it holds for the very version that was read; unlike a strategic one it works for
/// custom resources too.
fn merge(node: &Node, latest: &ObjectMeta, metadata: Value) -> Action {
    let body = json!({ "metadata": metadata });
    let verb = Verb::Patch { kind: PatchKind::Merge, body, subresource: None };
    let mut action = Action::raw(node.resource.clone(), node.key.clone(), verb);
    action.preconditions =
        Preconditions { uid: Some(node.uid.clone()), resource_version: latest.resource_version.clone() };
    action
}

/// With `latest`, only if nobody has changed the object (and perhaps its owners) since.
fn delete(node: &Node, latest: Option<&ObjectMeta>, propagation: Propagation) -> Action {
    let verb = Verb::Delete { grace_period_seconds: None, propagation: Some(propagation) };
    let mut action = Action::raw(node.resource.clone(), node.key.clone(), verb);
    let resource_version = latest.and_then(|latest| latest.resource_version.clone());
    action.preconditions = Preconditions { uid: Some(node.uid.clone()), resource_version };
    action
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::node;
    use super::*;
    use crate::common::testing::actions;

    #[test]
    fn fates() {
        use Owner::{Absent, Lives, Waits};
        let disowned = |names: &[&str]| {
            let names: Vec<String> = names
                .iter()
                .map(|name| {
                    format!(r#"{{"apiVersion":"v1","blockOwnerDeletion":false,"kind":"Thing","name":"{name}","uid":"{name}"}}"#)
                })
                .collect();
            format!(r#"patch Thing shop/a {{"metadata":{{"ownerReferences":[{}]}}}}"#, names.join(","))
        };
        let gone = "delete Thing shop/a Background".to_owned();
        let foreground = "delete Thing shop/a Foreground".to_owned();
        type Row<'a> = (&'a str, &'a str, &'a [Owner], &'a [&'a str], Vec<String>);
        let table: &[Row] = &[
            ("no owner", "a", &[], &[], vec![]),
            ("a living owner", "a <o", &[Lives], &[], vec![]),
            ("an absent owner", "a <o", &[Absent], &[], vec![gone.clone()]),
            ("two absent owners", "a <o <p", &[Absent, Absent], &[], vec![gone.clone()]),
            ("one of two absent", "a <o <p", &[Lives, Absent], &[], vec![disowned(&["o"])]),
            ("one of two waits", "a <o <p", &[Waits, Lives], &[], vec![disowned(&["p"])]),
            ("the owner waits", "a <o", &[Waits], &[], vec![gone]),
            ("the owner waits, with dependents", "a <o!", &[Waits], &["b <a"], vec![foreground.clone()]),
            ("a circle", "a <o!", &[Waits], &["o <a foreground"], vec![disowned(&["o"]), foreground]),
        ];
        for (name, item, owners, dependents, expected) in table {
            let item = node(item);
            let latest = ObjectMeta { owner_references: Some(item.owners.clone()), ..ObjectMeta::default() };
            let dependents: Vec<Node> = dependents.iter().map(|text| node(text)).collect();
            let plan = collect(&item, &latest, owners, &Vec::from_iter(&dependents));
            assert_eq!(actions(&plan), *expected, "{name}");
        }
    }

    #[test]
    fn lists_are_changed_only_where_there_is_something_to_change() {
        let item = node("a <o <p");
        let latest = ObjectMeta {
            owner_references: Some(item.owners.clone()),
            finalizers: Some(vec![ORPHAN.to_owned(), "x".to_owned()]),
            resource_version: Some("5".to_owned()),
            ..ObjectMeta::default()
        };
        let action = disown(&item, &latest, "o").expect("a change");
        assert_eq!(action.preconditions.resource_version.as_deref(), Some("5"));
        assert!(disown(&item, &latest, "q").is_none());
        let lifted = lift_finalizer(&item, &latest, ORPHAN).expect("a change");
        assert_eq!(lifted.to_string(), r#"patch Thing shop/a {"metadata":{"finalizers":["x"]}}"#);
        assert!(lift_finalizer(&item, &latest, FOREGROUND).is_none());
    }
}
