//! What the kinds share that keep a number of pods of one template: selector and template, rolling updates, counters.

use api::names;
use serde_json::Value;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, number};
use super::edit::{get_mut, object_mut, set};
use super::equality::same_field;
use super::pod_template::{defaults, spec, warnings};
use super::selectors::{label_selector, selects, selects_everything};

/// Upstream's internal form of some has a number where the others' has a pointer.
pub fn no_replicas(nothing: &mut Value) {
    if let Some(spec) = object_mut(nothing, "spec") {
        set(spec, "replicas", 0);
    }
}

/// Defaults of `spec.template`.
pub fn template_defaults(object: &mut Value) {
    if let Some(template) = get_mut(object, "spec").and_then(|spec| get_mut(spec, "template")) {
        defaults::template(template);
    }
}

/// `spec.selector`, required and not empty, and the `spec.template` that it has to select. `kind` is named in errors.
pub fn selector_and_template(spec: &Cursor, kind: &str, errors: &mut Errors) {
    let selector = spec.child("selector");
    if !selector.is_set() {
        errors.required(&selector);
    } else {
        let before = errors.len();
        label_selector(&selector, errors);
        if selects_everything(selector.value) {
            errors.invalid(&selector, format!("empty selector is invalid for {}", empty_kind(kind)));
        }
        if errors.len() > before && !is_readable(&selector) {
            return errors.invalid(&selector, "invalid label selector");
        }
    }
    template(spec, kind, errors);
}

/// A selector where it has to be there but may be anything, as for a DaemonSet: empty ones are refused at the end.
pub fn matches_template(spec: &Cursor, errors: &mut Errors) {
    let selector = field(spec.value, "selector");
    let template = spec.child("template");
    let metadata = template.child("metadata");
    let labels = metadata.child("labels");
    let readable = is_readable(&spec.child("selector"));
    if readable && (selector.is_null() || !selects(selector, labels.value)) {
        errors.invalid(&labels, "`selector` does not match template `labels`");
    }
}

/// Upstream says "deployment" for a ReplicaSet too.
fn empty_kind(kind: &str) -> &'static str {
    match kind {
        "DaemonSet" => "daemonset",
        _ => "deployment",
    }
}

/// Whether the selector can be evaluated at all: known operators with the values they need.
pub fn is_readable(selector: &Cursor) -> bool {
    let mut errors = Errors::default();
    label_selector(selector, &mut errors);
    errors.is_empty()
}

fn template(spec: &Cursor, kind: &str, errors: &mut Errors) {
    let template = spec.child("template");
    let metadata = template.child("metadata");
    let labels = metadata.child("labels");
    let selector = field(spec.value, "selector");
    // No selector selects nothing, an empty one everything.
    if selector.is_null() || (!selects_everything(selector) && !selects(selector, labels.value)) {
        errors.invalid(&labels, "`selector` does not match template `labels`");
    }
    spec::template(&template, errors);
    runs_forever(spec, kind, errors);
}

/// Pods that a controller keeps running neither end nor have a deadline.
pub fn runs_forever(spec: &Cursor, kind: &str, errors: &mut Errors) {
    let template = spec.child("template");
    let pod = template.child("spec");
    let policy = pod.child("restartPolicy");
    if policy.str() != "Always" {
        errors.not_supported(&policy, &["Always"]);
    }
    let deadline = pod.child("activeDeadlineSeconds");
    if deadline.is_set() {
        errors.forbidden(&deadline, format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// `spec.selector` is fixed.
pub fn selector_unchanged(new: &Value, old: &Value, errors: &mut Errors) {
    if !same_field(field(new, "spec"), field(old, "spec"), "selector") {
        let spec = Cursor::root(new, "spec");
        errors.invalid(&spec.child("selector"), IS_IMMUTABLE);
    }
}

/// A count, or a percentage of the replicas.
pub fn int_or_percent(at: &Cursor, errors: &mut Errors) {
    match at.value.as_str() {
        Some(text) => errors.messages(at, names::percent(text)),
        None => errors.not_negative(at),
    }
}

/// The number before the percent sign, or the count.
pub fn int_or_percent_value(value: &Value) -> i64 {
    percent(value).or_else(|| value.as_i64()).unwrap_or_default()
}

fn percent(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

pub fn not_more_than_all(at: &Cursor, errors: &mut Errors) {
    if percent(at.value).is_some_and(|percent| percent > 100) {
        errors.invalid(at, "must not be greater than 100%");
    }
}

/// None of these counters of the status is negative, and those in `parts` are at most `status.replicas`.
pub fn counters(status: &Cursor, all: &[&str], parts: &[&str], errors: &mut Errors) {
    for name in all {
        errors.not_negative(&status.child(name));
    }
    let count = |name: &str| number(status.value, name).unwrap_or_default();
    for name in parts {
        if count(name) > count("replicas") {
            errors.invalid_as(&status.child(name), count(name), "cannot be greater than status.replicas");
        }
    }
    if parts.contains(&"readyReplicas") && count("availableReplicas") > count("readyReplicas") {
        let available = count("availableReplicas");
        errors.invalid_as(&status.child("availableReplicas"), available, "cannot be greater than readyReplicas");
    }
}

/// `status.collisionCount` only grows.
pub fn collisions(new: &Value, old: &Value, errors: &mut Errors) {
    let status = Cursor::root(new, "status");
    let at = status.child("collisionCount");
    if let Some(before) = number(field(old, "status"), "collisionCount") {
        let now = at.int().unwrap_or_default();
        if now < before {
            errors.invalid_as(&at, now, "cannot be decremented");
        }
    }
}

/// Warnings about a kind that names pods after itself, and about its template.
pub fn warnings(object: &Value) -> Vec<String> {
    let mut texts = name_warnings(object);
    texts.extend(template_warnings(object));
    texts
}

/// Of an update that the generation counts; others have been warned before.
pub fn if_counted(new: &Value, old: &Value, warnings: impl FnOnce(&Value) -> Vec<String>) -> Vec<String> {
    let generation = |object: &Value| number(field(object, "metadata"), "generation");
    if generation(new) == generation(old) { Vec::new() } else { warnings(new) }
}

pub fn name_warnings(object: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let messages = names::dns1123_label(super::cursor::text(field(object, "metadata"), "name"));
    if !messages.is_empty() {
        texts.push(format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is \
             recommended: [{}]",
            messages.join(" ")
        ));
    }
    texts
}

pub fn template_warnings(object: &Value) -> Vec<String> {
    let spec = Cursor::root(object, "spec");
    let template = spec.child("template");
    let annotations = field(field(template.value, "metadata"), "annotations");
    warnings::of_spec(&template.child("spec"), annotations, "spec.template.metadata.annotations")
}
