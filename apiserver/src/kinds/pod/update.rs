//! What may change in a pod by PUT or PATCH of the pod itself.

use api::field::FieldError;
use api::names;
use serde_json::{Value, json};

use super::super::cursor::{Cursor, Errors, field, list, number, text};
use super::super::diff::diff;
use super::super::edit::{copy, get_mut, list_mut, remove, set};
use super::super::equality::{same, same_complete, same_field};
use super::super::pod_template::annotations::{APP_ARMOR_PREFIX, MIRROR};
use super::super::pod_template::tolerations::tolerations;

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::default();
    annotations(new, old, &mut errors);
    let spec = Cursor::root(new, "spec");
    let old_spec = field(old, "spec");
    for name in ["containers", "initContainers"] {
        let containers = spec.child(name);
        if containers.len() != list(old_spec, name).len() {
            errors.forbidden(&containers, "pod updates may not add or remove containers");
            return errors.into_vec();
        }
        for container in containers.items() {
            let image = container.child("image");
            if image.is_empty() {
                errors.required(&image);
            } else if image.str().trim() != image.str() {
                errors.invalid(&image, "must not have leading or trailing whitespace");
            }
        }
    }
    if !deadline(&spec, old_spec, &mut errors) {
        return errors.into_vec();
    }
    only_added_tolerations(&spec, old_spec, &mut errors);
    only_removed_gates(&spec, old_spec, &mut errors);
    if same_complete(spec.value, old_spec) {
        return errors.into_vec();
    }
    let mut rest = spec.value.clone();
    restore_updatable(&mut rest, old_spec);
    if !list(old_spec, "schedulingGates").is_empty() {
        gated(&mut rest, &spec, old_spec, &mut errors);
    }
    if !same_complete(&rest, old_spec) {
        let detail = format!("pod updates may not change fields other than {UPDATABLE}\n{}", diff(old_spec, &rest));
        errors.forbidden(&spec, detail);
    }
    errors.into_vec()
}

/// Some annotations are fixed once the pod is there.
pub fn annotations(new: &Value, old: &Value, errors: &mut Errors) {
    let metadata = Cursor::root(new, "metadata");
    let at = metadata.child("annotations");
    let old = field(field(old, "metadata"), "annotations");
    let fixed = |name: &str| match name {
        MIRROR => Some("mirror pod annotation"),
        _ => name.starts_with(APP_ARMOR_PREFIX).then_some("AppArmor annotations"),
    };
    for (name, value) in old.as_object().into_iter().flatten() {
        if let Some(what) = fixed(name).filter(|_| at.value.get(name) != Some(value)) {
            errors.forbidden(&at.key(name), format!("may not remove or update {what}"));
        }
    }
    for (name, value) in at.entries() {
        if let Some(what) = fixed(name).filter(|_| old.get(name).is_none()) {
            errors.forbidden(&value, format!("may not add {what}"));
        }
    }
}

/// From nothing to a value, and then only to a smaller one. False ends the validation.
fn deadline(spec: &Cursor, old: &Value, errors: &mut Errors) -> bool {
    let at = spec.child("activeDeadlineSeconds");
    let before = number(old, "activeDeadlineSeconds");
    match (at.int(), before) {
        (None, Some(_)) => errors.invalid(&at, "must not update from a positive integer to nil value"),
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            errors.invalid(&at, names::inclusive_range(0, i64::from(i32::MAX)));
            return false;
        }
        (Some(now), Some(before)) if before < now => {
            errors.invalid(&at, "must be less than or equal to previous value");
            return false;
        }
        _ => {}
    }
    true
}

fn only_added_tolerations(spec: &Cursor, old: &Value, errors: &mut Errors) {
    let without_seconds = |toleration: &Value| {
        let mut rest = toleration.clone();
        remove(&mut rest, "tolerationSeconds");
        rest
    };
    let kept = |old: &Value| {
        let old = without_seconds(old);
        list(spec.value, "tolerations").iter().any(|new| same(&without_seconds(new), &old))
    };
    if !list(old, "tolerations").iter().all(kept) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.forbidden(&spec.child("tolerations"), detail);
    } else {
        // Upstream says what is wrong with them once more.
        tolerations(&spec.child("tolerations"), errors);
    }
}

