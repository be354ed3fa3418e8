//! What a pod asks for: the rules of `k8s.io/component-helpers/resource`.

use serde_json::Value;

use super::list::{ResourceList, add, from_json, raise};
use crate::Object;

/// What counts beside the containers' specifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// What running containers have, until a resize is done; overhead; huge pages of the pod as a whole.
    Actual,
    /// Nothing: limit ranges look at what is written.
    Specified,
}

pub fn requests(pod: &Object, basis: Basis) -> ResourceList {
    let mut list = of_containers(pod, "requests", basis);
    of_the_whole(pod, "requests", basis, &mut list);
    if basis == Basis::Actual {
        add(&mut list, &from_json(&pod["spec"]["overhead"]));
    }
    list
}

pub fn limits(pod: &Object, basis: Basis) -> ResourceList {
    let mut list = of_containers(pod, "limits", basis);
    of_the_whole(pod, "limits", basis, &mut list);
    if basis == Basis::Actual {
        // Where there is no limit, overhead makes none.
        for (name, amount) in from_json(&pod["spec"]["overhead"]) {
            if let Some(limit) = list.get_mut(&name).filter(|limit| !limit.is_zero()) {
                limit.add(&amount);
            }
        }
    }
    list
}

pub(super) fn containers<'a>(pod: &'a Object, key: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][key].as_array().into_iter().flatten()
}

/// Init containers run one by one and before the others, so the largest counts; sidecars stay and add up.
fn of_containers(pod: &Object, kind: &str, basis: Basis) -> ResourceList {
    let (mut together, mut sidecars, mut at_once) = (ResourceList::new(), ResourceList::new(), ResourceList::new());
    for container in containers(pod, "containers") {
        add(&mut together, &effective(pod, container, "containerStatuses", kind, basis));
    }
    for container in containers(pod, "initContainers") {
        if container["restartPolicy"] == "Always" {
            let needs = effective(pod, container, "initContainerStatuses", kind, basis);
            add(&mut together, &needs);
            add(&mut sidecars, &needs);
            raise(&mut at_once, &sidecars);
        } else {
            let mut needs = from_json(&container["resources"][kind]);
            add(&mut needs, &sidecars);
            raise(&mut at_once, &needs);
        }
    }
    raise(&mut together, &at_once);
    together
}

/// The most of what a container is to have, has, and was promised; a resize that cannot be is not counted.
fn effective(pod: &Object, container: &Value, statuses: &str, kind: &str, basis: Basis) -> ResourceList {
    let specified = from_json(&container["resources"][kind]);
    let mut known = pod["status"][statuses].as_array().into_iter().flatten();
    let status = known.find(|status| status["name"] == container["name"]);
    match status.filter(|status| basis == Basis::Actual && status["resources"].is_object()) {
        None => specified,
        Some(status) => {
            let mut list = from_json(&status["resources"][kind]);
            if kind == "requests" {
                raise(&mut list, &from_json(&status["allocatedResources"]));
            }
            if !is_infeasible(pod) {
                raise(&mut list, &specified);
            }
            list
        }
    }
}

fn is_infeasible(pod: &Object) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|condition| condition["type"] == "PodResizePending").is_some_and(|it| it["reason"] == "Infeasible")
}

pub(super) fn is_for_the_whole(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

fn of_the_whole(pod: &Object, kind: &str, basis: Basis, list: &mut ResourceList) {
    for (name, amount) in from_json(&pod["spec"]["resources"][kind]) {
        if matches!(name.as_str(), "cpu" | "memory") || basis == Basis::Actual && is_for_the_whole(&name) {
            list.insert(name, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::show;
    use super::*;

    #[test]
    fn a_pod_asks_for_the_most_it_needs_at_once() {
        let needs = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
        let container = |name: &str, cpu: &str| json!({"name": name, "resources": needs(cpu)});
        let sidecar = |cpu: &str| json!({"name": "s", "restartPolicy": "Always", "resources": needs(cpu)});
        let running = json!({"name": "a", "resources": {"requests": {"cpu": "5"}, "limits": {"cpu": "5"}},
            "allocatedResources": {"cpu": "6"}});
        let pending = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
        let table = [
            ("sum", json!({"containers": [container("a", "1"), container("b", "500m")]}), json!({}), "1500m", "1500m"),
            (
                "an init container",
                json!({"containers": [container("a", "1")], "initContainers": [container("i", "3")]}),
                json!({}),
                "3",
                "3",
            ),
            (
                "a sidecar and then an init container",
                json!({"containers": [container("a", "1")], "initContainers": [sidecar("2"), container("i", "3")]}),
                json!({}),
                "5",
                "5",
            ),
            ("overhead", json!({"containers": [container("a", "1")], "overhead": {"cpu": "1"}}), json!({}), "2", "2"),
            ("as a whole", json!({"containers": [container("a", "1")], "resources": needs("9")}), json!({}), "9", "9"),
            (
                "before a resize is done",
                json!({"containers": [container("a", "1")]}),
                json!({"containerStatuses": [running]}),
                "6",
                "5",
            ),
            (
                "a resize that cannot be",
                json!({"containers": [container("a", "8")]}),
                json!({"containerStatuses": [running], "conditions": pending}),
                "6",
                "5",
            ),
        ];
        for (name, spec, status, asked, limited) in table {
            let pod = json!({"spec": spec, "status": status});
            assert_eq!(show(&requests(&pod, Basis::Actual)), format!("cpu={asked}"), "{name}");
            assert_eq!(show(&limits(&pod, Basis::Actual)), format!("cpu={limited}"), "{name}");
        }
    }
}
