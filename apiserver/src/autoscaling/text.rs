//! The texts in the annotations of `v1`: JSON with the fields in the order of Go's structs.

use api::schema::{SchemaSet, TypeId, check};
use serde_json::{Map, Value};

const PACKAGE: &str = "io.k8s.api.autoscaling";
/// No two structs have the same fields in different orders.
const ORDER: [&str; 30] = [
    "type",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "target",
    "kind",
    "name",
    "apiVersion",
    "metricName",
    "metricSelector",
    "targetValue",
    "targetAverageUtilization",
    "targetAverageValue",
    "currentValue",
    "currentAverageUtilization",
    "currentAverageValue",
    "selector",
    "averageValue",
    "container",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
];
/// The internal struct, which has no names for JSON: Go takes those of its fields.
const DIRECTIONS: [&str; 2] = ["scaleUp", "scaleDown"];
const RULES: [&str; 4] = ["stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"];
const POLICY: [&str; 3] = ["type", "value", "periodSeconds"];

pub(super) fn write(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", joined(items.iter().map(write))),
        Value::Object(members) => {
            let rank = |name: &str| ORDER.iter().position(|known| *known == name);
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| rank(name));
            // The keys of labels mean nothing.
            let member = |(name, value): (&String, &Value)| match name.as_str() {
                "matchLabels" => format!("\"matchLabels\":{value}"),
                name => format!("{}:{}", Value::from(name), write(value)),
            };
            format!("{{{}}}", joined(sorted.into_iter().map(member)))
        }
        leaf => leaf.to_string(),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn type_of(version: &str, name: &str) -> Option<TypeId> {
    SchemaSet::builtin().named(&format!("{PACKAGE}.{version}.{name}"))
}

/// With what Go always writes.
pub(super) fn complete(value: &mut Value, name: &str) {
    if let Some(ty) = type_of("v1", name) {
        check::complete(SchemaSet::builtin(), ty, value);
    }
}

/// A list of such structs of `v1`; `None` when it is none.
pub(super) fn read_list(text: &str, name: &str) -> Option<Vec<Value>> {
    let (set, ty) = (SchemaSet::builtin(), type_of("v1", name)?);
    let Value::Array(mut list) = serde_json::from_str(text).ok()? else { return None };
    for one in &mut list {
        if !check::conform(set, ty, one).errors.is_empty() {
            return None;
        }
        check::complete(set, ty, one);
    }
    Some(list)
}

/// Conditions are the same in both versions.
pub(super) fn read_conditions(text: &str) -> Option<Vec<Value>> {
    read_list(text, "HorizontalPodAutoscalerCondition")
}

pub(super) fn write_conditions(mut conditions: Vec<Value>) -> String {
    for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
        condition.entry("lastTransitionTime").or_insert(Value::Null);
    }
    write(&conditions.into())
}

pub(super) fn write_behavior(behavior: &Value) -> String {
    let policy = |policy: &Value| fields(policy, &POLICY, |_, value| value.to_string());
    let rules = |rules: &Value| {
        fields(rules, &RULES, |name, value| match value {
            Value::Array(policies) if name == "policies" => format!("[{}]", joined(policies.iter().map(policy))),
            value => value.to_string(),
        })
    };
    fields(behavior, &DIRECTIONS, |_, value| if value.is_object() { rules(value) } else { "null".to_owned() })
}

/// All of them, null where there is none.
fn fields(value: &Value, names: &[&str], text: impl Fn(&str, &Value) -> String) -> String {
    let field = |name: &&str| {
        let (first, rest) = name.split_at(1);
        format!("\"{}{rest}\":{}", first.to_uppercase(), text(name, &value[*name]))
    };
    format!("{{{}}}", joined(names.iter().map(field)))
}

/// `None` when it says nothing.
pub(super) fn read_behavior(text: &str) -> Option<Value> {
    let mut behavior = renamed(serde_json::from_str(text).ok()?);
    let (set, ty) = (SchemaSet::builtin(), type_of("v2", "HorizontalPodAutoscalerBehavior")?);
    let conformed = check::conform(set, ty, &mut behavior);
    (conformed.errors.is_empty() && behavior.as_object().is_some_and(|members| !members.is_empty())).then_some(behavior)
}

/// Go does not look at the case of names.
fn renamed(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let known = |name: &str| {
                let mut all = DIRECTIONS.iter().chain(&RULES).chain(&POLICY);
                all.find(|known| known.eq_ignore_ascii_case(name)).map(|known| (*known).to_owned())
            };
            let members = members.into_iter().filter_map(|(name, value)| Some((known(&name)?, renamed(value))));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(renamed).collect()),
        leaf => leaf,
    }
}
