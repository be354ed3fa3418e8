//! Brings a stored set of fields up to date with a schema in which a list or map has become atomic since: who owned something
//! in it owns the whole of it now. The other direction needs nothing.

use super::place::{Kind, Place};
use super::set::{Node, Set};

/// `None` when the set fits.
pub fn reconcile(place: Place<'_>, set: &Set) -> Option<Set> {
    if place.atomic || matches!(place.kind, Kind::Scalar(_) | Kind::Deduced) {
        return None;
    }
    // Most sets fit, and nothing is copied for those.
    if set.nodes().iter().all(|node| fits(place, node)) {
        return None;
    }
    let mut out = Set::default();
    for node in set.nodes() {
        let (member, children) = match child(place, node) {
            Some(child) if child.atomic && !node.children.is_empty() => (true, Set::default()),
            Some(child) => (node.member, reconcile(child, &node.children).unwrap_or_else(|| node.children.clone())),
            None => (node.member, node.children.clone()),
        };
        out.push(Node::new(node.element.clone(), member, children));
    }
    Some(out)
}

fn fits(place: Place<'_>, node: &Node) -> bool {
    if node.children.is_empty() {
        return true;
    }
    match child(place, node) {
        Some(child) if child.atomic => false,
        Some(child) => child.kind_is_open() || node.children.nodes().iter().all(|node| fits(child, node)),
        None => true,
    }
}

fn child<'a>(place: Place<'a>, node: &Node) -> Option<Place<'a>> {
    match (place.kind, &node.element) {
        (Kind::List(..), _) => Some(place.item()),
        (_, super::PathElement::Field(name)) => place.member(name).map(|(member, _)| member),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::schema::SchemaSet;

    #[test]
    fn what_is_atomic_now_is_owned_whole() {
        let set = SchemaSet::builtin();
        let place = Place::root(set, set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap());
        let check = |fields: Value, expected: Option<Value>| {
            let fields: Set = serde_json::from_value(fields).unwrap();
            let reconciled = reconcile(place, &fields);
            assert_eq!(reconciled.map(|set| serde_json::from_str(&set.to_text()).unwrap()), expected);
        };
        check(json!({"f:spec": {"f:nodeSelector": {}, "f:containers": {"k:{\"name\":\"a\"}": {".": {}}}}}), None);
        check(json!({"f:spec": {"f:hostname": {}, "f:gone": {"f:x": {}}}}), None);
        check(
            json!({"f:spec": {"f:nodeSelector": {".": {}, "f:a": {}}, "f:tolerations": {"i:0": {"f:key": {}}},
                "f:containers": {"k:{\"name\":\"a\"}": {"f:command": {"v:\"x\"": {}}}}}}),
            Some(json!({"f:spec": {"f:nodeSelector": {}, "f:tolerations": {},
                "f:containers": {"k:{\"name\":\"a\"}": {"f:command": {}}}}})),
        );
    }
}
