//! Services, endpoints, ingresses and addresses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{at, at_most, each, joined, label_selector, labels, list, number, scalar, text, text_or};
use crate::Object;
use crate::table::Column;

pub(super) static SERVICE: &[Column] = &[
    Column::NAME,
    Column::text("Type", |service, _| text(service, "/spec/type").into()),
    Column::text("Cluster-IP", |service, _| text_or(service, "/spec/clusterIPs/0", "<none>")),
    Column::text("External-IP", |service, _| external_ip(service).into()),
    Column::text("Port(s)", |service, _| service_ports(service)),
    Column::AGE,
    Column::text("Selector", |service, _| labels(service, "/spec/selector")).wide(),
];

fn external_ip(service: &Object) -> String {
    let external = list(service, "/spec/externalIPs").iter().filter_map(Value::as_str);
    let balancer = load_balancer(service);
    let all = joined(balancer.iter().map(String::as_str).chain(external.clone()), ",");
    match text(service, "/spec/type") {
        "ClusterIP" | "NodePort" => match joined(external, ",") {
            none if none.is_empty() => "<none>".to_owned(),
            addresses => addresses,
        },
        "LoadBalancer" if all.is_empty() => "<pending>".to_owned(),
        "LoadBalancer" => all,
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses and names that a load balancer has, sorted.
fn load_balancer(object: &Object) -> BTreeSet<String> {
    let ingress = list(object, "/status/loadBalancer/ingress").iter();
    let address = |entry: &Value| match (text(entry, "/ip"), text(entry, "/hostname")) {
        ("", hostname) => hostname.to_owned(),
        (ip, _) => ip.to_owned(),
    };
    ingress.map(address).filter(|address| !address.is_empty()).collect()
}

fn service_ports(service: &Object) -> Value {
    let ports = list(service, "/spec/ports").iter().map(|port| {
        let (number_, node_port, protocol) =
            (number(port, "/port"), number(port, "/nodePort"), text(port, "/protocol"));
        if node_port > 0 { format!("{number_}:{node_port}/{protocol}") } else { format!("{number_}/{protocol}") }
    });
    let ports: Vec<String> = ports.collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",").into() }
}

pub(super) static ENDPOINTS: &[Column] =
    &[Column::NAME, Column::text("Endpoints", |endpoints, _| endpoint_addresses(endpoints)), Column::AGE];

fn endpoint_addresses(endpoints: &Object) -> Value {
    let subsets = list(endpoints, "/subsets");
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = each(list(subset, "/addresses"), "ip");
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            all.extend(addresses.map(str::to_owned));
            continue;
        }
        for port in ports {
            let port = number(port, "/port");
            let join = |ip: &str| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
            all.extend(each(list(subset, "/addresses"), "ip").map(join));
        }
    }
    at_most(&all, 3, if subsets.is_empty() { "<none>" } else { "" })
}

pub(super) static ENDPOINT_SLICE: &[Column] = &[
    Column::NAME,
    Column::text("AddressType", |slice, _| text(slice, "/addressType").into()),
    Column::text("Ports", |slice, _| {
        let port = |port: &Value| match (at(port, "/port"), at(port, "/name")) {
            (Value::Null, Value::Null) => "*".to_owned(),
            (Value::Null, name) => scalar(name),
            (number, _) => scalar(number),
        };
        at_most(&list(slice, "/ports").iter().map(port).collect::<Vec<_>>(), 3, "<unset>")
    }),
    Column::text("Endpoints", |slice, _| {
        let addresses = list(slice, "/endpoints").iter().flat_map(|endpoint| list(endpoint, "/addresses"));
        at_most(&addresses.map(scalar).collect::<Vec<_>>(), 3, "<unset>")
    }),
    Column::AGE,
];

pub(super) static INGRESS: &[Column] = &[
    Column::NAME,
    Column::text("Class", |ingress, _| text_or(ingress, "/spec/ingressClassName", "<none>")),
    Column::text("Hosts", |ingress, _| hosts(ingress)),
    Column::text("Address", |ingress, _| joined(load_balancer(ingress).iter().map(String::as_str), ",").into()),
    Column::text("Ports", |ingress, _| if list(ingress, "/spec/tls").is_empty() { "80" } else { "80, 443" }.into()),
    Column::AGE,
];

/// Three hosts at most. What is not shown is counted over all rules, as upstream does.
fn hosts(ingress: &Object) -> Value {
    let rules = list(ingress, "/spec/rules");
    let hosts: Vec<&str> = each(rules, "host").filter(|host| !host.is_empty()).collect();
    let third = each(rules, "host").enumerate().filter(|(_, host)| !host.is_empty()).nth(2);
    match third {
        Some((index, _)) if index + 1 < rules.len() => {
            format!("{} + {} more...", hosts[..3].join(","), rules.len() - 3).into()
        }
        _ if hosts.is_empty() => "*".into(),
        _ => hosts.join(",").into(),
    }
}

pub(super) static INGRESS_CLASS: &[Column] = &[
    Column::NAME,
    Column::text("Controller", |class, _| text(class, "/spec/controller").into()),
    Column::text("Parameters", |class, _| {
        let parameters = at(class, "/spec/parameters");
        let (kind, name) = (text(parameters, "/kind"), text(parameters, "/name"));
        match (parameters, text(parameters, "/apiGroup")) {
            (Value::Null, _) => "<none>".into(),
            (_, "") => format!("{kind}/{name}").into(),
            (_, group) => format!("{kind}.{group}/{name}").into(),
        }
    }),
    Column::AGE,
];

pub(super) static NETWORK_POLICY: &[Column] =
    &[Column::NAME, Column::text("Pod-Selector", |policy, _| label_selector(policy, "/spec/podSelector")), Column::AGE];

pub(super) static SERVICE_CIDR: &[Column] = &[
    Column::NAME,
    Column::text("CIDRs", |cidr, _| joined(list(cidr, "/spec/cidrs").iter().filter_map(Value::as_str), ",").into()),
    Column::AGE,
];

pub(super) static IP_ADDRESS: &[Column] = &[
    Column::NAME,
    Column::text("ParentRef", |address, _| {
        let parent = at(address, "/spec/parentRef");
        if parent.is_null() {
            return "<none>".into();
        }
        let resource = match text(parent, "/group") {
            "" => text(parent, "/resource").to_lowercase(),
            group => format!("{}.{group}", text(parent, "/resource")).to_lowercase(),
        };
        let parts = [resource.as_str(), text(parent, "/namespace"), text(parent, "/name")];
        joined(parts.into_iter().filter(|part| !part.is_empty()), "/").into()
    }),
    Column::UNNAMED_AGE,
];
