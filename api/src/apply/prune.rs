//! After a merge: what the manager applied before and does not apply any more is removed, unless somebody else claims it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::element::PathElement;
use super::managers::{Managed, ManagedFields};
use super::owned::fields_left;
use super::place::{Kind, Place};
use super::remove::remove;
use super::set::{Node, Set};
use super::update::Updater;

/// `last` is what the manager had before; `managers` has what it has now.
pub(super) fn prune(updater: &Updater<'_>, merged: Value, managers: &ManagedFields, last: &Managed) -> Value {
    let (versions, version) = (updater.versions, last.api_version.as_str());
    let Some(place) = versions.place(version) else { return merged };
    let Some(then) = versions.convert(&merged, updater.api_version, version) else { return merged };
    let pruned = remove(place, &then, &with_named_fields(place, &last.fields));
    let pruned = give_back_owned(updater, &then, pruned, version, managers);
    let pruned = give_back_dangling(place, &then, &pruned, &last.fields);
    versions.convert(&pruned, version, updater.api_version).map_or(Value::Null, Cow::into_owned)
}

/// Gives back what others, or the manager's new configuration, claim to own. The version of the pruned object comes first,
/// because another one may not be reached without what was pruned.
fn give_back_owned(
    updater: &Updater<'_>,
    merged: &Value,
    pruned: Value,
    version: &str,
    managers: &ManagedFields,
) -> Value {
    let mut owned: BTreeMap<(bool, &str), Set> = BTreeMap::new();
    for (_, managed) in managers.iter() {
        let fields = owned.entry((managed.api_version != version, &managed.api_version)).or_default();
        fields.add(managed.fields.clone());
    }
    let versions = updater.versions;
    let (mut merged, mut pruned, mut current) = (Cow::Borrowed(merged), pruned, version.to_owned());
    for ((_, version), owned) in owned {
        let Some(place) = versions.place(version) else { continue };
        let Some(then) = versions.convert(&merged, &current, version).map(Cow::into_owned) else { continue };
        let Some(left) = versions.convert(&pruned, &current, version).map(Cow::into_owned) else { continue };
        let mut gone = with_named_fields(place, &fields_left(place, &then));
        let mut kept = with_named_fields(place, &fields_left(place, &left));
        kept.add(with_named_fields(place, &owned));
        gone.subtract(&kept);
        pruned = remove(place, &then, &gone);
        merged = Cow::Owned(then);
        current = version.to_owned();
    }
    versions.convert(&pruned, &current, version).map_or(Value::Null, Cow::into_owned)
}

/// Gives back what the manager did not own before.
fn give_back_dangling(place: Place<'_>, merged: &Value, pruned: &Value, last: &Set) -> Value {
    let mut gone = with_named_fields(place, &fields_left(place, merged));
    gone.subtract(&with_named_fields(place, &fields_left(place, pruned)));
    let gone = gone.intersection(&with_named_fields(place, last));
    remove(place, merged, &gone)
}

/// The set with the fields of structs that hold its members. They are no members usually, for a struct is not there or not there.
fn with_named_fields(place: Place<'_>, fields: &Set) -> Set {
    let mut out = Set::default();
    for node in fields.nodes() {
        let (below, named) = match (place.kind, &node.element) {
            (Kind::Struct(_) | Kind::Map(_) | Kind::Deduced | Kind::Untyped, PathElement::Field(name)) => {
                let member = place.member(name);
                (member.map(|(member, _)| member), member.is_some_and(|(_, declared)| declared))
            }
            (Kind::List(..), PathElement::Key(_)) => (Some(place.item()), false),
            _ => (None, false),
        };
        let children = below.map_or_else(|| node.children.clone(), |below| with_named_fields(below, &node.children));
        let member = node.member || (named && !node.children.is_empty());
        out.push(Node::new(node.element.clone(), member, children));
    }
    out
}
