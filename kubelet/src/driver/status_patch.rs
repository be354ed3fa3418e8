//! What to send to bring the API's pod status to ours: a strategic merge patch of the differences. Pure.
//!
//! Conditions are merged by type, so those of others stay. Lists that are merged by key but wholly ours are replaced.

use serde_json::{Map, Value, json};

/// Merged by `ip`: an address that is gone would stay.
const REPLACED: [&str; 2] = ["podIPs", "hostIPs"];

/// `None`: nothing to change. `base` is what the API has, `new` what it should have in the fields that we own.
pub fn status_patch(base: &Value, new: &Value) -> Option<Value> {
    let (empty, owned) = (Map::new(), owned(base));
    let (base, new) = (owned.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    let mut patch = Map::new();
    for key in base.keys().chain(new.keys()) {
        let (old, wanted) = (base.get(key), new.get(key));
        if old == wanted || patch.contains_key(key) {
            continue;
        }
        let change = match (key.as_str(), wanted) {
            ("conditions", Some(wanted)) => match conditions(old.unwrap_or(&Value::Null), wanted) {
                Some(change) => change,
                None => continue,
            },
            (name, Some(Value::Array(items))) if REPLACED.contains(&name) && old.is_some() => {
                std::iter::once(json!({"$patch": "replace"})).chain(items.iter().cloned()).collect()
            }
            (_, wanted) => wanted.cloned().unwrap_or(Value::Null),
        };
        patch.insert(key.clone(), change);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Without what others write into a pod's status.
fn owned(status: &Value) -> Value {
    const OTHERS: [&str; 4] = ["nominatedNodeName", "resourceClaimStatuses", "extendedResourceClaimStatus", "resize"];
    let mut status = status.clone();
    if let Some(map) = status.as_object_mut() {
        OTHERS.iter().for_each(|name| drop(map.remove(*name)));
    }
    status
}

/// The conditions that differ, with a null for each field that is to vanish.
fn conditions(old: &Value, new: &Value) -> Option<Value> {
    let by_type = |list: &Value, kind: &Value| {
        list.as_array().and_then(|list| list.iter().find(|condition| condition.get("type") == Some(kind)).cloned())
    };
    let mut out = Vec::new();
    for condition in new.as_array().into_iter().flatten() {
        let kind = condition.get("type").unwrap_or(&Value::Null);
        let before = by_type(old, kind);
        if before.as_ref() == Some(condition) {
            continue;
        }
        let mut change = condition.clone();
        for (name, _) in before.iter().filter_map(Value::as_object).flatten() {
            if condition.get(name).is_none() {
                change[name] = Value::Null;
            }
        }
        out.push(change);
    }
    (!out.is_empty()).then_some(Value::Array(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches() {
        let ready = json!({"type": "Ready", "status": "True"});
        let unready = json!({"type": "Ready", "status": "False", "reason": "X"});
        let foreign = json!({"type": "DisruptionTarget", "status": "True"});
        let table = [
            ("equal", json!({"phase": "Running"}), json!({"phase": "Running"}), None),
            ("a field", json!({"phase": "Pending"}), json!({"phase": "Running"}), Some(json!({"phase": "Running"}))),
            ("a field that vanishes", json!({"reason": "x"}), json!({}), Some(json!({"reason": null}))),
            ("what others own", json!({"nominatedNodeName": "n"}), json!({}), None),
            (
                "conditions of others stay",
                json!({"conditions": [foreign, unready]}),
                json!({"conditions": [ready]}),
                Some(json!({"conditions": [{"type": "Ready", "status": "True", "reason": null}]})),
            ),
            (
                "only conditions of others",
                json!({"conditions": [foreign, ready]}),
                json!({"conditions": [ready]}),
                None,
            ),
            (
                "addresses are replaced",
                json!({"podIPs": [{"ip": "1"}]}),
                json!({"podIPs": [{"ip": "2"}]}),
                Some(json!({"podIPs": [{"$patch": "replace"}, {"ip": "2"}]})),
            ),
            ("first addresses", json!({}), json!({"podIPs": [{"ip": "2"}]}), Some(json!({"podIPs": [{"ip": "2"}]}))),
        ];
        for (name, base, new, expected) in table {
            assert_eq!(status_patch(&base, &new), expected, "{name}");
        }
    }
}
