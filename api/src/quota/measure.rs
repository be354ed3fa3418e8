//! What an object of a kind counts for, and under which names of resources.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Write;
use super::list::{ResourceList, add, from_json, raise};
use super::pods::{self, Basis, containers};
use crate::Object;
use crate::quantity::{Format, Quantity};
use crate::selector::{LabelSelector, Operator, Requirement};
use crate::time::parse_time;

/// By the kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure<'a> {
    Pods,
    Services,
    Claims,
    /// Of devices.
    ResourceClaims,
    /// Of every other kind objects are counted.
    Count {
        group: &'a str,
        resource: &'a str,
    },
}

const OF_PODS: [&str; 11] = [
    "count/pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
const OF_SERVICES: [&str; 4] = ["count/services", "services", "services.nodeports", "services.loadbalancers"];
const OF_CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
const DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// An allocation has no more devices.
const MAX_DEVICES: i64 = 32;

/// Kinds that may be counted without `count/`.
const ALIASES: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];

/// What a pod must say of each container where a quota limits it.
const MUST_BE_SAID: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Group and plural of the kind whose objects a resource name counts, if it counts objects alone.
pub fn counted_kind(name: &str) -> Option<(&str, &str)> {
    if ALIASES.contains(&name) {
        return Some(("", name));
    }
    let counted = name.strip_prefix("count/")?;
    let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
    Some((group, resource))
}

impl<'a> Measure<'a> {
    pub fn of(group: &'a str, resource: &'a str) -> Self {
        match (group, resource) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::Claims,
            ("resource.k8s.io", "resourceclaims") => Self::ResourceClaims,
            _ => Self::Count { group, resource },
        }
    }

    /// Whether the measure tells amounts of this name.
    pub fn covers(self, name: &str) -> bool {
        match self {
            Self::Pods => OF_PODS.contains(&name) || is_huge_pages(name) || is_extended(name),
            Self::Services => OF_SERVICES.contains(&name),
            Self::Claims => {
                let plain = name.rsplit_once(STORAGE_CLASS).map_or(name, |(_, kind)| kind);
                name == "count/persistentvolumeclaims" || OF_CLAIMS.contains(&plain)
            }
            Self::ResourceClaims => name == "count/resourceclaims.resource.k8s.io" || name.ends_with(DEVICE_CLASS),
            Self::Count { group, resource } => counted_kind(name) == Some((group, resource)),
        }
    }

    /// Whether a write of this kind can change what is used.
    pub fn concerns(self, write: Write<'_>) -> bool {
        let created = write.old.is_none();
        match (self, write.subresource) {
            (Self::Pods, "") => {
                created || write.old.is_some_and(|old| is_terminating(old) != is_terminating(write.new))
            }
            (Self::Pods, "resize") => !created,
            (Self::Services | Self::Claims | Self::ResourceClaims, "") => true,
            (Self::Claims, "status") => write.old.is_some_and(|old| {
                let amount = |claim: &Object| from_json(&claim["status"]["allocatedResources"]).remove("storage");
                amount(old) != amount(write.new) || attributes_classes(old) != attributes_classes(write.new)
            }),
            (Self::Count { .. }, "") => created,
            _ => false,
        }
    }

    pub fn usage(self, object: &Object, now: Timestamp) -> ResourceList {
        match self {
            Self::Pods => of_pod(object, now),
            Self::Services => of_service(object),
            Self::Claims => of_claim(object),
            Self::ResourceClaims => of_resource_claim(object),
            Self::Count { group, resource } => {
                let counted =
                    if group.is_empty() { format!("count/{resource}") } else { format!("count/{resource}.{group}") };
                let alias = ALIASES.contains(&resource) && group.is_empty();
                [Some(counted), alias.then(|| resource.to_owned())]
                    .into_iter()
                    .flatten()
                    .map(|name| (name, one()))
                    .collect()
            }
        }
    }

    /// `selector` is null when the scope only asks whether there is one.
    pub(super) fn is_in_scope(self, scope: &str, selector: &Value, object: &Object) -> bool {
        match (self, scope) {
            (Self::Pods, "Terminating") => is_terminating(object),
            (Self::Pods, "NotTerminating") => !is_terminating(object),
            (Self::Pods, "BestEffort") => is_best_effort(object),
            (Self::Pods, "NotBestEffort") => !is_best_effort(object),
            (Self::Pods, "PriorityClass") => {
                let class = object["spec"]["priorityClassName"].as_str().filter(|class| !class.is_empty());
                selects(scope, selector, &class.into_iter().collect())
            }
            (Self::Pods, "CrossNamespacePodAffinity") => reaches_other_namespaces(object),
            (Self::Claims, "VolumeAttributesClass") => selects(scope, selector, &attributes_classes(object)),
            _ => false,
        }
    }

    /// Which of the names a pod should have said for which containers, as messages show it.
    pub(super) fn missing(self, names: &[&str], pod: &Object) -> Option<String> {
        let whole = &pod["spec"]["resources"];
        let says_whole = [&whole["requests"], &whole["limits"]].into_iter().filter_map(Value::as_object);
        if self != Self::Pods || says_whole.flatten().any(|(name, _)| pods::is_for_the_whole(name)) {
            return None;
        }
        let mut names: Vec<&str> = names.iter().copied().filter(|name| MUST_BE_SAID.contains(name)).collect();
        names.sort_unstable();
        let lacks = |name: &str| {
            let (kind, resource) = name.split_once('.').unwrap_or(("requests", name));
            let all = containers(pod, "containers").chain(containers(pod, "initContainers"));
            let silent = all.filter(|container| container["resources"][kind][resource].is_null());
            silent.filter_map(|container| container["name"].as_str()).collect::<BTreeSet<&str>>()
        };
        let missing =
            names.into_iter().map(|name| (name, lacks(name))).filter(|(_, containers)| !containers.is_empty());
        let shown = missing
            .map(|(name, containers)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")));
        let shown: Vec<String> = shown.collect();
        (!shown.is_empty()).then(|| shown.join("; "))
    }
}

