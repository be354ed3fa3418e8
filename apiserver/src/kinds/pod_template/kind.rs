//! PodTemplate, the kind: a template by itself.

use api::Object;
use api::field::FieldError;

use super::super::cursor::{Cursor, Errors, field};
use super::super::edit::get_mut;
use super::super::equality::changed;
use super::warnings::of_spec;
use super::{defaults, spec};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct PodTemplate;

impl Strategy for PodTemplate {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(template) = get_mut(new, "template") {
            defaults::template(template);
        }
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        changed(new, old, "template")
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let template = Cursor::root(new, "template");
        let annotations = field(field(template.value, "metadata"), "annotations");
        of_spec(&template.child("spec"), annotations, "template.metadata.annotations")
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        if changed(new, old, "template") { self.warnings(new) } else { Vec::new() }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        spec::template(&Cursor::root(new, "template"), &mut errors);
        errors.into_vec()
    }
}
