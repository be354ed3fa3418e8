//! DeviceClass.

use api::Object;
use api::field::FieldError;

use super::super::cursor::{Cursor, Errors, field};
use super::super::equality::changed;
use super::selector::selectors;
use super::{MAX_ITEMS, configuration, within};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Class;

impl Strategy for Class {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        check(new, false)
    }

    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        check(new, !changed(field(new, "spec"), field(old, "spec"), "config"))
    }
}

/// `known`: the configurations are as they were before.
fn check(class: &Object, known: bool) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = Cursor::root(class, "spec");
    selectors(&spec.child("selectors"), &mut errors);
    let configurations = spec.child("config");
    if within(&configurations, MAX_ITEMS, &mut errors) {
        configurations.items().for_each(|one| configuration(&one, known, &mut errors));
    }
    errors.into_vec()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_class_selects_and_configures() {
        let table = [
            (json!({}), vec![]),
            (json!({"selectors": [{"cel": {"expression": "device.driver == 'd'"}}]}), vec![]),
            (
                json!({"selectors": [{}], "config": [{}]}),
                vec!["spec.selectors[0].cel: Required value", "spec.config[0].opaque: Required value"],
            ),
            (
                json!({"selectors": vec![json!({}); 33], "config": vec![json!({}); 33]}),
                vec![
                    "spec.selectors: Too many: 33: must have at most 32 items",
                    "spec.config: Too many: 33: must have at most 32 items",
                ],
            ),
        ];
        for (spec, expected) in table {
            let errors: Vec<String> = Class.validate(&json!({"spec": spec})).iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    /// The limit came later than the field.
    #[test]
    fn parameters_that_are_there_may_be_long() {
        let parameters = json!({"a": "x".repeat(20_000)});
        let class = |more: Value| json!({"spec": {"config": [{"opaque": {"driver": "d", "parameters": parameters}}], "x": more}});
        assert_eq!(Class.validate(&class(json!(1))).len(), 1);
        assert_eq!(Class.validate_again(&class(json!(1)), &class(json!(2))), []);
        assert_eq!(Class.validate_again(&class(json!(1)), &json!({"spec": {}})).len(), 1);
    }
}
