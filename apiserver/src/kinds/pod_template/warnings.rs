//! Warnings about what a PodSpec says without effect, or twice.

use std::collections::{BTreeMap, BTreeSet};

use api::names;
use serde_json::{Value, json};

use super::super::addresses;
use super::super::cursor::{Cursor, field, list, number, text};
use super::super::quantities::parse_at;
use super::virtual_paths::overlaps;

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

/// Node labels that have a new name, or none.
const DEPRECATED_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const USE_SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";

/// What is said about a node label that one should not use any more.
pub fn deprecated_label(name: &str) -> Option<&'static str> {
    DEPRECATED_LABELS.iter().find(|(label, _)| *label == name).map(|(_, text)| *text)
}

/// `annotations_path` is where the annotations of the pod or template stand.
pub fn of_spec(spec: &Cursor, annotations: &Value, annotations_path: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, at) in spec.child("nodeSelector").entries() {
        warnings.extend(deprecated_label(name).map(|text| format!("{}: {text}", at.path())));
    }
    node_affinity(&spec.child("affinity").child("nodeAffinity"), &mut warnings);
    for constraint in spec.child("topologySpreadConstraints").items() {
        named_label(&constraint.child("topologyKey"), &mut warnings);
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
        let ephemeral = volume.child("ephemeral");
        let template = ephemeral.child("volumeClaimTemplate");
        let claim = template.child("spec");
        let resources = claim.child("resources");
        for list in ["requests", "limits"] {
            fractional(&resources.child(list), &["storage"], &mut warnings);
        }
    }
    overlaps(&spec.child("volumes"), &mut warnings);
    repeated(&spec.child("hostAliases"), "ip", &mut warnings);
    repeated(&spec.child("imagePullSecrets"), "name", &mut warnings);
    for secret in spec.child("imagePullSecrets").items() {
        if secret.text("name").is_empty() {
            warnings.push(format!("{}: invalid empty name \"\"", secret.child("name").path()));
        }
    }
    fractional(&spec.child("overhead"), &BYTES, &mut warnings);
    let context = spec.child("securityContext");
    if !context.has("seccompProfile") && !field(annotations, SECCOMP).is_null() {
        warnings.push(format!("{annotations_path}[{SECCOMP}]: {USE_SECCOMP}"));
    }
    for list in super::defaults::CONTAINER_LISTS {
        for container in spec.child(list).items() {
            let profile = context.child("appArmorProfile");
            annotated(&container, profile.value, annotations, annotations_path, &mut warnings);
            let resources = container.child("resources");
            fractional(&resources.child("limits"), &BYTES, &mut warnings);
            fractional(&resources.child("requests"), &BYTES, &mut warnings);
            hidden_variables(&container.child("env"), &mut warnings);
        }
    }
    ports(spec, &mut warnings);
    if spec.number("terminationGracePeriodSeconds").unwrap_or_default() < 0 {
        let path = spec.child("terminationGracePeriodSeconds").path();
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    pod_affinity(&spec.child("affinity"), &mut warnings);
    for server in spec.child("dnsConfig").child("nameservers").items() {
        warnings.extend(addresses::warning(server.path().as_str(), server.str()));
    }
    for alias in spec.child("hostAliases").items() {
        let ip = alias.child("ip");
        warnings.extend(addresses::warning(ip.path().as_str(), ip.str()));
    }
    warnings
}

/// The label that is named at the cursor.
pub fn named_label(at: &Cursor, warnings: &mut Vec<String>) {
    warnings.extend(deprecated_label(at.str()).map(|text| format!("{}: {} is {text}", at.path(), at.str())));
}

fn node_affinity(at: &Cursor, warnings: &mut Vec<String>) {
    let required = at.child("requiredDuringSchedulingIgnoredDuringExecution");
    for term in required.child("nodeSelectorTerms").items() {
        for requirement in term.child("matchExpressions").items() {
            named_label(&requirement.child("key"), warnings);
        }
    }
    for weighted in at.child("preferredDuringSchedulingIgnoredDuringExecution").items() {
        let preference = weighted.child("preference");
        for requirement in preference.child("matchExpressions").items() {
            named_label(&requirement.child("key"), warnings);
            for value in requirement.child("values").items() {
                let messages = names::label_value(value.str()).into_iter();
                let (path, text) = (value.path(), value.str());
                warnings.extend(messages.map(|message| format!("{path}: {text} is invalid, {message}")));
            }
        }
    }
}

fn pod_affinity(at: &Cursor, warnings: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let at = at.child(kind);
        for term in at.child("requiredDuringSchedulingIgnoredDuringExecution").items() {
            selects_nothing(&term, warnings);
        }
        for weighted in at.child("preferredDuringSchedulingIgnoredDuringExecution").items() {
            selects_nothing(&weighted.child("podAffinityTerm"), warnings);
        }
    }
}

fn selects_nothing(at: &Cursor, warnings: &mut Vec<String>) {
    let selector = at.child("labelSelector");
    if !selector.is_set() {
        warnings.push(format!("{}: a null labelSelector results in matching no pod", selector.path()));
    }
}

/// Annotations in whose place a container has fields. A pod's annotations become fields, a template's do not.
fn annotated(at: &Cursor, pod_profile: &Value, annotations: &Value, path: &str, warnings: &mut Vec<String>) {
    let (context, name) = (at.child("securityContext"), at.text("name"));
    let seccomp = format!("{CONTAINER_SECCOMP}{name}");
    if !context.has("seccompProfile") && !field(annotations, &seccomp).is_null() {
        warnings.push(format!("{path}[{seccomp}]: {USE_SECCOMP}"));
    }
    let apparmor = format!("{APPARMOR}{name}");
    let given = text(annotations, &apparmor);
    let is_template = path != "metadata.annotations";
    if is_template && !context.has("appArmorProfile") && !field(annotations, &apparmor).is_null() {
        let profile = match given {
            "runtime/default" => json!({"type": "RuntimeDefault"}),
            "unconfined" => json!({"type": "Unconfined"}),
            other => match other.strip_prefix("localhost/") {
                Some(profile) => json!({"type": "Localhost", "localhostProfile": profile}),
                None => Value::Null,
            },
        };
        if pod_profile.is_null() || profile != *pod_profile {
            let text = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            warnings.push(format!("{path}[{apparmor}]: {text}"));
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

const BYTES: [&str; 2] = ["memory", "ephemeral-storage"];

pub fn fractional(at: &Cursor, resources: &[&str], warnings: &mut Vec<String>) {
    for name in resources {
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
                let (host_ip, host_port) = (port.text("hostIP"), port.number("hostPort").unwrap_or_default());
                if !host_ip.is_empty() && host_port == 0 {
                    // As Go shows a struct.
                    let shown = format!(
                        "{{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{host_ip}}}",
                        port.text("name"),
                        port.number("containerPort").unwrap_or_default(),
                        port.text("protocol"),
                    );
                    warnings.push(format!("{path}: hostIP set without hostPort: {shown}"));
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
    port_names(spec, warnings);
}

fn port_names(spec: &Cursor, warnings: &mut Vec<String>) {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for list_name in super::defaults::CONTAINER_LISTS {
        for container in spec.child(list_name).items() {
            for port in container.child("ports").items().filter(|port| !port.text("name").is_empty()) {
                let (name, path) = (port.text("name"), port.path().to_string());
                match seen.get(name) {
                    Some(other) => warnings.push(format!(
                        "{path}: duplicate port name {name:?} with {other}, services and probes that select ports by name \
                         will use {other}"
                    )),
                    None => drop(seen.insert(name, path)),
                }
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
