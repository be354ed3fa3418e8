//! Validation of a PodSpec and of a PodTemplateSpec.

use std::collections::BTreeSet;

use api::names;
use serde_json::Value;

use super::super::cursor::{Cursor, Errors, field, list, number, text};
use super::super::selectors::{label_name, labels};
use super::affinity::affinity;
use super::containers::{self, Facts, host_users};
use super::resources::{Owner, requirements};
use super::{annotations, dns, env, os, pod_level, security, spread, tolerations, volumes, windows};

/// A PodTemplateSpec.
pub fn template(at: &Cursor, errors: &mut Errors) {
    template_metadata(at, errors);
    let spec = at.child("spec");
    pod_spec(&spec, None, errors);
    annotations::match_fields(field(at.value, "metadata"), &spec, errors);
    if !spec.child("ephemeralContainers").is_empty() {
        errors.forbidden(&spec.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// Labels and annotations of a template.
pub fn template_metadata(at: &Cursor, errors: &mut Errors) {
    // Upstream's paths leave `metadata` out here.
    let metadata = field(at.value, "metadata");
    labels(&at.child("labels").showing(field(metadata, "labels")), errors);
    let place = at.child("annotations");
    let place = place.showing(field(metadata, "annotations"));
    annotations::generic(&place, errors);
    annotations::of_pod(&place, field(at.value, "spec"), errors);
}

/// A PodSpec; `metadata` is that of the pod, and `None` in a template.
pub fn pod_spec(spec: &Cursor, metadata: Option<&Value>, errors: &mut Errors) {
    let grace = spec.number("terminationGracePeriodSeconds");
    if grace.is_none() {
        errors.required(&spec.child("terminationGracePeriodSeconds"));
    }
    let name = metadata.map_or("", |metadata| text(metadata, "name"));
    let volumes = volumes::volumes(&spec.child("volumes"), name, metadata.is_some(), errors);
    let claims: BTreeSet<&str> = list(spec.value, "resourceClaims").iter().map(|claim| text(claim, "name")).collect();
    resource_claims(&spec.child("resourceClaims"), errors);
    let facts = Facts {
        volumes,
        claims: claims.into_iter().filter(|name| !name.is_empty()).collect(),
        grace,
        restart_policy: spec.text("restartPolicy"),
        host_users: host_users(spec.value),
        os: spec.child("os").is_set().then(|| text(field(spec.value, "os"), "name")),
    };
    containers::containers(&spec.child("containers"), &facts, errors);
    containers::init_containers(spec, &facts, errors);
    containers::ephemeral_containers(spec, &facts, errors);
    let resources = spec.child("resources");
    if resources.is_set() && facts.os == Some("windows") {
        errors.forbidden(&resources, "may not be set for a windows pod");
    } else if resources.is_set() {
        if resources.has("claims") {
            errors.forbidden(&resources.child("claims"), "claims may not be set for Resources at pod-level");
        }
        requirements(&resources, Owner::Pod, &facts.claims, errors);
        pod_level::consistent(spec, errors);
    }
    host_network_ports(spec, metadata.is_some(), errors);
    errors.one_of(&spec.child("restartPolicy"), &["Always", "OnFailure", "Never"]);
    errors.one_of(&spec.child("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    labels(&spec.child("nodeSelector"), errors);
    security::pod(spec, errors);
    affinity(&spec.child("affinity"), errors);
    dns::config(spec, errors);
    env::readiness_gates(&spec.child("readinessGates"), errors);
    scheduling_gates(&spec.child("schedulingGates"), errors);
    spread::constraints(spec, errors);
    windows::host_process(spec, errors);
    user_namespace(spec, errors);
    dns::host_name(spec, errors);
    single_fields(spec, errors);
    file_key_volumes(spec, errors);
}

fn single_fields(spec: &Cursor, errors: &mut Errors) {
    let check = |name: &str, rule: fn(&str) -> Vec<String>, errors: &mut Errors| {
        let at = spec.child(name);
        if !at.str().is_empty() {
            errors.messages(&at, rule(at.str()));
        }
    };
    check("serviceAccountName", names::dns1123_subdomain, errors);
    check("nodeName", names::dns1123_subdomain, errors);
    let deadline = spec.child("activeDeadlineSeconds");
    if deadline.int().is_some_and(|seconds| !(1..=i64::from(i32::MAX)).contains(&seconds)) {
        errors.invalid(&deadline, names::inclusive_range(1, i64::from(i32::MAX)));
    }
    check("hostname", names::dns1123_label, errors);
    check("subdomain", names::dns1123_label, errors);
    tolerations::tolerations(&spec.child("tolerations"), errors);
    dns::host_aliases(&spec.child("hostAliases"), errors);
    check("priorityClassName", names::dns1123_subdomain, errors);
    let class = spec.child("runtimeClassName");
    if class.is_set() {
        errors.messages(&class, names::dns1123_subdomain(class.str()));
    }
    let preemption = spec.child("preemptionPolicy");
    if preemption.is_set() {
        errors.one_of(&preemption, &["PreemptLowerPriority", "Never"]);
    }
    overhead(spec, errors);
    os::system(spec, errors);
}

/// The overhead is checked as the limits of a container are.
fn overhead(spec: &Cursor, errors: &mut Errors) {
    let overhead = spec.child("overhead");
    if overhead.is_set() {
        let limits = serde_json::json!({ "limits": overhead.value });
        requirements(&overhead.showing(&limits), Owner::Container, &BTreeSet::new(), errors);
    }
}

fn resource_claims(at: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for claim in at.items() {
        let name = claim.child("name");
        if name.str().is_empty() {
            errors.required(&name);
        } else if !seen.insert(name.str()) {
            errors.duplicate(&name);
        } else {
            errors.messages(&name, names::dns1123_label(name.str()));
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        match sources.iter().filter(|name| claim.has(name)).count() {
            0 => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&claim, detail);
            }
            1 => {}
            _ => {
                let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&claim, detail);
            }
        }
        for source in sources {
            let source = claim.child(source);
            if source.is_set() {
                errors.messages(&source, names::dns1123_subdomain(source.str()));
            }
        }
    }
}

fn scheduling_gates(at: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for gate in at.items() {
        let name = gate.text("name");
        label_name(&gate.showing(field(gate.value, "name")), errors);
        if !seen.insert(name) {
            errors.duplicate_as(&gate, name);
        }
    }
}

/// On the host's network a container port is a host port. In a template an unset one is completed later.
fn host_network_ports(spec: &Cursor, is_pod: bool, errors: &mut Errors) {
    if spec.flag("hostNetwork") != Some(true) {
        return;
    }
    for container in spec.child("containers").items() {
        for port in container.child("ports").items() {
            let host = number(port.value, "hostPort").unwrap_or_default();
            if (is_pod || host != 0) && host != number(port.value, "containerPort").unwrap_or_default() {
                let at = port.child("hostPort");
                errors.invalid_as(&at, host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

/// A pod with user ids of its own cannot share other namespaces with the host.
fn user_namespace(spec: &Cursor, errors: &mut Errors) {
    if host_users(spec.value) {
        return;
    }
    // The capital letters are upstream's.
    for (name, place) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.flag(name) == Some(true) {
            errors.forbidden(&spec.child(place), "when `hostUsers` is false");
        }
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.child(list).items() {
            if !container.child("volumeDevices").is_empty() {
                errors.forbidden(&container.child("volumeDevices"), "when `hostUsers` is false");
            }
        }
    }
}

/// Files that give environment variables lie in an emptyDir.
fn file_key_volumes(spec: &Cursor, errors: &mut Errors) {
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.child(name).items() {
            for variable in container.child("env").items() {
                let source = variable.child("valueFrom");
                let reference = source.child("fileKeyRef");
                if !reference.is_set() {
                    continue;
                }
                let wanted = reference.child("volumeName");
                let volume = list(spec.value, "volumes").iter().find(|volume| text(volume, "name") == wanted.str());
                match volume {
                    None => errors.not_found(&wanted),
                    Some(volume) if field(volume, "emptyDir").is_null() => {
                        errors.invalid_text(&wanted, "referenced volume must be of type emptyDir");
                    }
                    Some(_) => {}
                }
            }
        }
    }
}
