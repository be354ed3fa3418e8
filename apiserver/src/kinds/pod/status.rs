//! The subresource `status` of a pod: what the kubelet, the scheduler and controllers report.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::field::FieldError;
use api::names;
use serde_json::Value;

use super::super::addresses;
use super::super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, list, number, text};
use super::super::edit::{copy, get_mut, list_mut, set};
use super::super::pod_template::annotations::of_pod;
use super::super::selectors::label_name;
use super::update::annotations;
use super::{find, prepare};

const STATUS_LISTS: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

pub fn prepare(new: &mut Value, old: &Value) {
    if let Some(metadata) = get_mut(new, "metadata") {
        let old = field(old, "metadata");
        copy(metadata, old, "ownerReferences");
        copy(metadata, old, "deletionTimestamp");
    }
    let old = field(old, "status");
    let Some(status) = get_mut(new, "status") else { return };
    prepare::mirror_addresses(status);
    if text(status, "qosClass").is_empty() {
        copy(status, old, "qosClass");
    }
    keep_observed_generation(status, old);
}

/// Who does not know of `observedGeneration` does not take it away. Conditions of one type are matched in their order.
fn keep_observed_generation(status: &mut Value, old: &Value) {
    if number(status, "observedGeneration").unwrap_or_default() == 0 {
        copy(status, old, "observedGeneration");
    }
    let mut before: Vec<(&str, i64)> = list(old, "conditions")
        .iter()
        .map(|condition| (text(condition, "type"), number(condition, "observedGeneration").unwrap_or_default()))
        .collect();
    for condition in list_mut(status, "conditions") {
        let Some(index) = before.iter().position(|(kind, _)| *kind == text(condition, "type")) else { continue };
        let (_, generation) = before.remove(index);
        if generation != 0 && number(condition, "observedGeneration").unwrap_or_default() == 0 {
            set(condition, "observedGeneration", generation);
        }
    }
}

pub fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let metadata = Cursor::root(new, "metadata");
    annotations(new, old, &mut errors);
    of_pod(&metadata.child("annotations"), field(new, "spec"), &mut errors);
    let status = Cursor::root(new, "status");
    let old_status = field(old, "status");
    conditions(&status.child("conditions"), &mut errors);
    nominated_node(&status, old, &mut errors);
    let generation = status.child("observedGeneration");
    if generation.int().is_some_and(|generation| generation < 0) {
        errors.invalid(&generation, "must be a non-negative integer");
    }
    let class = status.child("qosClass");
    if class.str() != text(old_status, "qosClass") {
        errors.invalid_text(&class, IS_IMMUTABLE);
    }
    for name in STATUS_LISTS {
        transitions(&status, name, old, &mut errors);
    }
    claims(&status.child("resourceClaimStatuses"), field(new, "spec"), &mut errors);
    pod_addresses(&status, old_status, &mut errors);
    host_addresses(&status, old_status, &mut errors);
    errors.into_vec()
}

fn conditions(at: &Cursor, errors: &mut Errors) {
    for condition in at.items() {
        let generation = condition.child("observedGeneration");
        if generation.int().is_some_and(|generation| generation < 0) {
            errors.invalid(&generation, "must be a non-negative integer");
        }
        let kind = condition.text("type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            label_name(&condition.child("Type").showing(field(condition.value, "type")), errors);
        }
    }
}

