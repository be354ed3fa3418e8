//! The patch that `kubectl apply` sends: from what was applied last, what shall be, and what is.

use serde_json::{Map, Value, json};

use super::{DELETE_FROM_PRIMITIVE_LIST, DIRECTIVE, RETAIN_KEYS, SET_ELEMENT_ORDER};
use crate::schema::{Field, SchemaSet, Shape, TypeId};

/// What must change in `current` so that it says all that `modified` says, and no longer says what `original` did and `modified`
/// does not. What others have added stays. `{}` when nothing must change.
///
/// `ty` is `None` for a kind without schema facts: then it is a JSON merge patch, in which lists are replaced whole.
pub fn three_way(set: &SchemaSet, ty: Option<TypeId>, original: &Value, modified: &Value, current: &Value) -> Value {
    let shape = ty.map(Shape::Struct);
    let empty = Map::new();
    let map = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    Differ { set }.objects(&map(original), &map(modified), &map(current), shape.as_ref()).into()
}

#[derive(Clone, Copy)]
struct Differ<'a> {
    set: &'a SchemaSet,
}

impl<'a> Differ<'a> {
    fn objects(
        self,
        original: &Map<String, Value>,
        modified: &Map<String, Value>,
        current: &Map<String, Value>,
        shape: Option<&'a Shape>,
    ) -> Map<String, Value> {
        let mut patch = Map::new();
        for (key, wanted) in modified {
            match current.get(key) {
                Some(is) if is == wanted && !matches!(wanted, Value::Object(_) | Value::Array(_)) => {}
                Some(is) => self.member(&mut patch, key, original.get(key), wanted, is, shape),
                None if wanted.is_null() => {}
                None => drop(patch.insert(key.clone(), wanted.clone())),
            }
        }
        for key in original.keys().filter(|key| !modified.contains_key(*key) && current.contains_key(*key)) {
            patch.insert(key.clone(), Value::Null);
        }
        patch
    }

    fn member(
        self,
        patch: &mut Map<String, Value>,
        key: &str,
        original: Option<&Value>,
        wanted: &Value,
        is: &Value,
        shape: Option<&'a Shape>,
    ) {
        let field = self.field(shape, key);
        match (wanted, is) {
            // What is replaced whole is sent whole.
            (Value::Object(wanted_map), Value::Object(is_map)) if !field.is_some_and(|field| field.patch.replace) => {
                let none = Map::new();
                let before = original.and_then(Value::as_object).unwrap_or(&none);
                let inner = field.map(|field| &field.shape).or_else(|| map_item(shape));
                let mut changes = self.objects(before, wanted_map, is_map, inner);
                if changes.is_empty() {
                    return;
                }
                if field.is_some_and(|field| field.patch.retain_keys) {
                    changes.insert(RETAIN_KEYS.to_owned(), wanted_map.keys().cloned().collect());
                }
                patch.insert(key.to_owned(), Value::Object(changes));
            }
            (Value::Array(wanted_list), Value::Array(is_list)) if field.is_some_and(|field| field.patch.merge) => {
                let before = original.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                if let Some(field) = field {
                    self.lists(patch, field, before, wanted_list, is_list);
                }
            }
            _ if wanted != is => drop(patch.insert(key.to_owned(), wanted.clone())),
            _ => {}
        }
    }

    /// A list that merges: by key when it has one, else as a set.
    fn lists(
        self,
        patch: &mut Map<String, Value>,
        field: &'a Field,
        original: &[Value],
        wanted: &[Value],
        is: &[Value],
    ) {
        let Some(merge_key) = field.patch.merge_key.as_deref() else {
            return primitives(patch, &field.name, original, wanted, is);
        };
        let item = if let Shape::List(item) = &field.shape { Some(&**item) } else { None };
        let find = |list: &'_ [Value], element: &Value| {
            list.iter().find(|other| other[merge_key] == element[merge_key]).and_then(Value::as_object).cloned()
        };
        let mut changes = Vec::new();
        for element in wanted {
            let Some(element_map) = element.as_object() else { continue };
            match find(is, element) {
                None => changes.push(element.clone()),
                Some(current) => {
                    let before = find(original, element).unwrap_or_default();
                    let mut change = self.objects(&before, element_map, &current, item);
                    if !change.is_empty() {
                        if field.patch.retain_keys {
                            change.insert(RETAIN_KEYS.to_owned(), element_map.keys().cloned().collect());
                        }
                        change.insert(merge_key.to_owned(), element[merge_key].clone());
                        changes.push(Value::Object(change));
                    }
                }
            }
        }
        for element in original {
            if find(wanted, element).is_none() && find(is, element).is_some() {
                changes.push(json!({DIRECTIVE: "delete", merge_key: element[merge_key]}));
            }
        }
        let keys = |list: &[Value]| list.iter().map(|element| element[merge_key].clone()).collect::<Vec<_>>();
        if !changes.is_empty() || out_of_order(&keys(wanted), &keys(is)) {
            let order: Vec<Value> = wanted.iter().map(|element| json!({merge_key: element[merge_key]})).collect();
            patch.insert(format!("{SET_ELEMENT_ORDER}/{}", field.name), order.into());
        }
        if !changes.is_empty() {
            patch.insert(field.name.clone(), changes.into());
        }
    }

    fn field(self, shape: Option<&Shape>, key: &str) -> Option<&'a Field> {
        match shape? {
            Shape::Struct(id) => self.set.get(*id).field(key),
            _ => None,
        }
    }
}

