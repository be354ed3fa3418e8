//! Validation of a Service beside its addresses.

use std::collections::BTreeSet;

use api::names;
use serde_json::{Value, json};

use super::super::addresses;
use super::super::cursor::{Cursor, Errors, field, number};
use super::super::endpoints::special_address;
use super::super::pod_template::handlers::port as port_number_or_name;
use super::super::selectors::{label_name, labels};
use super::{cluster_ips, is_external, is_headless, kind, needs_health_check, node_port};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const MAX_AFFINITY_SECONDS: i64 = 86400;
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

pub fn service(service: &Value, errors: &mut Errors) {
    let spec = Cursor::root(service, "spec");
    let headless = is_headless(service);
    topology(service, errors);
    if spec.child("ports").is_empty() && !headless && kind(service) != "ExternalName" {
        errors.required(&spec.child("ports"));
    }
    by_type(service, &spec, errors);
    ports(&spec.child("ports"), errors);
    labels(&spec.child("selector"), errors);
    affinity(&spec, errors);
    cluster_ips::related(service, errors);
    for ip in spec.child("externalIPs").items() {
        let before = errors.len();
        addresses::ip(&ip, errors);
        if errors.len() == before {
            special_address(&ip, errors);
        }
    }
    errors.one_of(&spec.child("type"), &TYPES);
    port_conflicts(service, &spec.child("ports"), errors);
    load_balancer(service, &spec, errors);
    traffic(service, &spec, errors);
}

fn topology(service: &Value, errors: &mut Errors) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    let metadata = Cursor::root(service, "metadata");
    let annotations = metadata.child("annotations");
    let (hints, mode) = (annotations.key(HINTS), annotations.key(MODE));
    if hints.is_set() && mode.is_set() && hints.str() != mode.str() {
        errors.invalid(&mode, format!("must match annotations[{HINTS}] when both are specified"));
    }
}

fn by_type(service: &Value, spec: &Cursor, errors: &mut Errors) {
    match kind(service) {
        kind @ ("LoadBalancer" | "NodePort") if is_headless(service) => {
            let ips = spec.child("clusterIPs");
            errors.invalid(&ips.index(0), format!("may not be set to 'None' for {kind} services"));
        }
        "ExternalName" => {
            for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !spec.child(name).is_empty() {
                    errors.forbidden(&spec.child(name), "may not be set for ExternalName services");
                }
            }
            let name = spec.child("externalName");
            match name.str().strip_suffix('.').unwrap_or(name.str()) {
                "" => errors.required(&name),
                host => {
                    for message in names::dns1123_subdomain(host) {
                        errors.invalid_as(&name, host, message);
                    }
                }
            }
        }
        _ => {}
    }
}

fn ports(at: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for port in at.items() {
        let (name, number) = (port.child("name"), port.child("port"));
        if name.str().is_empty() {
            if at.len() > 1 {
                errors.required(&name);
            }
        } else {
            errors.messages(&name, names::dns1123_label(name.str()));
            if !seen.insert(name.str()) {
                errors.duplicate(&name);
            }
        }
        let value = number.int().unwrap_or_default();
        if let Some(message) = names::port_number(value) {
            errors.invalid_as(&number, value, message);
        }
        errors.one_of(&port.child("protocol"), &["SCTP", "TCP", "UDP"]);
        port_number_or_name(&port.child("targetPort"), errors);
        let protocol = port.child("appProtocol");
        if protocol.is_set() {
            label_name(&protocol, errors);
        }
    }
}

