//! From requests and limits to cgroups: shares, quota, memory limit, out-of-memory score, and where a pod's group is.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use runtime::spec::Resources;

use super::qos::{QosClass, ResourceMap, class, milli, whole};

const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
/// Microseconds; the kernel takes no smaller quota.
const MIN_QUOTA: i64 = 1000;

fn shares(milli_cpu: i64) -> u64 {
    u64::try_from((milli_cpu * 1024 / 1000).clamp(MIN_SHARES, MAX_SHARES)).unwrap_or(2)
}

fn quota(milli_cpu: i64) -> i64 {
    (milli_cpu * 100).max(MIN_QUOTA)
}

/// A container's own cgroup.
pub fn of_container(container: &Container) -> Resources {
    let resources = container.resources.clone().unwrap_or_default();
    let (requests, limits) = (resources.requests.as_ref(), resources.limits.as_ref());
    let request = milli(requests, "cpu").or_else(|| milli(limits, "cpu"));
    Resources {
        cpu_shares: Some(shares(request.unwrap_or(0))),
        cpu_quota_us: milli(limits, "cpu").map(quota),
        memory_limit_bytes: whole(limits, "memory").and_then(|bytes| u64::try_from(bytes).ok()),
        pids_limit: None,
    }
}

/// How the resources of a pod's containers come together: all containers and sidecars at once, or one init container beside
/// the sidecars started before it, whichever is more. `None`: some container has none (a limit then is no limit).
fn combined(spec: &PodSpec, of: impl Fn(&Container) -> Option<i64>) -> Option<i64> {
    let mut sidecars = 0;
    let mut peak = 0;
    let mut complete = true;
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        complete &= own.is_some();
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars += own.unwrap_or(0);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + own.unwrap_or(0));
        }
    }
    let apps: Vec<Option<i64>> = spec.containers.iter().map(of).collect();
    complete &= apps.iter().all(Option::is_some);
    let total = sidecars + apps.into_iter().flatten().sum::<i64>();
    complete.then_some(total.max(peak))
}

fn overhead(spec: &PodSpec, name: &str) -> i64 {
    match name {
        "cpu" => milli(spec.overhead.as_ref(), name).unwrap_or(0),
        _ => whole(spec.overhead.as_ref(), name).unwrap_or(0),
    }
}

fn amount(map: Option<&ResourceMap>, name: &str) -> Option<i64> {
    if name == "cpu" { milli(map, name) } else { whole(map, name) }
}

/// What a pod asks for: milli-cores for `cpu`, units for anything else.
pub fn pod_request(spec: &PodSpec, name: &str) -> i64 {
    let of_pod = amount(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()), name);
    let of_containers = || {
        let request = |container: &Container| {
            let resources = container.resources.as_ref();
            let requests = resources.and_then(|resources| resources.requests.as_ref());
            let limits = resources.and_then(|resources| resources.limits.as_ref());
            Some(amount(requests, name).or_else(|| amount(limits, name)).unwrap_or(0))
        };
        combined(spec, request).unwrap_or(0)
    };
    of_pod.unwrap_or_else(of_containers) + overhead(spec, name)
}

fn pod_limit(spec: &PodSpec, name: &str) -> Option<i64> {
    let of_pod = amount(spec.resources.as_ref().and_then(|resources| resources.limits.as_ref()), name);
    let limit = |container: &Container| amount(container.resources.as_ref().and_then(|r| r.limits.as_ref()), name);
    of_pod.or_else(|| combined(spec, limit)).map(|limit| limit + overhead(spec, name))
}

/// The cgroup around all containers of a pod.
pub fn of_pod(spec: &PodSpec) -> Resources {
    Resources {
        cpu_shares: Some(shares(pod_request(spec, "cpu"))),
        cpu_quota_us: pod_limit(spec, "cpu").map(quota),
        memory_limit_bytes: pod_limit(spec, "memory").and_then(|bytes| u64::try_from(bytes).ok()),
        pids_limit: None,
    }
}

