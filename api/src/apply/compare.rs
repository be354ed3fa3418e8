//! What differs between two states of an object, as three sets of fields.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::element::{PathElement, same};
use super::place::{KeyError, Kind, Place};
use super::set::{Node, Set};
use crate::schema::Field;

/// No field is in more than one of the sets, but for elements that stand in a list twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub removed: Set,
    pub modified: Set,
    pub added: Set,
}

/// Upstream compares Go structs, in which a list or time that nobody set is still there as null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// Both states are stored objects, in which such nulls are left out. They are thought back in.
    Implied,
    /// They are there where they belong, see [`super::nulls::spell_out`].
    Explicit,
}

pub fn compare(place: Place<'_>, old: &Value, new: &Value, nulls: Nulls) -> Result<Comparison, KeyError> {
    Ok(Walk { nulls }.place(place, Some(old), Some(new))?.inner)
}

impl Comparison {
    /// Without what the server resets and everything below it.
    pub fn without(mut self, reset: &Set) -> Self {
        for set in [&mut self.removed, &mut self.modified, &mut self.added] {
            set.subtract_recursively(reset);
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    fn add(&mut self, element: PathElement, delta: Delta) {
        let Delta { mark, inner } = delta;
        let parts = [
            (&mut self.removed, Mark::Removed, inner.removed),
            (&mut self.modified, Mark::Modified, inner.modified),
            (&mut self.added, Mark::Added, inner.added),
        ];
        let says_something = |wanted: Mark, children: &Set| mark == Some(wanted) || !children.is_empty();
        // Mostly one of them has it, and gets the element without a copy.
        let mut left = parts.iter().filter(|(_, wanted, children)| says_something(*wanted, children)).count();
        let mut element = Some(element);
        for (set, wanted, children) in parts {
            if says_something(wanted, &children) {
                left -= 1;
                let element = if left == 0 { element.take() } else { element.clone() };
                let node = element.map(|element| Node::new(element, mark == Some(wanted), children));
                node.into_iter().for_each(|node| set.push(node));
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Removed,
    Modified,
    Added,
}

/// What differs at one place and below it.
#[derive(Default)]
struct Delta {
    mark: Option<Mark>,
    inner: Comparison,
}

impl From<Mark> for Delta {
    fn from(mark: Mark) -> Self {
        Self { mark: Some(mark), inner: Comparison::default() }
    }
}

type Members = Map<String, Value>;

static NULL: Value = Value::Null;

struct Walk {
    nulls: Nulls,
}

impl Walk {
    fn place(&self, place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Delta, KeyError> {
        if place.atomic {
            return Ok(leaf(old, new));
        }
        match place.kind {
            Kind::Scalar(_) | Kind::Untyped => Ok(leaf(old, new)),
            Kind::Struct(_) | Kind::Map(_) => self.map(place, old, new),
            Kind::List(..) => self.list(place, old, new),
            Kind::Deduced => self.deduced(place, old, new),
        }
    }

    fn map(&self, place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Delta, KeyError> {
        let (old_members, new_members) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
        let nothing =
            |members: Option<&Members>| members.is_none_or(|members| members.is_empty() && !self.has_nulls(place));
        if nothing(old_members) && nothing(new_members) {
            return Ok(leaf(old, new));
        }
        let inner = self.members(place, old_members, new_members)?;
        Ok(Delta { mark: presence(old, new), inner })
    }

    fn list(&self, place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Delta, KeyError> {
        let old_items = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let new_items = new.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if old_items.is_empty() && new_items.is_empty() {
            return Ok(leaf(old, new));
        }
        // Most lists do not change, and comparing them is cheaper than naming their elements.
        let inner =
            if old_items == new_items { Comparison::default() } else { self.elements(place, old_items, new_items)? };
        Ok(Delta { mark: presence(old, new), inner })
    }

    /// The form of the value decides; where it changes, the old form goes and the new one comes.
    fn deduced(&self, place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Delta, KeyError> {
        let is_map = |value: Option<&Value>| value.is_some_and(Value::is_object);
        let (old_map, new_map) = (is_map(old), is_map(new));
        match (old, new) {
            (Some(old), Some(new)) if old_map != new_map => {
                Ok(Delta { mark: Some(Mark::Modified), inner: self.members(place, old.as_object(), new.as_object())? })
            }
            _ if old_map || new_map => self.map(place, old, new),
            _ => Ok(leaf(old, new)),
        }
    }

    fn members(&self, place: Place<'_>, old: Option<&Members>, new: Option<&Members>) -> Result<Comparison, KeyError> {
        let mut found = Comparison::default();
        let none = Members::new();
        let (mut left, mut right) = (old.unwrap_or(&none).iter().peekable(), new.unwrap_or(&none).iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let a = if order.is_le() { left.next() } else { None };
            let b = if order.is_ge() { right.next() } else { None };
            let Some((name, _)) = a.or(b) else { break };
            let (mut a, mut b) = (a.map(|(_, value)| value), b.map(|(_, value)| value));
            let implied = a.is_none() && old.is_some() || b.is_none() && new.is_some();
            if implied && self.nulls == Nulls::Implied && place.declared(name).is_some_and(Field::null_when_absent) {
                a = a.or(old.map(|_| &NULL));
                b = b.or(new.map(|_| &NULL));
            }
            let delta = self.place(place.member_or_leaf(name).0, a, b)?;
            found.add_named(name, delta);
        }
        self.unset(place, old, new, &mut found);
        Ok(found)
    }

    fn has_nulls(&self, place: Place<'_>) -> bool {
        match place.kind {
            Kind::Struct(ty) => self.nulls == Nulls::Implied && ty.fields.iter().any(Field::null_when_absent),
            _ => false,
        }
    }

    /// Fields that are null in a struct that came or went.
    fn unset(&self, place: Place<'_>, old: Option<&Members>, new: Option<&Members>, found: &mut Comparison) {
        let (Kind::Struct(ty), Nulls::Implied) = (place.kind, self.nulls) else { return };
        let (members, mark) = match (old, new) {
            (Some(members), None) => (members, Mark::Removed),
            (None, Some(members)) => (members, Mark::Added),
            _ => return,
        };
        for field in ty.fields.iter().filter(|field| field.null_when_absent() && !members.contains_key(&field.name)) {
            found.add_named(&field.name, mark.into());
        }
    }

    fn elements(&self, place: Place<'_>, old: &[Value], new: &[Value]) -> Result<Comparison, KeyError> {
        let (old, new) = (named(place, old)?, named(place, new)?);
        let by_element = |(a, _): &(PathElement, _), (b, _): &(PathElement, _)| a == b;
        let (mut left, mut right) = (old.chunk_by(by_element).peekable(), new.chunk_by(by_element).peekable());
        let mut found = Comparison::default();
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a[0].0.cmp(&b[0].0),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(found),
            };
            let a = if order.is_le() { left.next() } else { None }.unwrap_or_default();
            let b = if order.is_ge() { right.next() } else { None }.unwrap_or_default();
            let Some((element, _)) = a.first().or(b.first()) else { return Ok(found) };
            self.element(place, element, a, b, &mut found)?;
        }
    }

    /// All occurrences of one element. Where it stands there twice, the occurrences are compared as one leaf.
    fn element(
        &self,
        place: Place<'_>,
        element: &PathElement,
        old: &[(PathElement, &Value)],
        new: &[(PathElement, &Value)],
        found: &mut Comparison,
    ) -> Result<(), KeyError> {
        let item = place.item();
        let (first_old, first_new) = (old.first().map(|(_, value)| *value), new.first().map(|(_, value)| *value));
        match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => {
                let delta = self.place(item, first_old, first_new)?;
                found.add_named_by(element, delta);
            }
            (2.., 2..) => {
                let equal = old.len() == new.len() && old.iter().zip(new).all(|((_, a), (_, b))| same(a, b));
                if !equal {
                    found.add(element.clone(), Mark::Modified.into());
                }
            }
            (2.., _) => {
                if first_new.is_some() {
                    found.add(element.clone(), self.place(item, None, first_new)?);
                }
                found.add(element.clone(), Mark::Removed.into());
            }
            (_, _) => {
                if first_old.is_some() {
                    found.add(element.clone(), self.place(item, first_old, None)?);
                }
                found.add(element.clone(), Mark::Added.into());
            }
        }
        Ok(())
    }
}

impl Comparison {
    /// Makes the element only when there is something to say about it.
    fn add_named(&mut self, name: &str, delta: Delta) {
        if delta.says_something() {
            self.add(PathElement::field(name), delta);
        }
    }

    fn add_named_by(&mut self, element: &PathElement, delta: Delta) {
        if delta.says_something() {
            self.add(element.clone(), delta);
        }
    }
}

impl Delta {
    fn says_something(&self) -> bool {
        self.mark.is_some() || !self.inner.is_empty()
    }
}

fn leaf(old: Option<&Value>, new: Option<&Value>) -> Delta {
    match (old, new) {
        (Some(old), Some(new)) if same(old, new) => Delta::default(),
        (Some(_), Some(_)) => Mark::Modified.into(),
        (old, new) => Delta { mark: presence(old, new), inner: Comparison::default() },
    }
}

fn presence(old: Option<&Value>, new: Option<&Value>) -> Option<Mark> {
    match (old, new) {
        (Some(_), None) => Some(Mark::Removed),
        (None, Some(_)) => Some(Mark::Added),
        _ => None,
    }
}

/// The elements of a list by their names, sorted; those of one name in their order.
fn named<'v>(place: Place<'_>, items: &'v [Value]) -> Result<Vec<(PathElement, &'v Value)>, KeyError> {
    let mut named = Vec::with_capacity(items.len());
    for item in items {
        named.push((place.element(item)?, item));
    }
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(named)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::schema::SchemaSet;

    fn paths(set: &Set) -> Vec<String> {
        set.paths().iter().map(|path| super::super::element::path_text(path)).collect()
    }

    fn check(old: Value, new: Value, nulls: Nulls, removed: &[&str], modified: &[&str], added: &[&str]) {
        let set = SchemaSet::builtin();
        let place = Place::root(set, set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap());
        let found = compare(place, &old, &new, nulls).unwrap();
        assert_eq!(paths(&found.removed), removed, "{old} {new}");
        assert_eq!(paths(&found.modified), modified, "{old} {new}");
        assert_eq!(paths(&found.added), added, "{old} {new}");
    }

    #[test]
    fn leaves_lists_and_maps() {
        let spec = |spec: Value| json!({"spec": spec});
        let both = Nulls::Implied;
        check(spec(json!({"hostname": "a"})), spec(json!({"hostname": "a"})), both, &[], &[], &[]);
        check(spec(json!({"hostname": "a"})), spec(json!({"hostname": "b"})), both, &[], &[".spec.hostname"], &[]);
        check(
            spec(json!({"nodeName": "a"})),
            spec(json!({"hostname": "a"})),
            both,
            &[".spec.nodeName"],
            &[],
            &[".spec.hostname"],
        );
        check(
            spec(json!({"nodeSelector": {"a": "b"}})),
            spec(json!({"nodeSelector": {"a": "c"}})),
            both,
            &[],
            &[".spec.nodeSelector"],
            &[],
        );
        check(
            json!({"metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x/a"]}}),
            json!({"metadata": {"labels": {"a": "2", "c": "3"}, "finalizers": ["x/b", "x/a"]}}),
            both,
            &[".metadata.labels.b"],
            &[".metadata.labels.a"],
            &[".metadata.finalizers[=\"x/b\"]", ".metadata.labels.c"],
        );
        check(
            spec(json!({"volumes": [{"name": "a", "emptyDir": {}}]})),
            spec(json!({"volumes": [{"name": "b"}, {"name": "a", "emptyDir": {"medium": "Memory"}}]})),
            both,
            &[],
            &[],
            &[
                ".spec.volumes[name=\"b\"]",
                ".spec.volumes[name=\"a\"].emptyDir.medium",
                ".spec.volumes[name=\"b\"].name",
            ],
        );
    }

    #[test]
    fn what_go_has_as_null_is_neither_added_nor_removed() {
        let condition = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let at = |field: &str| format!(".status.conditions[type=\"Ready\"]{field}");
        let all = [at(""), at(".lastProbeTime"), at(".lastTransitionTime"), at(".status"), at(".type")];
        let all: Vec<&str> = [".status.conditions"].into_iter().chain(all.iter().map(String::as_str)).collect();
        check(json!({"status": {}}), condition.clone(), Nulls::Implied, &[], &[], &all);
        let named = [at(""), at(".status"), at(".type")];
        let named: Vec<&str> = [".status.conditions"].into_iter().chain(named.iter().map(String::as_str)).collect();
        check(json!({"status": {}}), condition.clone(), Nulls::Explicit, &[], &[], &named);
        let timed = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": "t"}]}});
        check(condition, timed, Nulls::Implied, &[], &[&at(".lastProbeTime")], &[]);
        // Containers are never absent.
        let containers = json!({"spec": {"containers": [{"name": "a"}]}});
        let element = ".spec.containers[name=\"a\"]";
        check(json!({"spec": {}}), containers, Nulls::Implied, &[], &[], &[element, &format!("{element}.name")]);
    }

    #[test]
    fn elements_that_stand_there_twice_are_one_leaf() {
        let env = |values: &[&str]| {
            let env: Vec<Value> = values.iter().map(|value| json!({"name": "a", "value": value})).collect();
            json!({"spec": {"containers": [{"name": "c", "env": env}]}})
        };
        let at = ".spec.containers[name=\"c\"].env[name=\"a\"]";
        let (name, value) = (format!("{at}.name"), format!("{at}.value"));
        check(env(&["1", "2"]), env(&["1", "2"]), Nulls::Implied, &[], &[], &[]);
        check(env(&["1", "2"]), env(&["2", "1"]), Nulls::Implied, &[], &[at], &[]);
        check(env(&["1"]), env(&["1", "2"]), Nulls::Implied, &[at, &name, &value], &[], &[at]);
        check(env(&["1", "2"]), env(&["1"]), Nulls::Implied, &[at], &[], &[at, &name, &value]);
    }

    #[test]
    fn without_a_schema_the_values_decide() {
        let set = SchemaSet::builtin();
        let crd = GroupVersionKind::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let mut place = Place::root(set, set.of_kind(&crd).unwrap());
        for field in ["spec", "versions", "*", "schema", "openAPIV3Schema", "example"] {
            place = if field == "*" { place.item() } else { place.member(field).unwrap().0 };
        }
        let cases = [
            (json!({"a": {"b": 1}}), json!({"a": {"b": 2}}), vec![], vec![".a.b"], vec![]),
            (json!({"a": [1]}), json!({"a": [2]}), vec![], vec![".a"], vec![]),
            (json!({"a": {"b": 1}}), json!({"a": 1}), vec![".a.b"], vec![".a"], vec![]),
            (json!({"a": "x"}), json!({"a": {"b": 1}}), vec![], vec![".a"], vec![".a.b"]),
            (json!({"a": 1}), json!({"a": 1.0}), vec![], vec![], vec![]),
        ];
        for (old, new, removed, modified, added) in cases {
            let found = compare(place, &old, &new, Nulls::Implied).unwrap();
            let sets = [&found.removed, &found.modified, &found.added].map(paths);
            assert_eq!(
                sets,
                [removed, modified, added].map(|texts| texts.iter().map(|&t| t.to_owned()).collect::<Vec<String>>()),
                "{old} {new}"
            );
        }
    }
}
