//! HorizontalPodAutoscaler, in the form of `v2`.

use api::Object;
use api::field::FieldError;
use serde_json::json;

use super::cursor::{Cursor, Errors, list};
use super::edit::{default_to, get_mut};
use crate::strategy::Strategy;

const SOURCES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

#[derive(Debug)]
pub struct Autoscaler;

impl Strategy for Autoscaler {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = get_mut(new, "spec") else { return };
        default_to(spec, "minReplicas", 1);
        if list(spec, "metrics").is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (min, max) = (spec.child("minReplicas"), spec.child("maxReplicas"));
        let least = min.int().unwrap_or(1);
        if least < 1 {
            errors.invalid(&min, "must be greater than or equal to 1");
        }
        let most = max.int().unwrap_or_default();
        if most < 1 {
            errors.invalid(&max, "must be greater than 0");
        }
        if most < least {
            errors.invalid(&max, "must be greater than or equal to `minReplicas`");
        }
        let target = spec.child("scaleTargetRef");
        for name in ["kind", "name"] {
            let part = target.child(name);
            if part.str().is_empty() {
                errors.required(&part);
            } else {
                errors.messages(&part, api::names::path_segment(part.str()));
            }
        }
        for metric in spec.child("metrics").items() {
            let kind = metric.child("type");
            if kind.str().is_empty() {
                errors.required_because(&kind, "must specify a metric source type");
            }
            if !SOURCES.contains(&kind.str()) {
                errors.not_supported(&kind, &SOURCES);
            }
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_looks_at_the_cpu_unless_told_otherwise() {
        let mut object = json!({"spec": {"maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "a"}}});
        Autoscaler.defaults(&mut object, None);
        assert_eq!(object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
        assert_eq!(Autoscaler.validate(&object), []);
        object["spec"]["minReplicas"] = json!(3);
        object["spec"]["scaleTargetRef"] = json!({"kind": "Deployment"});
        let errors: Vec<String> = Autoscaler.validate(&object).iter().map(ToString::to_string).collect();
        let expected = [
            "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`",
            "spec.scaleTargetRef.name: Required value",
        ];
        assert_eq!(errors, expected);
    }
}
