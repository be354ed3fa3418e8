//! VolumeAttachment.

use api::Object;
use api::field::FieldError;
use api::names;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE};
use super::equality::same_field;
use crate::strategy::Strategy;

const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

#[derive(Debug)]
pub struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let attacher = spec.child("attacher");
        if attacher.str().is_empty() {
            errors.required(&attacher);
        }
        let source = spec.child("source");
        let volume = source.child("persistentVolumeName");
        match (source.has("inlineVolumeSpec"), volume.is_set()) {
            (false, false) => errors.required_because(&source, ONE_SOURCE),
            (true, true) => errors.forbidden(&source, ONE_SOURCE),
            (false, true) if volume.str().is_empty() => {
                errors.required_because(&volume, "must specify non empty persistentVolumeName");
            }
            _ => {}
        }
        let node = spec.child("nodeName");
        errors.messages(&node, names::dns1123_subdomain(node.str()));
        errors.into_vec()
    }

    /// Rules that came later, for new ones alone.
    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        const MAX_DRIVER: usize = 63;
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (attacher, source) = (spec.child("attacher"), spec.child("source"));
        match attacher.len() {
            0 => errors.required(&attacher),
            length => {
                if length > MAX_DRIVER {
                    errors.too_long(&attacher, MAX_DRIVER);
                }
                errors.messages(&attacher, names::dns1123_subdomain(&attacher.str().to_lowercase()));
            }
        }
        let volume = source.child("persistentVolumeName");
        if volume.is_set() {
            errors.messages(&volume, names::dns1123_subdomain(volume.str()));
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        if !same_field(new, old, "spec") {
            errors.invalid(&Cursor::root(new, "spec"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
