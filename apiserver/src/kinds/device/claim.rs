//! ResourceClaim and ResourceClaimTemplate: requests for devices.

use std::collections::BTreeMap;

use api::Object;
use api::field::{FieldError, Path};
use api::names;
use serde_json::Value;

use super::super::cursor::{Cursor, Errors, IS_IMMUTABLE, flag, list, text};
use super::super::edit::{default_number, default_text, get_mut, list_mut};
use super::super::equality::changed;
use super::super::selectors::template_metadata;
use super::selector::selectors;
use super::{MAX_ITEMS, claim_status, configuration, duplicates, label, qualified_name, within};
use crate::strategy::{Demand, Strategy};

const MAX_ALTERNATIVES: usize = 8;
const IS_UNKNOWN: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

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

    fn prepare_for_subresource(&self, subresource: &str, new: &mut Object, old: &Object) {
        if subresource == "status" {
            claim_status::forget_deallocated(new, old);
        }
    }

    fn demand(&self, subresource: &str, new: &Object, old: Option<&Object>) -> Option<Demand> {
        match (subresource, old) {
            ("", None) => admin_request(new.pointer("/spec/devices")?),
            ("status", Some(old)) => claim_status::admin_result(new, old),
            _ => None,
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        devices(&spec.child("devices"), &mut errors);
        errors.into_vec()
    }

    /// Nothing can be changed, so there is nothing to check again.
    fn validate_again(&self, _new: &Object, _old: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        unchanged(new, old)
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        let spec = Cursor::root(new, "spec");
        let names = Requests::of(&spec.child("devices"));
        claim_status::check(new, old, &names)
    }
}

impl Strategy for Template {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = get_mut(new, "spec").and_then(|spec| get_mut(spec, "spec")) {
            claim_defaults(spec);
        }
    }

    fn demand(&self, _subresource: &str, new: &Object, old: Option<&Object>) -> Option<Demand> {
        if old.is_some() { None } else { admin_request(new.pointer("/spec/spec/devices")?) }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        template_metadata(&spec.child("metadata"), &mut errors);
        let claim = spec.child("spec");
        devices(&claim.child("devices"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        unchanged(new, old)
    }
}

/// The first request that wants more than its share. Upstream's path is that of a claim, for templates also.
fn admin_request(devices: &Value) -> Option<Demand> {
    let wants = |request: &Value| flag(&request["exactly"], "adminAccess") == Some(true);
    let index = list(devices, "requests").iter().position(wants)?;
    let at = Path::new("spec").child("devices").child("requests").index(index).child("adminAccess");
    Some(admin_access(at))
}

pub(super) fn admin_access(at: Path) -> Demand {
    Demand {
        at,
        label: "resource.kubernetes.io/admin-access",
        detail: "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the \
                 containing namespace",
        topic: "admin access",
    }
}

/// Names of requests, with those of the alternatives in each.
pub(super) struct Requests<'v>(BTreeMap<&'v str, Vec<&'v str>>);

impl<'v> Requests<'v> {
    fn of(devices: &Cursor<'v, '_>) -> Self {
        let name = |request: &'v Value| text(request, "name");
        let all = list(devices.value, "requests").iter();
        Self(all.map(|one| (name(one), list(one, "firstAvailable").iter().map(name).collect())).collect())
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, alternative)) => self.0.get(request).is_some_and(|names| names.contains(&alternative)),
        }
    }

    /// What stands at the cursor names one of them.
    pub(super) fn check(&self, at: &Cursor, errors: &mut Errors) {
        if at.str().split('/').count() > 2 {
            return errors.invalid_text(at, IS_UNKNOWN);
        }
        for part in at.str().split('/') {
            for message in names::dns1123_label(part) {
                errors.invalid_as(at, part, message);
            }
        }
        if !self.has(at.str()) {
            errors.invalid_text(at, IS_UNKNOWN);
        }
    }

    pub(super) fn check_all(&self, at: &Cursor, errors: &mut Errors) {
        if within(at, MAX_ITEMS, errors) {
            at.items().for_each(|name| self.check(&name, errors));
            duplicates(at, |name| name.str().to_owned(), errors);
        }
    }
}

/// What is asked for.
fn devices(at: &Cursor, errors: &mut Errors) {
    let names = Requests::of(at);
    let requests = at.child("requests");
    if within(&requests, MAX_ITEMS, errors) {
        requests.items().for_each(|one| request(&one, errors));
        duplicates(&requests, |one| one.text("name").to_owned(), errors);
    }
    let constraints = at.child("constraints");
    if within(&constraints, MAX_ITEMS, errors) {
        for constraint in constraints.items() {
            names.check_all(&constraint.child("requests"), errors);
            let attribute = constraint.child("matchAttribute");
            if attribute.is_set() { fully_qualified(&attribute, errors) } else { errors.required(&attribute) }
        }
    }
    let configurations = at.child("config");
    if within(&configurations, MAX_ITEMS, errors) {
        for one in configurations.items() {
            names.check_all(&one.child("requests"), errors);
            configuration(&one, false, errors);
        }
    }
}

