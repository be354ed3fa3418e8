//! May this pod run here? What the scheduler has checked is checked again: pods reach a node by other ways too. Pure.

use std::collections::BTreeSet;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec};

use crate::launch::qos::{ResourceMap, containers, milli, whole};
use crate::launch::resources::pod_request;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub message: String,
}

/// Protocol, address and number of a port of the host.
type HostPort = (String, String, i32);

fn host_ports(spec: &PodSpec) -> BTreeSet<HostPort> {
    let sidecar =
        |container: &&k8s_openapi::api::core::v1::Container| container.restart_policy.as_deref() == Some("Always");
    let init = spec.init_containers.iter().flatten().filter(sidecar);
    let ports = init.chain(&spec.containers).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
            Some((port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), ip, number))
        })
        .collect()
}

/// The same number on another protocol, or on two different addresses, can coexist.
fn collide(a: &HostPort, b: &HostPort) -> bool {
    const ANY: &str = "0.0.0.0";
    a.0 == b.0 && a.2 == b.2 && (a.1 == b.1 || a.1 == ANY || b.1 == ANY)
}

fn requirement(node: &Node, requirement: &NodeSelectorRequirement, of_fields: bool) -> bool {
    let value = match of_fields {
        true if requirement.key == "metadata.name" => node.metadata.name.as_ref(),
        true => None,
        false => node.metadata.labels.as_ref().and_then(|labels| labels.get(&requirement.key)),
    };
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
    let compare = |test: fn(i64, i64) -> bool| {
        number(value).zip(number(values.first())).is_some_and(|(value, limit)| test(value, limit))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|value, limit| value > limit),
        "Lt" => compare(|value, limit| value < limit),
        _ => false,
    }
}

fn term(node: &Node, term: &NodeSelectorTerm) -> bool {
    let (expressions, fields) = (term.match_expressions.as_deref(), term.match_fields.as_deref());
    let (expressions, fields) = (expressions.unwrap_or_default(), fields.unwrap_or_default());
    // A term without requirements matches nothing.
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|wanted| requirement(node, wanted, false))
        && fields.iter().all(|wanted| requirement(node, wanted, true))
}

fn matches_node(spec: &PodSpec, node: &Node) -> bool {
    let labels = node.metadata.labels.as_ref();
    let selector = spec.node_selector.iter().flatten();
    let selected = selector.into_iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|wanted| term(node, wanted)))
}

/// Taints with effect NoExecute that the pod does not tolerate.
fn tolerates(spec: &PodSpec, node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute").all(|taint| {
        spec.tolerations.iter().flatten().any(|toleration| {
            let effect = toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect);
            let key = toleration.key.as_deref().unwrap_or_default();
            let value =
                || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
            effect
                && match toleration.operator.as_deref() {
                    Some("Exists") => key.is_empty() || key == taint.key,
                    _ => key == taint.key && value(),
                }
        })
    })
}

fn amount(map: &ResourceMap, name: &str) -> Option<i64> {
    let present = map.contains_key(name);
    let value = if name == "cpu" { milli(Some(map), name) } else { whole(Some(map), name) };
    present.then(|| value.unwrap_or(0))
}

fn resources_fit(spec: &PodSpec, others: &[&PodSpec], allocatable: &ResourceMap) -> Option<Refusal> {
    let refusal = |name: &str, requested: i64, used: i64, capacity: i64| Refusal {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    };
    let pods =
        allocatable.get("pods").and_then(|pods| Quantity::parse(&pods.0).ok()).map_or(i64::MAX, |pods| pods.value());
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if count + 1 > pods {
        return Some(refusal("pods", 1, count, pods));
    }
    let named: BTreeSet<&str> = containers(spec)
        .filter_map(|container| container.resources.as_ref())
        .flat_map(|resources| resources.requests.iter().chain(&resources.limits).flatten())
        .map(|(name, _)| name.as_str())
        .chain(["cpu", "memory"])
        .collect();
    named.into_iter().find_map(|name| {
        // What the node does not have at all is not the node's to count.
        let capacity = amount(allocatable, name)?;
        let requested = pod_request(spec, name);
        let used: i64 = others.iter().map(|other| pod_request(other, name)).sum();
        (requested > 0 && requested + used > capacity).then(|| refusal(name, requested, used, capacity))
    })
}

fn predicate(name: &str, reason: &str) -> Refusal {
    Refusal { reason: name.to_owned(), message: format!("Predicate {name} failed: {reason}") }
}

