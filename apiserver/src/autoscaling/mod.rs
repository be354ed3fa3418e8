//! HorizontalPodAutoscalers have two forms: `v2` is stored; `v1` knows a target for CPU and nothing else. What else there is goes
//! with an object of `v1` in annotations, so that a client of `v1` can read and write it without losing anything
//! (`pkg/apis/autoscaling/v1/conversion.go`).

mod metrics;
mod text;

use api::Object;
use api::gvk::GroupVersionKind;
use api::schema::{SchemaSet, check};
use api::table::AUTOSCALER_FIELDS;
use serde_json::{Map, Value, json};

use crate::registry::Shape;

#[derive(Debug)]
pub struct AutoscalerV1;

pub static AUTOSCALER_V1: AutoscalerV1 = AutoscalerV1;

const METRICS: &str = AUTOSCALER_FIELDS[0];
const BEHAVIOR: &str = AUTOSCALER_FIELDS[1];
const CURRENT_METRICS: &str = AUTOSCALER_FIELDS[4];
const CONDITIONS: &str = AUTOSCALER_FIELDS[5];

const TARGET: &str = "targetCPUUtilizationPercentage";
const CURRENT: &str = "currentCPUUtilizationPercentage";

impl Shape for AutoscalerV1 {
    fn store(&self, object: &mut Object) {
        object["apiVersion"] = "autoscaling/v2".into();
        let annotations = take_annotations(object);
        let read = |name: &str| annotations.get(name).and_then(Value::as_str);
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            let mut all = read(METRICS).and_then(metrics::read_specs).unwrap_or_default();
            if let Some(percent) = spec.remove(TARGET).filter(Value::is_number) {
                let target = json!({"type": "Utilization", "averageUtilization": percent});
                all.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
            }
            put_list(spec, "metrics", all);
            if let Some(behavior) = read(BEHAVIOR).and_then(text::read_behavior) {
                spec.insert("behavior".to_owned(), behavior);
            }
        }
        let (current, conditions) =
            (read(CURRENT_METRICS).and_then(metrics::read_statuses), read(CONDITIONS).and_then(text::read_conditions));
        if current.is_none() && conditions.is_none() && !object["status"].is_object() {
            return;
        }
        if !object["status"].is_object() {
            object["status"] = json!({});
        }
        let Some(status) = object["status"].as_object_mut() else { return };
        let cpu = status.remove(CURRENT).filter(Value::is_number).map(|percent| {
            json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}})
        });
        put_list(status, "currentMetrics", current.unwrap_or_else(|| cpu.into_iter().collect()));
        put_list(status, "conditions", conditions.unwrap_or_default());
    }

    fn serve(&self, object: &mut Object) {
        object["apiVersion"] = "autoscaling/v1".into();
        let _ = take_annotations(object);
        let mut annotations = Map::new();
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            let all = take_list(spec, "metrics");
            if let Some(percent) = all.iter().find_map(cpu_target) {
                spec.insert(TARGET.to_owned(), percent.clone());
            }
            let others: Vec<&Value> = all.iter().filter(|metric| cpu_target(metric).is_none()).collect();
            if !others.is_empty() {
                annotations.insert(METRICS.to_owned(), metrics::write_specs(&others).into());
            }
            if let Some(behavior) = spec.remove("behavior").filter(Value::is_object) {
                annotations.insert(BEHAVIOR.to_owned(), text::write_behavior(&behavior).into());
            }
        }
        if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
            let current = take_list(status, "currentMetrics");
            if let Some(percent) = current.iter().filter_map(cpu_current).next_back() {
                status.insert(CURRENT.to_owned(), percent.clone());
            }
            if !current.is_empty() {
                annotations.insert(CURRENT_METRICS.to_owned(), metrics::write_statuses(&current).into());
            }
            let conditions = take_list(status, "conditions");
            if !conditions.is_empty() {
                annotations.insert(CONDITIONS.to_owned(), text::write_conditions(conditions).into());
            }
        }
        if !annotations.is_empty() {
            if !object["metadata"]["annotations"].is_object() {
                object["metadata"]["annotations"] = json!({});
            }
            let there = object["metadata"]["annotations"].as_object_mut();
            there.into_iter().for_each(|there| there.append(&mut annotations));
        }
        complete(object);
    }

    fn stored_field(&self, field: &str) -> Option<&'static str> {
        ["metadata.name", "metadata.namespace"].into_iter().find(|own| *own == field)
    }
}

