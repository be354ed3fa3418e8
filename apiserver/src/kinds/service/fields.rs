//! The fields of a Service that follow from others, or from the stored Service.

use serde_json::{Value, json};

use super::super::addresses;
use super::super::cursor::{field, list, number, text};
use super::super::edit::{copy, default_text, default_to, get_mut, list_mut, remove, set};
use super::{is_external, kind, needs_cluster_ip, needs_health_check, needs_node_port, node_port};

const AFFINITY_SECONDS: i64 = 10800;

pub fn defaults(service: &mut Value) {
    let Some(spec) = get_mut(service, "spec") else { return };
    default_text(spec, "sessionAffinity", "None");
    default_text(spec, "type", "ClusterIP");
    affinity(spec);
    for port in list_mut(spec, "ports") {
        default_text(port, "protocol", "TCP");
        let own = number(port, "port").unwrap_or_default();
        if matches!(field(port, "targetPort"), target if target.is_null() || target == 0 || target == "") {
            set(port, "targetPort", own);
        }
    }
    let (external, kind) = (is_external(service), kind(service).to_owned());
    if let Some(spec) = get_mut(service, "spec") {
        if external {
            default_text(spec, "externalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
            default_to(spec, "internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            default_to(spec, "allocateLoadBalancerNodePorts", true);
        }
    }
    status(service, kind == "LoadBalancer");
}

fn affinity(spec: &mut Value) {
    match text(spec, "sessionAffinity") {
        "None" => {
            remove(spec, "sessionAffinityConfig");
        }
        "ClientIP" => {
            let config = field(field(spec, "sessionAffinityConfig"), "clientIP");
            if field(config, "timeoutSeconds").is_null() {
                set(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}));
            }
        }
        _ => {}
    }
}

/// Addresses of a load balancer say how they are reached.
fn status(service: &mut Value, balanced: bool) {
    let balancer = get_mut(service, "status").and_then(|status| get_mut(status, "loadBalancer"));
    let Some(balancer) = balancer.filter(|_| balanced) else { return };
    for ingress in list_mut(balancer, "ingress") {
        if !text(ingress, "ip").is_empty() {
            default_to(ingress, "ipMode", "VIP");
        }
    }
}

/// An old client may give `clusterIP` alone.
pub fn both_addresses(service: &mut Value) {
    let Some(spec) = get_mut(service, "spec") else { return };
    let single = text(spec, "clusterIP").to_owned();
    if !single.is_empty() && list(spec, "clusterIPs").is_empty() {
        set(spec, "clusterIPs", json!([single]));
    }
}

/// What goes with the allocation of addresses: nobody manages it.
pub fn infer_families(service: &mut Value, old: Option<&Value>) {
    if kind(service) != "ExternalName"
        && !old.is_some_and(|old| prefers_as_before(service, old))
        && let Some(spec) = get_mut(service, "spec")
    {
        families(spec, old.map(|old| field(old, "spec")));
    }
}

/// A Service that prefers two families is left as it is while it asks for the same (`isMatchingPreferDualStackClusterIPFields`).
fn prefers_as_before(new: &Value, old: &Value) -> bool {
    let (new, old) = (field(new, "spec"), field(old, "spec"));
    let prefers = |spec: &Value| text(spec, "ipFamilyPolicy") == "PreferDualStack";
    prefers(new)
        && (prefers(old) || field(old, "ipFamilyPolicy").is_null())
        && text(new, "type") == text(old, "type")
        && ["clusterIPs", "ipFamilies"].iter().all(|name| list(new, name) == list(old, name))
}

/// `ipFamilyPolicy` and `ipFamilies` in a cluster whose Services have IPv4 addresses only.
fn families(spec: &mut Value, old: Option<&Value>) {
    let unselecting = text(spec, "clusterIP") == "None" && super::super::cursor::size(field(spec, "selector")) == 0;
    if field(spec, "ipFamilyPolicy").is_null() {
        let before = old.map(|old| text(old, "ipFamilyPolicy")).filter(|policy| !policy.is_empty());
        let policy = before.unwrap_or(if unselecting { "RequireDualStack" } else { "SingleStack" }).to_owned();
        set(spec, "ipFamilyPolicy", policy);
    }
    let mut families: Vec<Value> = list(spec, "ipFamilies").to_vec();
    for ip in list(spec, "clusterIPs").iter().skip(families.len()).filter_map(Value::as_str) {
        if let Some(address) = addresses::parse(ip) {
            families.push(addresses::family(address).into());
        }
    }
    if families.is_empty() {
        families.push("IPv4".into());
    }
    if unselecting && families.len() == 1 && text(spec, "ipFamilyPolicy") != "SingleStack" {
        families.push(if families[0] == "IPv4" { "IPv6".into() } else { "IPv4".into() });
    }
    set(spec, "ipFamilies", families);
}