/// AppArmor is not there: a pod that relies on it must not run without.
fn wants_apparmor(spec: &PodSpec) -> bool {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    let of_containers =
        containers(spec).filter_map(|container| container.security_context.as_ref()?.app_armor_profile.as_ref());
    of_pod.into_iter().chain(of_containers).any(|profile| profile.type_ != "Unconfined")
}

/// `others`: pods that use the node now. The first reason in upstream's order.
pub fn admit(pod: &Pod, node: &Node, others: &[&Pod], allocatable: &ResourceMap) -> Result<(), Refusal> {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let specs: Vec<&PodSpec> = others.iter().filter_map(|other| other.spec.as_ref()).collect();
    if wants_apparmor(spec) {
        let message = "Cannot enforce AppArmor: AppArmor is not enabled on the host".to_owned();
        return Err(Refusal { reason: "AppArmor".to_owned(), message });
    }
    if spec.host_users == Some(false) {
        let message = "user namespaces (hostUsers: false) are not supported by this node".to_owned();
        return Err(Refusal { reason: "UserNamespacesNotSupported".to_owned(), message });
    }
    let groups = spec.security_context.as_ref().and_then(|context| context.supplemental_groups_policy.as_deref());
    if groups == Some("Strict") {
        let message = "SupplementalGroupsPolicy=Strict is not supported in this node".to_owned();
        return Err(Refusal { reason: "SupplementalGroupsPolicyNotSupported".to_owned(), message });
    }
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        let message = "Failed to admit pod as the OS field doesn't match node OS".to_owned();
        return Err(Refusal { reason: "PodOSNotSupported".to_owned(), message });
    }
    if let Some(refusal) = resources_fit(spec, &specs, allocatable) {
        return Err(refusal);
    }
    if !matches_node(spec, node) {
        return Err(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    let wanted = host_ports(spec);
    let taken: Vec<HostPort> = specs.iter().flat_map(|other| host_ports(other)).collect();
    if wanted.iter().any(|port| taken.iter().any(|other| collide(port, other))) {
        return Err(predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
    }
    match tolerates(spec, node) {
        true => Ok(()),
        false => Err(predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).expect("a pod")
    }

    fn check(name: &str, spec: Value, others: &[Value], expected: &str) {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "n1", "labels": {"disk": "ssd", "gen": "5"}},
            "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}
        }))
        .expect("a node");
        let allocatable = serde_json::from_value(json!({"cpu": "2", "memory": "1Gi", "pods": "3"})).expect("resources");
        let others: Vec<Pod> = others.iter().cloned().map(pod).collect();
        let result = admit(&pod(spec), &node, &others.iter().collect::<Vec<_>>(), &allocatable);
        let actual = result.err().map(|refusal| format!("{}: {}", refusal.reason, refusal.message));
        assert_eq!(actual.unwrap_or_default(), expected, "{name}");
    }

    fn with_port(port: Value) -> Value {
        json!({"containers": [{"name": "c", "ports": [port]}]})
    }

    #[test]
    fn admission() {
        let cpu = |amount: &str| json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]});
        let affinity = |operator: &str, key: &str, values: Value| {
            let terms = json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
            let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
            json!({"containers": [], "affinity": {"nodeAffinity": required}})
        };
        let mismatch = "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        let ports = "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        check("fits", cpu("1"), &[cpu("1")], "");
        check(
            "does not fit",
            cpu("1500m"),
            &[cpu("1")],
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
        );
        check("no request always fits", cpu("0"), &[cpu("2")], "");
        check(
            "too many pods",
            cpu("0"),
            &[cpu("0"), cpu("0"), cpu("0")],
            "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
        );
        check("selector", json!({"containers": [], "nodeSelector": {"disk": "hdd"}}), &[], mismatch);
        check("affinity In", affinity("In", "disk", json!(["ssd", "nvme"])), &[], "");
        check("affinity Gt", affinity("Gt", "gen", json!(["5"])), &[], mismatch);
        check("affinity NotIn without the label", affinity("NotIn", "zone", json!(["a"])), &[], "");
        check(
            "port taken",
            with_port(json!({"containerPort": 1, "hostPort": 80})),
            &[with_port(json!({"containerPort": 2, "hostPort": 80}))],
            ports,
        );
        check(
            "another protocol",
            with_port(json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"})),
            &[with_port(json!({"containerPort": 2, "hostPort": 80}))],
            "",
        );
        check(
            "another address",
            with_port(json!({"containerPort": 1, "hostPort": 80, "hostIP": "127.0.0.1"})),
            &[with_port(json!({"containerPort": 2, "hostPort": 80, "hostIP": "127.0.0.2"}))],
            "",
        );
        check(
            "AppArmor",
            json!({"containers": [], "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}),
            &[],
            "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host",
        );
    }
}
