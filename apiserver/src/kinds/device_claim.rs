//! ResourceClaim and ResourceClaimTemplate: requests for devices.

use api::Object;
use api::field::FieldError;
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

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        unchanged(new, old)
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
}