fn map_item(shape: Option<&Shape>) -> Option<&Shape> {
    match shape? {
        Shape::Map(item) => Some(item),
        _ => None,
    }
}

fn primitives(patch: &mut Map<String, Value>, name: &str, original: &[Value], wanted: &[Value], is: &[Value]) {
    let added: Vec<Value> = wanted.iter().filter(|element| !is.contains(element)).cloned().collect();
    let gone = original.iter().filter(|element| !wanted.contains(element) && is.contains(element));
    let removed: Vec<Value> = gone.cloned().collect();
    if added.is_empty() && removed.is_empty() {
        return;
    }
    patch.insert(format!("{SET_ELEMENT_ORDER}/{name}"), wanted.to_vec().into());
    if !added.is_empty() {
        patch.insert(name.to_owned(), added.into());
    }
    if !removed.is_empty() {
        patch.insert(format!("{DELETE_FROM_PRIMITIVE_LIST}/{name}"), removed.into());
    }
}

/// Whether those of `wanted` that are there stand in another order.
fn out_of_order(wanted: &[Value], is: &[Value]) -> bool {
    let common: Vec<&Value> = is.iter().filter(|key| wanted.contains(key)).collect();
    let expected: Vec<&Value> = wanted.iter().filter(|key| is.contains(key)).collect();
    common != expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::patch::strategic::apply;

    fn pod(containers: Value) -> Value {
        json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": containers}})
    }

    #[test]
    fn a_patch_says_what_must_change_and_no_more() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("", "v1", "Pod"));
        let one = |image: &str| json!([{"name": "a", "image": image}]);
        let live = json!({"metadata": {"labels": {"a": "1", "other": "x"}, "finalizers": ["f", "mine"]},
            "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "i", "imagePullPolicy": "Always"}, {"name": "injected"}],
                "volumes": [{"name": "v", "emptyDir": {}}]}});
        let cases: Vec<(&str, Value, Value, Value)> = vec![
            ("nothing to do", pod(one("i")), pod(one("i")), json!({})),
            (
                "one field of one element",
                pod(one("i")),
                pod(one("j")),
                json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a", "image": "j"}]}}),
            ),
            (
                "an element added",
                pod(one("i")),
                pod(json!([{"name": "a", "image": "i"}, {"name": "b"}])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "containers": [{"name": "b"}]}}),
            ),
            (
                "an element and a label taken back",
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "injected"}, {"name": "a"}]}}),
                json!({"spec": {"containers": [{"name": "a"}]}}),
                json!({"metadata": null, "spec": {"$setElementOrder/containers": [{"name": "a"}],
                    "containers": [{"$patch": "delete", "name": "injected"}]}}),
            ),
            (
                "a set",
                json!({"metadata": {"finalizers": ["mine"]}}),
                json!({"metadata": {"finalizers": ["new"]}}),
                json!({"metadata": {"$setElementOrder/finalizers": ["new"], "finalizers": ["new"],
                    "$deleteFromPrimitiveList/finalizers": ["mine"]}}),
            ),
            (
                "another source of a volume",
                json!({}),
                json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
                json!({"spec": {"$setElementOrder/volumes": [{"name": "v"}], "volumes": [{"$retainKeys": ["hostPath", "name"], "name": "v", "hostPath": {"path": "/"}}]}}),
            ),
        ];
        for (name, original, modified, expected) in cases {
            let patch = three_way(set, ty, &original, &modified, &live);
            assert_eq!(patch, expected, "{name}");
        }
    }

    #[test]
    fn what_is_patched_needs_no_further_patch() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("", "v1", "Pod"));
        let live = pod(
            json!([{"name": "a", "image": "i", "ports": [{"containerPort": 1, "protocol": "TCP"}]}, {"name": "b"}]),
        );
        let original = pod(json!([{"name": "a", "image": "i"}, {"name": "b"}]));
        let wanted = pod(json!([{"name": "c"}, {"name": "a", "image": "j", "ports": [{"containerPort": 2}]}]));
        let patch = three_way(set, ty, &original, &wanted, &live);
        let after = apply(set, ty.unwrap(), &live, patch).unwrap();
        assert_eq!(after["spec"]["containers"].as_array().unwrap().len(), 2);
        assert_eq!(three_way(set, ty, &wanted, &wanted, &after), json!({}));
    }

    #[test]
    fn what_is_replaced_whole_is_sent_whole() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("policy", "v1", "PodDisruptionBudget"));
        let budget = |selector: Value| json!({"spec": {"minAvailable": 1, "selector": selector}});
        let live = budget(json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}));
        let wanted = budget(json!({"matchLabels": {"a": "b"}}));
        let patch = three_way(set, ty, &live, &wanted, &live);
        assert_eq!(patch, json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}));
        assert_eq!(apply(set, ty.unwrap(), &live, patch).unwrap()["spec"], wanted["spec"]);
        assert_eq!(three_way(set, ty, &live, &live, &live), json!({}));
    }

    #[test]
    fn without_facts_lists_are_replaced() {
        let patch = three_way(
            SchemaSet::builtin(),
            None,
            &json!({"a": 1, "gone": 1}),
            &json!({"a": 1, "list": [1]}),
            &json!({"a": 1, "gone": 1, "list": [2], "more": 1}),
        );
        assert_eq!(patch, json!({"gone": null, "list": [1]}));
    }
}
