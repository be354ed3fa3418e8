//! ControllerRevision: a snapshot that never changes.

use api::Object;
use api::field::FieldError;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        errors.not_negative(&Cursor::root(new, "revision"));
        errors.into_vec()
    }

    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let data = Cursor::root(new, "data");
        if !data.is_set() {
            errors.required_because(&data, "data is mandatory");
        } else if !data.value.is_object() {
            errors.required_because(&data, "data must be a valid JSON object");
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        // Compared exactly: the snapshot is byte-stable.
        if new.get("data") != old.get("data") {
            errors.invalid(&Cursor::root(new, "data"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_is_there_to_stay() {
        let (old, new) = (json!({"data": {"a": 1}, "revision": 1}), json!({"data": {"a": 2}, "revision": -1}));
        let texts = |errors: Vec<FieldError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(ControllerRevision.validate(&old)), Vec::<String>::new());
        let negative = "revision: Invalid value: -1: must be greater than or equal to 0";
        assert_eq!(texts(ControllerRevision.validate(&new)), [negative]);
        assert_eq!(texts(ControllerRevision.validate_create(&json!({}))), ["data: Required value: data is mandatory"]);
        let fixed = "data: Invalid value: {\"a\":2}: field is immutable";
        assert_eq!(texts(ControllerRevision.validate_update(&new, &old)), [fixed]);
    }
}
