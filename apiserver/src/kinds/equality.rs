//! Upstream's semantic equality, on JSON trees: what Go cannot tell apart is the same.

use serde_json::{Map, Value};

use super::quantities::parse_value;

/// Maps whose empty form says the same as their absence; elsewhere `{}` is a struct that somebody set.
const MAPS: [&str; 13] = [
    "annotations",
    "binaryData",
    "capacity",
    "data",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "overhead",
    "requests",
    "resources",
    "selector",
    "allocatable",
];

const AMOUNTS: [&str; 5] = ["limits", "requests", "overhead", "capacity", "allocatable"];

/// Equal, where null, an empty list and a zero scalar count as absent, and amounts are compared by value.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => same_members(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        _ => left == right || (is_nothing("", left) && is_nothing("", right)),
    }
}

/// As [`same`], of the member `name` of two objects.
pub fn same_field(left: &Value, right: &Value, name: &str) -> bool {
    let (left, right) = (super::cursor::field(left, name), super::cursor::field(right, name));
    same_named(name, left, right)
}

fn same_members(left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    let one_way = |from: &Map<String, Value>, to: &Map<String, Value>| {
        from.iter().all(|(name, value)| same_named(name, value, to.get(name).unwrap_or(&Value::Null)))
    };
    one_way(left, right) && right.iter().all(|(name, value)| left.contains_key(name) || is_nothing(name, value))
}

fn same_named(name: &str, left: &Value, right: &Value) -> bool {
    if is_nothing(name, left) && is_nothing(name, right) {
        return true;
    }
    match (left, right) {
        (Value::Object(left), Value::Object(right)) if AMOUNTS.contains(&name) => {
            left.len() == right.len()
                && left.iter().all(|(name, amount)| right.get(name).is_some_and(|other| same_amount(amount, other)))
        }
        _ => same(left, right),
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
}
