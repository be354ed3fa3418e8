//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::{Value, json};

use super::admission_rules::{MATCH_POLICIES, conditions, rule};
use super::cursor::{Cursor, Errors, list};
use super::edit::{default_to, get_mut, list_mut};
use super::selectors::label_selector;
use super::webhook_client::{client, review_versions};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Webhooks {
    pub mutating: bool,
}

impl Strategy for Webhooks {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        for hook in list_mut(new, "webhooks") {
            default_to(hook, "failurePolicy", "Fail");
            default_to(hook, "matchPolicy", "Equivalent");
            default_to(hook, "namespaceSelector", json!({}));
            default_to(hook, "objectSelector", json!({}));
            default_to(hook, "timeoutSeconds", 10);
            if self.mutating {
                default_to(hook, "reinvocationPolicy", "Never");
            }
            for rule in list_mut(hook, "rules") {
                default_to(rule, "scope", "*");
            }
            if let Some(service) = get_mut(hook, "clientConfig").and_then(|config| get_mut(config, "service")) {
                default_to(service, "port", 443);
            }
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        self.check(new, true)
    }

    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let conditions = |object: &Object| -> Vec<Value> {
            list(object, "webhooks").iter().map(|hook| hook["matchConditions"].clone()).collect()
        };
        self.check(new, conditions(new) != conditions(old))
    }
}

impl Webhooks {
    /// Match conditions that are as they were are not compiled again.
    fn check(&self, new: &Object, new_conditions: bool) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let mut seen = BTreeSet::new();
        for hook in Cursor::root(new, "webhooks").items() {
            self.webhook(&hook, new_conditions, &mut errors);
            let (name, versions) = (hook.child("name"), hook.child("admissionReviewVersions"));
            let list = list(hook.value, "admissionReviewVersions");
            errors.with(|errors| review_versions(&versions.path(), list, "must specify one of v1, v1beta1", errors));
            if !name.str().is_empty() && !seen.insert(name.str()) {
                errors.duplicate(&name);
            }
        }
        errors.into_vec()
    }

    fn webhook(&self, hook: &Cursor, new_conditions: bool, errors: &mut Errors) {
        full_name(&hook.child("name"), errors);
        for one in hook.child("rules").items() {
            rule(&one, errors);
        }
        errors.one_of_if_set(&hook.child("failurePolicy"), &["Fail", "Ignore"]);
        errors.one_of_if_set(&hook.child("matchPolicy"), &MATCH_POLICIES);
        let effects = hook.child("sideEffects");
        if effects.is_set() {
            errors.one_of_if_set(&effects, &["None", "NoneOnDryRun"]);
        } else {
            errors.required_because(&effects, "must specify one of None, NoneOnDryRun");
        }
        let seconds = hook.child("timeoutSeconds");
        if seconds.int().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
            errors.invalid(&seconds, "the timeout value must be between 1 and 30 seconds");
        }
        label_selector(&hook.child("namespaceSelector"), errors);
        label_selector(&hook.child("objectSelector"), errors);
        if self.mutating {
            errors.one_of_if_set(&hook.child("reinvocationPolicy"), &["IfNeeded", "Never"]);
        }
        let config = hook.child("clientConfig");
        errors.with(|errors| client(&config.path(), config.value, errors));
        if new_conditions {
            conditions(&hook.child("matchConditions"), false, errors);
        }
    }
}

/// A domain with three segments at least.
fn full_name(at: &Cursor, errors: &mut Errors) {
    let wrong = names::dns1123_subdomain(at.str());
    if at.str().is_empty() {
        errors.required(at);
    } else if !wrong.is_empty() {
        errors.invalid(at, wrong.join(","));
    } else if at.str().split('.').count() < 3 {
        errors.invalid(at, "should be a domain with at least three segments separated by dots");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_says_where_it_is_and_what_it_changes() {
        let hook = json!({
            "name": "a.example.com", "clientConfig": {"service": {"name": "s", "namespace": "n"}}, "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        });
        let mut object = json!({"webhooks": [hook]});
        let webhooks = Webhooks { mutating: true };
        webhooks.defaults(&mut object, None);
        assert_eq!(webhooks.validate(&object), []);
        let hook = &object["webhooks"][0];
        assert_eq!((&hook["timeoutSeconds"], &hook["reinvocationPolicy"]), (&json!(10), &json!("Never")));
        assert_eq!((&hook["rules"][0]["scope"], &hook["clientConfig"]["service"]["port"]), (&json!("*"), &json!(443)));
        let errors: Vec<String> =
            webhooks.validate(&json!({"webhooks": [{"name": "a"}]})).iter().map(ToString::to_string).collect();
        let expected = [
            "webhooks[0].name: Invalid value: \"a\": should be a domain with at least three segments separated by dots",
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
        ];
        assert_eq!(errors, expected);
    }
}
