//! ValidatingAdmissionPolicy and its binding.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::jsonpath::JsonPath;
use api::meta::Meta;
use api::names;
use serde_json::{Value, json};

use super::admission_expressions::Expressions;
use super::admission_rules::match_resources;
use super::cursor::{Cursor, Errors};
use super::edit::{default_to, get_mut, list_mut};
use super::selectors::label_selector;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Policy;

#[derive(Debug)]
pub struct Binding;

impl Strategy for Policy {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        default_policy(new);
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        policy(new, true)
    }

    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        policy(new, conditions_may_differ(new, old))
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let status = Cursor::root(new, "status");
        for warning in status.child("typeChecking").child("expressionWarnings").items() {
            if warning.text("warning").is_empty() {
                errors.required(&warning.child("warning"));
            }
            let field = warning.child("fieldRef");
            match field.str().trim() {
                "" => errors.required(&field),
                text => {
                    if let Err(why) = JsonPath::parse(&format!("{{{text}}}")) {
                        errors.invalid_as(&field, text, format!("invalid JSONPath: {why}"));
                    }
                }
            }
        }
        super::conditions::validate(&status.child("conditions"), &mut errors);
        errors.into_vec()
    }
}

/// Of both kinds of policies.
pub(super) fn default_policy(policy: &mut Object) {
    if let Some(spec) = get_mut(policy, "spec") {
        default_to(spec, "failurePolicy", "Fail");
        if let Some(constraints) = get_mut(spec, "matchConstraints") {
            default_resources(constraints);
        }
    }
}

pub(super) fn default_binding(binding: &mut Object) {
    if let Some(resources) = get_mut(binding, "spec").and_then(|spec| get_mut(spec, "matchResources")) {
        default_resources(resources);
    }
}

/// Match conditions must be looked at again, because they, or what they can use, may be other ones.
pub(super) fn conditions_may_differ(new: &Object, old: &Object) -> bool {
    let same = |key: &str| new["spec"][key] == old["spec"][key];
    !(same("paramKind") && same("matchConditions"))
}

/// What the specs of both kinds of policies begin with.
pub(super) fn head(spec: &Cursor, errors: &mut Errors) {
    errors.one_of(&spec.child("failurePolicy"), &["Fail", "Ignore"]);
    let kind = spec.child("paramKind");
    if kind.is_set() {
        param_kind(&kind, errors);
    }
    let constraints = spec.child("matchConstraints");
    if constraints.is_set() {
        match_resources(&constraints, errors);
        if constraints.child("resourceRules").is_empty() {
            errors.required(&constraints.child("resourceRules"));
        }
    } else {
        errors.required(&constraints);
    }
}

/// What the specs of both kinds of bindings begin with.
pub(super) fn bound(spec: &Cursor, errors: &mut Errors) {
    let name = spec.child("policyName");
    if name.str().is_empty() {
        errors.required(&name);
    } else {
        errors.messages(&name, names::dns1123_subdomain(name.str()));
    }
    let (parameters, resources) = (spec.child("paramRef"), spec.child("matchResources"));
    if parameters.is_set() {
        param_ref(&parameters, errors);
    }
    if resources.is_set() {
        match_resources(&resources, errors);
    }
}

/// `conditions`: they are new, or what they can use may be.
fn policy(new: &Object, conditions: bool) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = Cursor::root(new, "spec");
    head(&spec, &mut errors);
    if conditions {
        super::admission_rules::conditions(&spec.child("matchConditions"), spec.has("paramKind"), &mut errors);
    }
    let mut expressions = Expressions::of(&spec);
    for variable in spec.child("variables").items() {
        expressions.variable(&variable, &mut errors);
    }
    let (validations, annotations) = (spec.child("validations"), spec.child("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.required_because(&validations, detail);
        errors.required_because(&annotations, detail);
    }
    for validation in validations.items() {
        self::validation(&validation, &expressions, &mut errors);
    }
    audit_annotations(new.name(), &annotations, &expressions, &mut errors);
    errors.into_vec()
}

