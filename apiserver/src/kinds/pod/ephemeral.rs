//! The subresource `ephemeralcontainers`: containers added to a running pod, for debugging.

use api::field::{FieldError, Path};
use serde_json::Value;

use super::super::cursor::{Cursor, Errors, field, list, text};
use super::super::diff::diff;
use super::super::edit::{copy, get_mut};
use super::super::equality::same_complete;
use super::update::annotations;
use super::{find, is_mirror, metadata_and_spec};

/// Everything but the ephemeral containers stays as it was.
pub fn prepare(new: &mut Value, old: &Value) {
    let asked = field(new, "spec").clone();
    keep_all_but_spec(new, old);
    copy(new, old, "spec");
    if let Some(spec) = get_mut(new, "spec") {
        copy(spec, &asked, "ephemeralContainers");
    }
}

/// Status, and the metadata that subresources of the spec leave alone.
pub fn keep_all_but_spec(new: &mut Value, old: &Value) {
    copy(new, old, "status");
    if let Some(metadata) = get_mut(new, "metadata") {
        for name in ["labels", "annotations", "finalizers", "ownerReferences"] {
            copy(metadata, field(old, "metadata"), name);
        }
    }
}

pub fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    if is_mirror(old) {
        return vec![FieldError::forbidden(&Path::new(""), "static pods do not support ephemeral containers")];
    }
    let mut errors = Errors::default();
    metadata_and_spec(new, &mut errors);
    annotations(new, old, &mut errors);
    let spec = Cursor::root(new, "spec");
    let at = spec.child("ephemeralContainers");
    for before in list(field(old, "spec"), "ephemeralContainers") {
        let name = text(before, "name");
        match find(spec.value, "ephemeralContainers", name) {
            None => errors.forbidden(&at, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(now) if !same_complete(before, now) => {
                let difference = diff(before, now);
                let detail = format!("existing ephemeral containers {name:?} may not be changed\n{difference}");
                errors.forbidden(&at, detail);
            }
            Some(_) => {}
        }
    }
    errors.into_vec()
}
