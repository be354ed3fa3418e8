//! Job, and what CronJob shares with it.
//!
//! [`spec`] checks what is asked for, [`policies`] the policies in it, [`status`] what is reported.

mod policies;
pub mod spec;
mod status;

#[cfg(test)]
mod tests;

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, flag, list, number, size, text};
use super::edit::{copy, default_text, default_to, get_mut, list_mut, object_mut, set};
use super::equality::{self, changed};
use super::selectors::{label_selector, selects};
use super::workload;
use crate::strategy::Strategy;

const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

#[derive(Debug)]
pub struct Job;

impl Strategy for Job {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        workload::template_defaults(new);
        let Some(spec) = get_mut(new, "spec") else { return };
        defaults(spec);
        let labels = field(field(field(spec, "template"), "metadata"), "labels").clone();
        if let Some(metadata) = get_mut(new, "metadata").filter(|_| !labels.is_null())
            && size(field(metadata, "labels")) == 0
        {
            set(metadata, "labels", labels);
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        if flag(field(new, "spec"), "manualSelector") != Some(true) {
            generate_selector(new);
        }
        // As Go reads it back from its store: what has no labels has its pods'.
        let labels = field(field(field(new, "spec"), "template"), "metadata")["labels"].clone();
        if size(field(field(new, "metadata"), "labels")) == 0 && labels.is_object() {
            new["metadata"]["labels"] = labels;
        }
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        changed(new, old, "spec")
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        generated_selector(new, &mut errors);
        content(new, &mut errors);
        host_names(new, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        // Upstream checks the spec once more here.
        let mut errors = Errors::default();
        content(new, &mut errors);
        changes(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        if subresource == "status" {
            status::status(new, old, &mut errors);
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        workload::warnings(new)
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        workload::if_counted(new, old, workload::template_warnings)
    }
}

fn content(job: &Value, errors: &mut Errors) {
    let spec = Cursor::root(job, "spec");
    spec::spec(&spec, errors);
    let selector = spec.child("selector");
    if selector.is_set() {
        label_selector(&selector, errors);
    } else {
        errors.required(&selector);
    }
    workload::matches_template(&spec, errors);
}

/// Defaults of a JobSpec that is a Job's own. In a CronJob they wait for the Job.
fn defaults(spec: &mut Value) {
    if field(spec, "completions").is_null() && field(spec, "parallelism").is_null() {
        set(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    let per_index = !field(spec, "backoffLimitPerIndex").is_null();
    default_to(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    let ruled = !field(spec, "podFailurePolicy").is_null();
    default_to(spec, "podReplacementPolicy", if ruled { "Failed" } else { "TerminatingOrFailed" });
    default_to(spec, "manualSelector", false);
    condition_defaults(spec);
}

/// Conditions in a failure policy are true unless they say otherwise.
pub fn condition_defaults(spec: &mut Value) {
    let Some(policy) = get_mut(spec, "podFailurePolicy") else { return };
    for rule in list_mut(policy, "rules") {
        for condition in list_mut(rule, "onPodConditions") {
            default_text(condition, "status", "True");
        }
    }
}

/// Its labels are its pods', and those are generated alone: it came without any, and so it is in upstream's store.
pub fn has_generated_labels(job: &Object) -> bool {
    let labels = &job["metadata"]["labels"];
    let generated = |key: &String| NAME_LABELS.iter().chain(&UID_LABELS).any(|own| key == own);
    labels.as_object().is_some_and(|labels| !labels.is_empty() && labels.keys().all(generated))
        && *labels == job["spec"]["template"]["metadata"]["labels"]
}

/// The uid makes the selector unique; conflicting labels are left for validation to refuse.
fn generate_selector(job: &mut Value) {
    let metadata = field(job, "metadata");
    let (name, uid) = (text(metadata, "name").to_owned(), text(metadata, "uid").to_owned());
    let Some(spec) = get_mut(job, "spec") else { return };
    let template = object_mut(spec, "template").and_then(|template| object_mut(template, "metadata"));
    if let Some(labels) = template.and_then(|metadata| object_mut(metadata, "labels")) {
        for label in NAME_LABELS {
            default_to(labels, label, name.as_str());
        }
        for label in UID_LABELS {
            default_to(labels, label, uid.as_str());
        }
    }
    let selector = object_mut(spec, "selector").and_then(|selector| object_mut(selector, "matchLabels"));
    if let Some(labels) = selector {
        default_to(labels, UID_LABELS[1], uid);
    }
}

fn generated_selector(job: &Value, errors: &mut Errors) {
    let spec = Cursor::root(job, "spec");
    if flag(spec.value, "manualSelector") == Some(true) || !spec.has("selector") {
        return;
    }
    let metadata = Cursor::root(job, "metadata");
    let (name, uid) = (metadata.text("name"), metadata.text("uid"));
    if uid.is_empty() {
        errors.required(&metadata.child("uid"));
    }
    let template = spec.child("template");
    let template = template.child("metadata");
    let labels = template.child("labels");
    let mut expected = json!({});
    let wanted = [(UID_LABELS[0], uid), (NAME_LABELS[0], name), (UID_LABELS[1], uid), (NAME_LABELS[1], name)];
    for (label, value) in wanted {
        let at = labels.key(label);
        if !at.is_set() {
            errors.required_because(&at, format!("must be '{value}'"));
        } else if at.str() != value {
            errors.invalid_as(&at, labels.value.clone(), format!("must be '{value}'"));
        }
        set(&mut expected, label, value);
    }
    let selector = spec.child("selector");
    let mut wrong = Errors::default();
    label_selector(&selector, &mut wrong);
    // One that is none has been told of, and there is nothing to compare.
    if wrong.into_vec().is_empty() && !selects(selector.value, &expected) {
        errors.invalid(&selector, "`selector` not auto-generated");
    }
}

/// Pods of an indexed Job are named after it and their index.
fn host_names(job: &Value, errors: &mut Errors) {
    let spec = field(job, "spec");
    let completions = number(spec, "completions").unwrap_or_default();
    if text(spec, "completionMode") != "Indexed" || completions <= 0 {
        return;
    }
    let metadata = Cursor::root(job, "metadata");
    let name = metadata.child("name");
    let longest = format!("{}-{}", name.str(), completions - 1);
    if !names::dns1123_label(&longest).is_empty() {
        errors.invalid_text(&name, format!("will not able to create pod with invalid DNS label: {longest}"));
    }
}

fn changes(new: &Value, old: &Value, errors: &mut Errors) {
    let spec = Cursor::root(new, "spec");
    let old_spec = field(old, "spec");
    let completions = spec.child("completions");
    let changed = completions.value != field(old_spec, "completions");
    if spec.text("completionMode") != "Indexed" {
        if changed {
            errors.invalid(&completions, IS_IMMUTABLE);
        }
    } else if changed && completions.is_set() && completions.int() != spec.number("parallelism") {
        errors.invalid(&completions, "can only be modified in tandem with spec.parallelism");
    }
    let immutable = |name: &str, errors: &mut Errors| {
        if equality::changed(spec.value, old_spec, name) {
            errors.invalid(&spec.child(name), IS_IMMUTABLE);
        }
    };
    immutable("selector", errors);
    let template = spec.child("template");
    let of = |template: &Value| json!({ "template": template });
    // A false that somebody sets is another thing than none.
    if equality::changed(&of(template.value), &of(&allowed_template(template.value, old)), "template") {
        errors.invalid(&template, IS_IMMUTABLE);
    }
    for name in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        immutable(name, errors);
    }
}

/// The old template, with what a Job that is suspended and never started may change taken from the new one.
fn allowed_template(new: &Value, old: &Value) -> Value {
    let old_spec = field(old, "spec");
    let mut template = field(old_spec, "template").clone();
    let started = !field(field(old, "status"), "startTime").is_null();
    if flag(old_spec, "suspend") != Some(true) || started {
        return template;
    }
    if let Some(metadata) = object_mut(&mut template, "metadata") {
        for name in ["labels", "annotations"] {
            copy(metadata, field(new, "metadata"), name);
        }
    }
    let new_pod = field(new, "spec");
    let Some(pod) = get_mut(&mut template, "spec") else { return template };
    for name in ["nodeSelector", "tolerations", "schedulingGates"] {
        copy(pod, new_pod, name);
    }
    let affinity = field(new_pod, "affinity");
    if let Some(own) = object_mut(pod, "affinity") {
        copy(own, affinity, "nodeAffinity");
        if affinity.is_null() && size(own) == 0 {
            copy(pod, new_pod, "affinity");
        }
    }
    template
}

/// Names of the containers of a template that end by themselves.
fn container_names(spec: &Value) -> Vec<&str> {
    let pod = field(field(spec, "template"), "spec");
    let all = list(pod, "containers").iter().chain(list(pod, "initContainers"));
    all.map(|container| text(container, "name")).collect()
}
