//! Owns:    typeChecking and observedGeneration of ValidatingAdmissionPolicies.
//! Watches: ValidatingAdmissionPolicies; reads CustomResourceDefinitions.
//! Writes:  ValidatingAdmissionPolicy status.
//!
//! Expressions are checked against the types of what a policy is about, as far as these are known. What is found is told and changes
//! nothing (`k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go`).

mod types;

use std::collections::BTreeSet;
use std::sync::Arc;

use api::gvk::GroupVersionKind;
use cel::admission::{Declared, Environment, Typed};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    ExpressionWarning, NamedRuleWithOperations, TypeChecking, ValidatingAdmissionPolicy, ValidatingAdmissionPolicySpec,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use reconcile::informer::Caches;
use reconcile::{Controller, Plan, Watch, read};

/// So many kinds of one rule are looked at.
const MAX_KINDS: usize = 10;

pub struct AdmissionPolicies;

impl Controller for AdmissionPolicies {
    const NAME: &'static str = "validatingadmissionpolicy-status-controller";
    const QUEUE: &'static str = "validatingadmissionpolicy-status";
    type Root = ValidatingAdmissionPolicy;
    type View = Vec<Arc<CustomResourceDefinition>>;

    fn watches() -> Vec<Watch> {
        vec![read::<CustomResourceDefinition>()]
    }

    fn view(&self, _root: &ValidatingAdmissionPolicy, caches: &Caches) -> Self::View {
        caches.get::<CustomResourceDefinition>().list()
    }

    fn decide(&self, root: &ValidatingAdmissionPolicy, definitions: &Self::View, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let old = root.status.clone().unwrap_or_default();
        let generation = root.metadata.generation.unwrap_or_default();
        if generation <= old.observed_generation.unwrap_or_default() {
            return plan;
        }
        let warnings = root.spec.as_ref().map(|spec| check(spec, definitions)).unwrap_or_default();
        let mut new = old.clone();
        new.observed_generation = Some(generation);
        let expression_warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
        new.type_checking = Some(TypeChecking { expression_warnings });
        plan.set_status(&old, &new);
        plan
    }
}

fn check(
    spec: &ValidatingAdmissionPolicySpec,
    definitions: &[Arc<CustomResourceDefinition>],
) -> Vec<ExpressionWarning> {
    let typed =
        |kind: &GroupVersionKind| types::declaration(kind, definitions).map(|declaration| Typed::from(&declaration));
    let kinds = kinds(spec, definitions);
    let objects: Vec<(GroupVersionKind, Typed)> =
        kinds.into_iter().filter_map(|kind| typed(&kind).map(|typed| (kind, typed))).collect();
    let params = spec.param_kind.as_ref().and_then(|kind| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        typed(&GroupVersionKind::from_api_version(&text(&kind.api_version), &text(&kind.kind)))
    });
    let mut warnings = Vec::new();
    for (index, validation) in spec.validations.iter().flatten().enumerate() {
        let message = validation.message_expression.as_deref().unwrap_or_default();
        for (field, source) in [("expression", validation.expression.as_str()), ("messageExpression", message)] {
            let said: Vec<String> = if source.is_empty() && field == "messageExpression" {
                Vec::new()
            } else {
                objects.iter().filter_map(|(kind, object)| one(source, spec, kind, object, params.as_ref())).collect()
            };
            if !said.is_empty() {
                let field_ref = format!("spec.validations[{index}].{field}");
                warnings.push(ExpressionWarning { field_ref, warning: said.join("\n") });
            }
        }
    }
    warnings
}

/// What is wrong with an expression for one kind.
fn one(
    source: &str,
    spec: &ValidatingAdmissionPolicySpec,
    kind: &GroupVersionKind,
    object: &Typed,
    params: Option<&Typed>,
) -> Option<String> {
    let declared = Declared { params: params.is_some(), authorizer: true, patches: false };
    let mut environment = Environment::typed(object.clone(), params.cloned().unwrap_or_else(Typed::open));
    for variable in spec.variables.iter().flatten() {
        let ty = environment.type_of(&variable.expression, declared).unwrap_or(cel::Type::Dyn);
        environment.define(&variable.name, &ty);
    }
    let issues = environment.type_of(source, declared).err()?;
    Some(format!("{}: {issues}\n", kind.go_string()))
}

/// The kinds that the rules name, without those that are meant by a `*`.
fn kinds(
    spec: &ValidatingAdmissionPolicySpec,
    definitions: &[Arc<CustomResourceDefinition>],
) -> BTreeSet<GroupVersionKind> {
    let rules = spec.match_constraints.as_ref().and_then(|constraints| constraints.resource_rules.as_ref());
    let mut kinds = BTreeSet::new();
    for rule in rules.into_iter().flatten() {
        kinds.extend(of_rule(rule, definitions).into_iter().take(MAX_KINDS));
    }
    kinds
}

