//! What of a configuration is replaced whole, and not merged.

use serde_json::Value;

use super::element::PathElement;
use super::place::{Kind, Place};

/// The paths of all atomic lists and maps of a configuration: `.spec.selector`. Maps of any key are not looked into (upstream).
pub fn atomic(place: Place<'_>, config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(place, config, "", &mut found);
    found
}

fn walk(place: Place<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    let open = matches!(place.kind, Kind::Deduced | Kind::Untyped);
    match value {
        Value::Object(members) if open || matches!(place.kind, Kind::Struct(_) | Kind::Map(_)) => {
            if place.atomic {
                found.push(path.to_owned());
            }
            for (name, value) in members {
                if place.declared(name).is_some()
                    && let Some((member, _)) = place.member(name)
                {
                    walk(member, value, &format!("{path}{}", PathElement::field(name)), found);
                }
            }
        }
        Value::Array(items) if open || matches!(place.kind, Kind::List(..)) => {
            if place.atomic || open {
                found.push(path.to_owned());
            }
            for (index, item) in items.iter().enumerate() {
                walk(place.item(), item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::schema::SchemaSet;

    #[test]
    fn atomic_places_are_found_by_their_paths() {
        let set = SchemaSet::builtin();
        let place = Place::root(set, set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap());
        let config = json!({
            "metadata": {"labels": {"a": "b"}, "finalizers": ["a"]},
            "spec": {
                "nodeSelector": {"a": "b"},
                "containers": [{"name": "c", "args": ["x"], "ports": [{"containerPort": 1}]}],
                "tolerations": [{"key": "a"}],
            },
        });
        let expected = [".spec.containers[0].args", ".spec.nodeSelector", ".spec.tolerations"];
        assert_eq!(atomic(place, &config), expected);
    }
}
