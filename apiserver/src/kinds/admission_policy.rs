//! ValidatingAdmissionPolicy and its binding.

use api::Object;
use api::field::FieldError;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors};
use super::edit::{default_to, get_mut, list_mut};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Policy;

#[derive(Debug)]
pub struct Binding;

impl Strategy for Policy {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = get_mut(new, "spec") {
            default_to(spec, "failurePolicy", "Fail");
            if let Some(constraints) = get_mut(spec, "matchConstraints") {
                match_resources(constraints);
            }
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let policy = spec.child("failurePolicy");
        errors.one_of(&policy, &["Fail", "Ignore"]);
        let constraints = spec.child("matchConstraints");
        if !constraints.is_set() {
            errors.required(&constraints);
        } else if constraints.child("resourceRules").is_empty() {
            errors.required(&constraints.child("resourceRules"));
        }
        let (validations, annotations) = (spec.child("validations"), spec.child("auditAnnotations"));
        if validations.is_empty() && annotations.is_empty() {
            let detail = "validations or auditAnnotations must contain at least one item";
            errors.required_because(&validations, detail);
        }
        for validation in validations.items() {
            let expression = validation.child("expression");
            if expression.str().trim().is_empty() {
                errors.required_because(&expression, "expression is not specified");
            }
        }
        errors.into_vec()
    }
}

impl Strategy for Binding {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(resources) = get_mut(new, "spec").and_then(|spec| get_mut(spec, "matchResources")) {
            match_resources(resources);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let name = spec.child("policyName");
        if name.str().is_empty() {
            errors.required(&name);
        }
        let actions = spec.child("validationActions");
        if actions.is_empty() {
            errors.required(&actions);
        }
        for action in actions.items() {
            errors.one_of_if_set(&action, &["Audit", "Deny", "Warn"]);
        }
        errors.into_vec()
    }
}

fn match_resources(resources: &mut Value) {
    default_to(resources, "matchPolicy", "Equivalent");
    default_to(resources, "namespaceSelector", json!({}));
    default_to(resources, "objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in list_mut(resources, list) {
            default_to(rule, "scope", "*");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_what_it_is_about_and_what_holds() {
        let mut policy = json!({"spec": {
            "matchConstraints": {"resourceRules": [{"resources": ["pods"]}]},
            "validations": [{"expression": "true"}],
        }});
        Policy.defaults(&mut policy, None);
        let constraints = &policy["spec"]["matchConstraints"];
        assert_eq!(
            (&policy["spec"]["failurePolicy"], &constraints["matchPolicy"]),
            (&json!("Fail"), &json!("Equivalent"))
        );
        assert_eq!(constraints["resourceRules"][0]["scope"], "*");
        assert_eq!(Policy.validate(&policy), []);
        let errors: Vec<String> =
            Policy.validate(&json!({"spec": {"failurePolicy": "Fail"}})).iter().map(ToString::to_string).collect();
        let expected = [
            "spec.matchConstraints: Required value",
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
        ];
        assert_eq!(errors, expected);
        let errors = Binding.validate(&json!({"spec": {"policyName": "a", "validationActions": ["No"]}}));
        assert!(errors[0].to_string().starts_with("spec.validationActions[0]: Unsupported value: \"No\""));
    }
}