fn of_rule(rule: &NamedRuleWithOperations, definitions: &[Arc<CustomResourceDefinition>]) -> Vec<GroupVersionKind> {
    let sorted = |list: &Option<Vec<String>>| {
        let mut list = list.clone().unwrap_or_default();
        list.sort();
        list
    };
    let (groups, versions) = (sorted(&rule.api_groups), sorted(&rule.api_versions));
    if groups.iter().chain(&versions).any(|text| text.contains('*')) {
        return Vec::new();
    }
    let resources = sorted(&rule.resources);
    let mut kinds = Vec::new();
    for (group, version) in groups.iter().flat_map(|group| versions.iter().map(move |version| (group, version))) {
        let plain = resources.iter().filter(|resource| !resource.contains(['*', '/']));
        kinds.extend(plain.filter_map(|resource| types::kind_of(group, version, resource, definitions)));
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn policy(rule: Value, spec: Value) -> ValidatingAdmissionPolicy {
        let mut all = json!({"matchConstraints": {"resourceRules": [rule]}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "p", "generation": 2}, "spec": all})).unwrap()
    }

    fn definition() -> Arc<CustomResourceDefinition> {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "replicas": {"type": "integer"}}}}});
        let definition = json!({"metadata": {"name": "crontabs.x.io"}, "spec": {"group": "x.io", "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
        Arc::new(serde_json::from_value(definition).unwrap())
    }

    fn warnings(rule: Value, spec: Value) -> Vec<(String, String)> {
        let policy = policy(rule, spec);
        let found = check(policy.spec.as_ref().unwrap(), &[definition()]);
        found.into_iter().map(|warning| (warning.field_ref, warning.warning)).collect()
    }

    #[test]
    fn expressions_fit_what_they_are_about() {
        let rule =
            |group: &str, resource: &str| json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource]});
        let validation = |expression: &str| json!({"validations": [{"expression": expression}]});
        let mut variables = validation("variables.r > '1'");
        variables["variables"] = json!([{"name": "r", "expression": "object.spec.replicas"}]);
        let mut params = validation("params.data.x == 1");
        params["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        let overload = |kind: &str, operator: &str, place: usize| {
            format!(
                "{kind}: ERROR: <input>:1:{place}: found no matching overload for '{operator}' applied to '(int, string)'"
            )
        };
        let table = [
            ("right", rule("apps", "deployments"), validation("object.spec.replicas > 1"), None),
            (
                "confused",
                rule("apps", "deployments"),
                validation("object.spec.replicas > '1'"),
                Some(overload("apps/v1, Kind=Deployment", "_>_", 22)),
            ),
            (
                "a field that is not there",
                rule("apps", "deployments"),
                validation("object.spec.nothing == 1"),
                Some("apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'nothing'".to_owned()),
            ),
            (
                "by a variable",
                rule("apps", "deployments"),
                variables,
                Some(overload("apps/v1, Kind=Deployment", "_>_", 13)),
            ),
            (
                "parameters",
                rule("apps", "deployments"),
                params,
                Some("apps/v1, Kind=Deployment: ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(string, int)'".to_owned()),
            ),
            ("a custom kind", rule("x.io", "crontabs"), validation("object.spec.replicas > 1 && object.metadata.labels.a == 'b'"), None),
            (
                "a custom kind, confused",
                rule("x.io", "crontabs"),
                validation("object.spec.replicas > '1'"),
                Some(overload("x.io/v1, Kind=CronTab", "_>_", 22)),
            ),
            ("nobody knows", rule("y.io", "things"), validation("object.x > '1'"), None),
            ("anything", rule("*", "deployments"), validation("object.spec.replicas > '1'"), None),
        ];
        for (name, rule, spec, expected) in table {
            let found = warnings(rule, spec);
            match expected {
                None => assert_eq!(found, [], "{name}"),
                Some(expected) => {
                    let [(field, warning)] = found.as_slice() else { panic!("{name}: {found:?}") };
                    assert_eq!(field, "spec.validations[0].expression", "{name}");
                    assert!(warning.starts_with(&expected) && warning.ends_with("^\n"), "{name}: {warning}");
                }
            }
        }
    }

    #[test]
    fn a_policy_is_checked_once() {
        let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]});
        let mut policy = policy(rule, json!({"validations": [{"expression": "true"}]}));
        let now = Timestamp::UNIX_EPOCH;
        let plan = AdmissionPolicies.decide(&policy, &Vec::new(), now);
        assert!(plan.status.is_some());
        policy.status.get_or_insert_default().observed_generation = Some(2);
        assert!(AdmissionPolicies.decide(&policy, &Vec::new(), now).status.is_none());
    }
}