fn affinity(spec: &Cursor, errors: &mut Errors) {
    let (affinity, config) = (spec.child("sessionAffinity"), spec.child("sessionAffinityConfig"));
    errors.one_of(&affinity, &["ClientIP", "None"]);
    match affinity.str() {
        "ClientIP" => {
            const DETAIL: &str = "when session affinity type is ClientIP";
            let client = config.child("clientIP");
            let timeout = client.child("timeoutSeconds");
            if let Some(missing) = [config, client, timeout].iter().find(|at| !at.is_set()) {
                errors.required_because(missing, DETAIL);
            } else if !(1..=MAX_AFFINITY_SECONDS).contains(&timeout.int().unwrap_or_default()) {
                errors.invalid(&timeout, format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"));
            }
        }
        "None" if config.is_set() => {
            errors.forbidden(&config, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

fn port_conflicts(service: &Value, at: &Cursor, errors: &mut Errors) {
    if kind(service) == "ClusterIP" {
        for port in at.items().filter(|port| node_port(port.value) != 0) {
            errors.forbidden(&port.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for port in at.items().filter(|port| node_port(port.value) != 0) {
        if !seen.insert((port.text("protocol"), node_port(port.value))) {
            errors.duplicate(&port.child("nodePort"));
        }
    }
    let mut seen = BTreeSet::new();
    for port in at.items() {
        let number = port.number("port").unwrap_or_default();
        if !seen.insert((port.text("protocol"), number)) {
            errors.duplicate_as(&port, json!({"protocol": port.text("protocol"), "port": number}));
        }
    }
}

fn load_balancer(service: &Value, spec: &Cursor, errors: &mut Errors) {
    let balanced = kind(service) == "LoadBalancer";
    let ranges = spec.child("loadBalancerSourceRanges");
    let metadata = Cursor::root(service, "metadata");
    let annotations = metadata.child("annotations");
    let annotation = annotations.key(SOURCE_RANGES);
    if !ranges.is_empty() {
        // The capital letter is upstream's.
        let place = spec.child("LoadBalancerSourceRanges");
        if !balanced {
            errors.forbidden(&place, BALANCED_ONLY);
        }
        for (index, range) in ranges.items().enumerate() {
            source_range(&place.index(index), range.str(), errors);
        }
    } else if annotation.is_set() {
        if !balanced {
            errors.forbidden(&annotation, BALANCED_ONLY);
        }
        for range in annotation.str().trim().split(',').filter(|range| !range.is_empty()) {
            source_range(&annotation, range, errors);
        }
    }
    let allocate = spec.child("allocateLoadBalancerNodePorts");
    if allocate.is_set() && !balanced {
        errors.forbidden(&allocate, BALANCED_ONLY);
    }
    if balanced && !allocate.is_set() {
        errors.required(&Cursor::root(service, "allocateLoadBalancerNodePorts"));
    }
    class(balanced, spec, errors);
}

fn class(balanced: bool, spec: &Cursor, errors: &mut Errors) {
    let class = spec.child("loadBalancerClass");
    if class.is_set() {
        if balanced {
            label_name(&class, errors);
        } else {
            errors.forbidden(&class, BALANCED_ONLY);
        }
    }
}

fn source_range(at: &Cursor, text: &str, errors: &mut Errors) {
    let value = Value::from(text.trim());
    addresses::range(&at.showing(&value), errors);
}

fn traffic(service: &Value, spec: &Cursor, errors: &mut Errors) {
    let (external, internal) = (spec.child("externalTrafficPolicy"), spec.child("internalTrafficPolicy"));
    if is_external(service) {
        errors.one_of(&external, &["Cluster", "Local"]);
    } else if !external.str().is_empty() {
        errors.invalid(&external, "may only be set for externally-accessible services");
    }
    let health = spec.child("healthCheckNodePort");
    match (needs_health_check(service), health.int().unwrap_or_default()) {
        (false, 0) => {}
        (false, _) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid(&health, detail);
        }
        (true, 0) => errors.required(&health),
        (true, number) => {
            if let Some(message) = names::port_number(number) {
                errors.invalid(&health, message);
            }
        }
    }
    if internal.is_set() {
        errors.one_of_if_set(&internal, &["Cluster", "Local"]);
    } else if matches!(kind(service), "ClusterIP" | "NodePort" | "LoadBalancer") {
        errors.required(&internal);
    }
    let supported = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    errors.one_of_if_set(&spec.child("trafficDistribution"), &supported);
}

/// What stays while a Service is of the same type.
pub fn changes(new: &Value, old: &Value, errors: &mut Errors) {
    let spec = Cursor::root(new, "spec");
    let old_spec = field(old, "spec");
    if kind(new) == "LoadBalancer" && kind(old) == "LoadBalancer" {
        let class = spec.child("loadBalancerClass");
        if class.value != field(old_spec, "loadBalancerClass") {
            errors.invalid(&class, "may not change once set");
        }
    }
    class(kind(new) == "LoadBalancer", &spec, errors);
    let health = spec.child("healthCheckNodePort");
    let before = number(old_spec, "healthCheckNodePort");
    if needs_health_check(new) && needs_health_check(old) && health.int() != before {
        errors.forbidden(&health, "field is immutable");
    }
}

pub fn status(service: &Value, errors: &mut Errors) {
    let status = Cursor::root(service, "status");
    let balancer = status.child("loadBalancer");
    let ingress = balancer.child("ingress");
    if kind(service) != "LoadBalancer" && !ingress.is_empty() {
        return errors.forbidden(&ingress, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    for point in ingress.items() {
        let (ip, mode, host) = (point.child("ip"), point.child("ipMode"), point.child("hostname"));
        if !ip.str().is_empty() {
            addresses::ip(&ip, errors);
        }
        match (ip.str().is_empty(), mode.is_set()) {
            (false, false) => errors.required_because(&mode, "must be specified when `ip` is set"),
            (true, true) => errors.forbidden(&mode, "may not be specified when `ip` is not set"),
            _ => errors.one_of_if_set(&mode, &["Proxy", "VIP"]),
        }
        if !host.str().is_empty() {
            errors.messages(&host, names::dns1123_subdomain(host.str()));
            if addresses::parse(host.str()).is_some() {
                errors.invalid(&host, "must be a DNS name, not an IP address");
            }
        }
    }
}
