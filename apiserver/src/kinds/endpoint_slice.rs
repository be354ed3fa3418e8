//! EndpointSlice.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::meta::Meta;
use api::names;
use serde_json::Value;

use super::addresses;
use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, list, text};
use super::edit::{default_to, list_mut, remove, set};
use super::endpoints::special_address;
use super::equality::{changed, same_field};
use super::selectors::{label_name, labels};
use crate::strategy::Strategy;

const HOSTNAME: &str = "kubernetes.io/hostname";
const MAX_PORTS: usize = 20000;
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_HINTS: usize = 8;

#[derive(Debug)]
pub struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        for port in list_mut(new, "ports") {
            default_to(port, "name", "");
            default_to(port, "protocol", "TCP");
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        drop_topology(new, None);
    }

    fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        // What is dropped counts.
        if !same_field(new, old, "endpoints") && drop_topology(new, Some(old)) {
            api::meta::set(new, "generation", old.generation() + 1);
        }
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        let labels = changed(field(new, "metadata"), field(old, "metadata"), "labels");
        labels || ["addressType", "endpoints", "ports"].iter().any(|name| changed(new, old, name))
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let kind = Cursor::root(new, "addressType");
        errors.one_of(&kind, &["FQDN", "IPv4", "IPv6"]);
        ports(&Cursor::root(new, "ports"), &mut errors);
        let all = Cursor::root(new, "endpoints");
        if !too_many(&all, MAX_ENDPOINTS, &mut errors) {
            for at in all.items() {
                endpoint(&at, kind.str(), &mut errors);
            }
        }
        errors.into_vec()
    }

    /// Endpoints that were there before are left alone.
    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        if same_field(new, old, "endpoints") {
            errors.retain(|error| !error.path.as_str().starts_with("endpoints"));
        }
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        if text(new, "addressType") != text(old, "addressType") {
            errors.invalid(&Cursor::root(new, "addressType"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let mut warnings = Vec::new();
        if text(new, "addressType") == "FQDN" {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
            return warnings;
        }
        self.warnings_of_update(new, new)
    }

    fn warnings_of_update(&self, new: &Object, _old: &Object) -> Vec<String> {
        let mut warnings = Vec::new();
        if text(new, "addressType") == "FQDN" {
            return warnings;
        }
        for endpoint in Cursor::root(new, "endpoints").items() {
            for address in endpoint.child("addresses").items() {
                warnings.extend(addresses::warning(address.path().as_str(), address.str()));
            }
        }
        warnings
    }
}

/// A name of at least two parts (`IsFullyQualifiedDomainName`).
fn domain(at: &Cursor<'_, '_>, errors: &mut Errors) {
    let name = at.str().strip_suffix('.').unwrap_or(at.str());
    let wrong = names::dns1123_subdomain(name);
    let parts = name.split('.').map(|part| (part, names::dns1123_label(part)));
    let wrong_part = parts.into_iter().find(|(_, wrong)| !wrong.is_empty());
    if at.str().is_empty() {
        errors.required(at);
    } else if !wrong.is_empty() {
        errors.invalid_as(at, name, wrong.join(","));
    } else if !name.contains('.') {
        errors.invalid_as(at, name, "should be a domain with at least two segments separated by dots");
    } else if let Some((part, wrong)) = wrong_part {
        errors.invalid_as(at, part, wrong.join(","));
    }
}

/// v1 does not write `deprecatedTopology`. A node that only an old version of the slice names there is kept as the
/// endpoint's node (upstream's `dropTopologyOnV1`). Tells whether there was something to drop.
fn drop_topology(new: &mut Object, old: Option<&Object>) -> bool {
    let mut dropped = false;
    let node = |endpoint: &Value| text(field(endpoint, "deprecatedTopology"), HOSTNAME).to_owned();
    let known: Vec<String> = old.map_or_else(Vec::new, |old| list(old, "endpoints").iter().map(node).collect());
    for endpoint in list_mut(new, "endpoints") {
        let named = node(endpoint);
        if !named.is_empty()
            && field(endpoint, "nodeName").is_null()
            && known.contains(&named)
            && names::dns1123_subdomain(&named).is_empty()
        {
            set(endpoint, "nodeName", named);
        }
        dropped |= remove(endpoint, "deprecatedTopology").is_some_and(|topology| !topology.is_null());
    }
    dropped
}

fn too_many(at: &Cursor, max: usize, errors: &mut Errors) -> bool {
    let count = at.len();
    if count > max {
        errors.too_many(at, max);
    }
    count > max
}

fn ports(at: &Cursor, errors: &mut Errors) {
    if too_many(at, MAX_PORTS, errors) {
        return;
    }
    let mut seen = BTreeSet::new();
    for port in at.items() {
        let (name, protocol) = (port.child("name"), port.child("appProtocol"));
        if !name.str().is_empty() {
            errors.messages(&name, names::dns1123_label(name.str()));
        }
        if !seen.insert(name.str()) {
            errors.duplicate(&name);
        }
        errors.one_of(&port.child("protocol"), &["SCTP", "TCP", "UDP"]);
        if protocol.is_set() {
            label_name(&protocol, errors);
        }
    }
}

fn endpoint(at: &Cursor, kind: &str, errors: &mut Errors) {
    let all = at.child("addresses");
    if all.is_empty() {
        errors.required_because(&all, "must contain at least 1 address");
    }
    too_many(&all, MAX_ADDRESSES, errors);
    for address in all.items() {
        match kind {
            "IPv4" | "IPv6" => ip(&all, &address, kind, errors),
            "FQDN" => domain(&address, errors),
            _ => {}
        }
    }
    let (node, host) = (at.child("nodeName"), at.child("hostname"));
    if node.is_set() {
        errors.messages(&node, names::dns1123_subdomain(node.str()));
    }
    labels(&at.child("deprecatedTopology"), errors);
    if host.is_set() {
        errors.messages(&host, names::dns1123_label(host.str()));
    }
    let all_hints = at.child("hints");
    for (name, rule) in
        [("forZones", names::label_value as fn(&str) -> Vec<String>), ("forNodes", names::dns1123_subdomain)]
    {
        if !hints(&all_hints.child(name), rule, errors) {
            return;
        }
    }
}

fn hints(at: &Cursor, rule: fn(&str) -> Vec<String>, errors: &mut Errors) -> bool {
    if too_many(at, MAX_HINTS, errors) {
        return false;
    }
    let mut seen = BTreeSet::new();
    for hint in at.items() {
        let name = hint.child("name");
        if !seen.insert(name.str()) {
            errors.duplicate(&name);
        }
        errors.messages(&name, rule(name.str()));
    }
    true
}

fn ip(all: &Cursor, at: &Cursor, family: &str, errors: &mut Errors) {
    let before = errors.len();
    addresses::ip(at, errors);
    if errors.len() > before {
        return;
    }
    if addresses::parse(at.str()).map(addresses::family) != Some(family) {
        errors.invalid_as(all, at.str(), format!("must be an {family} address"));
    }
    special_address(at, errors);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn domains_have_two_parts() {
        let long = "a".repeat(64);
        let table = [
            ("a.b", None),
            ("a.b.", None),
            ("a-b", Some(json!("a-b"))),
            ("a.", Some(json!("a"))),
            ("A.b", Some(json!("A.b"))),
            ("", Some(Value::Null)),
            (&format!("{long}.b"), Some(json!(long))),
        ];
        for (address, expected) in table {
            let slice = json!({"addressType": "FQDN", "endpoints": [{"addresses": [address]}]});
            let found = EndpointSlice.validate(&slice);
            assert_eq!(found.first().map(|error| error.value.clone()), expected, "{address}");
        }
    }

    #[test]
    fn topology_is_not_written() {
        let with = |value: &str| json!({"endpoints": [{"addresses": ["a"], "deprecatedTopology": {HOSTNAME: value}}]});
        let mut new = with("n");
        EndpointSlice.prepare_for_create(&mut new);
        assert_eq!(new, json!({"endpoints": [{"addresses": ["a"]}]}));
        let mut same = with("n");
        EndpointSlice.prepare_for_update(&mut same, &with("n"));
        assert_eq!(same, with("n"));
        let mut changed = with("n");
        changed["endpoints"][0]["addresses"] = json!(["b"]);
        EndpointSlice.prepare_for_update(&mut changed, &with("n"));
        let expected = json!({"metadata": {"generation": 1}, "endpoints": [{"addresses": ["b"], "nodeName": "n"}]});
        assert_eq!(changed, expected);
        let mut plain = json!({"endpoints": [{"addresses": ["b"]}]});
        EndpointSlice.prepare_for_update(&mut plain, &json!({"endpoints": [{"addresses": ["a"]}]}));
        assert_eq!(plain, json!({"endpoints": [{"addresses": ["b"]}]}));
        let mut only_topology = json!({"endpoints": [{"addresses": ["a"], "deprecatedTopology": {}}]});
        only_topology["endpoints"][0]["deprecatedTopology"]["x"] = json!("y");
        EndpointSlice.prepare_for_update(&mut only_topology, &json!({"endpoints": [{"addresses": ["a"]}]}));
        assert_eq!(only_topology, json!({"metadata": {"generation": 1}, "endpoints": [{"addresses": ["a"]}]}));
    }

    #[test]
    fn slices_are_checked() {
        let table: &[(&str, Value, &[&str])] = &[
            (
                "valid",
                json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
                &[],
            ),
            ("no type", json!({"endpoints": []}), &["addressType: Required value"]),
            (
                "no address",
                json!({"addressType": "IPv4", "endpoints": [{}]}),
                &["endpoints[0].addresses: Required value: must contain at least 1 address"],
            ),
            (
                "other family",
                json!({"addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}]}),
                &["endpoints[0].addresses: Invalid value: \"10.0.0.1\": must be an IPv6 address"],
            ),
            (
                "two ports without names",
                json!({"addressType": "IPv4", "ports": [{"port": 80}, {"port": 81}]}),
                &["ports[1].name: Duplicate value: \"\""],
            ),
        ];
        for (name, object, expected) in table {
            let mut object = object.clone();
            EndpointSlice.defaults(&mut object, None);
            let errors: Vec<String> = EndpointSlice.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(errors, *expected, "{name}");
        }
    }

    #[test]
    fn labels_count_as_content() {
        let old = json!({"addressType": "IPv4", "metadata": {"labels": {"a": "b"}}});
        let new = json!({"addressType": "IPv4", "metadata": {"labels": {"a": "c"}}});
        assert!(EndpointSlice.bumps_generation(&new, &old));
        assert!(!EndpointSlice.bumps_generation(&old, &old));
    }
}
