//! Validation of the three lists of containers.

use std::collections::BTreeSet;

use api::names;

use super::super::cursor::{Cursor, Errors, field, flag, list, text};
use super::mounts::{Volumes, volume_devices, volume_mounts};
use super::resources::{Owner, requirements};
use super::{env, handlers, security};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// What a container's rules need to know about its pod.
pub struct Facts<'v> {
    pub volumes: Volumes<'v>,
    /// Names in `spec.resourceClaims`.
    pub claims: BTreeSet<&'v str>,
    pub grace: Option<i64>,
    pub restart_policy: &'v str,
    pub host_users: bool,
    pub os: Option<&'v str>,
}

pub fn containers(at: &Cursor, facts: &Facts, errors: &mut Errors) {
    if at.is_empty() {
        return errors.required(at);
    }
    let mut names = BTreeSet::new();
    for container in at.items() {
        common(&container, facts, errors);
        if !names.insert(container.text("name")) {
            errors.duplicate_as(&container.child("name"), container.text("name"));
        }
        handlers::lifecycle(&container, facts.grace, facts.os, errors);
        handlers::probes(&container, facts.grace, errors);
        restart_policy(&container, errors);
    }
    host_ports(at, at.items(), errors);
}

pub fn init_containers(spec: &Cursor, facts: &Facts, errors: &mut Errors) {
    let at = spec.child("initContainers");
    let mut names: BTreeSet<&str> =
        list(spec.value, "containers").iter().map(|container| text(container, "name")).collect();
    for container in at.items() {
        common(&container, facts, errors);
        let sidecar = container.text("restartPolicy") == "Always";
        if sidecar && !container.child("restartPolicyRules").is_empty() {
            let detail = "restartPolicyRules are not allowed for init containers with restart policy Always";
            errors.forbidden(&container.child("restartPolicyRules"), detail);
        } else if !sidecar && container.has("restartPolicy") {
            restart_policy(&container, errors);
        } else if !sidecar && !container.child("restartPolicyRules").is_empty() {
            errors.required_because(&container.child("restartPolicy"), WITHOUT_POLICY);
        }
        let name = container.child("name");
        if names.contains(name.str()) {
            errors.duplicate_as(&name, name.str());
        } else if !name.str().is_empty() {
            names.insert(name.str());
        }
        host_ports(&at, std::iter::once(container), errors);
        if sidecar {
            handlers::lifecycle(&container, facts.grace, facts.os, errors);
            handlers::probes(&container, facts.grace, errors);
            continue;
        }
        for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.has(name) {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.forbidden(&container.child(name), detail);
            }
        }
    }
}

pub fn ephemeral_containers(spec: &Cursor, facts: &Facts, errors: &mut Errors) {
    let name_of = |container| text(container, "name");
    let regular = list(spec.value, "containers").iter().chain(list(spec.value, "initContainers"));
    let targets: BTreeSet<&str> = regular.map(name_of).collect();
    let mut names = targets.clone();
    for container in spec.child("ephemeralContainers").items() {
        common(&container, facts, errors);
        only_in_pod(&container, errors);
        if !names.insert(container.text("name")) {
            errors.duplicate_as(&container.child("name"), container.text("name"));
        }
        let target = container.child("targetContainerName");
        if !target.str().is_empty() && !targets.contains(target.str()) {
            errors.not_found(&target);
        }
        only_ephemeral_fields(&container, errors);
    }
}

fn only_ephemeral_fields(container: &Cursor, errors: &mut Errors) {
    const DETAIL: &str = "cannot be set for an Ephemeral Container";
    let forbidden = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    for name in forbidden {
        let member = container.child(name);
        let given = match name {
            "resources" => !member.is_empty(),
            _ => member.is_set(),
        };
        if given {
            errors.forbidden(&member, DETAIL);
        }
    }
    for mount in container.child("volumeMounts").items() {
        for name in ["subPath", "subPathExpr"] {
            if !mount.text(name).is_empty() {
                errors.forbidden(&mount.child(name), DETAIL);
            }
        }
    }
}

/// Rules for pods that templates are, for old times' sake, not held to.
pub fn only_in_pod(container: &Cursor, errors: &mut Errors) {
    let image = container.child("image");
    if image.str().trim() != image.str() {
        errors.invalid(&image, "must not have leading or trailing whitespace");
    }
}