/// Below the runtime's root: one parent for each class.
pub fn cgroup(pod: &Pod) -> String {
    let parent = match class(pod.spec.as_ref().unwrap_or(&PodSpec::default())) {
        QosClass::Guaranteed => "guaranteed",
        QosClass::Burstable => "burstable",
        QosClass::BestEffort => "besteffort",
    };
    format!("{parent}/pod{}", pod.metadata.uid.as_deref().unwrap_or_default())
}

/// Who dies first when memory runs out: who asked for least of what the node has.
pub fn oom_score_adj(spec: &PodSpec, container: &Container, node_memory: i64) -> i32 {
    const GUARANTEED: i64 = -997;
    const SYSTEM_CRITICAL: i32 = 2_000_000_000;
    if spec.priority.is_some_and(|priority| priority >= SYSTEM_CRITICAL) {
        return GUARANTEED as i32;
    }
    match class(spec) {
        QosClass::Guaranteed => GUARANTEED as i32,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
            let request = whole(requests, "memory").unwrap_or(0);
            let score =
                1000 - i64::try_from(1000 * i128::from(request) / i128::from(node_memory.max(1))).unwrap_or(1000);
            i32::try_from(score.clamp(1000 + GUARANTEED, 999)).unwrap_or(999)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: Value) -> PodSpec {
        serde_json::from_value(value).expect("a spec")
    }

    fn with(requests: Value, limits: Value) -> Value {
        json!({"name": "c", "resources": {"requests": requests, "limits": limits}})
    }

    #[test]
    fn container_cgroups() {
        let table = [
            ("nothing", json!({}), json!({}), (Some(2), None, None)),
            (
                "half a core",
                json!({"cpu": "500m"}),
                json!({"cpu": "1", "memory": "1Mi"}),
                (Some(512), Some(100_000), Some(1 << 20)),
            ),
            ("limit is the request", json!({}), json!({"cpu": "250m"}), (Some(256), Some(25_000), None)),
            ("tiny quota", json!({}), json!({"cpu": "1m"}), (Some(2), Some(1000), None)),
        ];
        for (name, requests, limits, expected) in table {
            let container = serde_json::from_value(with(requests, limits)).expect(name);
            let actual = of_container(&container);
            assert_eq!((actual.cpu_shares, actual.cpu_quota_us, actual.memory_limit_bytes), expected, "{name}");
        }
    }

    #[test]
    fn pod_sums() {
        let cpu = |amount: &str| with(json!({"cpu": amount}), json!({}));
        let sidecar = |amount: &str| {
            let mut container = cpu(amount);
            container["restartPolicy"] = json!("Always");
            container
        };
        let table = [
            ("a sum", json!({"containers": [cpu("1"), cpu("500m")]}), 1500),
            ("a big init container", json!({"initContainers": [cpu("4")], "containers": [cpu("1")]}), 4000),
            ("sidecars add up", json!({"initContainers": [sidecar("1"), cpu("3")], "containers": [cpu("1")]}), 4000),
            ("overhead", json!({"containers": [cpu("1")], "overhead": {"cpu": "100m"}}), 1100),
        ];
        for (name, value, expected) in table {
            assert_eq!(pod_request(&spec(value), "cpu"), expected, "{name}");
        }
        let limited = with(json!({}), json!({"memory": "10"}));
        assert_eq!(of_pod(&spec(json!({"containers": [limited, limited]}))).memory_limit_bytes, Some(20));
        assert_eq!(of_pod(&spec(json!({"containers": [limited, {"name": "free"}]}))).memory_limit_bytes, None);
    }

    #[test]
    fn oom_scores() {
        let table = [
            ("best effort", json!({}), json!({}), 1000),
            ("guaranteed", json!({}), json!({"cpu": "1", "memory": "100"}), -997),
            ("a tenth", json!({"memory": "100"}), json!({}), 900),
            ("next to nothing", json!({"cpu": "1m"}), json!({}), 999),
            ("everything", json!({"memory": "1000"}), json!({}), 3),
        ];
        for (name, requests, limits, expected) in table {
            let container = with(requests, limits);
            let spec = spec(json!({"containers": [container]}));
            assert_eq!(oom_score_adj(&spec, &spec.containers[0], 1000), expected, "{name}");
        }
    }
}
