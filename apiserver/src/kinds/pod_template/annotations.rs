//! Annotations of pods and templates that mean something to the server.

use std::collections::BTreeMap;

use api::names;
use serde_json::Value;

use super::super::cursor::{Cursor, Errors, field, text};

pub const MIRROR: &str = "kubernetes.io/config.mirror";
pub const APP_ARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_PREFIX: &str = "container.seccomp.security.alpha.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Keys and total size of a map of annotations inside a spec. Those of `metadata` are checked for all kinds alike.
pub fn generic(at: &Cursor, errors: &mut Errors) {
    let map: BTreeMap<String, String> =
        at.entries().map(|(name, value)| (name.to_owned(), value.str().to_owned())).collect();
    for error in names::validate_annotations(&map, &at.path()) {
        errors.push(error);
    }
}

/// Annotations that upstream reads from a pod or template with this spec.
pub fn of_pod(at: &Cursor, spec: &Value, errors: &mut Errors) {
    let mirror = at.key(MIRROR);
    if mirror.is_set() && text(spec, "nodeName").is_empty() {
        errors.invalid(&mirror, "must set spec.nodeName if mirror pod annotation is set");
    }
    let cost = at.key(DELETION_COST);
    if cost.is_set() && !is_deletion_cost(cost.str()) {
        errors.invalid(&cost, "must be a 32bit integer");
    }
    for (name, value) in at.entries() {
        if name == SECCOMP_POD || name.starts_with(SECCOMP_CONTAINER_PREFIX) {
            seccomp(&at.child(name).showing(value.value), errors);
        }
        if let Some(container) = name.strip_prefix(APP_ARMOR_PREFIX) {
            if !has_container(spec, container) {
                errors.invalid_as(&value, container, "container not found");
            }
            let profile = value.str();
            if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
                errors.invalid(&value, format!("invalid AppArmor profile name: {profile:?}"));
            }
        }
    }
}

fn is_deletion_cost(text: &str) -> bool {
    let canonical = text == "0" || !text.trim_start_matches('-').starts_with('0');
    canonical && !text.starts_with('+') && text.parse::<i32>().is_ok()
}

fn seccomp(at: &Cursor, errors: &mut Errors) {
    match at.str() {
        "runtime/default" | "docker/default" | "unconfined" => {}
        other => match other.strip_prefix("localhost/") {
            Some(path) => super::paths::descending(at, path, errors),
            None => errors.invalid(at, "must be a valid seccomp profile"),
        },
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    super::defaults::CONTAINER_LISTS.into_iter().flat_map(|name| super::super::cursor::list(spec, name))
}

fn has_container(spec: &Value, name: &str) -> bool {
    containers(spec).any(|container| text(container, "name") == name)
}

/// Old annotations and the fields that took their place must say the same.
pub fn match_fields(metadata: &Value, spec: &Cursor, errors: &mut Errors) {
    let annotations = field(metadata, "annotations");
    if !annotations.is_object() {
        return;
    }
    let pod_context = spec.child("securityContext");
    agree(text(annotations, SECCOMP_POD), &pod_context.child("seccompProfile"), "seccomp", errors);
    for list in super::defaults::CONTAINER_LISTS {
        for container in spec.child(list).items() {
            let context = container.child("securityContext");
            let name = container.text("name");
            let seccomp = text(annotations, &format!("{SECCOMP_CONTAINER_PREFIX}{name}"));
            agree(seccomp, &context.child("seccompProfile"), "seccomp", errors);
            let own = context.child("appArmorProfile");
            let effective = if own.is_set() { own.value } else { field(pod_context.value, "appArmorProfile") };
            let app_armor = text(annotations, &format!("{APP_ARMOR_PREFIX}{name}"));
            agree(app_armor, &own.showing(effective), "apparmor", errors);
        }
    }
}

fn agree(annotation: &str, profile: &Cursor, what: &str, errors: &mut Errors) {
    if annotation.is_empty() || !profile.is_set() {
        return;
    }
    let same_type = match profile.text("type") {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default"),
        "Localhost" => annotation.starts_with("localhost/"),
        _ => true,
    };
    if !same_type {
        errors.forbidden(&profile.child("type"), format!("{what} type in annotation and field must match"));
    } else if profile.text("type") == "Localhost"
        && annotation.strip_prefix("localhost/") != Some(profile.text("localhostProfile"))
    {
        let at = profile.child("localhostProfile");
        errors.forbidden(&at, format!("{what} profile in annotation and field must match"));
    }
}
