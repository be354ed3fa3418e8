//! What a Service needs and has.

use std::collections::BTreeSet;

use api::Object;
use serde_json::Value;

use super::Item;

pub(super) fn needs_node_ports(service: &Object) -> bool {
    match service["spec"]["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

pub(super) fn needs_health_port(service: &Object) -> bool {
    let spec = &service["spec"];
    spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

/// It could have an address.
pub(super) fn stays_without_address(service: &Object) -> bool {
    service["spec"]["type"] != "ExternalName" && service["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty()
}

/// What a client that updates a Service may leave out stays; what its new type does not have goes.
pub(super) fn carry_over(new: &mut Object, old: &Object) {
    let external = |service: &Object| service["spec"]["type"] == "ExternalName";
    if external(new) {
        if !external(old) {
            remove(new, &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
        }
    } else if new["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty() && !external(old) {
        for key in ["clusterIP", "clusterIPs"] {
            if let Some(value) = old["spec"].get(key) {
                new["spec"][key] = value.clone();
            }
        }
    }
    if needs_node_ports(new) {
        let old_ports = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
            let same = |old: &&Value| old["port"] == port["port"] && old["protocol"] == port["protocol"];
            if port["nodePort"].as_u64().unwrap_or_default() == 0
                && let Some(kept) = old_ports.iter().find(same).and_then(|old| old.get("nodePort"))
            {
                port["nodePort"] = kept.clone();
            }
        }
    } else if needs_node_ports(old) {
        // Only what was allocated before goes: ports that a client names anew are for validation to refuse.
        let allocated: BTreeSet<Item> = items_of(old);
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
            let number = port["nodePort"].as_u64().and_then(|port| u16::try_from(port).ok());
            if number.is_some_and(|number| allocated.contains(&Item::Port(number))) {
                port.as_object_mut().and_then(|port| port.remove("nodePort"));
            }
        }
    }
    if needs_health_port(old) && !needs_health_port(new) {
        remove(new, &["healthCheckNodePort"]);
    }
}

fn remove(service: &mut Object, keys: &[&str]) {
    if let Some(spec) = service["spec"].as_object_mut() {
        keys.iter().for_each(|key| {
            spec.remove(*key);
        });
    }
}

pub(super) fn items_of(service: &Object) -> BTreeSet<Item> {
    let spec = &service["spec"];
    let mut items = BTreeSet::new();
    if spec["type"] != "ExternalName" {
        items.extend(spec["clusterIP"].as_str().and_then(|text| text.parse().ok()).map(Item::Address));
    }
    let ports = spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
    for port in ports.chain([&spec["healthCheckNodePort"]]) {
        items.extend(port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|&port| port > 0).map(Item::Port));
    }
    items
}