/// Values that the server once allocated stay when the client leaves them out, or speaks only of the old single field.
pub fn keep_allocated(new: &mut Value, old: &Value) {
    if needs_cluster_ip(new) && needs_cluster_ip(old) {
        keep_cluster_ips(new, field(old, "spec"));
    }
    if needs_node_port(new) && needs_node_port(old) {
        keep_node_ports(new, field(old, "spec"));
    }
    if needs_health_check(new) && needs_health_check(old) {
        let spec = field(new, "spec");
        if number(spec, "healthCheckNodePort").unwrap_or_default() == 0
            && let Some(spec) = get_mut(new, "spec")
        {
            copy(spec, field(old, "spec"), "healthCheckNodePort");
        }
    }
}

fn keep_cluster_ips(new: &mut Value, old: &Value) {
    let Some(spec) = get_mut(new, "spec") else { return };
    if text(spec, "clusterIP").is_empty() {
        copy(spec, old, "clusterIP");
    }
    if list(spec, "clusterIPs").is_empty() {
        copy(spec, old, "clusterIPs");
    }
    let single = text(spec, "clusterIP").to_owned();
    if single != text(old, "clusterIP") && list(spec, "clusterIPs") == list(old, "clusterIPs") {
        set(spec, "clusterIPs", json!([single]));
    }
}

fn keep_node_ports(new: &mut Value, old: &Value) {
    let old_ports = list(old, "ports");
    let Some(spec) = get_mut(new, "spec") else { return };
    let kept: Vec<i64> = list(spec, "ports").iter().map(node_port).filter(|port| *port != 0).collect();
    for port in list_mut(spec, "ports") {
        if node_port(port) != 0 {
            continue;
        }
        let before = old_ports.iter().rev().find(|old| text(old, "name") == text(port, "name")).map(node_port);
        if let Some(number) = before.filter(|number| *number != 0 && !kept.contains(number)) {
            set(port, "nodePort", number);
        }
    }
}

/// A change of type drops what the new type has no use for, unless the client changed that as well.
pub fn drop_by_type(new: &mut Value, old: &Value) {
    let old_spec = field(old, "spec");
    let same = |new: &Value, name: &str| super::super::equality::same_field(field(new, "spec"), old_spec, name);
    let mut dropped = Vec::new();
    if !needs_cluster_ip(new) {
        // Upstream keeps it and does not show it.
        dropped.push("internalTrafficPolicy");
    }
    if needs_cluster_ip(old) && !needs_cluster_ip(new) {
        if same(new, "clusterIP") && same(new, "clusterIPs") {
            dropped.extend(["clusterIP", "clusterIPs"]);
        }
        dropped.extend(["ipFamilies", "ipFamilyPolicy"].into_iter().filter(|name| same(new, name)));
    }
    if needs_health_check(old) && !needs_health_check(new) && same(new, "healthCheckNodePort") {
        dropped.push("healthCheckNodePort");
    }
    if kind(old) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        let names = ["allocateLoadBalancerNodePorts", "loadBalancerClass"];
        dropped.extend(names.into_iter().filter(|name| same(new, name)));
    }
    if is_external(old) && !is_external(new) && same(new, "externalTrafficPolicy") {
        dropped.push("externalTrafficPolicy");
    }
    let old_ports: Vec<i64> = list(old_spec, "ports").iter().map(node_port).collect();
    let known = list(field(new, "spec"), "ports")
        .iter()
        .all(|port| node_port(port) == 0 || old_ports.contains(&node_port(port)));
    let free_ports = needs_node_port(old) && !needs_node_port(new) && known;
    let balanced = kind(new) == "LoadBalancer";
    if let Some(spec) = get_mut(new, "spec") {
        for name in dropped {
            remove(spec, name);
        }
        for port in list_mut(spec, "ports").iter_mut().filter(|_| free_ports) {
            remove(port, "nodePort");
        }
    }
    if let Some(status) = get_mut(new, "status").filter(|_| !balanced) {
        set(status, "loadBalancer", json!({}));
    }
}