fn common(at: &Cursor, facts: &Facts, errors: &mut Errors) {
    let (name, image) = (at.child("name"), at.child("image"));
    if name.str().is_empty() {
        errors.required(&name);
    } else {
        errors.messages(&name, names::dns1123_label(name.str()));
    }
    if image.str().is_empty() {
        errors.required(&image);
    }
    errors.one_of(&at.child("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
    ports(&at.child("ports"), errors);
    env::env(&at.child("env"), errors);
    env::env_from(&at.child("envFrom"), errors);
    volume_mounts(at, &facts.volumes, errors);
    volume_devices(at, &facts.volumes, errors);
    errors.one_of(&at.child("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    requirements(&at.child("resources"), Owner::Container, &facts.claims, errors);
    resize_policy(&at.child("resizePolicy"), facts.restart_policy, errors);
    security::container(&at.child("securityContext"), facts.host_users, errors);
}

fn ports(at: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for port in at.items() {
        let (name, number, host) = (port.child("name"), port.child("containerPort"), port.child("hostPort"));
        if !name.str().is_empty() {
            let messages = names::port_name(name.str());
            let valid = messages.is_empty();
            errors.messages(&name, messages);
            if valid && !seen.insert(name.str()) {
                errors.duplicate(&name);
            }
        }
        match number.int().unwrap_or_default() {
            0 => errors.required(&number),
            value => {
                if let Some(message) = names::port_number(value) {
                    errors.invalid(&number, message);
                }
            }
        }
        if let Some(value) = host.int().filter(|value| *value != 0)
            && let Some(message) = names::port_number(value)
        {
            errors.invalid(&host, message);
        }
        errors.one_of(&port.child("protocol"), &PROTOCOLS);
    }
}

/// No two of these containers may want the same port of the host. `list` is where upstream counts the index from.
fn host_ports<'v, 'p>(list: &Cursor, containers: impl Iterator<Item = Cursor<'v, 'p>>, errors: &mut Errors)
where
    'v: 'p,
{
    let mut used = BTreeSet::new();
    for (index, container) in containers.enumerate() {
        let place = list.index(index);
        let place = place.child("ports");
        for (index, port) in container.child("ports").items().enumerate() {
            let Some(number) = port.number("hostPort").filter(|number| *number != 0) else { continue };
            let key = format!("{}/{}/{number}", port.text("protocol"), port.text("hostIP"));
            if used.contains(&key) {
                errors.duplicate_as(&place.index(index).child("hostPort"), key);
            } else {
                used.insert(key);
            }
        }
    }
}

fn resize_policy(at: &Cursor, pod_restart_policy: &str, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for policy in at.items() {
        let (resource, restart) = (policy.text("resourceName"), policy.text("restartPolicy"));
        if !seen.insert(resource) {
            errors.duplicate_as(&policy, resource);
        }
        // Upstream reports the rest at the list.
        errors.one_of(&at.showing(field(policy.value, "resourceName")), &["cpu", "memory"]);
        let chosen = at.showing(field(policy.value, "restartPolicy"));
        errors.one_of(&chosen, &["NotRequired", "RestartContainer"]);
        if pod_restart_policy == "Never" && restart != "NotRequired" {
            errors.invalid_text(&chosen, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

const WITHOUT_POLICY: &str = "must specify restartPolicy when restart rules are used";

fn restart_policy(container: &Cursor, errors: &mut Errors) {
    const MAX_RULES: usize = 20;
    let (policy, rules) = (container.child("restartPolicy"), container.child("restartPolicyRules"));
    if !policy.is_set() {
        if !rules.is_empty() {
            errors.required_because(&policy, WITHOUT_POLICY);
        }
    } else {
        errors.one_of_if_set(&policy, &["Always", "Never", "OnFailure"]);
    }
    if rules.len() > MAX_RULES {
        errors.too_long(&rules, MAX_RULES);
    }
    for rule in rules.items() {
        if rule.text("action") != "Restart" {
            errors.not_supported(&rule.child("action"), &["Restart"]);
        }
        let codes = rule.child("exitCodes");
        if !codes.is_set() {
            errors.required_because(&codes, "must be specified");
        } else if !matches!(codes.text("operator"), "In" | "NotIn") {
            errors.not_supported(&codes.child("operator"), &["In", "NotIn"]);
        }
    }
}

/// An init container that keeps running beside the others.
pub fn is_sidecar(container: &serde_json::Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

/// Whether a pod with this spec shares the user ids of the host.
pub fn host_users(spec: &serde_json::Value) -> bool {
    flag(spec, "hostUsers") != Some(false)
}