fn fully_qualified(at: &Cursor, errors: &mut Errors) {
    qualified_name(at, at.str(), errors);
    if !at.str().contains('/') {
        errors.invalid_text(at, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

fn request(at: &Cursor, errors: &mut Errors) {
    const ONE_OF: &str = "exactly one of `exactly` or `firstAvailable` is required";
    label(&at.child("name"), errors);
    let (exactly, first) = (at.child("exactly"), at.child("firstAvailable"));
    match (exactly.is_set(), !first.is_empty()) {
        (false, false) => errors.required_because(at, ONE_OF),
        (true, true) => errors.invalid_as(at, Value::Null, format!("{ONE_OF}, but multiple fields are set")),
        (true, false) => wanted(&exactly, errors),
        (false, true) => {
            if within(&first, MAX_ALTERNATIVES, errors) {
                for one in first.items() {
                    label(&one.child("name"), errors);
                    wanted(&one, errors);
                }
                duplicates(&first, |one| one.text("name").to_owned(), errors);
            }
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
    selectors(&at.child("selectors"), errors);
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
    if changed(new, old, "spec") {
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
        // What is set to its zero is not what is not set.
        let claim = |exactly: Value| json!({"spec": {"devices": {"requests": [{"exactly": exactly}]}}});
        assert_eq!(Claim.validate_update(&claim(json!({"adminAccess": false})), &claim(json!({}))).len(), 1);
        assert_eq!(Claim.validate_update(&claim(json!({"selectors": []})), &claim(json!({}))), []);
    }

    fn said(devices: Value) -> Vec<String> {
        let claim = json!({"spec": {"devices": devices}});
        Claim.validate(&claim).iter().map(ToString::to_string).collect()
    }

    const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                         and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

    #[test]
    fn a_request_is_exactly_one_thing() {
        let exactly = json!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1});
        let texts = |request| said(json!({"requests": [request]}));
        assert_eq!(texts(json!({"name": "a", "exactly": exactly})), [""; 0]);
        let path = "spec.devices.requests[0]";
        let one_of = "exactly one of `exactly` or `firstAvailable` is required";
        assert_eq!(texts(json!({"name": "a"})), [format!("{path}: Required value: {one_of}")]);
        let wrong =
            json!({"name": "", "exactly": {"deviceClassName": "", "allocationMode": "Some", "selectors": [{}]}});
        let expected = [
            format!("{path}.name: Invalid value: \"\": {LABEL}"),
            format!("{path}.exactly.deviceClassName: Required value"),
            format!("{path}.exactly.selectors[0].cel: Required value"),
            format!(
                "{path}.exactly.allocationMode: Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\""
            ),
        ];
        assert_eq!(texts(wrong), expected);
    }

    #[test]
    fn constraints_and_configurations_name_requests() {
        let exactly = json!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1});
        let requests = json!([
            {"name": "a", "exactly": exactly},
            {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c", "allocationMode": "All"}]},
        ]);
        let table = [
            (json!({"constraints": [{"requests": ["a", "b", "b/x"], "matchAttribute": "d.example.com/model"}]}), vec![]),
            (
                json!({"constraints": [{"requests": ["b/y", "a/x", "a/b/c"]}]}),
                vec![
                    format!("constraints[0].requests[0]: Invalid value: \"b/y\": {IS_UNKNOWN}"),
                    format!("constraints[0].requests[1]: Invalid value: \"a/x\": {IS_UNKNOWN}"),
                    format!("constraints[0].requests[2]: Invalid value: \"a/b/c\": {IS_UNKNOWN}"),
                    "constraints[0].matchAttribute: Required value".to_owned(),
                ],
            ),
            (
                json!({"config": [{"requests": ["a", "a", "C"], "opaque": {"driver": "d", "parameters": {}}}]}),
                vec![
                    format!("config[0].requests[2]: Invalid value: \"C\": {LABEL}"),
                    format!("config[0].requests[2]: Invalid value: \"C\": {IS_UNKNOWN}"),
                    "config[0].requests[1]: Duplicate value: \"a\"".to_owned(),
                ],
            ),
            (
                json!({"constraints": [{"matchAttribute": "model"}], "config": [{}]}),
                vec![
                    "constraints[0].matchAttribute: Invalid value: \"model\": a fully qualified name must be a domain and a \
                     name separated by a slash"
                        .to_owned(),
                    "config[0].opaque: Required value".to_owned(),
                ],
            ),
        ];
        for (mut devices, expected) in table {
            devices["requests"] = requests.clone();
            let expected: Vec<String> = expected.iter().map(|text| format!("spec.devices.{text}")).collect();
            assert_eq!(said(devices), expected);
        }
    }

    #[test]
    fn who_wants_admin_access_asks_the_namespace() {
        let devices = |admin: bool| json!({"requests": [{}, {"exactly": {"adminAccess": admin}}]});
        let claim = |admin| json!({"spec": {"devices": devices(admin)}});
        let demand = |demand: Option<Demand>| demand.map(|demand| demand.at.to_string()).unwrap_or_default();
        let place = "spec.devices.requests[1].adminAccess";
        assert_eq!(demand(Claim.demand("", &claim(true), None)), place);
        assert_eq!(demand(Claim.demand("", &claim(false), None)), "");
        assert_eq!(demand(Claim.demand("", &claim(true), Some(&claim(true)))), "");
        assert_eq!(demand(Template.demand("", &json!({"spec": {"spec": {"devices": devices(true)}}}), None)), place);
    }
}
