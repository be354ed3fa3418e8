//! ResourceSlice: the devices of a pool, on a node or for several.

use api::Object;
use api::field::FieldError;
use api::meta::{self, Meta};
use api::names;
use serde_json::Value;

use super::super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, text};
use super::super::edit::{default_to, get_mut, list_mut};
use super::super::equality::changed;
use super::super::pod_template::affinity::node_selector;
use super::super::quantities::canonicalize_one;
use super::{MAX_ATTRIBUTES, MAX_VALUE, duplicates, label, pool_name, qualified_name, within};
use crate::gated;
use crate::strategy::Strategy;

const MAX_DEVICES: usize = 128;
const SET_OR_TRUE: &str = "must be either unset or set to true";
const ONE_PLACE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

#[derive(Debug)]
pub struct Slice;

impl Strategy for Slice {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = get_mut(new, "spec") else { return };
        for device in list_mut(spec, "devices") {
            let capacities = get_mut(device, "capacity").and_then(Value::as_object_mut);
            for capacity in capacities.into_iter().flat_map(|capacities| capacities.values_mut()) {
                default_to(capacity, "value", "0");
                canonicalize_one(capacity, "value");
            }
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        meta::set(new, "generation", 1);
        gated::drop_of_slice(new);
    }

    /// The generation also counts what is dropped after that, as upstream's does.
    fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        if changed(new, old, "spec") {
            meta::set(new, "generation", old.generation() + 1);
        }
        gated::drop_of_slice(new);
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        check(new, None)
    }

    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        check(new, Some(old))
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let driver = text(field(new, "spec"), "driver");
        let text = format!("spec.driver: driver names should be lowercase; {driver:?} contains uppercase characters");
        if driver == driver.to_lowercase() { Vec::new() } else { vec![text] }
    }
}

fn check(new: &Object, old: Option<&Object>) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = Cursor::root(new, "spec");
    super::super::csi::driver_name(&spec.child("driver"), &mut errors);
    let pool = spec.child("pool");
    self::pool(&pool, &mut errors);
    if let Some(old) = old {
        let before = field(old, "spec");
        for (at, before, name) in
            [(&pool, field(before, "pool"), "name"), (&spec, before, "driver"), (&spec, before, "nodeName")]
        {
            if changed(at.value, before, name) {
                errors.invalid(&at.child(name), IS_IMMUTABLE);
            }
        }
    }
    place(&spec, &mut errors);
    let devices = spec.child("devices");
    if within(&devices, MAX_DEVICES, &mut errors) {
        devices.items().for_each(|one| device(&one, &mut errors));
        duplicates(&devices, |one| one.text("name").to_owned(), &mut errors);
    }
    errors.into_vec()
}

fn pool(at: &Cursor, errors: &mut Errors) {
    pool_name(&at.child("name"), errors);
    let count = at.child("resourceSliceCount");
    let number = count.int().unwrap_or_default();
    if number <= 0 {
        errors.invalid_as(&count, number, "must be greater than zero");
    }
    let generation = at.child("generation");
    if generation.int().is_some_and(|generation| generation < 0) {
        errors.invalid(&generation, "must be greater than or equal to zero");
    }
}

/// From where the devices can be reached.
fn place(spec: &Cursor, errors: &mut Errors) {
    let (node, selector, all) = (spec.child("nodeName"), spec.child("nodeSelector"), spec.child("allNodes"));
    let mut said = Vec::new();
    if node.is_set() {
        if node.str().is_empty() {
            errors.invalid(&node, "must be either unset or set to a non-empty string");
        } else {
            said.push("`nodeName`");
            errors.messages(&node, names::dns1123_subdomain(node.str()));
        }
    }
    if selector.is_set() {
        said.push("`nodeSelector`");
        node_selector(&selector, errors);
        let terms = selector.child("nodeSelectorTerms");
        if terms.len() != 1 {
            errors.invalid(&terms, "must have exactly one node selector term");
        }
    }
    match all.value.as_bool() {
        Some(true) => said.push("`allNodes`"),
        Some(false) => errors.invalid(&all, SET_OR_TRUE),
        None => {}
    }
    match said.len() {
        0 => errors.required_because(spec, ONE_PLACE),
        1 => {}
        _ => {
            let detail = format!("{ONE_PLACE}, but multiple fields are set");
            errors.invalid_as(spec, format!("{{{}}}", said.join(", ")), detail);
        }
    }
}

fn device(at: &Cursor, errors: &mut Errors) {
    label(&at.child("name"), errors);
    let (attributes, capacities) = (at.child("attributes"), at.child("capacity"));
    let count = attributes.len() + capacities.len();
    if count > MAX_ATTRIBUTES {
        let detail = format!("the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}");
        errors.invalid_as(at, count, detail);
    }
    for (name, one) in attributes.entries() {
        qualified_name(&one, name, errors);
        attribute(&one, errors);
    }
    for (name, one) in capacities.entries() {
        qualified_name(&one, name, errors);
    }
}

fn attribute(at: &Cursor, errors: &mut Errors) {
    let (string, version) = (at.child("string"), at.child("version"));
    if string.len() > MAX_VALUE {
        errors.too_long(&string, MAX_VALUE);
    }
    if version.is_set() {
        if !is_version(version.str()) {
            errors.invalid(&version, "must be a string compatible with semver.org spec 2.0.0");
        }
        if version.len() > MAX_VALUE {
            errors.too_long(&version, MAX_VALUE);
        }
    }
    let detail = "exactly one value must be specified";
    match ["bool", "int", "string", "version"].iter().filter(|name| at.has(name)).count() {
        0 => errors.invalid_as(at, "", detail),
        1 => {}
        _ => errors.invalid(at, detail),
    }
}

