//! VolumeAttachment.

use api::Object;
use api::field::FieldError;
use api::names;

use super::csi::driver_name;
use super::cursor::{Cursor, Errors, IS_IMMUTABLE};
use super::equality::changed;
use super::persistent_volume::inline;
use crate::strategy::Strategy;

const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

/// Bytes of all names and values.
const MAX_METADATA: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024;

#[derive(Debug)]
pub struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(volume) = new.pointer_mut("/spec/source/inlineVolumeSpec").filter(|volume| !volume.is_null()) {
            inline::defaults(volume);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let attacher = spec.child("attacher");
        if attacher.str().is_empty() {
            errors.required(&attacher);
        }
        source(&spec.child("source"), &mut errors);
        let node = spec.child("nodeName");
        errors.messages(&node, names::dns1123_subdomain(node.str()));
        status(&Cursor::root(new, "status"), &mut errors);
        errors.into_vec()
    }

    /// Rules that came later, for new ones alone.
    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        driver_name(&spec.child("attacher"), &mut errors);
        let source = spec.child("source");
        let volume = source.child("persistentVolumeName");
        if volume.is_set() {
            errors.messages(&volume, names::dns1123_subdomain(volume.str()));
        }
        errors.into_vec()
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        self.validate(new)
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        if changed(new, old, "spec") {
            errors.invalid(&Cursor::root(new, "spec"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

fn source(at: &Cursor, errors: &mut Errors) {
    let (volume, volume_inside) = (at.child("persistentVolumeName"), at.child("inlineVolumeSpec"));
    match (volume_inside.is_set(), volume.is_set()) {
        (false, false) => errors.required_because(at, ONE_SOURCE),
        (true, true) => errors.forbidden(at, ONE_SOURCE),
        (false, true) if volume.str().is_empty() => {
            errors.required_because(&volume, "must specify non empty persistentVolumeName");
        }
        (false, true) => {}
        (true, false) => inline::check(&volume_inside, errors),
    }
}

fn status(at: &Cursor, errors: &mut Errors) {
    let metadata = at.child("attachmentMetadata");
    if metadata.entries().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_METADATA {
        errors.too_long(&metadata, MAX_METADATA);
    }
    for error in ["attachError", "detachError"].iter().map(|name| at.child(name)) {
        let (message, code) = (error.child("message"), error.child("errorCode"));
        if message.len() > MAX_MESSAGE {
            // Upstream's message names the other limit.
            errors.too_long(&message, MAX_METADATA);
        }
        if code.int().unwrap_or_default() < 0 {
            errors.invalid(&code, names::inclusive_range(0, i64::from(i32::MAX)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_has_limits() {
        let spec = json!({"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}});
        let long = "x".repeat(MAX_MESSAGE + 1);
        let table = [
            (json!({"attached": true, "attachError": {"message": "m", "errorCode": 3}}), ""),
            (
                json!({"detachError": {"message": long, "errorCode": -1}}),
                "status.detachError.message: Too long: may not be more than 262144 bytes\n\
                 status.detachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ),
        ];
        for (status, expected) in table {
            let object = json!({"spec": spec, "status": status});
            let errors = VolumeAttachment.validate_subresource("status", &object, &object);
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(errors.join("\n"), expected);
        }
    }

    #[test]
    fn an_attachment_has_one_source_and_keeps_it() {
        let table = [
            (json!({"persistentVolumeName": "v"}), ""),
            (
                json!({}),
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ),
            (
                json!({"persistentVolumeName": ""}),
                "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
            ),
        ];
        for (source, expected) in table {
            let object = json!({"spec": {"attacher": "a", "nodeName": "n", "source": source}});
            let errors: Vec<String> = VolumeAttachment.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(errors.join("\n"), expected);
        }
        let (one, two) = (json!({"spec": {"attacher": "a"}}), json!({"spec": {"attacher": "b"}}));
        assert_eq!(VolumeAttachment.validate_update(&one, &two).len(), 1);
    }
}
