//! Merges a configuration into an object: leaves are replaced, members and elements merge one by one, nothing is removed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::element::PathElement;
use super::place::{KeyError, Kind, Place};

/// Null where both have nothing.
pub fn merge(place: Place<'_>, object: &Value, config: &Value) -> Result<Value, KeyError> {
    Ok(merged(place, Some(object), Some(config))?.unwrap_or_default())
}

fn merged(place: Place<'_>, object: Option<&Value>, config: Option<&Value>) -> Result<Option<Value>, KeyError> {
    let replaced = || Ok(config.or(object).cloned());
    if place.atomic {
        return replaced();
    }
    match place.kind {
        Kind::Scalar(_) | Kind::Untyped => replaced(),
        Kind::Deduced => {
            let is_map = |value: Option<&Value>| value.is_none_or(|value| value.is_object() || value.is_null());
            if is_map(object) && is_map(config) { map(place, object, config) } else { replaced() }
        }
        Kind::Struct(_) | Kind::Map(_) => map(place, object, config),
        Kind::List(..) => list(place, object, config),
    }
}

/// Empty and null ones are leaves, so that an empty map does not become null.
fn map(place: Place<'_>, object: Option<&Value>, config: Option<&Value>) -> Result<Option<Value>, KeyError> {
    let none = Map::new();
    let old = object.and_then(Value::as_object).unwrap_or(&none);
    let new = config.and_then(Value::as_object).unwrap_or(&none);
    if old.is_empty() && new.is_empty() {
        return Ok(config.or(object).cloned());
    }
    let mut out = Map::new();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let value = merged(place.member_or_leaf(name).0, old.get(name), new.get(name))?;
        out.extend(value.map(|value| (name.clone(), value)));
    }
    Ok((!out.is_empty()).then_some(Value::Object(out)))
}

fn list(place: Place<'_>, object: Option<&Value>, config: Option<&Value>) -> Result<Option<Value>, KeyError> {
    let old = object.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let new = config.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if old.is_empty() && new.is_empty() {
        return Ok(config.or(object).cloned());
    }
    let out = Lists::new(place, old, new)?.merged()?;
    Ok((!out.is_empty()).then_some(Value::Array(out)))
}