fn only_removed_gates(spec: &Cursor, old: &Value, errors: &mut Errors) {
    let before = list(old, "schedulingGates");
    let gates = spec.child("schedulingGates");
    let gates: Vec<_> = gates.items().collect();
    for (index, gate) in gates.iter().enumerate() {
        let name = gate.text("name");
        // Of those with the same name, upstream names the last.
        let again = gates[index + 1..].iter().any(|later| later.text("name") == name);
        if !again && !before.iter().any(|gate| text(gate, "name") == name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(&gate.child("name"), detail);
        }
    }
}

fn restore_updatable(spec: &mut Value, old: &Value) {
    for name in ["containers", "initContainers"] {
        for (container, old) in list_mut(spec, name).iter_mut().zip(list(old, name)) {
            copy(container, old, "image");
        }
    }
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        copy(spec, old, name);
    }
    let before = number(old, "terminationGracePeriodSeconds").unwrap_or_default();
    if before < 0 && number(spec, "terminationGracePeriodSeconds") == Some(1) {
        set(spec, "terminationGracePeriodSeconds", before);
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// A pod that still waits at a gate may be tied to fewer nodes, never to others.
fn gated(rest: &mut Value, spec: &Cursor, old: &Value, errors: &mut Errors) {
    if !same_field(rest, old, "nodeSelector") {
        let selector = spec.child("nodeSelector");
        let before = field(old, "nodeSelector").as_object();
        let kept =
            before.is_none_or(|before| before.iter().all(|(name, value)| selector.value.get(name) == Some(value)));
        if !kept {
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            errors.invalid(&selector, detail);
        }
        copy(rest, old, "nodeSelector");
    }
    let (new_affinity, old_affinity) = (field(rest, "affinity"), field(old, "affinity"));
    if same_field(new_affinity, old_affinity, "nodeAffinity") {
        return;
    }
    let affinity = spec.child("affinity");
    let node = affinity.child("nodeAffinity");
    let required = node.child(REQUIRED);
    let old_node = field(old_affinity, "nodeAffinity");
    only_added_requirements(&required.child("nodeSelectorTerms"), field(old_node, REQUIRED), errors);
    let alone =
        |affinity: &Value| field(affinity, "podAffinity").is_null() && field(affinity, "podAntiAffinity").is_null();
    if new_affinity.is_null() {
        set(rest, "affinity", json!({ "nodeAffinity": old_node }));
    } else if old_affinity.is_null() && alone(new_affinity) {
        remove(rest, "affinity");
    } else if let Some(affinity) = get_mut(rest, "affinity") {
        copy(affinity, old_affinity, "nodeAffinity");
    }
}

fn only_added_requirements(terms: &Cursor, old_required: &Value, errors: &mut Errors) {
    let before = list(old_required, "nodeSelectorTerms");
    if before.is_empty() {
        return;
    }
    if before.len() != terms.len() {
        errors.invalid(terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (term, old) in terms.items().zip(before) {
        if !has_only_additions(term.value, old) {
            errors.invalid(&term, "only additions are allowed (no mutations or deletions)");
        }
    }
}

fn has_only_additions(new: &Value, old: &Value) -> bool {
    const KINDS: [&str; 2] = ["matchExpressions", "matchFields"];
    if KINDS.iter().all(|name| list(old, name).is_empty()) {
        return KINDS.iter().all(|name| list(new, name).is_empty());
    }
    KINDS.iter().all(|name| {
        let (new, old) = (list(new, name), list(old, name));
        new.len() >= old.len() && new.iter().zip(old).all(|(new, old)| same(new, old))
    })
}