/// Three numbers, then what comes before the release and what it was built from (semver.org 2.0.0).
fn is_version(text: &str) -> bool {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let before_release = |part: &str| number(part) || (word(part) && part.bytes().any(|byte| !byte.is_ascii_digit()));
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, before) = rest.split_once('-').map_or((rest, None), |(core, before)| (core, Some(before)));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && before.is_none_or(|before| before.split('.').all(before_release))
        && build.is_none_or(|build| build.split('.').all(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn slice(change: impl FnOnce(&mut Value)) -> Object {
        let mut slice = json!({"metadata": {"generation": 3}, "spec": {"driver": "d.example.com", "allNodes": true,
            "pool": {"name": "p/q", "resourceSliceCount": 1, "generation": 1}, "devices": [{"name": "a"}]}});
        change(&mut slice["spec"]);
        slice
    }

    #[test]
    fn a_slice_says_of_whom_and_where_its_devices_are() {
        let one_place = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
        assert_eq!(Slice.validate(&slice(|_| {})), []);
        let expected = [
            "spec.driver: Required value".to_owned(),
            "spec.pool.name: Required value".to_owned(),
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero".to_owned(),
            format!("spec: Required value: {one_place}"),
        ];
        assert_eq!(said(&Slice.validate(&json!({"spec": {}}))), expected);
        let both = slice(|spec| {
            spec["nodeName"] = json!("n");
            spec["nodeSelector"] = json!({"nodeSelectorTerms": []});
            spec["allNodes"] = json!(false);
        });
        let expected = [
            "spec.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term".to_owned(),
            "spec.nodeSelector.nodeSelectorTerms: Invalid value: []: must have exactly one node selector term"
                .to_owned(),
            "spec.allNodes: Invalid value: false: must be either unset or set to true".to_owned(),
            format!(
                "spec: Invalid value: \"{{`nodeName`, `nodeSelector`}}\": {one_place}, but multiple fields are set"
            ),
        ];
        assert_eq!(said(&Slice.validate(&both)), expected);
        let moved = slice(|spec| spec["driver"] = json!("e.example.com"));
        assert_eq!(Slice.validate_again(&moved, &slice(|_| {})).len(), 1);
    }

    #[test]
    fn devices_have_attributes_and_capacities() {
        let table = [
            (
                json!([{"name": "a", "attributes": {"model": {"string": "x"}, "v": {"version": "1.0.0-rc.1+b"}}}]),
                vec![],
            ),
            (json!([{"name": "a", "capacity": {"d.example.com/memory": {"value": "1Gi"}}}]), vec![]),
            (json!([{"name": "a"}, {"name": "a"}]), vec!["spec.devices[1]: Duplicate value: \"a\""]),
            (
                json!([{"name": "a", "attributes": {"a": {}, "v": {"version": "1.02.0"}}}]),
                vec![
                    "spec.devices[0].attributes[a]: Invalid value: \"\": exactly one value must be specified",
                    "spec.devices[0].attributes[v].version: Invalid value: \"1.02.0\": must be a string compatible with semver.org \
                     spec 2.0.0",
                ],
            ),
            (
                json!([{"name": "a", "attributes": {"a": {"int": 1, "bool": true}}, "capacity": {"/": {}}}]),
                vec![
                    "spec.devices[0].attributes[a]: Invalid value: {\"bool\":true,\"int\":1}: exactly one value must be specified",
                    "spec.devices[0].capacity[/]: Invalid value: \"\": the domain must not be empty",
                    "spec.devices[0].capacity[/]: Invalid value: \"\": the name must not be empty",
                ],
            ),
        ];
        for (devices, expected) in table {
            assert_eq!(said(&Slice.validate(&slice(|spec| spec["devices"] = devices))), expected);
        }
        let many =
            |count| slice(|spec| spec["devices"] = (0..count).map(|n| json!({"name": format!("d{n}")})).collect());
        assert_eq!(Slice.validate(&many(128)), []);
        assert_eq!(said(&Slice.validate(&many(129))), ["spec.devices: Too many: 129: must have at most 128 items"]);
    }

    #[test]
    fn versions() {
        for good in ["1.2.3", "0.0.0", "1.2.3-rc.1", "1.2.3-a-b.0a", "1.2.3+b.01", "1.2.3-x+y-z"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2.3-a..b", "v1.2.3", "1.2.3+a+b"]
        {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_dropped_counts_as_a_change() {
        let old = slice(|_| {});
        let tainted = json!([{"name": "a", "taints": [{"key": "a", "effect": "NoSchedule"}]}]);
        let table = [(slice(|_| {}), 3), (slice(|spec| spec["devices"] = tainted), 4)];
        for (mut new, generation) in table {
            Slice.prepare_for_update(&mut new, &old);
            assert_eq!(new["spec"], old["spec"]);
            assert_eq!(new["metadata"]["generation"], generation);
        }
    }

    #[test]
    fn amounts_are_canonical() {
        let capacity = json!({"m": {"value": "1024Mi"}, "n": {}});
        let mut new = slice(|spec| spec["devices"] = json!([{"name": "a", "capacity": capacity}]));
        Slice.defaults(&mut new, None);
        assert_eq!(new["spec"]["devices"][0]["capacity"], json!({"m": {"value": "1Gi"}, "n": {"value": "0"}}));
    }

    #[test]
    fn drivers_are_lowercase_or_warned() {
        let expected = "spec.driver: driver names should be lowercase; \"D\" contains uppercase characters";
        assert_eq!(Slice.warnings(&slice(|spec| spec["driver"] = json!("D"))), [expected]);
        assert_eq!(Slice.warnings(&slice(|_| {})), [""; 0]);
    }
}
