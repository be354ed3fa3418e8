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
}
