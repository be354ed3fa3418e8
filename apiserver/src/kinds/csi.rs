//! CSIDriver, CSINode and CSIStorageCapacity: what storage drivers say about themselves.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::meta::{self, Meta};
use api::names;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, IS_NEGATIVE, field, list, text};
use super::edit::{default_to, object_mut, remove};
use super::equality::{changed, same_complete, same_field};
use super::pod_template::warnings::deprecated_label;
use super::quantities::{canonicalize_one, parse_at};
use super::selectors::label_selector;
use crate::strategy::Strategy;

const MAX_DRIVER_NAME: usize = 63;
const MAX_NODE_ID: usize = 256;
const MIN_UPDATE_SECONDS: i64 = 10;
/// Of a token, in seconds.
const MIN_EXPIRATION: i64 = 600;
const MAX_EXPIRATION: i64 = 1 << 32;

#[derive(Debug)]
pub struct Driver;

#[derive(Debug)]
pub struct Node;

#[derive(Debug)]
pub struct Capacity;

impl Strategy for Driver {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = object_mut(new, "spec") else { return };
        default_to(spec, "attachRequired", true);
        default_to(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        for name in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            default_to(spec, name, false);
        }
        if list(spec, "volumeLifecycleModes").is_empty() {
            spec["volumeLifecycleModes"] = json!(["Persistent"]);
        }
    }

    /// Upstream counts changes of a driver from what its creator says.
    fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        if changed(new, old, "spec") {
            meta::set(new, "generation", old.generation() + 1);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        errors.one_of_if_set(&spec.child("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]);
        token_requests(&spec.child("tokenRequests"), &mut errors);
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

    fn warnings(&self, new: &Object) -> Vec<String> {
        const UNSET: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent \
                             possible logging of tokens in volume attributes";
        let spec = Cursor::root(new, "spec");
        let unset = !spec.child("tokenRequests").is_empty() && !spec.has("serviceAccountTokenInSecrets");
        if unset { vec![UNSET.to_owned()] } else { Vec::new() }
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        let other = changed(field(new, "spec"), field(old, "spec"), "tokenRequests");
        if other { self.warnings(new) } else { Vec::new() }
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

fn token_requests(at: &Cursor, errors: &mut Errors) {
    let mut audiences = BTreeSet::new();
    for request in at.items() {
        let audience = request.child("audience");
        if !audiences.insert(audience.str()) {
            errors.duplicate_as(&audience, audience.str());
            continue;
        }
        let expiration = request.child("expirationSeconds");
        match expiration.int() {
            Some(seconds) if seconds < MIN_EXPIRATION => {
                errors.invalid(&expiration, "may not specify a duration less than 10 minutes");
            }
            Some(seconds) if seconds > MAX_EXPIRATION => {
                errors.invalid(&expiration, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
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
            let count = driver.child("allocatable");
            if count.number("count").is_some_and(|count| count < 0) {
                errors.invalid(&count.child("count"), IS_NEGATIVE);
            }
            if !seen.insert(name.str()) {
                errors.duplicate_as(&name, name.str());
            }
            topology_keys(&driver, &mut errors);
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
        for before in list(field(old, "spec"), "drivers").iter().map(without_count) {
            for driver in drivers.items().filter(|driver| driver.text("name") == text(&before, "name")) {
                let driver = without_count(driver.value);
                if !same_complete(&driver, &before) {
                    // Upstream shows the driver, not the list.
                    errors.invalid_as(&drivers, driver, IS_IMMUTABLE);
                }
            }
        }
        errors.into_vec()
    }
}

/// Upstream reports them at their driver.
fn topology_keys(driver: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for key in driver.child("topologyKeys").items() {
        let at = driver.showing(key.value);
        if key.str().is_empty() {
            errors.required(&at);
        }
        if !seen.insert(key.str()) {
            errors.duplicate_as(&at, key.str());
        }
        errors.messages(&at, names::qualified_name(key.str()));
    }
}

/// The name of a driver, as other objects refer to it: in any case.
pub fn driver_name(name: &Cursor, errors: &mut Errors) {
    if name.str().is_empty() {
        return errors.required(name);
    }
    driver_named(name, name.str(), errors);
}

/// As [`driver_name`], of a name that is part of what stands at `at`.
pub fn driver_named(at: &Cursor, name: &str, errors: &mut Errors) {
    if name.len() > MAX_DRIVER_NAME {
        errors.too_long(at, MAX_DRIVER_NAME);
    }
    for message in names::dns1123_subdomain(&name.to_lowercase()) {
        errors.invalid_as(at, name, message);
    }
}

impl Strategy for Capacity {
    fn warnings(&self, new: &Object) -> Vec<String> {
        let topology = Cursor::root(new, "nodeTopology");
        let mut warnings = Vec::new();
        for expression in topology.child("matchExpressions").items() {
            let key = expression.child("key");
            let text = deprecated_label(key.str()).map(|text| format!("{}: {} is {text}", key.path(), key.str()));
            warnings.extend(text);
        }
        let labels = topology.child("matchLabels");
        for (label, _) in labels.entries() {
            warnings.extend(deprecated_label(label).map(|text| format!("{}.{label}: {text}", labels.path())));
        }
        warnings
    }

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
        let mut driver = json!({"metadata": {"generation": 7}});
        Driver.defaults(&mut driver, None);
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
        Driver.prepare_for_update(&mut other, &driver);
        assert_eq!(other["metadata"]["generation"], 8);
    }

    #[test]
    fn tokens_of_drivers() {
        let table = [
            (json!({"tokenRequests": [{"audience": "a", "expirationSeconds": 600}, {}]}), vec![], 1),
            (json!({"tokenRequests": [{}], "serviceAccountTokenInSecrets": true}), vec![], 0),
            (
                json!({"tokenRequests": [{"expirationSeconds": 3}, {}], "serviceAccountTokenInSecrets": false}),
                vec![
                    "spec.tokenRequests[0].expirationSeconds: Invalid value: 3: may not specify a duration less than 10 minutes",
                    "spec.tokenRequests[1].audience: Duplicate value: \"\"",
                ],
                0,
            ),
            (
                json!({"serviceAccountTokenInSecrets": false, "nodeAllocatableUpdatePeriodSeconds": 9}),
                vec![
                    "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
                    "spec.serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set but no \
                     tokenRequests are specified",
                ],
                0,
            ),
        ];
        for (spec, expected, warned) in table {
            let driver = json!({"spec": spec});
            assert_eq!(words(&Driver.validate(&driver)), expected);
            assert_eq!(Driver.warnings(&driver).len(), warned, "{driver}");
            assert_eq!(Driver.warnings_of_update(&driver, &driver), [""; 0]);
            assert_eq!(Driver.warnings_of_update(&driver, &json!({"spec": {}})).len(), warned, "{driver}");
        }
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
        let node = json!({"spec": {"drivers": [{"name": "", "nodeID": "n", "topologyKeys": ["a", "a"]}]}});
        let expected = ["spec.drivers[0].name: Required value", "spec.drivers[0]: Duplicate value: \"a\""];
        assert_eq!(words(&Node.validate(&node)), expected);
    }

    #[test]
    fn deprecated_labels_are_warned_of() {
        let label = "beta.kubernetes.io/arch";
        let topology = json!({"matchLabels": {label: "a"}, "matchExpressions": [{"key": label, "operator": "Exists"}]});
        let warnings = Capacity.warnings(&json!({"nodeTopology": topology}));
        assert!(
            warnings[0]
                .starts_with("nodeTopology.matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since")
        );
        assert!(warnings[1].starts_with("nodeTopology.matchLabels.beta.kubernetes.io/arch: deprecated since"));
    }
}
