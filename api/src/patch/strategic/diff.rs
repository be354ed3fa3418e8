//! The patch that `kubectl apply` sends: from what was applied last, what shall be, and what is.
//!
//! It is made as upstream makes it, of two: what must be changed and added so that `current` says what `modified` does, merged into
//! what must be deleted because `original` said it and `modified` does not.

use serde_json::{Map, Value, json};

use super::error::go_text;
use super::list::{Kind, element_kind};
use super::order::{Elements, sorted};
use super::{
    DELETE_FROM_PRIMITIVE_LIST, DIRECTIVE, Merger, Onto, RETAIN_KEYS, SET_ELEMENT_ORDER, StrategicPatchError, lookup,
};
use crate::schema::{Field, SchemaSet, Shape, TypeId};

/// What must change in `current` so that it says all that `modified` says, and no longer says what `original` did and `modified`
/// does not. What others have added stays. It may say what changes nothing, as upstream's does.
pub fn three_way(
    set: &SchemaSet,
    ty: TypeId,
    original: &Value,
    modified: &Value,
    current: &Value,
) -> Result<Value, StrategicPatchError> {
    let shape = Shape::Struct(ty);
    let empty = Map::new();
    let map = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    let (original, modified, current) = (map(original), map(modified), map(current));
    let changes = Differ { set, finds: Finds::Changes }.objects(&current, &modified, &shape, false)?;
    let deletions = Differ { set, finds: Finds::Deletions }.objects(&original, &modified, &shape, false)?;
    Merger { set, onto: Onto::Patch }.objects(deletions, changes, &shape).map(Value::Object)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Finds {
    /// And additions.
    Changes,
    Deletions,
}

#[derive(Clone, Copy)]
struct Differ<'a> {
    set: &'a SchemaSet,
    finds: Finds,
}

