//! The fields that a configuration mentions: its leaves, the elements of its lists and the keys of its maps.

use serde_json::{Map, Value};

use super::element::PathElement;
use super::place::{KeyError, Kind, Place};
use super::set::{Node, Set};

/// All fields of `value`.
pub fn field_set(place: Place<'_>, value: &Value) -> Result<Set, KeyError> {
    Ok(owned(place, value, Unnamed::Refused)?.below)
}

/// All fields of what is left of a value after something was taken out of it: elements may have lost their names, or everything,
/// and are nobody's then.
pub(super) fn fields_left(place: Place<'_>, value: &Value) -> Set {
    owned(place, value, Unnamed::Skipped).map(|owned| owned.below).unwrap_or_default()
}

/// What becomes of elements that their list cannot tell from others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unnamed {
    Refused,
    Skipped,
}

/// What one place contributes.
#[derive(Default)]
struct Owned {
    itself: bool,
    below: Set,
}

impl Owned {
    fn leaf() -> Self {
        Self { itself: true, below: Set::default() }
    }

    fn inner(below: Set) -> Self {
        Self { itself: false, below }
    }
}

fn owned(place: Place<'_>, value: &Value, unnamed: Unnamed) -> Result<Owned, KeyError> {
    if place.atomic {
        return Ok(Owned::leaf());
    }
    match (place.kind, value) {
        (Kind::Scalar(_), _) => Ok(Owned::leaf()),
        (Kind::List(..), Value::Array(items)) => elements(place, items, unnamed).map(Owned::inner),
        (Kind::Struct(_) | Kind::Map(_) | Kind::Deduced, Value::Object(members)) => {
            map_members(place, members, unnamed).map(Owned::inner)
        }
        (Kind::Deduced, Value::Null) => Ok(Owned::default()),
        (Kind::Deduced, _) => Ok(Owned::leaf()),
        _ => Ok(Owned::default()),
    }
}

fn map_members(place: Place<'_>, members: &Map<String, Value>, unnamed: Unnamed) -> Result<Set, KeyError> {
    let mut set = Set::default();
    for (name, value) in members {
        let (member, declared) = place.member_or_leaf(name);
        let Owned { itself, below } = owned(member, value, unnamed)?;
        let empty = match value {
            Value::Null => true,
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        set.push(Node::new(PathElement::field(name), itself || empty || !declared, below));
    }
    Ok(set)
}

/// Of elements that stand there twice, only the elements themselves count.
fn elements(place: Place<'_>, items: &[Value], unnamed: Unnamed) -> Result<Set, KeyError> {
    let mut named = Vec::with_capacity(items.len());
    for item in items {
        match place.element(item) {
            Ok(element) => named.push((element, item)),
            Err(error) if unnamed == Unnamed::Refused => return Err(error),
            Err(_) => {}
        }
    }
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut set = Set::default();
    for group in named.chunk_by(|(a, _), (b, _)| a == b) {
        let (element, item) = &group[0];
        let below = if group.len() == 1 { owned(place.item(), item, unnamed)?.below } else { Set::default() };
        set.push(Node::new(element.clone(), true, below));
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::schema::SchemaSet;

    fn set_of(api_version: &str, kind: &str, value: &Value) -> Value {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::from_api_version(api_version, kind)).unwrap();
        serde_json::from_str(&field_set(Place::root(set, ty), value).unwrap().to_text()).unwrap()
    }

    #[test]
    fn the_fields_of_configurations() {
        let pod = json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x/y"]}, "spec": {
            "containers": [{"name": "c", "command": ["x"], "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": 1}}, "securityContext": {}}],
            "nodeSelector": {"disk": "ssd"}, "tolerations": [{}], "volumes": [], "hostname": null}});
        let expected = json!({
            "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
            "f:spec": {
                "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:command": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                    "f:resources": {"f:limits": {"f:cpu": {}}}, "f:securityContext": {}}},
                "f:nodeSelector": {}, "f:tolerations": {}, "f:hostname": {}},
        });
        assert_eq!(set_of("v1", "Pod", &pod), expected);
    }

    #[test]
    fn free_forms_are_granular_in_maps_and_atomic_in_lists() {
        let crd = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
            "default": {"a": {"b": [1]}}, "example": 1, "additionalProperties": true}}}]}});
        let expected = json!({"f:spec": {"f:versions": {}}});
        assert_eq!(set_of("apiextensions.k8s.io/v1", "CustomResourceDefinition", &crd), expected);
        let revision = json!({"data": {"spec": {"a": 1}}, "revision": 1});
        assert_eq!(set_of("apps/v1", "ControllerRevision", &revision), json!({"f:data": {}, "f:revision": {}}));
    }

    #[test]
    fn an_element_that_stands_there_twice_is_owned_whole() {
        let pod = json!({"spec": {"containers": [{"name": "c", "env": [
            {"name": "a", "value": "1"}, {"name": "a", "value": "2"}, {"name": "b", "value": "3"}]}]}});
        let env = json!({"k:{\"name\":\"a\"}": {}, "k:{\"name\":\"b\"}": {".": {}, "f:name": {}, "f:value": {}}});
        assert_eq!(set_of("v1", "Pod", &pod)["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["f:env"], env);
    }
}
