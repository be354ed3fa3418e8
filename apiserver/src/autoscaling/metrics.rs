//! Metrics in the annotations of `v1`, which names their fields otherwise than `v2`.

use serde_json::{Value, json};

use super::text;

/// A field of a source: its name in `v1` and the way to it in `v2`.
type Row = (&'static str, &'static [&'static str]);
type Table = [(&'static str, &'static [Row])];

const SPECS: &Table = &[
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("targetValue", &["target", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    ("resource", OF_RESOURCES),
    ("containerResource", OF_RESOURCES),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
];

/// `container` is of the second kind of resources only.
const OF_RESOURCES: &[Row] = &[
    ("name", &["name"]),
    ("targetAverageUtilization", &["target", "averageUtilization"]),
    ("targetAverageValue", &["target", "averageValue"]),
    ("container", &["container"]),
];

const STATUSES: &Table = &[
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("currentValue", &["current", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    ("resource", OF_RESOURCE_STATUSES),
    ("containerResource", OF_RESOURCE_STATUSES),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
];

const OF_RESOURCE_STATUSES: &[Row] = &[
    ("name", &["name"]),
    ("currentAverageUtilization", &["current", "averageUtilization"]),
    ("currentAverageValue", &["current", "averageValue"]),
    ("container", &["container"]),
];

pub(super) fn write_specs(metrics: &[&Value]) -> String {
    let metrics = metrics.iter().map(|metric| to_v1(SPECS, "MetricSpec", metric));
    text::write(&Value::Array(metrics.collect()))
}

pub(super) fn write_statuses(metrics: &[Value]) -> String {
    let metrics = metrics.iter().map(|metric| to_v1(STATUSES, "MetricStatus", metric));
    text::write(&Value::Array(metrics.collect()))
}

pub(super) fn read_specs(text: &str) -> Option<Vec<Value>> {
    let mut metrics: Vec<Value> =
        text::read_list(text, "MetricSpec")?.iter().map(|metric| to_v2(SPECS, metric)).collect();
    metrics.iter_mut().for_each(name_target);
    Some(metrics)
}

pub(super) fn read_statuses(text: &str) -> Option<Vec<Value>> {
    Some(text::read_list(text, "MetricStatus")?.iter().map(|metric| to_v2(STATUSES, metric)).collect())
}

fn to_v1(table: &Table, ty: &str, metric: &Value) -> Value {
    let mut made = json!({"type": metric["type"]});
    for (name, rows) in table {
        let Some(source) = metric.get(*name).filter(|source| source.is_object()) else { continue };
        made[*name] = json!({});
        for (field, way) in *rows {
            if let Some(value) = way.iter().try_fold(source, |place, name| place.get(name)) {
                made[*name][*field] = value.clone();
            }
        }
    }
    text::complete(&mut made, ty);
    made
}

fn to_v2(table: &Table, metric: &Value) -> Value {
    let mut made = json!({"type": metric["type"]});
    for (name, rows) in table {
        let Some(source) = metric.get(*name).filter(|source| source.is_object()) else { continue };
        made[*name] = json!({});
        for (field, way) in *rows {
            let Some(value) = source.get(*field) else { continue };
            let place = way.iter().fold(&mut made[*name], |place, name| &mut place[*name]);
            *place = value.clone();
        }
    }
    made
}

/// `v1` does not say of what kind a target is: what it has says it.
fn name_target(metric: &mut Value) {
    for (name, decisive, kind) in [
        ("object", "averageValue", ["AverageValue", "Value"]),
        ("pods", "averageValue", ["AverageValue", "AverageValue"]),
        ("resource", "averageUtilization", ["Utilization", "AverageValue"]),
        ("containerResource", "averageUtilization", ["Utilization", "AverageValue"]),
        ("external", "value", ["Value", "AverageValue"]),
    ] {
        let Some(source) = metric.get_mut(name) else { continue };
        let kind = if source["target"][decisive].is_null() { kind[1] } else { kind[0] };
        source["target"]["type"] = kind.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_go_there_and_back() {
        let described = json!({"kind": "a", "name": "b", "apiVersion": "c/v1"});
        let selector = json!({"matchLabels": {"type": "x", "name": "y"}});
        let table = [
            (
                json!({"type": "Object", "object": {"describedObject": described, "metric": {"name": "m", "selector": selector},
                    "target": {"type": "Value", "value": "1"}}}),
                "{\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"a\",\"name\":\"b\",\"apiVersion\":\"c/v1\"},\"metricName\":\
                 \"m\",\"targetValue\":\"1\",\"selector\":{\"matchLabels\":{\"name\":\"y\",\"type\":\"x\"}}}}",
            ),
            (
                json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                    "target": {"type": "Utilization", "averageUtilization": 7}}}),
                "{\"type\":\"ContainerResource\",\"containerResource\":{\"name\":\"cpu\",\"targetAverageUtilization\":7,\
                 \"container\":\"c\"}}",
            ),
            (
                json!({"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "AverageValue",
                    "averageValue": "3"}}}),
                r#"{"type":"External","external":{"metricName":"m","targetAverageValue":"3"}}"#,
            ),
        ];
        for (metric, text) in table {
            assert_eq!(write_specs(&[&metric]), format!("[{text}]"));
            assert_eq!(read_specs(&format!("[{text}]")), Some(vec![metric]));
        }
        let status = json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "current": {"averageValue": "3"}}});
        let text = r#"[{"type":"Pods","pods":{"metricName":"m","currentAverageValue":"3"}}]"#;
        assert_eq!(write_statuses(std::slice::from_ref(&status)), text);
        assert_eq!(read_statuses(text), Some(vec![status]));
    }
}
