//! Warnings about what a PodSpec says without effect, or twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::cursor::{Cursor, field, list, number, text};
use super::super::quantities::parse_at;

const DEPRECATED_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

const DEPRECATED_VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Node labels that have a new name.
const DEPRECATED_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
];

/// `annotations_path` is where the annotations of the pod or template stand.
pub fn of_spec(spec: &Cursor, annotations: &Value, annotations_path: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, _) in spec.child("nodeSelector").entries() {
        if let Some((_, text)) = DEPRECATED_LABELS.iter().find(|(label, _)| *label == name) {
            warnings.push(format!("{}: {text}", spec.child("nodeSelector").key(name).path()));
        }
    }
    for constraint in spec.child("topologySpreadConstraints").items() {
        selects_nothing(&constraint, &mut warnings);
    }
    for (name, text) in DEPRECATED_ANNOTATIONS {
        if !field(annotations, name).is_null() {
            warnings.push(format!("{annotations_path}[{name}]: {text}"));
        }
    }
    for volume in spec.child("volumes").items() {
        for (name, text) in DEPRECATED_VOLUMES {
            if volume.has(name) {
                warnings.push(format!("{}: {text}", volume.child(name).path()));
            }
        }
    }
    for volume in spec.child("volumes").items() {
        for source in volume.child("projected").child("sources").items() {
            if source.value.as_object().is_some_and(serde_json::Map::is_empty) {
                warnings.push(format!("volume {:?} (Projected) has no sources provided", volume.text("name")));
            }
        }
    }
    repeated(&spec.child("hostAliases"), "ip", &mut warnings);
    repeated(&spec.child("imagePullSecrets"), "name", &mut warnings);
    for secret in spec.child("imagePullSecrets").items() {
        if secret.text("name").is_empty() {
            warnings.push(format!("{}: invalid empty name \"\"", secret.child("name").path()));
        }
    }
    fractional(&spec.child("overhead"), &mut warnings);
    for list in super::defaults::CONTAINER_LISTS {
        for container in spec.child(list).items() {
            let resources = container.child("resources");
            fractional(&resources.child("limits"), &mut warnings);
            fractional(&resources.child("requests"), &mut warnings);
            hidden_variables(&container.child("env"), &mut warnings);
        }
    }
    ports(spec, &mut warnings);
    port_names(spec, &mut warnings);
    let grace = spec.child("terminationGracePeriodSeconds");
    if number(spec.value, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let path = grace.path();
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    let affinities = spec.child("affinity");
    for kind in ["podAffinity", "podAntiAffinity"] {
        let affinity = affinities.child(kind);
        for term in affinity.child("requiredDuringSchedulingIgnoredDuringExecution").items() {
            selects_nothing(&term, &mut warnings);
        }
        for term in affinity.child("preferredDuringSchedulingIgnoredDuringExecution").items() {
            selects_nothing(&term.child("podAffinityTerm"), &mut warnings);
        }
    }
    warnings
}

fn selects_nothing(term: &Cursor, warnings: &mut Vec<String>) {
    let selector = term.child("labelSelector");
    if !selector.is_set() {
        warnings.push(format!("{}: a null labelSelector results in matching no pod", selector.path()));
    }
}

fn port_names(spec: &Cursor, warnings: &mut Vec<String>) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for list_name in super::defaults::CONTAINER_LISTS {
        for container in spec.child(list_name).items() {
            for port in container.child("ports").items().filter(|port| !port.text("name").is_empty()) {
                let (name, path) = (port.text("name").to_owned(), port.path().to_string());
                if let Some(other) = seen.get(&name) {
                    warnings.push(format!(
                        "{path}: duplicate port name {name:?} with {other}, services and probes that select ports by name \
                         will use {other}"
                    ));
                } else {
                    seen.insert(name, path);
                }
            }
        }
    }
}

fn repeated(at: &Cursor, name: &str, warnings: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for item in at.items() {
        if !seen.insert(item.text(name)) {
            warnings.push(format!("{}: duplicate {name} {:?}", item.child(name).path(), item.text(name)));
        }
    }
}

fn fractional(at: &Cursor, warnings: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        let amount = at.key(name);
        if let Some(quantity) = parse_at(&amount).filter(|quantity| !super::super::quantities::is_integer(quantity)) {
            let shown = quantity.to_string();
            warnings.push(format!("{}: fractional byte value {shown:?} is invalid, must be an integer", amount.path()));
        }
    }
}

/// A second variable of one name is lost when somebody applies, unless it builds on the first.
fn hidden_variables(at: &Cursor, warnings: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for variable in at.items() {
        let (name, value) = (variable.text("name"), variable.text("value"));
        let reference = format!("$({name})");
        let builds_on = !variable.has("valueFrom") && value != reference && value.contains(&reference);
        if !seen.insert(name) && !builds_on {
            let path = variable.path();
            warnings
                .push(format!("{path}: hides previous definition of {name:?}, which may be dropped when using apply"));
        }
    }
}

fn ports(spec: &Cursor, warnings: &mut Vec<String>) {
    let mut seen: BTreeMap<String, Vec<(String, &Value)>> = BTreeMap::new();
    for list_name in super::defaults::CONTAINER_LISTS {
        for container in spec.child(list_name).items() {
            for (port, value) in container.child("ports").items().zip(list(container.value, "ports")) {
                let key = format!("{}/{}", port.number("containerPort").unwrap_or_default(), port.text("protocol"));
                let others = seen.entry(key).or_default();
                let path = port.path().to_string();
                if !port.text("hostIP").is_empty() && port.number("hostPort").unwrap_or_default() == 0 {
                    let (name, address) = (port.text("name"), port.text("hostIP"));
                    let (number, protocol) = (port.number("containerPort").unwrap_or_default(), port.text("protocol"));
                    warnings.push(format!(
                        "{path}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} \
                         Protocol:{protocol} HostIP:{address}}}"
                    ));
                }
                for (other_path, other) in others.iter() {
                    if let Some(what) = overlap(value, other) {
                        warnings.push(format!("{path}: {what} port definition with {other_path}"));
                    }
                }
                others.push((path, value));
            }
        }
    }
}

fn overlap(port: &Value, other: &Value) -> Option<&'static str> {
    let host = |port: &Value| (number(port, "hostPort").unwrap_or_default(), text(port, "hostIP").to_owned());
    let ((port, address), (other_port, other_address)) = (host(port), host(other));
    if (port, &address) == (other_port, &other_address) {
        Some("duplicate")
    } else if port == 0 || other_port == 0 {
        Some("overlapping")
    } else if port == other_port && address.is_empty() != other_address.is_empty() {
        Some("dangerously ambiguous")
    } else {
        None
    }
}
