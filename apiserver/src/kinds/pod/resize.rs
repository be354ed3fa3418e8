//! The subresource `resize`: cpu and memory of a running pod.

use api::field::{FieldError, Path};
use serde_json::Value;

use super::super::cursor::{Cursor, Errors, field, list, size, text};
use super::super::edit::{copy, get_mut, list_mut, object_mut};
use super::super::equality::same_complete;
use super::super::pod_template::containers::is_sidecar;
use super::ephemeral::keep_all_but_spec;
use super::{is_mirror, metadata_and_spec, qos};

/// Resources and resize policies are taken from the request, all else from the stored pod. A request whose containers are not
/// those of the pod is left as it is: validation refuses it.
pub fn prepare(new: &mut Value, old: &Value) {
    let old_spec = field(old, "spec");
    if LISTS.iter().any(|name| names(field(new, "spec"), name) != names(old_spec, name)) {
        return;
    }
    let asked = field(new, "spec").clone();
    copy(new, old, "spec");
    keep_all_but_spec(new, old);
    let Some(spec) = get_mut(new, "spec") else { return };
    for name in LISTS {
        for (container, asked) in list_mut(spec, name).iter_mut().zip(list(&asked, name)) {
            copy(container, asked, "resources");
            copy(container, asked, "resizePolicy");
        }
    }
}

const LISTS: [&str; 2] = ["containers", "initContainers"];

fn names<'v>(spec: &'v Value, list_name: &str) -> Vec<&'v str> {
    list(spec, list_name).iter().map(|container| text(container, "name")).collect()
}

pub fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let whole = Path::new("");
    if is_mirror(old) {
        return vec![FieldError::forbidden(&whole, "static pods cannot be resized")];
    }
    let old_spec = field(old, "spec");
    if text(field(old_spec, "os"), "name") == "windows" {
        return vec![FieldError::forbidden(&whole, "windows pods cannot be resized")];
    }
    let mut errors = Errors::default();
    metadata_and_spec(new, &mut errors);
    let spec = Cursor::root(new, "spec");
    let class = text(field(old, "status"), "qosClass");
    if class != qos::class(new) {
        errors.invalid_as(&spec, class, "Pod QOS Class may not change as a result of resizing");
    }
    if !node_can(old) {
        errors.forbidden(&spec, "Pod running on node without support for resize");
    }
    if is_sized(old_spec) || is_sized(spec.value) {
        let detail = "resize of pods with pod-level resources is forbidden when \
            InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled";
        errors.push(FieldError::forbidden(&whole, detail));
        return errors.into_vec();
    }
    if containers_match(&spec, old_spec, &mut errors) {
        containers(&spec, old_spec, &mut errors);
    }
    errors.into_vec()
}

fn is_sized(spec: &Value) -> bool {
    let resources = field(spec, "resources");
    size(field(resources, "requests")) + size(field(resources, "limits")) > 0
}

/// A node that reports the resources of running containers can change them.
fn node_can(pod: &Value) -> bool {
    let running = list(field(pod, "status"), "containerStatuses")
        .iter()
        .find(|status| !field(field(status, "state"), "running").is_null());
    running.is_none_or(|status| !field(status, "resources").is_null())
}

fn containers_match(spec: &Cursor, old: &Value, errors: &mut Errors) -> bool {
    let before = errors.len();
    for name in LISTS {
        let at = spec.child(name);
        if at.len() != list(old, name).len() {
            errors.forbidden(&at, format!("{name} may not be added or removed on resize"));
            continue;
        }
        for (container, old) in at.items().zip(list(old, name)) {
            if container.text("name") != text(old, "name") {
                errors.forbidden(&container.child("name"), format!("{name} may not be renamed or reordered on resize"));
            }
        }
    }
    errors.len() == before
}

fn containers(spec: &Cursor, old: &Value, errors: &mut Errors) {
    for name in ["initContainers", "containers"] {
        for (container, old) in spec.child(name).items().zip(list(old, name)) {
            let resources = container.child("resources");
            if name == "containers" || is_sidecar(old) {
                for which in ["requests", "limits"] {
                    let given = resources.child(which);
                    let before = field(field(old, "resources"), which).as_object();
                    if before.is_some_and(|before| before.keys().any(|name| !given.has(name))) {
                        errors.forbidden(&given, format!("resource {which} cannot be removed"));
                    }
                }
            }
        }
    }
    for name in ["containers", "initContainers"] {
        for (container, old) in spec.child(name).items().zip(list(old, name)) {
            let (rest, detail) = match (name, is_sidecar(old)) {
                ("containers", _) => {
                    (without_resize(container.value, old), "only cpu and memory resources are mutable")
                }
                (_, true) => {
                    let detail = "only cpu and memory resources for sidecar containers are mutable";
                    (without_resize(container.value, old), detail)
                }
                (_, false) => (container.value.clone(), "resources for non-sidecar init containers are immutable"),
            };
            if !same_complete(&rest, old) {
                errors.forbidden(spec, detail);
            }
        }
    }
}

/// The container with the old amounts of cpu and memory.
fn without_resize(container: &Value, old: &Value) -> Value {
    let mut rest = container.clone();
    for which in ["limits", "requests"] {
        let before = field(field(old, "resources"), which);
        let Some(amounts) = object_mut(&mut rest, "resources").and_then(|resources| object_mut(resources, which))
        else {
            continue;
        };
        for name in ["cpu", "memory"] {
            copy(amounts, before, name);
        }
    }
    rest
}
