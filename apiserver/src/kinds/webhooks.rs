//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::json;

use super::cursor::{Cursor, Errors};
use super::edit::{default_to, get_mut, list_mut};
use super::selectors::label_selector;
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
        let mut errors = Errors::default();
        for hook in Cursor::root(new, "webhooks").items() {
            let name = hook.child("name");
            if name.str().is_empty() {
                errors.required(&name);
            } else {
                errors.messages(&name, names::dns1123_subdomain(name.str()));
                if name.str().split('.').count() < 3 {
                    errors.invalid(&name, "should be a domain with at least three segments separated by dots");
                }
            }
            errors.one_of_if_set(&hook.child("failurePolicy"), &["Fail", "Ignore"]);
            errors.one_of_if_set(&hook.child("matchPolicy"), &["Equivalent", "Exact"]);
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
            label_selector(&hook.child("namespaceSelector"), &mut errors);
            label_selector(&hook.child("objectSelector"), &mut errors);
            let config = hook.child("clientConfig");
            if config.has("url") == config.has("service") {
                errors.required_because(&config, "exactly one of url or service is required");
            }
            let versions = hook.child("admissionReviewVersions");
            if versions.is_empty() {
                errors.required_because(&versions, "must specify one of v1, v1beta1");
            }
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_says_where_it_is_and_what_it_changes() {
        let hook = json!({
            "name": "a.example.com", "clientConfig": {"service": {"name": "s", "namespace": "n"}}, "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "rules": [{}],
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