impl<'a> Differ<'a> {
    /// `retains`: the object is a union, of which the patch names the members that stay.
    fn objects(
        self,
        original: &Map<String, Value>,
        modified: &Map<String, Value>,
        shape: &'a Shape,
        retains: bool,
    ) -> Result<Map<String, Value>, StrategicPatchError> {
        let mut patch = Map::new();
        for (key, wanted) in modified {
            match original.get(key) {
                Some(before) => self.member(&mut patch, key, before, wanted, shape)?,
                None if self.finds == Finds::Changes => drop(patch.insert(key.clone(), wanted.clone())),
                None => {}
            }
        }
        if self.finds == Finds::Deletions {
            let gone = original.keys().filter(|key| !modified.contains_key(*key));
            patch.extend(gone.map(|key| (key.clone(), Value::Null)));
        }
        let more = || original.iter().any(|(key, value)| !value.is_null() && !modified.contains_key(key));
        if retains && (!patch.is_empty() || more()) {
            // Maps are sorted here.
            let kept: Vec<Value> =
                modified.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str().into()).collect();
            if !kept.is_empty() {
                patch.insert(RETAIN_KEYS.to_owned(), kept.into());
            }
        }
        Ok(patch)
    }

    fn member(
        self,
        patch: &mut Map<String, Value>,
        key: &str,
        before: &Value,
        wanted: &Value,
        shape: &'a Shape,
    ) -> Result<(), StrategicPatchError> {
        let changes = self.finds == Finds::Changes;
        match (before, wanted) {
            _ if key == DIRECTIVE && !(before.is_string() && wanted.is_string()) => {
                return Err(StrategicPatchError::DirectiveInObject);
            }
            (Value::Object(before), Value::Object(wanted)) => {
                let field = match lookup(self.set, shape, key) {
                    Ok(field) => field,
                    Err(_) if before == wanted => return Ok(()),
                    Err(error) => return Err(error),
                };
                if !field.patch.replace {
                    let inner = self.objects(before, wanted, &field.shape, field.patch.retain_keys)?;
                    if !inner.is_empty() {
                        patch.insert(key.to_owned(), Value::Object(inner));
                    }
                } else if changes {
                    patch.insert(key.to_owned(), Value::Object(wanted.clone()));
                }
            }
            (Value::Array(before), Value::Array(wanted)) => {
                let found = lookup(self.set, shape, key).and_then(|field| match &field.shape {
                    Shape::List(item) => Ok((field, &**item)),
                    _ => Err(StrategicPatchError::NotAList),
                });
                match found {
                    Ok((field, item)) if field.patch.merge => self.lists(patch, key, field, item, before, wanted)?,
                    Err(error) if before != wanted => return Err(error),
                    _ if before != wanted && changes => drop(patch.insert(key.to_owned(), wanted.clone().into())),
                    _ => {}
                }
            }
            _ if before != wanted && changes => drop(patch.insert(key.to_owned(), wanted.clone())),
            _ => {}
        }
        Ok(())
    }

    /// A list that merges: by key when its elements are objects, else as a set.
    fn lists(
        self,
        patch: &mut Map<String, Value>,
        key: &str,
        field: &'a Field,
        item: &'a Shape,
        original: &[Value],
        modified: &[Value],
    ) -> Result<(), StrategicPatchError> {
        if original.is_empty() {
            if self.finds == Finds::Changes && !modified.is_empty() {
                patch.insert(key.to_owned(), modified.to_vec().into());
            }
            return Ok(());
        }
        let kind = element_kind(&[original, modified])?;
        let (listed, removed, order) = match kind {
            Kind::Object => self.lists_of_objects(field, item, original, modified)?,
            Kind::List => return Err(StrategicPatchError::ListOfLists),
            _ => self.lists_of_scalars(field, original, modified)?,
        };
        let named = [
            (key.to_owned(), listed),
            (format!("{DELETE_FROM_PRIMITIVE_LIST}/{key}"), removed),
            (format!("{SET_ELEMENT_ORDER}/{key}"), order),
        ];
        patch.extend(named.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, list)| (key, list.into())));
        Ok(())
    }

    /// What changes and what is deleted, nothing, and the order.
    fn lists_of_objects(
        self,
        field: &'a Field,
        item: &'a Shape,
        original: &[Value],
        modified: &[Value],
    ) -> Result<Lists, StrategicPatchError> {
        let merge_key = field.patch.merge_key.as_deref().unwrap_or_default();
        let (before, after) = (by_key(original, merge_key)?, by_key(modified, merge_key)?);
        let (mut listed, mut deleted) = (Vec::new(), Vec::new());
        for pair in pairs(before, after) {
            match pair {
                (Some(before), Some(after)) => {
                    let mut change = self.objects(before.members, after.members, item, field.patch.retain_keys)?;
                    if !change.is_empty() {
                        change.insert(merge_key.to_owned(), after.key.clone());
                        listed.push(Value::Object(change));
                    }
                }
                (None, Some(after)) if self.finds == Finds::Changes => {
                    listed.push(Value::Object(after.members.clone()))
                }
                (Some(before), None) if self.finds == Finds::Deletions => {
                    deleted.push(json!({DIRECTIVE: "delete", merge_key: before.key}));
                }
                _ => {}
            }
        }
        let mut listed = sorted(listed, modified, Elements::of(merge_key, true))?;
        listed.extend(deleted);
        let keys = |list: &[Value]| list.iter().map(|element| element.get(merge_key).cloned()).collect::<Vec<_>>();
        let ordered = !listed.is_empty() || (self.finds == Finds::Changes && keys(original) != keys(modified));
        let order = modified.iter().map(|element| json!({merge_key: element[merge_key]}));
        Ok((listed, Vec::new(), if ordered { order.collect() } else { Vec::new() }))
    }

    /// What is added, what is removed, and the order.
    fn lists_of_scalars(
        self,
        field: &Field,
        original: &[Value],
        modified: &[Value],
    ) -> Result<Lists, StrategicPatchError> {
        let named = |list: &[Value]| {
            let mut named: Vec<(String, Value)> = list.iter().map(|value| (go_text(value), value.clone())).collect();
            named.sort_by(|(a, _), (b, _)| a.cmp(b));
            named
        };
        let (before, after) = (named(original), named(modified));
        // Upstream sorts the original itself, so that a list in another order than that is one that has changed.
        let same = before.iter().map(|(_, value)| value).eq(modified);
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for pair in pairs(before, after) {
            match pair {
                (None, Some((_, value))) if self.finds == Finds::Changes => added.push(value),
                (Some((_, value)), None) if self.finds == Finds::Deletions && !removed.contains(&value) => {
                    removed.push(value)
                }
                _ => {}
            }
        }
        let merge_key = field.patch.merge_key.as_deref().unwrap_or_default();
        let added = sorted(added, modified, Elements::of(merge_key, false))?;
        let ordered = if self.finds == Finds::Changes { !same } else { !removed.is_empty() };
        Ok((added, removed, if ordered { modified.to_vec() } else { Vec::new() }))
    }
}

/// The list of the patch, the one of removed scalars, and the order.
type Lists = (Vec<Value>, Vec<Value>, Vec<Value>);

struct Keyed<'a> {
    text: String,
    key: &'a Value,
    members: &'a Map<String, Value>,
}

/// Something with a text by which two sorted lists are compared.
trait Named {
    fn name(&self) -> &str;
}

impl Named for Keyed<'_> {
    fn name(&self) -> &str {
        &self.text
    }
}

impl Named for (String, Value) {
    fn name(&self) -> &str {
        &self.0
    }
}

/// Sorted by merge key. Those with the same one come out in reverse: upstream's comparison says of equals that either is less,
/// and Go sorts by insertion (a dozen elements; what it does with equals in longer lists is not followed).
fn by_key<'a>(list: &'a [Value], merge_key: &str) -> Result<Vec<Keyed<'a>>, StrategicPatchError> {
    let mut keyed = Vec::with_capacity(list.len());
    for element in list.iter().rev() {
        let members = element.as_object().ok_or_else(|| StrategicPatchError::bad_map(element))?;
        let key = members.get(merge_key).ok_or_else(|| StrategicPatchError::no_merge_key(element, merge_key))?;
        keyed.push(Keyed { text: go_text(key), key, members });
    }
    keyed.sort_by(|a, b| a.text.cmp(&b.text));
    Ok(keyed)
}

