//! PodTemplate, the kind: a template by itself.

use api::Object;
use api::field::FieldError;

use super::super::cursor::{Cursor, Errors};
use super::super::edit::get_mut;
use super::super::equality::changed;
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

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        spec::template(&Cursor::root(new, "template"), &mut errors);
        errors.into_vec()
    }
}
