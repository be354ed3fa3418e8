//! ResourceQuota.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use serde_json::Value;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, list};
use super::edit::get_mut;
use super::pod_template::resources::{Owner, amount_of, resource_name};
use super::quantities::{canonicalize, parse_value};
use crate::strategy::Strategy;

/// Resources without a domain that a quota may limit, beside huge pages.
const QUOTA_RESOURCES: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

const POD_COMPUTE: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

#[derive(Debug)]
pub struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = get_mut(new, "spec") {
            canonicalize(spec, "hard");
        }
        if let Some(status) = get_mut(new, "status") {
            canonicalize(status, "hard");
            canonicalize(status, "used");
        }
    }

    /// Requests that are more than their limits.
    fn warnings(&self, new: &Object) -> Vec<String> {
        let hard = field(field(new, "spec"), "hard");
        let amount = |name: &str| parse_value(field(hard, name));
        let mut warnings = Vec::new();
        for resource in ["cpu", "memory", "storage", "ephemeral-storage"] {
            let bare = matches!(resource, "cpu" | "memory").then(|| resource.to_owned());
            let names = [Some(format!("requests.{resource}")), bare];
            let asked = names.into_iter().flatten().find_map(|name| amount(&name).map(|asked| (name, asked)));
            let limited = format!("limits.{resource}");
            if let (Some((name, asked)), Some(limit)) = (asked, amount(&limited))
                && asked > limit
            {
                warnings.push(format!("ResourceQuota {name} ({asked}) should be less than {limited} ({limit})"));
            }
        }
        warnings
    }

    fn warnings_of_update(&self, _new: &Object, _old: &Object) -> Vec<String> {
        Vec::new()
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        amounts(&spec.child("hard"), &mut errors);
        scopes(&spec, &mut errors);
        selector(&spec, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let set = |spec: &Value| -> BTreeSet<String> {
            list(spec, "scopes").iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        if set(spec.value) != set(field(old, "spec")) {
            errors.invalid(&spec.child("scopes"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let status = Cursor::root(new, "status");
        amounts(&status.child("hard"), &mut errors);
        amounts(&status.child("used"), &mut errors);
        errors.into_vec()
    }
}

fn amounts(at: &Cursor, errors: &mut Errors) {
    for (name, amount) in at.entries() {
        resource_name(&amount, name, Owner::Other, errors);
        if !name.contains('/') && !is_quota_resource(name) {
            errors.invalid_as(&amount, name, "must be a standard resource for quota");
        }
        amount_of(&amount, name, errors);
    }
}

fn is_quota_resource(name: &str) -> bool {
    QUOTA_RESOURCES.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

fn is_scope(scope: &str) -> bool {
    let scopes = [
        "Terminating",
        "NotTerminating",
        "BestEffort",
        "NotBestEffort",
        "PriorityClass",
        "VolumeAttributesClass",
        "CrossNamespacePodAffinity",
    ];
    scopes.contains(&scope)
}

/// Whether the scope can narrow the resource.
fn applies(scope: &str, resource: &str) -> bool {
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || POD_COMPUTE.contains(&resource)
        }
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn scopes(spec: &Cursor, errors: &mut Errors) {
    let at = spec.child("scopes");
    let hard = spec.child("hard");
    for scope in at.items() {
        if !is_scope(scope.str()) {
            errors.invalid(&at, "unsupported scope");
        }
        for (resource, _) in hard.entries() {
            if is_quota_resource(resource) && !applies(scope.str(), resource) {
                errors.invalid(&at, "unsupported scope applied to resource");
            }
        }
    }
    conflicts(&at, &at, at.items().map(|scope| scope.str()).collect(), errors);
}

fn conflicts(at: &Cursor, shown: &Cursor, scopes: BTreeSet<&str>, errors: &mut Errors) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            errors.invalid_as(at, shown.value.clone(), "conflicting scopes");
        }
    }
}

fn selector(spec: &Cursor, errors: &mut Errors) {
    const EXISTS_ONLY: [&str; 5] =
        ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];
    let selector = spec.child("scopeSelector");
    let at = selector.child("matchExpressions");
    for requirement in list(selector.value, "matchExpressions") {
        // Upstream reports at the list, without an index.
        let place = at.showing(requirement);
        let (scope, operator, values) = (place.child("scopeName"), place.child("operator"), place.child("values"));
        if !is_scope(scope.str()) {
            errors.invalid_text(&scope, "unsupported scope");
        }
        for (resource, _) in spec.child("hard").entries() {
            if is_quota_resource(resource) && !applies(scope.str(), resource) {
                errors.invalid_as(&at, selector.value.clone(), "unsupported scope applied to resource");
            }
        }
        if EXISTS_ONLY.contains(&scope.str()) && operator.str() != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.invalid_text(&operator, detail);
        }
        match (operator.str(), values.is_empty()) {
            ("In" | "NotIn", true) => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.required_because(&values, detail);
            }
            ("Exists" | "DoesNotExist", false) => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.invalid(&values, detail);
            }
            ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
            _ => errors.invalid_text(&operator, "not a valid selector operator"),
        }
    }
    let named = at.items().map(|requirement| requirement.text("scopeName")).collect();
    conflicts(&at, &spec.child("scopes"), named, errors);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotas_are_checked() {
        let table: &[(&str, Value, &[&str])] = &[
            ("valid", json!({"hard": {"pods": "10", "requests.cpu": "1", "example.com/gpu": "1"}}), &[]),
            (
                "unknown",
                json!({"hard": {"beauty": "1"}}),
                &[
                    "spec.hard[beauty]: Invalid value: \"beauty\": must be a standard resource type or fully qualified",
                    "spec.hard[beauty]: Invalid value: \"beauty\": must be a standard resource for quota",
                ],
            ),
            (
                "half a pod",
                json!({"hard": {"pods": "0.5"}}),
                &["spec.hard[pods]: Invalid value: \"500m\": must be an integer"],
            ),
            (
                "scope of another resource",
                json!({"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]}),
                &["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"],
            ),
            (
                "both",
                json!({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}),
                &["spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"],
            ),
            (
                "classes without names",
                json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}),
                &[
                    "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is \
                   'In' or 'NotIn' for scope selector",
                ],
            ),
        ];
        for (name, spec, expected) in table {
            let mut quota = json!({ "spec": spec });
            ResourceQuota.defaults(&mut quota, None);
            let errors: Vec<String> = ResourceQuota.validate(&quota).iter().map(ToString::to_string).collect();
            assert_eq!(errors, *expected, "{name}");
        }
    }
}
