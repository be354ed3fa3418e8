//! What must change of a stored role or binding for it to grant what it should (`component-helpers/auth/rbac/reconciliation`).
//! What was added to it stays.

use api::Object;
use serde_json::Value;

use super::super::coverage;
use super::super::rule::Rule;
use super::AUTO_UPDATE;

#[derive(Debug, PartialEq)]
pub(super) enum Reconciled {
    /// It grants enough, or its annotation forbids to touch it.
    Right,
    Changed(Object),
    /// It names another role, which cannot be changed.
    Replace,
}

pub(super) fn reconcile(existing: &Object, wanted: &Object) -> Reconciled {
    if existing["metadata"]["annotations"][AUTO_UPDATE] == "false" {
        return Reconciled::Right;
    }
    let mut new = existing.clone();
    for map in ["annotations", "labels"] {
        let missing = wanted["metadata"][map].as_object().into_iter().flatten();
        let missing: Vec<_> = missing.filter(|(key, _)| existing["metadata"][map].get(*key).is_none()).collect();
        for (key, value) in missing {
            new["metadata"][map][key] = value.clone();
        }
    }
    if wanted["roleRef"].is_object() {
        if ["apiGroup", "kind", "name"].iter().any(|key| existing["roleRef"][key] != wanted["roleRef"][key]) {
            return Reconciled::Replace;
        }
        extend(&mut new, "subjects", missing_subjects(existing, wanted));
    } else {
        let missing = coverage::missing(&rules(existing), &rules(wanted));
        extend(&mut new, "rules", missing.iter().filter_map(|rule| serde_json::to_value(rule).ok()).collect());
        aggregate(&mut new, existing, wanted);
    }
    if new == *existing { Reconciled::Right } else { Reconciled::Changed(new) }
}

fn rules(role: &Object) -> Vec<Rule> {
    serde_json::from_value::<Option<_>>(role["rules"].clone()).ok().flatten().unwrap_or_default()
}

fn missing_subjects(existing: &Object, wanted: &Object) -> Vec<Value> {
    let same = |one: &Value, other: &Value| {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        ["apiGroup", "kind", "name", "namespace"].iter().all(|key| text(one, key) == text(other, key))
    };
    let wanted = wanted["subjects"].as_array().into_iter().flatten();
    let there = |subject: &Value| existing["subjects"].as_array().into_iter().flatten().any(|own| same(own, subject));
    wanted.filter(|subject| !there(subject)).cloned().collect()
}

/// A role that should not gather others ceases to; one that should gains the selectors that it lacks.
fn aggregate(new: &mut Object, existing: &Object, wanted: &Object) {
    const SELECTORS: &str = "/aggregationRule/clusterRoleSelectors";
    if !wanted["aggregationRule"].is_object() {
        if let Some(members) = new.as_object_mut() {
            members.remove("aggregationRule");
        }
        return;
    }
    let list = |role: &Object| role.pointer(SELECTORS).and_then(Value::as_array).cloned().unwrap_or_default();
    let own = list(existing);
    let missing: Vec<Value> = list(wanted).into_iter().filter(|selector| !own.contains(selector)).collect();
    if !missing.is_empty() {
        extend(&mut new["aggregationRule"], "clusterRoleSelectors", missing);
    }
}

/// A list that gains nothing is not made either.
fn extend(object: &mut Object, list: &str, more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    let list = &mut object[list];
    match list.as_array_mut() {
        Some(list) => list.extend(more),
        None => *list = more.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(rules: Value) -> Object {
        json!({"metadata": {"name": "r", "annotations": {AUTO_UPDATE: "true"}, "labels": {"a": "b"}}, "rules": rules})
    }

    fn with(mut object: Object, pointer: &str, value: Value) -> Object {
        *object.pointer_mut(pointer).unwrap() = value;
        object
    }

    fn pods(verbs: Value) -> Value {
        json!({"verbs": verbs, "apiGroups": [""], "resources": ["pods"]})
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_more_stays() {
        let wanted = role(json!([pods(json!(["get", "list"]))]));
        let more = with(wanted.clone(), "/metadata/labels", json!({"a": "other", "x": "y"}));
        let without = with(wanted.clone(), "/metadata/labels", Value::Null);
        let opted_out = with(role(Value::Null), "/metadata/annotations", json!({AUTO_UPDATE: "false"}));
        let mut gathering = wanted.clone();
        gathering["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"own": "1"}}]});
        let mut other = gathering.clone();
        other["aggregationRule"]["clusterRoleSelectors"] = json!([{"matchLabels": {"its": "2"}}]);
        let mut both = other.clone();
        both["aggregationRule"]["clusterRoleSelectors"] =
            json!([{"matchLabels": {"its": "2"}}, {"matchLabels": {"own": "1"}}]);
        let partial = role(json!([pods(json!(["get"]))]));
        let completed = role(json!([pods(json!(["get"])), pods(json!(["list"]))]));
        let table = [
            ("right", wanted.clone(), &wanted, None),
            ("more labels", more, &wanted, None),
            ("no labels", without, &wanted, Some(wanted.clone())),
            ("more rules", role(json!([pods(json!(["*"]))])), &wanted, None),
            ("fewer rules", partial, &wanted, Some(completed)),
            ("no rules", role(Value::Null), &wanted, Some(role(json!([pods(json!(["get"])), pods(json!(["list"]))])))),
            ("opted out", opted_out, &wanted, None),
            ("gathers and should not", gathering.clone(), &wanted, Some(wanted.clone())),
            ("should gather", wanted.clone(), &gathering, Some(gathering.clone())),
            ("gathers others", other, &gathering, Some(both)),
        ];
        for (name, existing, wanted, expected) in table {
            let expected = expected.map_or(Reconciled::Right, Reconciled::Changed);
            assert_eq!(reconcile(&existing, wanted), expected, "{name}");
        }
    }

    #[test]
    fn bindings_gain_subjects_and_are_made_anew_for_another_role() {
        let binding = |role: &str, subjects: Value| json!({"metadata": {"name": "b"}, "subjects": subjects, "roleRef": {"apiGroup": "g", "kind": "Role", "name": role}});
        let (group, user) = (json!({"kind": "Group", "name": "g"}), json!({"kind": "User", "name": "u"}));
        let wanted = binding("r", json!([group]));
        let table = [
            ("right", binding("r", json!([group])), Reconciled::Right),
            ("more subjects", binding("r", json!([user, group])), Reconciled::Right),
            ("no subjects", binding("r", Value::Null), Reconciled::Changed(wanted.clone())),
            ("others", binding("r", json!([user])), Reconciled::Changed(binding("r", json!([user, group])))),
            ("another role", binding("s", json!([group])), Reconciled::Replace),
        ];
        for (name, existing, expected) in table {
            assert_eq!(reconcile(&existing, &wanted), expected, "{name}");
        }
    }
}