fn one() -> Quantity {
    count(1)
}

fn count(number: i64) -> Quantity {
    Quantity::new(number, Format::DecimalSi)
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// `requests.` of a resource that is not Kubernetes' own: those cannot be overcommitted, so there are no limits.
fn is_extended(name: &str) -> bool {
    let own = !name.contains('/') || name.contains("kubernetes.io/");
    name.starts_with("requests.") && (!own || name.starts_with("requests.deviceclass.resource.kubernetes.io/"))
}

fn is_terminating(pod: &Object) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

fn is_best_effort(pod: &Object) -> bool {
    if let Some(class) = pod["status"]["qosClass"].as_str() {
        return class == "BestEffort";
    }
    let (requests, limits) = (pods::requests(pod, Basis::Specified), pods::limits(pod, Basis::Specified));
    ["cpu", "memory"]
        .iter()
        .all(|name| [&requests, &limits].iter().all(|list| list.get(*name).is_none_or(Quantity::is_zero)))
}

fn selects(scope: &str, selector: &Value, values: &BTreeSet<&str>) -> bool {
    let operator = match selector["operator"].as_str() {
        None | Some("Exists") => return !values.is_empty(),
        Some("In") => Operator::In,
        Some("NotIn") => Operator::NotIn,
        _ => Operator::DoesNotExist,
    };
    let wanted =
        selector["values"].as_array().into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned));
    let Ok(requirement) = Requirement::new(scope, operator, wanted.collect()) else { return false };
    let selector = LabelSelector::from_requirements(vec![requirement]);
    let matches = |value: Option<&str>| {
        let labels = value.map(|value| (scope.to_owned(), value.to_owned()));
        selector.matches(&labels.into_iter().collect::<BTreeMap<String, String>>())
    };
    if values.is_empty() { matches(None) } else { values.iter().any(|value| matches(Some(value))) }
}

fn reaches_other_namespaces(pod: &Object) -> bool {
    let affinity = &pod["spec"]["affinity"];
    let list = |kind: &str, key: &str| affinity[kind][key].as_array().into_iter().flatten();
    let reaches = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|names| !names.is_empty()) || term["namespaceSelector"].is_object()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        list(kind, "requiredDuringSchedulingIgnoredDuringExecution").any(reaches)
            || list(kind, "preferredDuringSchedulingIgnoredDuringExecution")
                .any(|term| reaches(&term["podAffinityTerm"]))
    })
}

