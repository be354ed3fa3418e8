//! VolumeAttributesClass.

use api::Object;
use api::field::FieldError;

use super::cursor::{Cursor, Errors};
use super::equality::same_field;
use super::storage_class::{parameters, provisioner};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        provisioner(&Cursor::root(new, "driverName"), &mut errors);
        let parameters = Cursor::root(new, "parameters");
        self::parameters(&parameters, &mut errors);
        if parameters.is_empty() {
            errors.required_because(&parameters, "must contain at least one key/value pair");
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        for name in ["driverName", "parameters"] {
            if !same_field(new, old, name) {
                errors.forbidden(&Cursor::root(new, name), format!("updates to {name} are forbidden."));
            }
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_stay_as_they_are() {
        let class = json!({"driverName": "d.example.com", "parameters": {"iops": "1"}});
        assert_eq!(VolumeAttributesClass.validate(&class), []);
        let other = json!({"driverName": "", "parameters": {}});
        let words = |errors: Vec<FieldError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected =
            ["driverName: Required value", "parameters: Required value: must contain at least one key/value pair"];
        assert_eq!(words(VolumeAttributesClass.validate(&other)), expected);
        let expected = [
            "driverName: Forbidden: updates to driverName are forbidden.",
            "parameters: Forbidden: updates to parameters are forbidden.",
        ];
        assert_eq!(words(VolumeAttributesClass.validate_update(&other, &class)), expected);
    }
}
