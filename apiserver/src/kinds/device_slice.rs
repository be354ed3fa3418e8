//! ResourceSlice: the devices of a pool, on a node or for several.

use api::Object;
use api::field::FieldError;
use api::names;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE};
use super::equality::same_field;
use crate::strategy::Strategy;

const WHERE: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];

#[derive(Debug)]
pub struct Slice;

impl Strategy for Slice {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let driver = spec.child("driver");
        if driver.str().is_empty() {
            errors.required(&driver);
        } else {
            errors.messages(&driver, names::dns1123_subdomain(driver.str()));
        }
        let pool = spec.child("pool");
        let name = pool.child("name");
        if name.str().is_empty() {
            errors.required(&name);
        }
        for part in name.str().split('/').filter(|_| !name.str().is_empty()) {
            errors.messages(&name, names::dns1123_subdomain(part));
        }
        let count = pool.child("resourceSliceCount");
        if count.int().unwrap_or_default() <= 0 {
            errors.invalid_as(&count, count.int().unwrap_or_default(), "must be greater than zero");
        }
        let generation = pool.child("generation");
        if generation.int().is_some_and(|generation| generation < 0) {
            errors.invalid(&generation, "must be greater than or equal to zero");
        }
        for name in ["allNodes", "perDeviceNodeSelection"] {
            if spec.flag(name) == Some(false) {
                errors.invalid(&spec.child(name), "must be either unset or set to true");
            }
        }
        let node = spec.child("nodeName");
        if node.is_set() && node.str().is_empty() {
            errors.invalid(&node, "must be either unset or set to a non-empty string");
        }
        let says = |name: &&&str| match spec.child(name).value {
            serde_json::Value::Bool(said) => *said,
            serde_json::Value::String(said) => !said.is_empty(),
            value => !value.is_null(),
        };
        let said = WHERE.iter().filter(says).count();
        if said != 1 {
            let names = WHERE.map(|name| format!("`{name}`")).join(", ");
            let detail = format!("exactly one of {names} is required");
            match said {
                0 => errors.required_because(&spec, detail),
                _ => errors.invalid(&spec, format!("{detail}, but multiple fields are set")),
            }
        }
        for device in spec.child("devices").items() {
            let name = device.child("name");
            if name.str().is_empty() {
                errors.required(&name);
            } else {
                errors.messages(&name, names::dns1123_label(name.str()));
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let (spec, before) = (Cursor::root(new, "spec"), super::cursor::field(old, "spec"));
        for name in ["driver", "nodeName"] {
            if !same_field(spec.value, before, name) {
                errors.invalid(&spec.child(name), IS_IMMUTABLE);
            }
        }
        if super::cursor::text(super::cursor::field(before, "pool"), "name") != spec.child("pool").text("name") {
            let pool = spec.child("pool");
            errors.invalid(&pool.child("name"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slice_says_of_whom_and_where_its_devices_are() {
        let good = json!({"spec": {"driver": "d.example.com", "allNodes": true,
            "pool": {"name": "p/q", "resourceSliceCount": 1, "generation": 1}, "devices": [{"name": "a"}]}});
        assert_eq!(Slice.validate(&good), []);
        let errors: Vec<String> = Slice.validate(&json!({"spec": {}})).iter().map(ToString::to_string).collect();
        let expected = [
            "spec.driver: Required value",
            "spec.pool.name: Required value",
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
            "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        ];
        assert_eq!(errors, expected);
        let mut moved = good.clone();
        moved["spec"]["driver"] = json!("e.example.com");
        assert_eq!(Slice.validate_update(&moved, &good).len(), 1);
    }
}