/// A pod that has ended, or should be gone by now, holds nothing but its place in the store.
fn of_pod(pod: &Object, now: Timestamp) -> ResourceList {
    let mut list = ResourceList::from([("count/pods".to_owned(), one())]);
    if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) || is_overdue(pod, now) {
        return list;
    }
    list.insert("pods".to_owned(), one());
    for (name, amount) in pods::requests(pod, Basis::Actual) {
        let ours = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        let request = format!("requests.{name}");
        if ours || is_extended(&request) {
            list.insert(request, amount.clone());
        }
        if ours {
            list.insert(name, amount);
        }
    }
    for (name, amount) in pods::limits(pod, Basis::Actual) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            list.insert(format!("limits.{name}"), amount);
        }
    }
    list
}

fn is_overdue(pod: &Object, now: Timestamp) -> bool {
    let metadata = &pod["metadata"];
    let deleted = metadata["deletionTimestamp"].as_str().and_then(|time| parse_time(time).ok());
    let grace = metadata["deletionGracePeriodSeconds"].as_i64().map(SignedDuration::from_secs);
    let (Some(deleted), Some(grace)) = (deleted, grace) else { return false };
    deleted.checked_add(grace).is_ok_and(|end| now > end)
}

fn of_service(service: &Object) -> ResourceList {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let all = ports.len() as i64;
    let asked = ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or_default() != 0).count() as i64;
    let (node_ports, balancers) = match spec["type"].as_str() {
        Some("NodePort") => (all, 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (asked, 1),
        Some("LoadBalancer") => (all, 1),
        _ => (0, 0),
    };
    OF_SERVICES
        .iter()
        .zip([1, 1, node_ports, balancers])
        .map(|(name, number)| ((*name).to_owned(), count(number)))
        .collect()
}

fn of_claim(claim: &Object) -> ResourceList {
    let (spec, annotations) = (&claim["spec"], &claim["metadata"]["annotations"]);
    let by_annotation = annotations["volume.beta.kubernetes.io/storage-class"].as_str();
    let class = by_annotation.or(spec["storageClassName"].as_str()).filter(|class| !class.is_empty());
    let mut list = ResourceList::from([("count/persistentvolumeclaims".to_owned(), one())]);
    let mut charge = |name: &str, amount: Quantity| {
        if let Some(class) = class {
            list.insert(format!("{class}{STORAGE_CLASS}{name}"), amount.clone());
        }
        list.insert(name.to_owned(), amount);
    };
    charge("persistentvolumeclaims", one());
    if let Some(mut storage) = from_json(&spec["resources"]["requests"]).remove("storage") {
        if let Some(given) = from_json(&claim["status"]["allocatedResources"]).remove("storage")
            && given > storage
        {
            storage = given;
        }
        // Whole bytes.
        if storage.to_i64().is_none() {
            storage = Quantity::new(storage.value(), storage.format());
        }
        charge("requests.storage", storage);
    }
    list
}

