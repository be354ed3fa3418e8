//! What the Node object should look like. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use runtime::images::Image;
use serde_json::{Map, Value, json};

use super::facts::{Facts, Pressure};
use crate::config::Config;
use crate::launch::qos::ResourceMap;

/// More images than this are not listed (upstream's nodeStatusMaxImages).
const MOST_IMAGES: usize = 50;

pub fn resources(config: &Config, facts: &Facts) -> ResourceMap {
    let all = [
        ("cpu", facts.cpus.to_string()),
        ("memory", format!("{}Ki", facts.memory_bytes / 1024)),
        ("ephemeral-storage", format!("{}Ki", facts.disk_bytes / 1024)),
        ("pods", config.max_pods.to_string()),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), Quantity(value))).collect()
}

fn labels(config: &Config, facts: &Facts) -> BTreeMap<String, String> {
    let own = [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/arch", facts.arch),
        ("kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", facts.arch),
        ("beta.kubernetes.io/os", "linux"),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    config.node_labels.clone().into_iter().chain(own).collect()
}

fn addresses(config: &Config) -> Vec<NodeAddress> {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let ips = config.node_ips.iter().map(|ip| address("InternalIP", ip.to_string()));
    ips.chain([address("Hostname", config.node_name.clone())]).collect()
}

fn condition(kind: &str, status: bool, reason: &str, message: &str, now: Timestamp) -> NodeCondition {
    NodeCondition {
        type_: kind.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

fn conditions(pressure: &Pressure, now: Timestamp) -> Vec<NodeCondition> {
    let memory = match pressure.memory {
        true => ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        false => ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    };
    let disk = match pressure.disk {
        true => ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        false => ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    };
    let pids = match pressure.pids {
        true => ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        false => ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    };
    vec![
        condition("MemoryPressure", pressure.memory, memory.0, memory.1, now),
        condition("DiskPressure", pressure.disk, disk.0, disk.1, now),
        condition("PIDPressure", pressure.pids, pids.0, pids.1, now),
        condition("Ready", true, "KubeletReady", "kubelet is posting ready status", now),
    ]
}

/// Largest first, as upstream lists them.
fn images(images: &[Image]) -> Option<Vec<ContainerImage>> {
    let mut all: Vec<&Image> = images.iter().filter(|image| !image.references.is_empty()).collect();
    all.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.references.cmp(&b.references)));
    let list = all.into_iter().take(MOST_IMAGES).map(|image| ContainerImage {
        names: Some(image.references.clone()),
        size_bytes: i64::try_from(image.size).ok(),
    });
    let list: Vec<ContainerImage> = list.collect();
    (!list.is_empty()).then_some(list)
}

pub fn node(
    config: &Config,
    facts: &Facts,
    port: Option<u16>,
    pressure: &Pressure,
    stored: &[Image],
    now: Timestamp,
) -> Node {
    let resources = resources(config, facts);
    let endpoint = port.map(|port| DaemonEndpoint { port: i32::from(port) });
    let status = NodeStatus {
        capacity: Some(resources.clone()),
        allocatable: Some(resources),
        addresses: Some(addresses(config)),
        conditions: Some(conditions(pressure, now)),
        daemon_endpoints: endpoint
            .map(|kubelet_endpoint| NodeDaemonEndpoints { kubelet_endpoint: Some(kubelet_endpoint) }),
        images: images(stored),
        node_info: Some(NodeSystemInfo {
            architecture: facts.arch.to_owned(),
            boot_id: facts.boot_id.clone(),
            machine_id: facts.machine_id.clone(),
            system_uuid: facts.system_uuid.clone(),
            kernel_version: facts.kernel.clone(),
            os_image: facts.os_image.clone(),
            operating_system: "linux".to_owned(),
            container_runtime_version: config.runtime_version.clone(),
            kubelet_version: config.kubelet_version.clone(),
            kube_proxy_version: String::new(),
            swap: None,
        }),
        ..NodeStatus::default()
    };
    let cidr = config.pod_cidr.to_string();
    Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config, facts)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec { pod_cidr: Some(cidr.clone()), pod_cidrs: Some(vec![cidr]), ..NodeSpec::default() }),
        status: Some(status),
    }
}

