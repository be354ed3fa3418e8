//! CSIDriver, CSINode and CSIStorageCapacity: what storage drivers say about themselves.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::meta;
use api::names;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, IS_NEGATIVE, field, list, text};
use super::edit::{default_to, get_mut, remove};
use super::equality::{same, same_field};
use super::quantities::{canonicalize_one, parse_at};
use super::selectors::label_selector;
use crate::strategy::Strategy;

const MAX_DRIVER_NAME: usize = 63;
const MIN_PERIOD: i64 = 10;
const MAX_NODE_ID: usize = 256;
const MIN_UPDATE_SECONDS: i64 = 10;

#[derive(Debug)]
pub struct Driver;

#[derive(Debug)]
pub struct Node;

#[derive(Debug)]
pub struct Capacity;

impl Strategy for Driver {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = get_mut(new, "spec") else { return };
        default_to(spec, "attachRequired", true);
        default_to(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        for name in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            default_to(spec, name, false);
        }
        if list(spec, "volumeLifecycleModes").is_empty() {
            spec["volumeLifecycleModes"] = json!(["Persistent"]);
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        // Upstream counts changes of a driver from zero.
        meta::set(new, "generation", Value::Null);
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        errors.one_of_if_set(&spec.child("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]);
        let period = spec.child("nodeAllocatableUpdatePeriodSeconds");
        if period.int().is_some_and(|seconds| seconds < MIN_PERIOD) {
            errors.invalid(&period, format!("must be greater than or equal to {MIN_PERIOD} seconds"));
        }
        let modes = spec.child("volumeLifecycleModes");
        for mode in modes.items() {
            errors.one_of_if_set(&modes.showing(mode.value), &["Persistent", "Ephemeral"]);
        }
        let period = spec.child("nodeAllocatableUpdatePeriodSeconds");
        if period.int().is_some_and(|seconds| seconds < MIN_UPDATE_SECONDS) {
            errors.invalid(&period, format!("must be greater than or equal to {MIN_UPDATE_SECONDS} seconds"));
        }
        let in_secrets = spec.child("serviceAccountTokenInSecrets");
        if in_secrets.is_set() && spec.child("tokenRequests").is_empty() {
            let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
            errors.invalid(&in_secrets, detail);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let (spec, before) = (Cursor::root(new, "spec"), field(old, "spec"));
        if !same_field(spec.value, before, "attachRequired") {
            // Upstream's path has the name as it is in no object.
            let attach = spec.child("attachRequired");
            errors.invalid(&spec.child("attachedRequired").showing(attach.value), IS_IMMUTABLE);
        }
        if !same_field(spec.value, before, "volumeLifecycleModes") {
            errors.invalid(&spec.child("volumeLifecycleModes"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

impl Strategy for Node {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let mut seen = BTreeSet::new();
        for driver in Cursor::root(new, "spec").child("drivers").items() {
            let name = driver.child("name");
            driver_name(&name, &mut errors);
            let id = driver.child("nodeID");
            if id.str().is_empty() {
                errors.required(&id);
            } else if id.len() > MAX_NODE_ID {
                errors.invalid(&id, format!("must be {MAX_NODE_ID} characters or less"));
            }
            for key in driver.child("topologyKeys").items() {
                errors.messages(&driver.showing(key.value), names::qualified_name(key.str()));
            }
            let count = driver.child("allocatable");
            if count.number("count").is_some_and(|count| count < 0) {
                errors.invalid(&count.child("count"), IS_NEGATIVE);
            }
            if !seen.insert(name.str()) {
                errors.duplicate(&name);
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let drivers = spec.child("drivers");
        let without_count = |driver: &Value| {
            let mut driver = driver.clone();
            remove(&mut driver, "allocatable");
            driver
        };
        for before in list(field(old, "spec"), "drivers") {
            let same_name = drivers.items().find(|driver| driver.text("name") == text(before, "name"));
            if same_name.is_some_and(|driver| !same(&without_count(driver.value), &without_count(before))) {
                errors.invalid(&drivers, IS_IMMUTABLE);
            }
        }
        errors.into_vec()
    }
}

fn driver_name(name: &Cursor, errors: &mut Errors) {
    if name.str().is_empty() {
        errors.required(name);
    }
    if name.len() > MAX_DRIVER_NAME {
        errors.too_long(name, MAX_DRIVER_NAME);
    }
    for message in names::dns1123_subdomain(&name.str().to_lowercase()) {
        errors.invalid(name, message);
    }
}

impl Strategy for Capacity {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        canonicalize_one(new, "capacity");
        canonicalize_one(new, "maximumVolumeSize");
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        label_selector(&Cursor::root(new, "nodeTopology"), &mut errors);
        let class = Cursor::root(new, "storageClassName");
        errors.messages(&class, names::dns1123_subdomain(class.str()));
        let capacity = Cursor::root(new, "capacity");
        if capacity.is_set() && parse_at(&capacity).is_some_and(|amount| amount.is_negative()) {
            errors.invalid(&capacity, IS_NEGATIVE);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        for name in ["nodeTopology", "storageClassName"] {
            if !same_field(new, old, name) {
                errors.invalid(&Cursor::root(new, name), IS_IMMUTABLE);
            }
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn drivers_have_their_defaults_and_keep_what_nodes_rely_on() {
        let mut driver = json!({"metadata": {"generation": 1}, "spec": {}});
        Driver.defaults(&mut driver, None);
        Driver.prepare_for_create(&mut driver);
        let spec = json!({
            "attachRequired": true, "fsGroupPolicy": "ReadWriteOnceWithFSType", "podInfoOnMount": false,
            "storageCapacity": false, "requiresRepublish": false, "seLinuxMount": false, "volumeLifecycleModes": ["Persistent"],
        });
        assert_eq!(driver["spec"], spec);
        assert_eq!(Driver.validate(&driver), []);
        let mut other = driver.clone();
        other["spec"]["attachRequired"] = json!(false);
        assert_eq!(
            words(&Driver.validate_update(&other, &driver)),
            ["spec.attachedRequired: Invalid value: false: field is immutable"]
        );
    }

    #[test]
    fn a_node_names_each_driver_once() {
        let driver = json!({"name": "d.example.com", "nodeID": "n"});
        let node = json!({"spec": {"drivers": [driver, driver]}});
        assert_eq!(words(&Node.validate(&node)), ["spec.drivers[1].name: Duplicate value: \"d.example.com\""]);
        let old = json!({"spec": {"drivers": [{"name": "d.example.com", "nodeID": "m"}]}});
        let new = json!({"spec": {"drivers": [driver]}});
        assert!(words(&Node.validate_update(&new, &old))[0].ends_with("field is immutable"));
        assert_eq!(Node.validate_update(&new, &new), []);
    }
}