/// The classes that a claim has, wants, or is on its way to.
fn attributes_classes(claim: &Object) -> BTreeSet<&str> {
    let names = [
        &claim["spec"]["volumeAttributesClassName"],
        &claim["status"]["currentVolumeAttributesClassName"],
        &claim["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    names.into_iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).collect()
}

/// Devices by class, at worst: of alternatives the one with the most.
fn of_resource_claim(claim: &Object) -> ResourceList {
    let mut list = ResourceList::from([("count/resourceclaims.resource.k8s.io".to_owned(), one())]);
    let devices = |request: &Value| -> Option<(String, Quantity)> {
        let class = request["deviceClassName"].as_str()?;
        let number = match request["allocationMode"].as_str() {
            Some("All") => MAX_DEVICES,
            _ => request["count"].as_i64().unwrap_or(1),
        };
        Some((format!("{class}{DEVICE_CLASS}"), count(number)))
    };
    for request in claim["spec"]["devices"]["requests"].as_array().into_iter().flatten() {
        let mut most = ResourceList::new();
        for alternative in request["firstAvailable"].as_array().into_iter().flatten() {
            raise(&mut most, &devices(alternative).into_iter().collect());
        }
        add(&mut list, &most);
        add(&mut list, &devices(&request["exactly"]).into_iter().collect());
    }
    list
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::show;
    use super::*;

    fn usage(measure: Measure, object: &Value) -> String {
        show(&measure.usage(object, "2026-01-01T00:01:00Z".parse().unwrap()))
    }

    #[test]
    fn objects_count_for_what_they_use() {
        let resources = json!({"requests": {"cpu": "1", "hugepages-2Mi": "2Mi", "example.com/gpu": "2"}, "limits": {"memory": "1Gi"}});
        let pod = |status: Value, deleted: &str| {
            json!({"metadata": {"deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30},
                "spec": {"containers": [{"resources": resources}]}, "status": status})
        };
        let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
        let service = |spec: Value| json!({"spec": spec});
        let ports = json!([{"port": 1, "nodePort": 30001}, {"port": 2}]);
        let devices = json!({"spec": {"devices": {"requests": [
            {"exactly": {"deviceClassName": "a", "count": 2}},
            {"firstAvailable": [{"deviceClassName": "a", "count": 3}, {"deviceClassName": "b", "allocationMode": "All"}]}]}}});
        let running = "count/pods=1,cpu=1,hugepages-2Mi=2Mi,limits.memory=1Gi,pods=1,requests.cpu=1,\
            requests.example.com/gpu=2,requests.hugepages-2Mi=2Mi";
        let table = [
            (Measure::Pods, pod(json!({"phase": "Running"}), ""), running),
            (Measure::Pods, pod(json!({"phase": "Failed"}), ""), "count/pods=1"),
            (Measure::Pods, pod(json!({}), "2026-01-01T00:00:29Z"), "count/pods=1"),
            (Measure::Pods, pod(json!({}), "2026-01-01T00:00:31Z"), running),
            (
                Measure::Services,
                service(json!({"type": "LoadBalancer", "ports": ports})),
                "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2",
            ),
            (
                Measure::Services,
                service(json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": ports})),
                "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
            ),
            (
                Measure::Claims,
                claim,
                "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
                 gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi",
            ),
            (
                Measure::ResourceClaims,
                devices,
                "a.deviceclass.resource.k8s.io/devices=5,b.deviceclass.resource.k8s.io/devices=32,\
                 count/resourceclaims.resource.k8s.io=1",
            ),
            (Measure::of("apps", "deployments"), json!({}), "count/deployments.apps=1"),
            (Measure::of("", "secrets"), json!({}), "count/secrets=1,secrets=1"),
        ];
        for (measure, object, expected) in table {
            assert_eq!(usage(measure, &object), expected, "{object}");
            for name in measure.usage(&object, Timestamp::UNIX_EPOCH).keys() {
                assert!(measure.covers(name), "{name}");
            }
        }
    }

    #[test]
    fn scopes_narrow_pods() {
        let select = |operator: &str| json!({"operator": operator, "values": ["high"]});
        let class = |name: &str| json!({"spec": {"priorityClassName": name}});
        let far = json!({"spec": {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"podAffinityTerm": {"namespaces": ["other"]}}]}}}});
        let short = json!({"spec": {"activeDeadlineSeconds": 5}});
        let table = [
            ("Terminating", Value::Null, &short, true),
            ("NotTerminating", Value::Null, &short, false),
            ("BestEffort", Value::Null, &short, true),
            ("PriorityClass", Value::Null, &class("high"), true),
            ("PriorityClass", Value::Null, &short, false),
            ("PriorityClass", select("In"), &class("high"), true),
            ("PriorityClass", select("In"), &class("low"), false),
            ("PriorityClass", select("NotIn"), &class("low"), true),
            ("PriorityClass", select("NotIn"), &short, true),
            ("CrossNamespacePodAffinity", Value::Null, &far, true),
            ("CrossNamespacePodAffinity", Value::Null, &short, false),
            ("VolumeAttributesClass", Value::Null, &short, false),
        ];
        for (scope, selector, pod, expected) in table {
            assert_eq!(Measure::Pods.is_in_scope(scope, &selector, pod), expected, "{scope} {selector} {pod}");
        }
    }
}
