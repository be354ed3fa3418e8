//! What a pod gets from the server when it is written.

use api::Object;
use serde_json::{Map, Value, json};

use super::super::cursor::{field, flag, list, number, text};
use super::super::edit::{default_number, default_to, get_mut, list_mut, object_mut, set};
use super::super::pod_template::defaults::spec as spec_defaults;
use super::super::pod_template::pod_level::aggregate;
use super::super::pod_template::resources::is_huge_page;
use super::super::quantities::parse_value;
use super::{labels, qos};

pub fn defaults(pod: &mut Object) {
    if let Some(status) = get_mut(pod, "status") {
        mirror_addresses(status);
    }
    let Some(spec) = get_mut(pod, "spec") else { return };
    spec_defaults(spec);
    for list in ["containers", "initContainers"] {
        for container in list_mut(spec, list) {
            requests_from_limits(container);
        }
    }
    pod_level_defaults(spec);
    default_to(spec, "enableServiceLinks", true);
    if flag(spec, "hostNetwork") == Some(true) {
        for list in ["containers", "initContainers"] {
            for container in list_mut(spec, list) {
                for port in list_mut(container, "ports") {
                    let own = number(port, "containerPort").unwrap_or_default();
                    if own != 0 {
                        default_number(port, "hostPort", own);
                    }
                }
            }
        }
    }
    if number(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        set(spec, "terminationGracePeriodSeconds", 1);
    }
}

/// A limit without a request is a request of the same amount.
fn requests_from_limits(container: &mut Value) {
    let Some(resources) = get_mut(container, "resources") else { return };
    let Some(limits) = field(resources, "limits").as_object().cloned() else { return };
    let Some(Value::Object(requests)) = object_mut(resources, "requests") else { return };
    for (name, amount) in limits {
        requests.entry(name).or_insert(amount);
    }
}

/// `spec.resources`, once anything in it is given: huge page limits from the containers, requests from the containers and then
/// from the pod's own limits.
fn pod_level_defaults(spec: &mut Value) {
    let resources = field(spec, "resources");
    let members = |name: &str| field(resources, name).as_object().cloned().unwrap_or_default();
    let (mut limits, mut requests) = (members("limits"), members("requests"));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    for (name, amount) in aggregate(spec, "limits") {
        if is_huge_page(&name) && !requests.contains_key(&name) {
            limits.entry(name).or_insert(amount.to_string().into());
        }
    }
    if !limits.is_empty() {
        for (name, amount) in aggregate(spec, "requests") {
            if matches!(name.as_str(), "cpu" | "memory") {
                requests.entry(name).or_insert(amount.to_string().into());
            }
        }
        for (name, amount) in &limits {
            if matches!(name.as_str(), "cpu" | "memory") || is_huge_page(name) {
                requests.entry(name.clone()).or_insert(amount.clone());
            }
        }
    }
    let Some(resources) = get_mut(spec, "resources") else { return };
    for (name, members) in [("limits", limits), ("requests", requests)] {
        if !members.is_empty() {
            set(resources, name, members);
        }
    }
}

pub fn for_create(pod: &mut Object) {
    let mut status = Map::new();
    status.insert("phase".to_owned(), "Pending".into());
    // A client's word counts (upstream's `GetPodQOS`), for this alone.
    let class = text(field(pod, "status"), "qosClass").to_owned();
    let class = if class.is_empty() { qos::class(pod).to_owned() } else { class };
    status.insert("qosClass".to_owned(), class.into());
    if !list(field(pod, "spec"), "schedulingGates").is_empty() {
        let condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": field(field(pod, "metadata"), "creationTimestamp"),
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        });
        status.insert("conditions".to_owned(), Value::Array(vec![condition]));
    }
    set(pod, "status", status);
    labels::merge_label_keys(pod);
}

/// Both spellings of the addresses of a pod; a single one wins over a list that says otherwise.
pub fn mirror_addresses(status: &mut Value) {
    let single = text(status, "podIP").to_owned();
    let first = list(status, "podIPs").first().map(|item| text(item, "ip").to_owned()).unwrap_or_default();
    if !single.is_empty() && single != first {
        set(status, "podIPs", json!([{ "ip": single }]));
    } else if single.is_empty() && !first.is_empty() {
        set(status, "podIP", first);
    }
}

/// Whether a quantity is there and more than nothing.
pub fn is_positive(amount: &Value) -> bool {
    parse_value(amount).is_some_and(|amount| !amount.is_zero() && !amount.is_negative())
}
