//! Takes fields out of an object.

use serde_json::{Map, Value};

use super::element::PathElement;
use super::place::{Kind, Place};
use super::set::Set;

/// Removes the members of `fields`. A container in which nothing is left becomes null; an atomic one in which something would be
/// removed goes whole.
pub fn remove(place: Place<'_>, value: &Value, fields: &Set) -> Value {
    match (place.kind, value) {
        (Kind::Struct(_) | Kind::Map(_) | Kind::Deduced | Kind::Untyped, Value::Object(members)) => {
            if place.atomic {
                Value::Null
            } else {
                from_map(place, members, fields)
            }
        }
        (Kind::List(..), Value::Array(items)) => {
            if place.atomic {
                Value::Null
            } else {
                from_list(place, items, fields)
            }
        }
        (Kind::Deduced | Kind::Untyped, Value::Array(_)) => Value::Null,
        _ => value.clone(),
    }
}

fn from_map(place: Place<'_>, members: &Map<String, Value>, fields: &Set) -> Value {
    let mut kept = Map::new();
    for (name, value) in members {
        let node = fields.node(&PathElement::field(name));
        let value = match node {
            Some(node) if node.member => continue,
            Some(node) => remove(place.member_or_leaf(name).0, value, &node.children),
            None => value.clone(),
        };
        kept.insert(name.clone(), value);
    }
    if kept.is_empty() { Value::Null } else { Value::Object(kept) }
}

fn from_list(place: Place<'_>, items: &[Value], fields: &Set) -> Value {
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        let element = place.element(item).ok();
        let node = element.and_then(|element| fields.node(&element));
        match node {
            Some(node) if node.member => {}
            Some(node) => kept.push(remove(place.item(), item, &node.children)),
            None => kept.push(item.clone()),
        }
    }
    if kept.is_empty() { Value::Null } else { Value::Array(kept) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::schema::SchemaSet;

    #[test]
    fn members_elements_and_what_becomes_empty() {
        let set = SchemaSet::builtin();
        let place = Place::root(set, set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap());
        let object = json!({"metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x/a"]},
            "spec": {"volumes": [{"name": "a"}, {"name": "b", "emptyDir": {}}], "hostname": "h"}});
        let cases = [
            (json!({}), object.clone()),
            (
                json!({"f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x/a\"": {}}}, "f:spec": {}}),
                json!({"metadata": {"labels": {"b": "2"}, "finalizers": null}}),
            ),
            (
                json!({"f:metadata": {}, "f:spec": {"f:volumes": {"k:{\"name\":\"a\"}": {},
                    "k:{\"name\":\"b\"}": {"f:emptyDir": {}}}}}),
                json!({"spec": {"volumes": [{"name": "b"}], "hostname": "h"}}),
            ),
        ];
        for (fields, expected) in cases {
            let fields: Set = serde_json::from_value(fields).unwrap();
            assert_eq!(remove(place, &object, &fields), expected);
        }
    }
}