/// What `v1` always writes is not what `v2` always writes.
fn complete(object: &mut Object) {
    let set = SchemaSet::builtin();
    let kind = GroupVersionKind::new("autoscaling", "v1", "HorizontalPodAutoscaler");
    if let (Some(ty), true) = (set.of_kind(&kind), object["status"].is_object()) {
        check::complete(set, ty, object);
    }
}

/// Of the annotations that carry what `v1` does not know, an object of `v2` has none.
pub(crate) fn drop_annotations(object: &mut Object) {
    let _ = take_annotations(object);
}

fn take_annotations(object: &mut Object) -> Map<String, Value> {
    let mut taken = Map::new();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return taken };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return taken };
    taken.extend(AUTOSCALER_FIELDS.into_iter().filter_map(|name| annotations.remove_entry(name)));
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    taken
}

fn take_list(members: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match members.remove(name) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn put_list(members: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if !list.is_empty() {
        members.insert(name.to_owned(), list.into());
    }
}

/// The part of the CPU that is wanted, where the metric is about that.
fn cpu_target(metric: &Value) -> Option<&Value> {
    cpu(metric, "target")
}

fn cpu_current(metric: &Value) -> Option<&Value> {
    cpu(metric, "current")
}

fn cpu<'v>(metric: &'v Value, value: &str) -> Option<&'v Value> {
    let resource =
        metric.get("resource").filter(|resource| metric["type"] == "Resource" && resource["name"] == "cpu")?;
    resource.get(value)?.get("averageUtilization").filter(|percent| percent.is_number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_forms_turn_into_one_another() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
        let target = json!({"type": "AverageValue", "averageValue": "2"});
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": target}});
        let rules = json!({"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]});
        let current = json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 3, "averageValue": "0"}}}]);
        let conditions =
            json!([{"type": "AbleToScale", "status": "True", "lastTransitionTime": "2025-06-01T00:00:00Z"}]);
        let stored = json!({
            "apiVersion": "autoscaling/v2", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "metrics": [pods, cpu], "behavior": {"scaleUp": rules}, "scaleTargetRef": {"kind": "a", "name": "b"}},
            "status": {"desiredReplicas": 1, "currentReplicas": 2, "currentMetrics": current, "conditions": conditions},
        });
        let mut object = stored.clone();
        AUTOSCALER_V1.serve(&mut object);
        let spec = json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": {"kind": "a", "name": "b"}});
        assert_eq!(object["spec"], spec);
        let status = json!({"desiredReplicas": 1, "currentReplicas": 2, "currentCPUUtilizationPercentage": 3});
        assert_eq!(object["status"], status);
        let annotations = json!({
            METRICS: r#"[{"type":"Pods","pods":{"metricName":"m","targetAverageValue":"2"}}]"#,
            BEHAVIOR: "{\"ScaleUp\":{\"StabilizationWindowSeconds\":null,\"SelectPolicy\":\"Max\",\"Policies\":[{\"Type\":\"Pods\",\
                       \"Value\":4,\"PeriodSeconds\":15}],\"Tolerance\":null},\"ScaleDown\":null}",
            CURRENT_METRICS: "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"currentAverageUtilization\":3,\
                              \"currentAverageValue\":\"0\"}}]",
            CONDITIONS: r#"[{"type":"AbleToScale","status":"True","lastTransitionTime":"2025-06-01T00:00:00Z"}]"#,
        });
        assert_eq!(object["metadata"]["annotations"], annotations);
        AUTOSCALER_V1.store(&mut object);
        assert_eq!(object, stored);
    }

    #[test]
    fn a_plain_one_has_no_annotation() {
        let served = json!({
            "apiVersion": "autoscaling/v1", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": {"kind": "a", "name": "b"}},
            "status": {},
        });
        let mut object = served.clone();
        AUTOSCALER_V1.store(&mut object);
        assert_eq!(object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
        AUTOSCALER_V1.serve(&mut object);
        let mut expected = served;
        expected["status"] = json!({"currentReplicas": 0, "desiredReplicas": 0});
        assert_eq!(object, expected);
    }

    #[test]
    fn annotations_that_cannot_be_read_mean_nothing() {
        for (name, text) in [(METRICS, "x"), (METRICS, r#"[{"type":7}]"#), (BEHAVIOR, "{}"), (CONDITIONS, "{}")] {
            let mut object = json!({"metadata": {"annotations": {name: text}}, "spec": {}, "status": {}});
            AUTOSCALER_V1.store(&mut object);
            assert_eq!(
                object,
                json!({"apiVersion": "autoscaling/v2", "metadata": {}, "spec": {}, "status": {}}),
                "{text}"
            );
        }
    }
}
