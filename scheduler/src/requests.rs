//! What a pod asks of a node: the rules of `k8s.io/component-helpers/resource.PodRequests`.
//!
//! Init containers run one after the other and before the containers, so the largest of them counts; sidecars (init
//! containers that restart) stay and add up; overhead comes on top; requests of the pod as a whole take the place of what its
//! containers add up to. A running pod whose resize is not done needs the larger of what it has and what it wants.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

pub const CPU: &str = "cpu";
pub const MEMORY: &str = "memory";
pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
pub const PODS: &str = "pods";

/// Upstream's guess for a container that says nothing: it only moves scores.
const USUAL_CPU_MILLI: i64 = 100;
const USUAL_MEMORY: i64 = 200 * 1024 * 1024;

/// Amount by resource: CPU in thousandths, everything else in units (bytes, pieces).
pub type Requests = BTreeMap<String, i64>;

type List = BTreeMap<String, Text>;

pub fn of_pod(pod: &Pod) -> Requests {
    total(pod, &Requests::new())
}

/// As [`of_pod`], with the usual amounts of CPU and memory for each container that names none.
pub fn usual_of_pod(pod: &Pod) -> Requests {
    let for_the_whole = pod.spec.as_ref().and_then(pod_level);
    let usual = [(CPU, USUAL_CPU_MILLI), (MEMORY, USUAL_MEMORY)];
    let missing = usual.into_iter().filter(|(name, _)| for_the_whole.is_none_or(|list| !list.contains_key(*name)));
    total(pod, &missing.map(|(name, amount)| (name.to_owned(), amount)).collect())
}

/// The amounts of a resource list as numbers. What does not parse counts as nothing: the API server lets none through.
pub fn amounts(list: Option<&List>) -> Requests {
    list.into_iter().flatten().map(|(name, text)| (name.clone(), amount(name, text))).collect()
}

fn amount(name: &str, text: &Text) -> i64 {
    let quantity = Quantity::parse(&text.0).unwrap_or_default();
    if name == CPU { quantity.milli_value() } else { quantity.value() }
}

pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn pod_level(spec: &PodSpec) -> Option<&List> {
    spec.resources.as_ref()?.requests.as_ref()
}

fn total(pod: &Pod, missing: &Requests) -> Requests {
    let Some(spec) = &pod.spec else { return Requests::new() };
    let (mut together, mut sidecars, mut at_once) = (Requests::new(), Requests::new(), Requests::new());
    for container in &spec.containers {
        add(&mut together, &of_container(pod, container, missing));
    }
    for container in spec.init_containers.iter().flatten() {
        let mut needs = of_container(pod, container, missing);
        if is_sidecar(container) {
            add(&mut together, &needs);
            add(&mut sidecars, &needs);
            needs = sidecars.clone();
        } else {
            add(&mut needs, &sidecars);
        }
        raise(&mut at_once, &needs);
    }
    raise(&mut together, &at_once);
    for (name, amount) in amounts(pod_level(spec)) {
        // Only these may be asked for the pod as a whole.
        if name == CPU || name == MEMORY || name.starts_with("hugepages-") {
            together.insert(name, amount);
        }
    }
    add(&mut together, &amounts(spec.overhead.as_ref()));
    together.retain(|name, _| counts(name));
    together
}

/// What nodes account for; other names say something to admission only.
fn counts(name: &str) -> bool {
    matches!(name, CPU | MEMORY | EPHEMERAL_STORAGE) || is_scalar(name)
}

/// Extended resources, huge pages and the like.
pub fn is_scalar(name: &str) -> bool {
    name.contains('/') || name.starts_with("hugepages-") || name.starts_with("attachable-volumes-")
}

fn of_container(pod: &Pod, container: &Container, missing: &Requests) -> Requests {
    let wanted = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let mut needs = amounts(wanted);
    if let Some(status) = status_of(pod, &container.name) {
        let has = status.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        if is_resize_infeasible(pod) && has.is_some() {
            needs = Requests::new();
        }
        raise(&mut needs, &amounts(has));
        raise(&mut needs, &amounts(status.allocated_resources.as_ref()));
    }
    for (name, amount) in missing {
        needs.entry(name.clone()).or_insert(*amount);
    }
    needs
}

fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    all.into_iter().find(|status| status.name == container)
}

/// The node has said that it will never grant what the spec asks for.
fn is_resize_infeasible(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible"))
}

fn add(sum: &mut Requests, more: &Requests) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_default();
        *entry = entry.saturating_add(*amount);
    }
}

fn raise(most: &mut Requests, other: &Requests) {
    for (name, amount) in other {
        let entry = most.entry(name.clone()).or_default();
        *entry = (*entry).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(cpu: &str, memory: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    fn sidecar(cpu: &str) -> Value {
        json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
    }

    fn needs(spec: Value, status: Value) -> String {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).expect("a pod");
        let text = |requests: Requests| {
            requests.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(" ")
        };
        format!("{} | {}", text(of_pod(&pod)), text(usual_of_pod(&pod)))
    }

    #[test]
    fn a_pod_needs_what_its_containers_need_at_once() {
        const USUAL: &str = "cpu=100 memory=209715200";
        let two = json!([container("1", "1Gi"), container("500m", "1Mi")]);
        let cases = [
            ("nothing said", json!({"containers": [{"name": "c"}]}), json!({}), format!(" | {USUAL}")),
            (
                "a sum",
                json!({"containers": two}),
                json!({}),
                "cpu=1500 memory=1074790400 | cpu=1500 memory=1074790400".into(),
            ),
            (
                "the largest init container",
                json!({"containers": [container("1", "1")], "initContainers": [container("2", "0"), container("3", "0")]}),
                json!({}),
                "cpu=3000 memory=1 | cpu=3000 memory=1".into(),
            ),
            (
                "sidecars run beside what follows",
                json!({"containers": [container("1", "1")], "initContainers": [sidecar("1"), container("3", "0")]}),
                json!({}),
                "cpu=4000 memory=1 | cpu=4000 memory=209715201".into(),
            ),
            (
                "overhead on top",
                json!({"containers": [container("1", "1")], "overhead": {"cpu": "10m"}}),
                json!({}),
                "cpu=1010 memory=1 | cpu=1010 memory=1".into(),
            ),
            (
                "the pod as a whole",
                json!({"containers": [container("1", "1"), {"name": "d"}], "resources": {"requests": {"cpu": "5"}}}),
                json!({}),
                "cpu=5000 memory=1 | cpu=5000 memory=209715201".into(),
            ),
            (
                "extended resources count, unknown ones do not",
                json!({"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "2", "storage": "1Gi"}}}]}),
                json!({}),
                "example.com/gpu=2 | cpu=100 example.com/gpu=2 memory=209715200".into(),
            ),
            (
                "a shrink that is not done",
                json!({"containers": [container("1", "1")]}),
                json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "resources": {"requests": {"cpu": "2"}}}]}),
                "cpu=2000 memory=1 | cpu=2000 memory=1".into(),
            ),
        ];
        for (name, spec, status, expected) in cases {
            assert_eq!(needs(spec, status), expected, "{name}");
        }
    }
}
