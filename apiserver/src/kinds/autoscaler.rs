//! HorizontalPodAutoscaler, in the form of `v2`.

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, field, list};
use super::edit::{default_to, get_mut, object_mut};
use super::equality::same_field;
use super::ingress::kind_and_name;
use super::pod_template::resources::{Owner, resource_name};
use super::quantities::parse_at;
use crate::strategy::Strategy;

/// The sources of a metric by `type`, with their fields, in the order in which upstream looks for them.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const SORTED: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
const MAX_WINDOW: i64 = 3600;
const MAX_PERIOD: i64 = 1800;

#[derive(Debug)]
pub struct Autoscaler;

impl Strategy for Autoscaler {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        // What they say is in the object itself.
        crate::autoscaling::drop_annotations(new);
        let Some(spec) = get_mut(new, "spec") else { return };
        default_to(spec, "minReplicas", 1);
        if list(spec, "metrics").is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
        }
        if let Some(behavior) = get_mut(spec, "behavior") {
            let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
            if let Some(up) = object_mut(behavior, "scaleUp") {
                default_to(up, "stabilizationWindowSeconds", 0);
                default_to(up, "selectPolicy", "Max");
                default_to(up, "policies", json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, percent]));
            }
            if let Some(down) = object_mut(behavior, "scaleDown") {
                default_to(down, "selectPolicy", "Max");
                default_to(down, "policies", json!([percent]));
            }
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (min, max) = (spec.child("minReplicas"), spec.child("maxReplicas"));
        let most = max.int().unwrap_or_default();
        if min.int().is_some_and(|least| least < 1) {
            errors.invalid(&min, "must be greater than or equal to 1");
        }
        if most < 1 {
            errors.invalid_as(&max, most, "must be greater than 0");
        }
        if min.int().is_some_and(|least| most < least) {
            errors.invalid_as(&max, most, "must be greater than or equal to `minReplicas`");
        }
        let target = spec.child("scaleTargetRef");
        // The only thing of the core group that scales.
        reference(&target, target.text("kind") == "ReplicationController", &mut errors);
        for one in spec.child("metrics").items() {
            metric(&one, &mut errors);
        }
        let metrics = spec.child("metrics");
        let of_others = |one: Cursor| matches!(one.text("type"), "Object" | "External");
        if min.int() == Some(0) && !metrics.items().any(of_others) {
            let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
            errors.forbidden(&metrics, detail);
        }
        for name in ["scaleUp", "scaleDown"] {
            let behavior = spec.child("behavior");
            let rules = behavior.child(name);
            if rules.is_set() {
                scaling(&rules, &mut errors);
            }
        }
        errors.into_vec()
    }

    /// A target that was there before is not asked for its version.
    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let target = |object: &'_ Object| field(field(object, "spec"), "scaleTargetRef").clone();
        let (now, before) = (target(new), target(old));
        if same_field(&now, &before, "apiVersion") && same_field(&now, &before, "kind") {
            errors.retain(|error| error.path.as_str() != "spec.scaleTargetRef.apiVersion");
        }
        errors
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let status = Cursor::root(new, "status");
        for name in ["currentReplicas", "desiredReplicas"] {
            if subresource == "status" {
                errors.not_negative(&status.child(name));
            }
        }
        errors.into_vec()
    }
}

/// A CrossVersionObjectReference.
fn reference(at: &Cursor, core_is_allowed: bool, errors: &mut Errors) {
    kind_and_name(at, errors);
    let version = at.child("apiVersion");
    match version.str().matches('/').count() {
        0 if !core_is_allowed => errors.invalid_text(&version, "apiVersion must specify API group"),
        0 | 1 => {}
        _ => errors.invalid(&version, format!("unexpected GroupVersion string: {}", version.str())),
    }
}

fn metric(at: &Cursor, errors: &mut Errors) {
    let kind = at.child("type");
    if kind.str().is_empty() {
        errors.required_because(&kind, "must specify a metric source type");
    }
    let known = SOURCES.iter().find(|(name, _)| *name == kind.str()).map(|(_, field)| *field);
    if known.is_none() {
        errors.not_supported(&kind, &SORTED);
    }
    let present: Vec<&str> = SOURCES.iter().map(|(_, field)| *field).filter(|field| at.has(field)).collect();
    if let Some(first) = present.first() {
        source(first, &at.child(first), errors);
    }
    match known {
        Some(expected) if !at.has(expected) => {
            errors.required_because(&at.child(expected), "must populate information for the given metric source");
        }
        Some(_) => {}
        None => errors.not_supported(&kind, &SORTED),
    }
    if present.len() != 1 {
        for other in present.into_iter().filter(|field| Some(*field) != known) {
            errors.forbidden(&at.child(other), "must populate the given metric source only");
        }
    }
}

