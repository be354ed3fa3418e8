//! ResourceClaim and ResourceClaimTemplate: requests for devices.

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::Value;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE};
use super::edit::{default_number, default_text, get_mut, list_mut};
use super::equality::same_field;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Claim;

#[derive(Debug)]
pub struct Template;

impl Strategy for Claim {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = get_mut(new, "spec") {
            claim_defaults(spec);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        devices(&spec.child("devices"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        unchanged(new, old)
    }
}

impl Strategy for Template {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = get_mut(new, "spec").and_then(|spec| get_mut(spec, "spec")) {
            claim_defaults(spec);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let claim = spec.child("spec");
        devices(&claim.child("devices"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        unchanged(new, old)
    }
}

/// What is asked for. Expressions are not looked at.
fn devices(at: &Cursor, errors: &mut Errors) {
    const ONE_OF: &str = "exactly one of `exactly` or `firstAvailable` is required";
    for request in at.child("requests").items() {
        let name = request.child("name");
        if name.str().is_empty() {
            errors.required(&name);
        } else {
            errors.messages(&name, names::dns1123_label(name.str()));
        }
        let (exactly, first) = (request.child("exactly"), request.child("firstAvailable"));
        match (exactly.is_set(), !first.is_empty()) {
            (false, false) => errors.required_because(&request, ONE_OF),
            (true, true) => {
                errors.invalid_as(&request, Value::Null, format!("{ONE_OF}, but multiple fields are set"));
            }
            (true, false) => wanted(&exactly, errors),
            (false, true) => first.items().for_each(|one| wanted(&one, errors)),
        }
    }
    for constraint in at.child("constraints").items() {
        let attribute = constraint.child("matchAttribute");
        if !attribute.is_set() && !constraint.has("distinctAttribute") {
            errors.required(&attribute);
        }
    }
}

fn wanted(at: &Cursor, errors: &mut Errors) {
    let class = at.child("deviceClassName");
    if class.str().is_empty() {
        errors.required(&class);
    } else {
        errors.messages(&class, names::dns1123_subdomain(class.str()));
    }
    let count = at.child("count");
    match at.text("allocationMode") {
        "ExactCount" if count.int().unwrap_or_default() <= 0 => errors.invalid(&count, "must be greater than zero"),
        "All" if count.int().unwrap_or_default() != 0 => {
            errors.invalid(&count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" | "All" => {}
        _ => errors.not_supported(&at.child("allocationMode"), &["All", "ExactCount"]),
    }
}

fn unchanged(new: &Object, old: &Object) -> Vec<FieldError> {
    let mut errors = Errors::default();
    if !same_field(new, old, "spec") {
        errors.invalid(&Cursor::root(new, "spec"), IS_IMMUTABLE);
    }
    errors.into_vec()
}

fn claim_defaults(spec: &mut Value) {
    let Some(devices) = get_mut(spec, "devices") else { return };
    for request in list_mut(devices, "requests") {
        if let Some(exactly) = get_mut(request, "exactly") {
            amount(exactly);
        }
        list_mut(request, "firstAvailable").iter_mut().for_each(amount);
    }
}

fn amount(request: &mut Value) {
    default_text(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" {
        default_number(request, "count", 1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_device_is_meant_where_no_number_is_said() {
        let spec = json!({"devices": {"requests": [
            {"name": "a", "exactly": {"deviceClassName": "c"}},
            {"name": "b", "firstAvailable": [{"name": "x", "allocationMode": "All"}]},
        ]}});
        let mut template = json!({"spec": {"spec": spec}});
        Template.defaults(&mut template, None);
        let requests = &template["spec"]["spec"]["devices"]["requests"];
        let exactly = json!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1});
        assert_eq!(requests[0]["exactly"], exactly);
        assert_eq!(requests[1]["firstAvailable"][0], json!({"name": "x", "allocationMode": "All"}));
        assert_eq!(Claim.validate_update(&template, &json!({"spec": {}})).len(), 1);
    }

    #[test]
    fn a_request_is_exactly_one_thing() {
        let exactly = json!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1});
        let claim = |request: Value| json!({"spec": {"devices": {"requests": [request]}}});
        assert_eq!(Claim.validate(&claim(json!({"name": "a", "exactly": exactly}))), []);
        let texts = |request| Claim.validate(&claim(request)).iter().map(ToString::to_string).collect::<Vec<_>>();
        let path = "spec.devices.requests[0]";
        let one_of = "exactly one of `exactly` or `firstAvailable` is required";
        assert_eq!(texts(json!({"name": "a"})), [format!("{path}: Required value: {one_of}")]);
        let wrong = json!({"name": "", "exactly": {"deviceClassName": "", "allocationMode": "Some"}});
        let expected = [
            format!("{path}.name: Required value"),
            format!("{path}.exactly.deviceClassName: Required value"),
            format!(
                "{path}.exactly.allocationMode: Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\""
            ),
        ];
        assert_eq!(texts(wrong), expected);
    }
}