/// Each is of a claim that the pod has.
fn claims(at: &Cursor, spec: &Value, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for status in at.items() {
        let name = status.child("name");
        if !list(spec, "resourceClaims").iter().any(|claim| text(claim, "name") == name.str()) {
            errors.invalid_text(&name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.str()) {
            errors.duplicate_as(&name, name.str());
        }
        let claim = status.child("resourceClaimName");
        for detail in names::dns1123_subdomain(claim.str()).into_iter().filter(|_| claim.is_set()) {
            errors.invalid_as(&name, claim.str(), detail);
        }
    }
}

fn nominated_node(status: &Cursor, old: &Value, errors: &mut Errors) {
    let node = status.child("nominatedNodeName");
    if node.str().is_empty() || node.str() == text(field(old, "status"), "nominatedNodeName") {
        return;
    }
    errors.messages(&node, names::dns1123_subdomain(node.str()));
    if !text(field(old, "spec"), "nodeName").is_empty() {
        errors.forbidden(&node, "may not be set on pods that are already bound to a node");
    }
}

/// A container that ended for good does not come back.
fn transitions(status: &Cursor, list_name: &str, old: &Value, errors: &mut Errors) {
    let at = status.child(list_name);
    for (index, before) in list(field(old, "status"), list_name).iter().enumerate() {
        let terminated = field(field(before, "state"), "terminated");
        let name = text(before, "name");
        let Some(now) = at.items().find(|now| now.text("name") == name).filter(|_| !terminated.is_null()) else {
            continue;
        };
        let still = !field(field(now.value, "state"), "terminated").is_null();
        if !still && !may_restart(old, list_name, name, number(terminated, "exitCode").unwrap_or_default()) {
            let place = at.index(index);
            errors.forbidden(&place.child("state"), "may not be transitioned to non-terminated state");
        }
    }
}

fn may_restart(pod: &Value, list_name: &str, name: &str, exit_code: i64) -> bool {
    let spec = field(pod, "spec");
    let containers = match list_name {
        "containerStatuses" => "containers",
        "initContainerStatuses" => "initContainers",
        _ => return false,
    };
    let Some(container) = find(spec, containers, name) else { return false };
    let own = text(container, "restartPolicy");
    if own.is_empty() {
        return by_policy(text(spec, "restartPolicy"), exit_code);
    }
    let ruled = list(container, "restartPolicyRules").iter().any(|rule| {
        let codes = field(rule, "exitCodes");
        let listed = list(codes, "values").iter().any(|value| value.as_i64() == Some(exit_code));
        text(rule, "action") == "Restart" && listed == (text(codes, "operator") == "In")
    });
    ruled || by_policy(own, exit_code)
}

fn by_policy(policy: &str, exit_code: i64) -> bool {
    policy == "Always" || (policy == "OnFailure" && exit_code != 0)
}

fn pod_addresses(status: &Cursor, old: &Value, errors: &mut Errors) {
    let at = status.child("podIPs");
    ips(&at, list(old, "podIPs"), errors);
}

fn host_addresses(status: &Cursor, old: &Value, errors: &mut Errors) {
    let at = status.child("hostIPs");
    let Some(first) = at.items().next() else { return };
    if first.text("ip") != status.text("hostIP") {
        errors.invalid_text(&first.child("ip"), "must be equal to `hostIP`");
    }
    ips(&at, list(old, "hostIPs"), errors);
}

/// Addresses, at most one of each family. What was there before is not questioned.
fn ips(at: &Cursor, old: &[Value], errors: &mut Errors) {
    for item in at.items() {
        let known = old.iter().any(|old| text(old, "ip") == item.text("ip"));
        if !known {
            addresses::ip(&item.showing(field(item.value, "ip")), errors);
        }
    }
    if at.len() < 2 {
        return;
    }
    let addresses: Vec<(&str, Option<IpAddr>)> =
        at.items().map(|item| item.text("ip")).map(|text| (text, addresses::parse(text))).collect();
    let unread = addresses.iter().position(|(_, address)| address.is_none());
    if let Some(index) = unread {
        let why = format!("invalid IP[{index}]: {}", addresses[index].0);
        errors.internal(at, format!("failed to check for dual stack with error:{why}"));
    }
    let of_both = |v4: bool| addresses.iter().any(|(_, address)| address.is_some_and(|ip| ip.is_ipv4() == v4));
    if unread.is_some() || addresses.len() > 2 || !of_both(true) || !of_both(false) {
        errors.invalid(at, "may specify no more than one IP for each IP family");
    }
}
