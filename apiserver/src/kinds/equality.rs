//! Upstream's semantic equality, on JSON trees: what Go cannot tell apart is the same.

use serde_json::{Map, Value};

use super::quantities::parse_value;

/// Maps whose empty form says the same as their absence; elsewhere `{}` is a struct that somebody set.
const MAPS: [&str; 20] = [
    "allocatedResourceStatuses",
    "allocatedResources",
    "annotations",
    "attachmentMetadata",
    "attributes",
    "binaryData",
    "capacity",
    "data",
    "deprecatedTopology",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "options",
    "overhead",
    "requests",
    "resources",
    "selector",
    "volumeAttributes",
    "allocatable",
];

/// Maps of texts, in which an empty one is as good as any.
const TEXTS: [&str; 11] = [
    "annotations",
    "attachmentMetadata",
    "binaryData",
    "data",
    "deprecatedTopology",
    "labels",
    "matchLabels",
    "nodeSelector",
    "options",
    "parameters",
    "volumeAttributes",
];

const AMOUNTS: [&str; 5] = ["limits", "requests", "overhead", "capacity", "allocatable"];

/// Equal, where null, an empty list and a zero scalar count as absent, and amounts are compared by value.
pub fn same(left: &Value, right: &Value) -> bool {
    Zeros::Absent.same(left, right)
}

/// As [`same`], of the member `name` of two objects.
pub fn same_field(left: &Value, right: &Value, name: &str) -> bool {
    let (left, right) = (super::cursor::field(left, name), super::cursor::field(right, name));
    Zeros::Absent.same_named(name, left, right)
}

/// As [`same`], of complete objects: there, zeros that mean nothing have gone.
pub fn same_complete(left: &Value, right: &Value) -> bool {
    Zeros::Set.same(left, right)
}

/// Whether the member `name` of a stored object is another one in its complete new state. There, zeros that mean nothing have
/// gone: one that is there was set, and not to set it is something else.
pub fn changed(new: &Value, old: &Value, name: &str) -> bool {
    let (new, old) = (super::cursor::field(new, name), super::cursor::field(old, name));
    !Zeros::Set.same_named(name, new, old)
}

/// What false, 0 and empty texts are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zeros {
    Absent,
    Set,
}

impl Zeros {
    fn same(self, left: &Value, right: &Value) -> bool {
        match (left, right) {
            (Value::Object(left), Value::Object(right)) => self.same_members(left, right),
            (Value::Array(left), Value::Array(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(left, right)| self.same(left, right))
            }
            _ => left == right || (self.is_nothing("", left) && self.is_nothing("", right)),
        }
    }

    fn same_members(self, left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
        let one_way = |from: &Map<String, Value>, to: &Map<String, Value>| {
            from.iter().all(|(name, value)| self.same_named(name, value, to.get(name).unwrap_or(&Value::Null)))
        };
        one_way(left, right)
            && right.iter().all(|(name, value)| left.contains_key(name) || self.is_nothing(name, value))
    }

    fn same_named(self, name: &str, left: &Value, right: &Value) -> bool {
        if self.is_nothing(name, left) && self.is_nothing(name, right) {
            return true;
        }
        match (left, right) {
            (Value::Object(left), Value::Object(right)) if AMOUNTS.contains(&name) => {
                left.len() == right.len()
                    && left.iter().all(|(name, amount)| right.get(name).is_some_and(|other| same_amount(amount, other)))
            }
            _ if TEXTS.contains(&name) => Self::Set.same(left, right),
            _ => self.same(left, right),
        }
    }

    fn is_nothing(self, name: &str, value: &Value) -> bool {
        match value {
            Value::Bool(_) | Value::Number(_) | Value::String(_) if self == Self::Set => false,
            // Containers always have them then, a pod only where somebody set them.
            Value::Object(_) if self == Self::Set && name == "resources" => false,
            value => is_nothing(name, value),
        }
    }
}

fn same_amount(left: &Value, right: &Value) -> bool {
    left == right || matches!((parse_value(left), parse_value(right)), (Some(left), Some(right)) if left == right)
}

fn is_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty() && MAPS.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_as_go_sees_it() {
        let table = [
            ("null is absent", json!({"a": null}), json!({}), true),
            ("empty list is absent", json!({"a": []}), json!({}), true),
            ("false is absent", json!({"a": false}), json!({}), true),
            ("empty struct is not", json!({"emptyDir": {}}), json!({}), false),
            ("empty map is", json!({"labels": {}}), json!({}), true),
            ("an empty label is not", json!({"labels": {"a": ""}}), json!({"labels": {}}), false),
            ("amounts by value", json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "1000m"}}), true),
            ("other amounts", json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "2"}}), false),
            ("an amount less", json!({"limits": {"cpu": "1"}}), json!({"limits": {}}), false),
            ("order of lists", json!([1, 2]), json!([2, 1]), false),
            ("text", json!({"a": "b"}), json!({"a": "c"}), false),
        ];
        for (name, left, right, expected) in table {
            assert_eq!(same(&left, &right), expected, "{name}");
            assert_eq!(same(&right, &left), expected, "{name}, swapped");
        }
    }

    #[test]
    fn a_zero_that_is_stored_was_set() {
        let table = [
            (json!({"a": false}), json!({}), true),
            (json!({"a": 0}), json!({"a": null}), true),
            (json!({"a": [], "labels": {}}), json!({}), false),
            (json!({"resources": {}}), json!({}), true),
            (json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "1000m"}}), false),
        ];
        for (new, old, expected) in table {
            assert_eq!(changed(&json!({"spec": new}), &json!({"spec": old}), "spec"), expected, "{new} {old}");
        }
    }
}