fn source(name: &str, at: &Cursor, errors: &mut Errors) {
    let target = at.child("target");
    let (resource, container) = (at.child("name"), at.child("container"));
    match name {
        "object" => reference(&at.child("describedObject"), true, errors),
        "containerResource" | "resource" if resource.str().is_empty() => {
            errors.required_because(&resource, "must specify a resource name");
        }
        "containerResource" => resource_name(&resource, resource.str(), Owner::Container, errors),
        _ => {}
    }
    match name {
        "containerResource" if container.str().is_empty() => {
            errors.required_because(&container, "must specify a container");
        }
        "containerResource" => errors.messages(&container, names::dns1123_label(container.str())),
        "resource" => {}
        _ => {
            let metric = at.child("metric");
            let name = metric.child("name");
            if name.str().is_empty() {
                errors.required_because(&name, "must specify a metric name");
            } else {
                errors.messages(&name, names::path_segment(name.str()));
            }
        }
    }
    amounts(&target, errors);
    let (value, average, percent) = (target.has("value"), target.has("averageValue"), target.has("averageUtilization"));
    let missing = match name {
        "object" => (!value && !average).then_some(("averageValue", "must set either a target value or averageValue")),
        "external" => (!value && !average)
            .then_some(("averageValue", "must set either a target value for metric or a per-pod target")),
        "pods" => (!average).then_some(("averageValue", "must specify a positive target averageValue")),
        _ => (!percent && !average)
            .then_some(("averageUtilization", "must set either a target raw value or a target utilization")),
    };
    if let Some((field, detail)) = missing {
        errors.required_because(&target.child(field), detail);
    }
    if name == "external" && value && average {
        errors.forbidden(&target.child("value"), "may not set both a target value for metric and a per-pod target");
    }
    if name.ends_with("esource") && percent && average {
        let detail = "may not set both a target raw value and a target utilization";
        errors.forbidden(&target.child("averageValue"), detail);
    }
}

/// A MetricTarget.
fn amounts(at: &Cursor, errors: &mut Errors) {
    let kind = at.child("type");
    if kind.str().is_empty() {
        errors.required_because(&kind, "must specify a metric target type");
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind.str()) {
        errors.invalid_text(&kind, "must be either Utilization, Value, or AverageValue");
    }
    for name in ["value", "averageValue"] {
        let amount = at.child(name);
        if parse_at(&amount).is_some_and(|amount| amount.is_negative() || amount.is_zero()) {
            errors.invalid(&amount, "must be positive");
        }
    }
    let percent = at.child("averageUtilization");
    if percent.int().is_some_and(|percent| percent < 1) {
        errors.invalid(&percent, "must be greater than 0");
    }
}

/// HPAScalingRules.
fn scaling(at: &Cursor, errors: &mut Errors) {
    let window = at.child("stabilizationWindowSeconds");
    match window.int().unwrap_or_default() {
        seconds if seconds < 0 => errors.invalid(&window, "must be greater than or equal to zero"),
        seconds if seconds > MAX_WINDOW => {
            errors.invalid(&window, format!("must be less than or equal to {MAX_WINDOW}"));
        }
        _ => {}
    }
    errors.one_of_if_set(&at.child("selectPolicy"), &["Disabled", "Max", "Min"]);
    let policies = at.child("policies");
    if policies.is_empty() {
        errors.required_because(&policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let (kind, period) = (policy.child("type"), policy.child("periodSeconds"));
        if !["Percent", "Pods"].contains(&kind.str()) {
            errors.not_supported(&kind, &["Percent", "Pods"]);
        }
        for at in [policy.child("value"), policy.child("periodSeconds")] {
            let number = at.int().unwrap_or_default();
            if number <= 0 {
                errors.invalid_as(&at, number, "must be greater than zero");
            }
        }
        if period.int().is_some_and(|seconds| seconds > MAX_PERIOD) {
            errors.invalid(&period, format!("must be less than or equal to {MAX_PERIOD}"));
        }
    }
    let tolerance = at.child("tolerance");
    if parse_at(&tolerance).is_some_and(|amount| amount.is_negative()) {
        errors.invalid_as(&tolerance, Value::from(tolerance.str()), super::cursor::IS_NEGATIVE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(object: &Value) -> Vec<String> {
        Autoscaler.validate(object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_autoscaler_looks_at_the_cpu_unless_told_otherwise() {
        let target = json!({"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"});
        let mut object = json!({"spec": {"maxReplicas": 2, "scaleTargetRef": target, "behavior": {}}});
        Autoscaler.defaults(&mut object, None);
        assert_eq!(object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
        assert_eq!(object["spec"]["behavior"]["scaleDown"]["selectPolicy"], "Max");
        assert_eq!(texts(&object), Vec::<String>::new());
        object["spec"]["minReplicas"] = json!(3);
        object["spec"]["scaleTargetRef"] = json!({"kind": "Deployment"});
        let expected = [
            "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`",
            "spec.scaleTargetRef.name: Required value",
            "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group",
        ];
        assert_eq!(texts(&object), expected);
    }

    #[test]
    fn metrics_have_one_source_and_one_target() {
        let target = json!({"type": "AverageValue", "averageValue": "1"});
        let pods = json!({"metric": {"name": "m"}, "target": target});
        let table = [
            (json!({"type": "Pods", "pods": pods}), vec![]),
            (
                json!({"type": "Object", "pods": pods}),
                vec!["object: Required value: must populate information for the given metric source"],
            ),
            (
                json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "X", "averageValue": "0"}}}),
                vec![
                    "resource.target.type: Invalid value: \"X\": must be either Utilization, Value, or AverageValue",
                    "resource.target.averageValue: Invalid value: \"0\": must be positive",
                ],
            ),
            (
                json!({"type": "External", "external": {"target": {"type": "Value"}}}),
                vec![
                    "external.metric.name: Required value: must specify a metric name",
                    "external.target.averageValue: Required value: must set either a target value for metric or a per-pod \
                     target",
                ],
            ),
        ];
        for (value, expected) in table {
            let object = json!({"metric": value});
            let mut errors = Errors::default();
            metric(&Cursor::root(&object, "metric"), &mut errors);
            let texts: Vec<String> =
                errors.into_vec().iter().map(|error| error.to_string().replacen("metric.", "", 1)).collect();
            assert_eq!(texts, expected, "{value}");
        }
    }
}
