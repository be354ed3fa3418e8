//! HorizontalPodAutoscalers have two forms: `v2` is stored; `v1` knows a target for CPU and nothing else. What else there is goes
//! with an object of `v1` in an annotation, so that a client of `v1` can read and write it without losing anything.

use api::Object;
use serde_json::{Map, Value, json};

use crate::registry::Shape;

#[derive(Debug)]
pub struct AutoscalerV1;

pub static AUTOSCALER_V1: AutoscalerV1 = AutoscalerV1;

const REST: &str = "setpoint.dev/autoscaling-v2";
const TARGET: &str = "targetCPUUtilizationPercentage";
const CURRENT: &str = "currentCPUUtilizationPercentage";

impl Shape for AutoscalerV1 {
    fn store(&self, object: &mut Object) {
        object["apiVersion"] = "autoscaling/v2".into();
        let mut rest = take_annotation(object).unwrap_or_default();
        for (part, short, metrics, value) in
            [("spec", TARGET, "metrics", "target"), ("status", CURRENT, "currentMetrics", "current")]
        {
            let kept = rest.get_mut(part).and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
            let Some(members) = object.get_mut(part).and_then(Value::as_object_mut) else { continue };
            let cpu = members.remove(short).filter(Value::is_number);
            members.extend(kept);
            if let Some(percent) = cpu {
                let mut amount = json!({"averageUtilization": percent});
                if value == "target" {
                    amount["type"] = "Utilization".into();
                }
                let metric = json!({"type": "Resource", "resource": {"name": "cpu", value: amount}});
                let list = members.entry(metrics).or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.insert(0, metric);
                }
            }
        }
    }

    fn serve(&self, object: &mut Object) {
        object["apiVersion"] = "autoscaling/v1".into();
        let mut rest = Map::new();
        for (part, short, metrics, value, others) in [
            ("spec", TARGET, "metrics", "target", &["behavior"][..]),
            ("status", CURRENT, "currentMetrics", "current", &["conditions"][..]),
        ] {
            let Some(members) = object.get_mut(part).and_then(Value::as_object_mut) else { continue };
            let mut kept = Map::new();
            if let Some(mut list) = members.remove(metrics) {
                let found = list.as_array_mut().and_then(|list| {
                    let at = list.iter().position(|metric| percent(metric, value).is_some())?;
                    percent(&list.remove(at), value)
                });
                members.extend(found.map(|percent| (short.to_owned(), percent)));
                if list.as_array().is_some_and(|list| !list.is_empty()) {
                    kept.insert(metrics.to_owned(), list);
                }
            }
            for name in others {
                kept.extend(members.remove(*name).map(|value| ((*name).to_owned(), value)));
            }
            if !kept.is_empty() {
                rest.insert(part.to_owned(), kept.into());
            }
        }
        if !rest.is_empty() {
            object["metadata"]["annotations"][REST] = Value::Object(rest).to_string().into();
        }
    }

    fn stored_field(&self, field: &str) -> Option<&'static str> {
        ["metadata.name", "metadata.namespace"].into_iter().find(|own| *own == field)
    }
}

/// The part of the CPU that was asked for, where the metric is nothing but that.
fn percent(metric: &Value, value: &str) -> Option<Value> {
    let resource = metric.get("resource").filter(|resource| resource["name"] == "cpu")?;
    let amount = resource.get(value)?;
    let plain = amount.get("value").is_none() && amount.get("averageValue").is_none();
    amount.get("averageUtilization").filter(|_| plain).cloned()
}

fn take_annotation(object: &mut Object) -> Option<Value> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(REST)?;
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    serde_json::from_str(text.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_forms_turn_into_one_another() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "m"}}});
        let stored = json!({
            "apiVersion": "autoscaling/v2", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "metrics": [cpu, pods], "behavior": {"scaleUp": {}}},
            "status": {"desiredReplicas": 1},
        });
        let mut object = stored.clone();
        AUTOSCALER_V1.serve(&mut object);
        assert_eq!(object["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}));
        assert!(object["metadata"]["annotations"][REST].is_string());
        AUTOSCALER_V1.store(&mut object);
        assert_eq!(object, stored);
    }

    #[test]
    fn a_plain_one_has_no_annotation() {
        let served = json!({
            "apiVersion": "autoscaling/v1", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
        });
        let mut object = served.clone();
        AUTOSCALER_V1.store(&mut object);
        assert_eq!(object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
        AUTOSCALER_V1.serve(&mut object);
        assert_eq!(object, served);
    }
}
