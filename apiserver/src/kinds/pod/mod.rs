//! Pod: what differs from the generic pipeline.
//!
//! [`prepare`] sets what the server owns on creation, [`update`] says what may change later, [`status`], [`ephemeral`] and
//! [`resize`] are the subresources, [`qos`] the class that follows from the resources.

mod ephemeral;
mod labels;
mod prepare;
pub mod qos;
mod resize;
mod status;
mod update;
mod warnings;

#[cfg(test)]
mod tests;

use api::Object;
use api::field::FieldError;
use serde_json::Value;

use super::cursor::{Cursor, Errors, field, list, number, text};
use super::pod_template::{annotations, containers, spec};
use crate::strategy::{Deletion, Strategy};

#[derive(Debug)]
pub struct Pod;

impl Strategy for Pod {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        prepare::defaults(new);
    }

    fn prepare_for_create(&self, new: &mut Object) {
        prepare::for_create(new);
    }

    fn prepare_for_subresource(&self, subresource: &str, new: &mut Object, old: &Object) {
        match subresource {
            "status" => status::prepare(new, old),
            "ephemeralcontainers" => ephemeral::prepare(new, old),
            "resize" => resize::prepare(new, old),
            _ => {}
        }
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        super::equality::changed(new, old, "spec")
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        metadata_and_spec(new, &mut errors);
        errors.into_vec()
    }

    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        if !spec.child("ephemeralContainers").is_empty() {
            errors.forbidden(&spec.child("ephemeralContainers"), "cannot be set on create");
        }
        if !spec.text("nodeName").is_empty() && !spec.child("schedulingGates").is_empty() {
            errors.forbidden(&spec.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
        }
        annotations::match_fields(field(new, "metadata"), &spec, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        update::validate(new, old)
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        match subresource {
            "status" => status::validate(new, old),
            "ephemeralcontainers" => ephemeral::validate(new, old),
            "resize" => resize::validate(new, old),
            _ => Vec::new(),
        }
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        warnings::warnings(new)
    }

    /// None: mostly programs update pods, and often.
    fn warnings_of_update(&self, _new: &Object, _old: &Object) -> Vec<String> {
        Vec::new()
    }

    fn on_delete(&self, old: &Object, grace_period_seconds: Option<i64>) -> Deletion {
        Deletion::Graceful { seconds: grace(old, grace_period_seconds) }
    }
}

/// Seconds between a deletion and the end of the pod. Nothing has to end where no node has the pod, or all has ended.
fn grace(pod: &Value, asked: Option<i64>) -> i64 {
    let spec = field(pod, "spec");
    let unassigned = text(spec, "nodeName").is_empty();
    let over = matches!(text(field(pod, "status"), "phase"), "Failed" | "Succeeded");
    if unassigned || over {
        return 0;
    }
    match asked.or_else(|| number(spec, "terminationGracePeriodSeconds")) {
        None => 0,
        Some(seconds) if seconds < 0 => 1,
        Some(seconds) => seconds,
    }
}

/// What every valid pod obeys.
fn metadata_and_spec(pod: &Value, errors: &mut Errors) {
    let (metadata, spec) = (Cursor::root(pod, "metadata"), Cursor::root(pod, "spec"));
    annotations::of_pod(&metadata.child("annotations"), spec.value, errors);
    spec::pod_spec(&spec, Some(metadata.value), errors);
    if spec.text("serviceAccountName").is_empty() {
        for volume in spec.child("volumes").items() {
            let projected = volume.child("projected");
            for source in projected.child("sources").items() {
                let token = source.child("serviceAccountToken");
                if token.is_set() {
                    errors.forbidden(&token, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec.child(list).items() {
            containers::only_in_pod(&container, errors);
        }
    }
}

fn is_mirror(pod: &Value) -> bool {
    !field(field(field(pod, "metadata"), "annotations"), annotations::MIRROR).is_null()
}

fn find<'v>(items: &'v Value, list_name: &str, name: &str) -> Option<&'v Value> {
    list(items, list_name).iter().find(|item| text(item, "name") == name)
}
