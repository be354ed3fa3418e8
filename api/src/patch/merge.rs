//! JSON merge patch (`application/merge-patch+json`, RFC 7386).

use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergePatchError {
    /// The patch is no JSON object.
    #[error("Invalid JSON Patch")]
    NotAnObject,
}

/// Merges `patch` into `target`. A null removes a member; lists are replaced whole.
pub fn apply(target: &mut Value, patch: &Value) -> Result<(), MergePatchError> {
    let patch = patch.as_object().ok_or(MergePatchError::NotAnObject)?;
    match target {
        Value::Object(target) => merge(target, patch),
        other => *other = without_nulls(&Value::Object(patch.clone())),
    }
    Ok(())
}

fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (value, target.get_mut(key)) {
            (Value::Null, _) => {
                target.remove(key);
            }
            (Value::Object(patch), Some(Value::Object(current))) => merge(current, patch),
            _ => {
                target.insert(key.clone(), without_nulls(value));
            }
        }
    }
}

/// What is new loses its null members, also inside of lists; a null that is itself an element stays.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// The patch that `kubectl apply` sends for a kind that it knows nothing about: what must change in `current` so that it says all
/// that `modified` says, and no longer says what `original` did and `modified` does not. `{}` when nothing must change.
pub fn three_way(original: &Value, modified: &Value, current: &Value) -> Value {
    let none = Map::new();
    let [original, modified, current] = [original, modified, current].map(|value| value.as_object().unwrap_or(&none));
    Value::Object(difference(original, modified, current))
}

fn difference(
    original: &Map<String, Value>,
    modified: &Map<String, Value>,
    current: &Map<String, Value>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    for (key, wanted) in modified {
        match (wanted, current.get(key)) {
            (Value::Object(wanted), Some(Value::Object(is))) => {
                let none = Map::new();
                let before = original.get(key).and_then(Value::as_object).unwrap_or(&none);
                let inner = difference(before, wanted, is);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Value::Null, None) => {}
            (wanted, is) if is != Some(wanted) => drop(patch.insert(key.clone(), wanted.clone())),
            _ => {}
        }
    }
    for key in original.keys().filter(|key| !modified.contains_key(*key) && current.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    patch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rfcs_cases() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": [null, {"b": null}]}), json!({"a": [null, {}]})),
        ];
        for (mut target, patch, expected) in cases {
            apply(&mut target, &patch).unwrap();
            assert_eq!(target, expected, "{patch}");
        }
        assert_eq!(apply(&mut json!({}), &json!([])), Err(MergePatchError::NotAnObject));
    }

    #[test]
    fn a_patch_of_three_replaces_lists() {
        let patch = three_way(
            &json!({"a": 1, "gone": 1, "b": {"c": 1, "d": 2}}),
            &json!({"a": 1, "list": [1], "b": {"d": 2}, "none": null}),
            &json!({"a": 1, "gone": 1, "list": [2], "more": 1, "b": {"c": 1, "d": 2, "e": 3}}),
        );
        assert_eq!(patch, json!({"gone": null, "list": [1], "b": {"c": null}}));
    }
}