/// Goes through two sorted lists at once: what has the same name stands together, the first with the first.
fn pairs<T: Named>(left: Vec<T>, right: Vec<T>) -> impl Iterator<Item = (Option<T>, Option<T>)> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return None,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.name().cmp(b.name()),
        };
        Some((if order.is_le() { left.next() } else { None }, if order.is_ge() { right.next() } else { None }))
    })
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
        let ty = set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).expect("a kind");
        let one = |image: &str| json!([{"name": "a", "image": image}]);
        let live = json!({"metadata": {"labels": {"a": "1", "other": "x"}, "finalizers": ["f", "mine"]},
            "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "i", "imagePullPolicy": "Always"}, {"name": "injected"}],
                "volumes": [{"name": "v", "emptyDir": {}}]}});
        let cases: Vec<(&str, Value, Value, Value)> = vec![
            (
                "nothing to do, but for the order of a list in which others stand, too",
                pod(one("i")),
                pod(one("i")),
                json!({"spec": {"$setElementOrder/containers": [{"name": "a"}]}}),
            ),
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
            assert_eq!(patch, Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_is_patched_is_not_changed_by_the_next_patch() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).expect("a kind");
        let live = pod(
            json!([{"name": "a", "image": "i", "ports": [{"containerPort": 1, "protocol": "TCP"}]}, {"name": "b"}]),
        );
        let original = pod(json!([{"name": "a", "image": "i"}, {"name": "b"}]));
        let wanted = pod(json!([{"name": "c"}, {"name": "a", "image": "j", "ports": [{"containerPort": 2}]}]));
        let patch = three_way(set, ty, &original, &wanted, &live).unwrap();
        let after = apply(set, ty, &live, patch).unwrap();
        assert_eq!(after["spec"]["containers"].as_array().unwrap().len(), 2);
        let again = three_way(set, ty, &wanted, &wanted, &after).unwrap();
        assert_eq!(apply(set, ty, &after, again), Ok(after));
    }

    #[test]
    fn what_is_replaced_whole_is_sent_whole() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("policy", "v1", "PodDisruptionBudget")).expect("a kind");
        let budget = |selector: Value| json!({"spec": {"minAvailable": 1, "selector": selector}});
        let live = budget(json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}));
        let wanted = budget(json!({"matchLabels": {"a": "b"}}));
        let patch = three_way(set, ty, &live, &wanted, &live).unwrap();
        assert_eq!(patch, json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}));
        assert_eq!(apply(set, ty, &live, patch).unwrap()["spec"], wanted["spec"]);
    }

    /// What Kubernetes' own library makes of them.
    #[test]
    fn lists_that_have_a_key_twice() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("", "v1", "Namespace")).expect("a kind");
        let conditions = |list: Value| json!({"status": {"conditions": list}});
        let (one, two) = (json!({"type": "a", "status": "False"}), json!({"type": "a", "reason": "b"}));
        let three = json!({"type": "a", "reason": "c", "message": "m"});
        let order = |count: usize| json!({"type": "a"}).as_object().map(|key| vec![key.clone(); count]);
        let cases = [
            (
                "the last one is the same",
                json!([one, two]),
                json!([two]),
                json!({"$setElementOrder/conditions": order(1)}),
            ),
            ("both are the same", json!([one, two]), json!([one, two]), Value::Null),
            (
                "compared from the last to the first",
                json!([one, two]),
                json!([one, three]),
                json!({"$setElementOrder/conditions": order(2), "conditions": [{"type": "a", "reason": "c", "message": "m"}]}),
            ),
            (
                "in another order",
                json!([one, two]),
                json!([two, one]),
                json!({"$setElementOrder/conditions": order(2),
                    "conditions": [{"type": "a", "status": "False"}, {"type": "a", "reason": "b"}]}),
            ),
        ];
        for (name, live, wanted, expected) in cases {
            let patch = three_way(set, ty, &json!({}), &conditions(wanted), &conditions(live)).unwrap();
            assert_eq!(patch["status"], expected, "{name}");
        }
    }

    #[test]
    fn errors_in_upstreams_words() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).expect("a kind");
        let cases = [
            (pod(json!([{"image": "i"}])), "map: map[image:i] does not contain declared merge key: name"),
            (pod(json!(["a"])), "list element types are not identical: [[map[name:a]] [a]]"),
            (
                json!({"spec": {"odd": {"a": 2}}}),
                "unable to find api field in struct PodSpec for the json field \"odd\"",
            ),
        ];
        let mut live = pod(json!([{"name": "a"}]));
        live["spec"]["odd"] = json!({"a": 1});
        for (wanted, expected) in cases {
            let error = three_way(set, ty, &json!({}), &wanted, &live).expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }
    }
}