/// Two lists whose elements have names. What both have stands in the order of the configuration; what only the object has
/// stays where it is between them.
struct Lists<'a, 'p> {
    place: Place<'p>,
    old: Vec<(PathElement, &'a Value)>,
    new: Vec<(PathElement, &'a Value)>,
    /// `None` for elements that stand in the list twice: they are not merged but replaced.
    old_by_name: BTreeMap<PathElement, Option<&'a Value>>,
    new_by_name: BTreeMap<PathElement, &'a Value>,
    out: Vec<Value>,
    done: BTreeSet<PathElement>,
    /// Elements of both that are still to come, in the order of the configuration.
    shared: VecDeque<PathElement>,
}

impl<'a, 'p> Lists<'a, 'p> {
    fn new(place: Place<'p>, old: &'a [Value], new: &'a [Value]) -> Result<Self, KeyError> {
        let named = |items: &'a [Value]| -> Result<Vec<(PathElement, &'a Value)>, KeyError> {
            items.iter().map(|item| Ok((place.element(item)?, item))).collect()
        };
        let (old, new) = (named(old)?, named(new)?);
        let mut old_by_name = BTreeMap::new();
        for (name, value) in &old {
            old_by_name.entry(name.clone()).and_modify(|twice| *twice = None).or_insert(Some(*value));
        }
        let new_by_name = new.iter().cloned().collect();
        let shared = new.iter().map(|(name, _)| name).filter(|name| old_by_name.contains_key(name)).cloned().collect();
        Ok(Self { place, old, new, old_by_name, new_by_name, out: Vec::new(), done: BTreeSet::new(), shared })
    }

    fn merged(mut self) -> Result<Vec<Value>, KeyError> {
        let (old, new) = (std::mem::take(&mut self.old), std::mem::take(&mut self.new));
        let (mut at_old, mut at_new) = (0, 0);
        while at_old < old.len() || at_new < new.len() {
            if let (Some((name, _)), Some((wanted, _))) = (old.get(at_old), new.get(at_new)) {
                if name == wanted {
                    self.take_new(name)?;
                    (at_old, at_new) = (at_old + 1, at_new + 1);
                    self.shared.pop_front();
                    continue;
                }
                if self.new_by_name.contains_key(name) && self.shared.front().is_some_and(|next| next != name) {
                    // It comes later, at the place that the configuration gives it.
                    at_old += 1;
                    continue;
                }
            }
            if let Some((name, value)) = old.get(at_old) {
                if !self.new_by_name.contains_key(name) {
                    self.push(Some(value), None)?;
                    at_old += 1;
                    continue;
                }
                if self.done.contains(name) {
                    at_old += 1;
                }
            }
            if let Some((name, _)) = new.get(at_new) {
                self.take_new(name)?;
                at_new += 1;
                if self.shared.front() == Some(name) {
                    self.shared.pop_front();
                }
            }
        }
        Ok(self.out)
    }

    fn take_new(&mut self, name: &PathElement) -> Result<(), KeyError> {
        self.done.insert(name.clone());
        let (old, new) = (self.old_by_name.get(name).copied().flatten(), self.new_by_name.get(name).copied());
        self.push(old, new)
    }

    fn push(&mut self, old: Option<&Value>, new: Option<&Value>) -> Result<(), KeyError> {
        self.out.extend(merged(self.place.item(), old, new)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::schema::SchemaSet;

    fn pod(object: Value, config: Value) -> Value {
        let set = SchemaSet::builtin();
        let place = Place::root(set, set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap());
        merge(place, &object, &config).unwrap()
    }

    #[test]
    fn members_merge_and_atomic_ones_are_replaced() {
        let object = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"nodeSelector": {"a": "b"},
            "tolerations": [{"key": "a"}], "hostname": "h"}});
        let config = json!({"metadata": {"labels": {"b": "3"}}, "spec": {"nodeSelector": {"c": "d"},
            "tolerations": [{"key": "b"}], "subdomain": "s"}});
        let expected = json!({"metadata": {"labels": {"a": "1", "b": "3"}}, "spec": {"nodeSelector": {"c": "d"},
            "tolerations": [{"key": "b"}], "hostname": "h", "subdomain": "s"}});
        assert_eq!(pod(object, config), expected);
        let empty = pod(json!({"spec": {"securityContext": {}}}), json!({"spec": {"hostname": null}}));
        assert_eq!(empty, json!({"spec": {"securityContext": {}, "hostname": null}}));
    }

    #[test]
    fn lists_take_the_order_of_the_configuration() {
        let cases: [(&[&str], &[&str], &[&str]); 9] = [
            (&["a", "b"], &[], &["a", "b"]),
            (&[], &["a", "b"], &["a", "b"]),
            (&["a", "b"], &["b"], &["a", "b"]),
            (&["a", "b"], &["c"], &["a", "b", "c"]),
            (&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]),
            (&["a", "b", "c", "d"], &["d", "x", "a"], &["b", "c", "d", "x", "a"]),
            (&["a", "x", "b"], &["b", "a"], &["x", "b", "a"]),
            (&["a", "b", "c"], &["a", "n", "c"], &["a", "b", "n", "c"]),
            (&["a", "a", "b"], &["b", "a"], &["b", "a"]),
        ];
        for (object, config, expected) in cases {
            let of = |names: &[&str]| json!({"metadata": {"finalizers": names}});
            assert_eq!(pod(of(object), of(config)), of(expected), "{object:?} {config:?}");
        }
    }

    #[test]
    fn elements_merge_by_their_keys() {
        let ports = |ports: Value| json!({"spec": {"containers": [{"name": "c", "ports": ports}]}});
        let object = ports(json!([{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]));
        let config = ports(json!([{"containerPort": 80, "name": "web"}]));
        let expected = ports(json!([
            {"containerPort": 80, "protocol": "TCP", "name": "web"}, {"containerPort": 80, "protocol": "UDP"}]));
        assert_eq!(pod(object, config), expected);
    }
}
