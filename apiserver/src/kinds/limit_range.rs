//! LimitRange.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::meta::{self, Meta};
use api::names;
use api::quantity::Quantity;
use serde_json::Value;

use super::cursor::{Cursor, Errors, field, text};
use super::edit::{get_mut, list_mut, object_mut};
use super::pod_template::resources::{Owner, overcommit_allowed, resource_name};
use super::quantities::{canonicalize, parse_at};
use crate::strategy::Strategy;

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

#[derive(Debug)]
pub struct LimitRange;

impl Strategy for LimitRange {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = get_mut(new, "spec") else { return };
        for limit in list_mut(spec, "limits") {
            if text(limit, "type") == "Container" {
                // The default limit is the maximum; the default request is that limit, or else the minimum.
                for (to, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
                    fill(limit, to, from);
                }
            }
            for name in LISTS {
                canonicalize(limit, name);
            }
        }
    }

    /// One without a name is called by its uid: nobody else's is the same.
    fn prepare_for_create(&self, new: &mut Object) {
        if new.name().is_empty() {
            let uid = new.uid().to_owned();
            meta::set(new, "name", uid);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let mut seen = BTreeSet::new();
        let spec = Cursor::root(new, "spec");
        for limit in spec.child("limits").items() {
            let kind = limit.child("type");
            type_name(&kind, &mut errors);
            if !seen.insert(kind.str()) {
                errors.duplicate_as(&kind, kind.str());
            }
            limits(&limit, &mut errors);
        }
        errors.into_vec()
    }
}

fn fill(limit: &mut Value, to: &str, from: &str) {
    let amounts = field(limit, from).as_object().cloned().unwrap_or_default();
    if amounts.is_empty() {
        // A map that nobody gave would look like a change of the list to whoever compares managers.
        return;
    }
    if let Some(Value::Object(defaults)) = object_mut(limit, to) {
        for (name, amount) in amounts {
            defaults.entry(name).or_insert(amount);
        }
    }
}

fn type_name(at: &Cursor, errors: &mut Errors) {
    let messages = names::qualified_name(at.str());
    let valid = messages.is_empty();
    errors.messages(at, messages);
    if valid && !at.str().contains('/') && !matches!(at.str(), "Pod" | "Container" | "PersistentVolumeClaim") {
        errors.invalid_text(at, "must be a standard limit type or fully qualified");
    }
}

fn limits(at: &Cursor, errors: &mut Errors) {
    let kind = at.text("type");
    let owner = if matches!(kind, "Pod" | "Container") { Owner::Container } else { Owner::Other };
    let mut resources = BTreeSet::new();
    for name in LISTS {
        let list = at.child(name);
        if kind == "Pod" && matches!(name, "default" | "defaultRequest") {
            if !list.is_empty() {
                errors.forbidden(&list, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        if name == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" {
            let given = |name| !field(field(at.value, name), "storage").is_null();
            if !given("min") && !given("max") {
                let detail = "either minimum or maximum storage value is required, but neither was provided";
                errors.required_because(&at.child("limits"), detail);
            }
        }
        for (resource, amount) in list.entries() {
            resource_name(&amount, resource, owner, errors);
            resources.insert(resource);
        }
    }
    for resource in resources {
        order(at, resource, errors);
    }
}

/// min <= default request <= default <= max, as far as they are given.
fn order(at: &Cursor, resource: &str, errors: &mut Errors) {
    let pod = at.text("type") == "Pod";
    let amount = |name: &str| {
        let usable = !pod || !matches!(name, "default" | "defaultRequest");
        parse_at(&at.child(name).key(resource)).filter(|_| usable)
    };
    let (min, max, limit, request) = (amount("min"), amount("max"), amount("default"), amount("defaultRequest"));
    // (low, its name, high, its name, where it is reported, which of the two is shown)
    let pairs = [
        (&min, "min", &max, "max", "min", &min),
        (&min, "min", &request, "default request", "defaultRequest", &request),
        (&request, "default request", &max, "max", "defaultRequest", &request),
        (&request, "default request", &limit, "default limit", "defaultRequest", &request),
        (&min, "min", &limit, "default", "default", &min),
        (&limit, "default", &max, "max", "default", &max),
    ];
    for (low, low_name, high, high_name, place, shown) in pairs {
        let (Some(low), Some(high), Some(shown)) = (low, high, shown) else { continue };
        if low > high {
            let detail = format!("{low_name} value {low} is greater than {high_name} value {high}");
            errors.invalid_as(&at.child(place).key(resource), shown.to_string(), detail);
        }
    }
    ratio(at, resource, min.as_ref(), max.as_ref(), errors);
    if let (Some(limit), Some(request)) = (&limit, &request)
        && !overcommit_allowed(resource)
        && limit != request
    {
        let detail = format!("default value {limit} must equal to defaultRequest value {request} in {resource}");
        errors.invalid_as(&at.child("defaultRequest").key(resource), request.to_string(), detail);
    }
}

fn ratio(at: &Cursor, resource: &str, min: Option<&Quantity>, max: Option<&Quantity>, errors: &mut Errors) {
    let ratios = at.child("maxLimitRequestRatio");
    let place = ratios.key(resource);
    let Some(ratio) = parse_at(&place) else { return };
    if ratio < Quantity::new(1, ratio.format()) {
        errors.invalid_as(&place, ratio.to_string(), format!("ratio {ratio} is less than 1"));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let bound = max.to_f64() / min.to_f64();
        if ratio.to_f64() > bound {
            let detail = format!("ratio {ratio} is greater than max/min = {bound:.6}");
            errors.invalid_as(&place, ratio.to_string(), detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_complete_themselves() {
        let mut range = json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": 1, "memory": "1Mi"}}]}});
        LimitRange.defaults(&mut range, None);
        let limit = &range["spec"]["limits"][0];
        assert_eq!(limit["default"], json!({"cpu": "2"}));
        assert_eq!(limit["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));
        assert_eq!(limit["min"]["cpu"], "1");
        assert_eq!(LimitRange.validate(&range), []);
    }

    #[test]
    fn ranges_are_in_order() {
        let table: &[(&str, Value, &[&str])] = &[
            (
                "min over max",
                json!({"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}),
                &["spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"],
            ),
            (
                "defaults of pods",
                json!({"type": "Pod", "default": {"cpu": "2"}}),
                &["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
            ),
            (
                "ratio",
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}),
                &["spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1"],
            ),
            (
                "claims without storage",
                json!({"type": "PersistentVolumeClaim"}),
                &[
                    "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was \
                   provided",
                ],
            ),
        ];
        for (name, limit, expected) in table {
            let range = json!({"spec": {"limits": [limit]}});
            let errors: Vec<String> = LimitRange.validate(&range).iter().map(ToString::to_string).collect();
            assert_eq!(errors, *expected, "{name}");
        }
    }
}