/// A merge patch that gives an existing Node our labels, and our pod range if it has none. `None`: nothing is missing.
pub fn adopt(have: &Node, want: &Node) -> Option<Value> {
    let present = have.metadata.labels.clone().unwrap_or_default();
    let wanted = want.metadata.labels.clone().unwrap_or_default();
    let missing: BTreeMap<String, String> =
        wanted.into_iter().filter(|(name, value)| present.get(name) != Some(value)).collect();
    let mut patch = Map::new();
    if !missing.is_empty() {
        patch.insert("metadata".to_owned(), json!({"labels": missing}));
    }
    let range = have.spec.as_ref().and_then(|spec| spec.pod_cidr.as_ref());
    if range.is_none()
        && let Some(spec) = &want.spec
    {
        patch.insert("spec".to_owned(), json!({"podCIDR": spec.pod_cidr, "podCIDRs": spec.pod_cidrs}));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// A strategic merge patch of a node's status: ours is brought up to date, resources and conditions of others stay. `always`:
/// the heartbeat times are a change of their own.
pub fn status_patch(have: &Value, want: &Value, always: bool) -> Option<Value> {
    let mut patch = Map::new();
    for (name, wanted) in want.as_object().into_iter().flatten() {
        let old = have.get(name).unwrap_or(&Value::Null);
        match name.as_str() {
            "conditions" => {
                let changed = condition_changes(old, wanted, always);
                if !changed.is_empty() {
                    patch.insert(name.clone(), Value::Array(changed));
                }
            }
            // A map that others add to.
            "capacity" | "allocatable" => {
                let ours = wanted.as_object().into_iter().flatten().filter(|(key, value)| old.get(key) != Some(value));
                let ours: Map<String, Value> = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
                if !ours.is_empty() {
                    patch.insert(name.clone(), Value::Object(ours));
                }
            }
            // Merged by type: an address that is gone would stay.
            "addresses" if old != wanted && !old.is_null() => {
                let items = wanted.as_array().cloned().unwrap_or_default();
                let list = std::iter::once(json!({"$patch": "replace"})).chain(items).collect();
                patch.insert(name.clone(), list);
            }
            _ if old != wanted => drop(patch.insert(name.clone(), wanted.clone())),
            _ => {}
        }
    }
    let images_gone = want.get("images").is_none() && have.get("images").is_some_and(|images| !images.is_null());
    if images_gone {
        patch.insert("images".to_owned(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Conditions whose status, reason or message differ; the transition time moves with the status only.
fn condition_changes(old: &Value, wanted: &Value, always: bool) -> Vec<Value> {
    let mut out = Vec::new();
    for condition in wanted.as_array().into_iter().flatten() {
        let before =
            old.as_array().and_then(|list| list.iter().find(|other| other.get("type") == condition.get("type")));
        let same = |field: &str| before.is_some_and(|before| before.get(field) == condition.get(field));
        if same("status") && same("reason") && same("message") && !always {
            continue;
        }
        let mut change = condition.clone();
        if same("status") {
            let kept = before.and_then(|before| before.get("lastTransitionTime")).cloned();
            change["lastTransitionTime"] = kept.unwrap_or_default();
        }
        out.push(change);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PodCidr;

    fn config() -> Config {
        let cidr = PodCidr::parse("10.244.0.0/24").expect("a range");
        Config::new("n1", "10.0.0.1".parse().expect("an address"), cidr, "/data".into())
    }

    fn wanted() -> Value {
        let facts = Facts { cpus: 2, memory_bytes: 1 << 30, arch: "amd64", ..Facts::default() };
        let node = node(&config(), &facts, Some(10250), &Pressure::default(), &[], Timestamp::UNIX_EPOCH);
        serde_json::to_value(node.status).expect("a status")
    }

    #[test]
    fn a_status_that_is_true_is_not_written() {
        let want = wanted();
        assert_eq!(status_patch(&want, &want, false), None);
        let beat = status_patch(&want, &want, true).expect("a heartbeat");
        assert_eq!(beat.as_object().map(|map| map.len()), Some(1), "conditions only: {beat}");
    }

    #[test]
    fn what_others_wrote_stays() {
        let want = wanted();
        let mut have = want.clone();
        have["capacity"]["example.com/foo"] = json!("5");
        have["conditions"].as_array_mut().expect("conditions").push(json!({"type": "Foreign", "status": "True"}));
        assert_eq!(status_patch(&have, &want, false), None);
        have["capacity"]["cpu"] = json!("1");
        assert_eq!(status_patch(&have, &want, false), Some(json!({"capacity": {"cpu": "2"}})));
    }

    #[test]
    fn transition_times_move_with_the_status() {
        let want = wanted();
        let mut have = want.clone();
        have["conditions"][3] = json!({"type": "Ready", "status": "Unknown", "lastTransitionTime": "old"});
        have["conditions"][0] = json!({"type": "MemoryPressure", "status": "False", "lastTransitionTime": "old"});
        let patch = status_patch(&have, &want, false).expect("a change");
        let times: Vec<&Value> =
            patch["conditions"].as_array().expect("conditions").iter().map(|c| &c["lastTransitionTime"]).collect();
        assert_eq!(times, [&json!("old"), &json!("1970-01-01T00:00:00Z")]);
    }

    #[test]
    fn an_existing_node_is_adopted() {
        let facts = Facts { arch: "amd64", ..Facts::default() };
        let want = node(&config(), &facts, None, &Pressure::default(), &[], Timestamp::UNIX_EPOCH);
        assert_eq!(adopt(&want, &want), None);
        let mut have = want.clone();
        have.metadata.labels = Some([("kubernetes.io/os".to_owned(), "linux".to_owned())].into());
        let patch = adopt(&have, &want).expect("labels are missing");
        assert!(
            patch["metadata"]["labels"].get("kubernetes.io/os").is_none() && patch.get("spec").is_none(),
            "{patch}"
        );
    }
}
