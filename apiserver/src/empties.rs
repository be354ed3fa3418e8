//! Empty maps that are not the same as none. What is decoded and what is stored has no empty maps where Go leaves them out, but some
//! rules of upstream's look at Go's maps before that: whether there is one, or whether it is equal to another one down to that.

use api::Object;
use serde_json::{Map, Value};

/// By kind: pointers to maps that such a rule looks at.
const MAPS: [(&str, &[&str]); 5] = [
    ("ConfigMap", &["/data", "/binaryData"]),
    ("Pod", &["/spec/overhead"]),
    ("Secret", &["/data"]),
    ("StorageClass", &["/parameters"]),
    ("VolumeAttributesClass", &["/parameters"]),
];

/// The empty ones of an object.
#[must_use]
pub(crate) struct Empties(Vec<&'static str>);

impl Empties {
    /// Takes them out.
    pub fn take(object: &mut Object) -> Self {
        let kind = object["kind"].as_str().unwrap_or_default();
        let Some((_, maps)) = MAPS.iter().find(|(of, _)| *of == kind) else { return Self(Vec::new()) };
        let is_empty = |map: &&&str| object.pointer(map).and_then(Value::as_object).is_some_and(Map::is_empty);
        let empty: Vec<&str> = maps.iter().filter(is_empty).copied().collect();
        for (parent, name) in empty.iter().filter_map(|map| map.rsplit_once('/')) {
            if let Some(Value::Object(members)) = object.pointer_mut(parent) {
                members.remove(name);
            }
        }
        Self(empty)
    }

    pub fn put_back(self, object: &mut Object) {
        for (parent, name) in self.0.into_iter().filter_map(|map| map.rsplit_once('/')) {
            if let Some(Value::Object(members)) = object.pointer_mut(parent) {
                members.entry(name).or_insert_with(|| Value::Object(Map::new()));
            }
        }
    }
}

/// What `work` does to an object that has none of them; they are there again after it.
pub(crate) fn without<R>(object: &mut Object, work: impl FnOnce(&mut Object) -> R) -> R {
    let empties = Empties::take(object);
    let done = work(object);
    empties.put_back(object);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_maps_are_away_meanwhile() {
        let table = [
            (
                json!({"kind": "ConfigMap", "data": {}, "binaryData": {"a": ""}}),
                json!({"kind": "ConfigMap", "binaryData": {"a": ""}}),
            ),
            (json!({"kind": "Pod", "spec": {"overhead": {}, "x": {}}}), json!({"kind": "Pod", "spec": {"x": {}}})),
            (json!({"kind": "Pod"}), json!({"kind": "Pod"})),
            (json!({"kind": "Role", "data": {}}), json!({"kind": "Role", "data": {}})),
        ];
        for (object, without_them) in table {
            let mut worked_on = object.clone();
            without(&mut worked_on, |inside| assert_eq!(*inside, without_them));
            assert_eq!(worked_on, object);
        }
    }
}