fn validation(at: &Cursor, expressions: &Expressions, errors: &mut Errors) {
    expressions.validation(at, errors);
    for name in ["messageExpression", "message"] {
        let text = at.child(name);
        if !text.str().is_empty() && text.str().trim().is_empty() {
            errors.invalid(&text, "must be non-empty if specified");
        } else if name == "messageExpression" {
            expressions.message(&text, errors);
        } else if text.str().trim().contains(['\n', '\r']) {
            errors.invalid(&text, "must not contain line breaks");
        }
    }
    errors.one_of_if_set(&at.child("reason"), &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
}

fn audit_annotations(policy: &str, at: &Cursor, expressions: &Expressions, errors: &mut Errors) {
    const MAX: usize = 20;
    if at.len() > MAX {
        errors.invalid(at, format!("must not have more than {MAX} auditAnnotations"));
    }
    let mut seen = BTreeSet::new();
    for annotation in at.items() {
        let key = annotation.child("key");
        let name = format!("{policy}/{}", key.str());
        for message in names::qualified_name(&name) {
            errors.invalid_as(&key, name.as_str(), message);
        }
        expressions.annotation(&annotation.child("valueExpression"), errors);
        if !seen.insert(key.str()) {
            errors.duplicate(&key);
        }
    }
}

fn param_kind(at: &Cursor, errors: &mut Errors) {
    let (api_version, kind) = (at.child("apiVersion"), at.child("kind"));
    let parts: Vec<&str> = api_version.str().split('/').collect();
    match parts.as_slice() {
        [""] => errors.required(&api_version),
        [version] => group_and_version(&api_version, "", version, errors),
        [group, version] => group_and_version(&api_version, group, version, errors),
        _ => errors.invalid(&api_version, format!("unexpected GroupVersion string: {}", api_version.str())),
    }
    if kind.str().is_empty() {
        errors.required(&kind);
    } else {
        let wrong = names::dns1035_label(&kind.str().to_lowercase());
        if !wrong.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            errors.invalid(&kind, detail);
        }
    }
}

fn group_and_version(at: &Cursor, group: &str, version: &str, errors: &mut Errors) {
    let wrong = if group.is_empty() { Vec::new() } else { names::dns1123_subdomain(group) };
    if !wrong.is_empty() {
        errors.invalid_as(at, group, wrong.join(","));
    }
    let wrong = names::dns1035_label(version);
    if version.is_empty() {
        errors.invalid(at, "version must be specified");
    } else if !wrong.is_empty() {
        errors.invalid_as(at, version, wrong.join(","));
    }
}

impl Strategy for Binding {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        default_binding(new);
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        bound(&spec, &mut errors);
        actions(&spec.child("validationActions"), &mut errors);
        errors.into_vec()
    }
}

fn param_ref(at: &Cursor, errors: &mut Errors) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let (name, selector, action) = (at.child("name"), at.child("selector"), at.child("parameterNotFoundAction"));
    let both = !name.str().is_empty() && selector.is_set();
    if !name.str().is_empty() {
        errors.messages(&name, names::path_segment(name.str()));
        if both {
            errors.forbidden(&name, EXCLUSIVE);
        }
    }
    if selector.is_set() {
        label_selector(&selector, errors);
        if both {
            errors.forbidden(&selector, EXCLUSIVE);
        }
    }
    if name.str().is_empty() && !selector.is_set() {
        errors.required_because(at, "one of name or selector must be specified");
    }
    errors.one_of(&action, &["Deny", "Allow"]);
}

fn actions(at: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for action in at.items() {
        if !["Audit", "Deny", "Warn"].contains(&action.str()) {
            errors.not_supported(&action, &["Audit", "Deny", "Warn"]);
        }
        if !seen.insert(action.str()) {
            errors.duplicate(&action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                      response and headers serves no purpose)";
        errors.invalid(at, detail);
    }
    if seen.is_empty() {
        errors.required_because(at, "at least one validation action is required");
    }
}

fn default_resources(resources: &mut Value) {
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
        let mut policy = json!({"metadata": {"name": "p"}, "spec": {
            "matchConstraints": {"resourceRules": [
                {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]},
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
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ];
        assert_eq!(errors, expected);
        let wrong = |spec: Value| {
            let mut policy = policy.clone();
            policy["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            Policy.validate(&policy).iter().map(ToString::to_string).collect::<Vec<String>>()
        };
        let table = [
            (
                json!({"validations": [{"expression": "object.x"}]}),
                "spec.validations[0].expression: Invalid value: \"object.x\": must evaluate to bool but got dyn",
            ),
            (
                json!({"matchConditions": [{"name": "a", "expression": " variables.x "}]}),
                "spec.matchConditions[0].expression: Invalid value: \"variables.x\": compilation failed: ERROR: <input>:1:1: \
                 undeclared reference to 'variables' (in container '')\n | variables.x\n | ^",
            ),
            (
                json!({"variables": [{"name": "in", "expression": "1"}]}),
                "spec.variables[0].name: Invalid value: \"in\": must be a valid CEL identifier",
            ),
            (
                json!({"validations": [{"expression": "true", "messageExpression": "authorizer.x"}]}),
                "spec.validations[0].messageExpression: Invalid value: \"authorizer.x\": compilation failed: ERROR: \
                 <input>:1:1: undeclared reference to 'authorizer' (in container '')\n | authorizer.x\n | ^",
            ),
            (
                json!({"auditAnnotations": [{"key": "a", "valueExpression": "1"}]}),
                "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type] \
                 but got int",
            ),
        ];
        for (spec, expected) in table {
            assert_eq!(wrong(spec), [expected]);
        }
        let errors = Binding.validate(&json!({"spec": {"policyName": "a", "validationActions": ["No"]}}));
        assert!(errors[0].to_string().starts_with("spec.validationActions[0]: Unsupported value: \"No\""));
    }
}
