//! MutatingAdmissionPolicy and its binding.

use api::Object;
use api::field::FieldError;
use serde_json::Value;

use super::admission_expressions::{Expressions, Made};
use super::admission_policy;
use super::admission_rules::conditions;
use super::cursor::{Cursor, Errors};
use crate::strategy::Strategy;

/// What can be asked about: a deletion has nothing to change.
const OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

#[derive(Debug)]
pub struct Policy;

#[derive(Debug)]
pub struct Binding;

impl Strategy for Policy {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        admission_policy::default_policy(new);
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        policy(new, true)
    }

    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        policy(new, admission_policy::conditions_may_differ(new, old))
    }
}

/// `with_conditions`: they are new, or what they can use may be.
fn policy(new: &Object, with_conditions: bool) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = Cursor::root(new, "spec");
    admission_policy::head(&spec, &mut errors);
    operations(&spec.child("matchConstraints"), &mut errors);
    if with_conditions {
        conditions(&spec.child("matchConditions"), spec.has("paramKind"), &mut errors);
    }
    let mut expressions = Expressions::of_mutations(&spec);
    for variable in spec.child("variables").items() {
        expressions.variable(&variable, &mut errors);
    }
    let mutations = spec.child("mutations");
    if mutations.is_empty() {
        errors.required_because(&mutations, "mutations must contain at least one item");
    }
    for mutation in mutations.items() {
        self::mutation(&mutation, &expressions, &mut errors);
    }
    errors.one_of(&spec.child("reinvocationPolicy"), &["IfNeeded", "Never"]);
    errors.into_vec()
}

/// Upstream names the list and not its elements.
fn operations(resources: &Cursor, errors: &mut Errors) {
    let rules = resources.child("resourceRules");
    for rule in rules.items() {
        for operation in rule.child("operations").items().filter(|operation| !OPERATIONS.contains(&operation.str())) {
            errors.not_supported_as(&rules.child("operations"), operation.str(), &OPERATIONS);
        }
    }
}

fn mutation(at: &Cursor, expressions: &Expressions, errors: &mut Errors) {
    let (own, other, made) = match at.text("patchType") {
        "" => return errors.required(&at.child("patchType")),
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Made::Patch),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Made::Configuration),
        _ => return errors.not_supported(&at.child("patchType"), &["ApplyConfiguration", "JSONPatch"]),
    };
    let kind = at.text("patchType");
    let (own, forbidden) = (at.child(own), at.child(other));
    if own.is_set() {
        expressions.mutation(&own.child("expression"), made, errors);
    } else {
        errors.required_because(&own, format!("must be specified when patchType is {kind}"));
    }
    if forbidden.is_set() {
        let detail = format!("must not be specified when patchType is {kind}");
        errors.invalid_as(&forbidden, format!("{{{other}}}"), detail);
    }
}

impl Strategy for Binding {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        admission_policy::default_binding(new);
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        admission_policy::bound(&spec, &mut errors);
        operations(&spec.child("matchResources"), &mut errors);
        errors.into_vec()
    }
}

/// Both kinds in v1alpha1, which differs in one default.
pub struct Alpha;

impl crate::registry::Shape for Alpha {
    fn store(&self, object: &mut Object) {
        object["apiVersion"] = "admissionregistration.k8s.io/v1beta1".into();
        if let Some(Value::Object(reference)) = object.pointer_mut("/spec/paramRef") {
            reference.entry("parameterNotFoundAction").or_insert_with(|| "Deny".into());
        }
    }

    fn serve(&self, object: &mut Object) {
        object["apiVersion"] = "admissionregistration.k8s.io/v1alpha1".into();
    }

    fn stored_field(&self, _field: &str) -> Option<&'static str> {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_says_what_it_makes() {
        let mut good = json!({"metadata": {"name": "p"}, "spec": {
            "matchConstraints": {"resourceRules": [
                {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]},
            "variables": [{"name": "v", "expression": "object.metadata.name"}],
            "mutations": [{"patchType": "ApplyConfiguration",
                "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'a': string(variables.v)}}}"}},
                {"patchType": "JSONPatch", "jsonPatch": {"expression": " [JSONPatch{op: 'test', path: '/a'}] "}}],
            "reinvocationPolicy": "Never",
        }});
        Policy.defaults(&mut good, None);
        assert_eq!(Policy.validate(&good), []);
        let mutation = |mutation: Value| json!({"mutations": [mutation]});
        let table = [
            (json!({"reinvocationPolicy": null}), "spec.reinvocationPolicy: Required value"),
            (
                json!({"reinvocationPolicy": "no"}),
                "spec.reinvocationPolicy: Unsupported value: \"no\": supported values: \"IfNeeded\", \"Never\"",
            ),
            (json!({"mutations": []}), "spec.mutations: Required value: mutations must contain at least one item"),
            (mutation(json!({})), "spec.mutations[0].patchType: Required value"),
            (
                mutation(json!({"patchType": "Merge"})),
                "spec.mutations[0].patchType: Unsupported value: \"Merge\": supported values: \"ApplyConfiguration\", \"JSONPatch\"",
            ),
            (
                mutation(json!({"patchType": "JSONPatch"})),
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            ),
            (
                mutation(json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'a'}]"},
                    "applyConfiguration": {"expression": "x"}})),
                "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when \
                 patchType is JSONPatch",
            ),
            (
                mutation(json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " "}})),
                "spec.mutations[0].applyConfiguration.expression: Required value",
            ),
            (
                mutation(json!({"patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": " Object.spec.metadata{} "}})),
                "spec.mutations[0].applyConfiguration.expression: Invalid value: \"Object.spec.metadata{}\": must evaluate to \
                 Object but got Object.spec.metadata",
            ),
            (
                mutation(json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}})),
                "spec.mutations[0].jsonPatch.expression: Invalid value: \"[]\": must evaluate to list(JSONPatch) but got list(dyn)",
            ),
        ];
        for (change, expected) in table {
            let mut policy = good.clone();
            policy["spec"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let said: Vec<String> = Policy.validate(&policy).iter().map(ToString::to_string).collect();
            assert_eq!(said, [expected]);
        }
        good["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["CREATE", "DELETE"]);
        let said: Vec<String> = Policy.validate(&good).iter().map(ToString::to_string).collect();
        let expected = "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \
                        \"CONNECT\", \"CREATE\", \"UPDATE\"";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn a_binding_names_a_policy() {
        let said: Vec<String> =
            Binding.validate(&json!({"spec": {"paramRef": {"name": "a"}}})).iter().map(ToString::to_string).collect();
        let expected = ["spec.policyName: Required value", "spec.paramRef.parameterNotFoundAction: Required value"];
        assert_eq!(said, expected);
        assert_eq!(Binding.validate(&json!({"spec": {"policyName": "p"}})), []);
    }
}
