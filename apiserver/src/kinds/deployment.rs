//! Deployment.

use api::Object;
use api::field::FieldError;
use serde_json::json;

use super::cursor::{Cursor, Errors, field, text};
use super::edit::{copy, default_text, default_to, get_mut, object_mut};
use super::equality::changed;
use super::workload;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Deployment;

impl Strategy for Deployment {
    fn complete_nothing(&self, nothing: &mut Object) {
        super::workload::no_replicas(nothing);
    }

    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        workload::template_defaults(new);
        let Some(spec) = get_mut(new, "spec") else { return };
        default_to(spec, "replicas", 1);
        default_to(spec, "revisionHistoryLimit", 10);
        default_to(spec, "progressDeadlineSeconds", 600);
        let Some(strategy) = object_mut(spec, "strategy") else { return };
        default_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            default_to(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = get_mut(strategy, "rollingUpdate") {
                default_to(rolling, "maxUnavailable", "25%");
                default_to(rolling, "maxSurge", "25%");
            }
        }
    }

    /// A write to the status changes no labels.
    fn prepare_for_subresource(&self, subresource: &str, new: &mut Object, old: &Object) {
        if subresource == "status"
            && let Some(metadata) = get_mut(new, "metadata")
        {
            copy(metadata, field(old, "metadata"), "labels");
        }
    }

    /// Annotations are copied to ReplicaSets: a change of them is one that the controller has to see.
    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        changed(new, old, "spec") || changed(field(new, "metadata"), field(old, "metadata"), "annotations")
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        errors.not_negative(&spec.child("replicas"));
        workload::selector_and_template(&spec, "ReplicaSet", &mut errors);
        strategy(&spec.child("strategy"), &mut errors);
        errors.not_negative(&spec.child("minReadySeconds"));
        errors.not_negative(&spec.child("revisionHistoryLimit"));
        let deadline = spec.child("progressDeadlineSeconds");
        if let Some(seconds) = deadline.int() {
            errors.not_negative(&deadline);
            if seconds <= spec.number("minReadySeconds").unwrap_or_default() {
                errors.invalid(&deadline, "must be greater than minReadySeconds");
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        workload::selector_unchanged(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        if subresource != "status" {
            return self.validate(new);
        }
        let mut errors = Errors::default();
        let counters = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ];
        let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        workload::counters(&Cursor::root(new, "status"), &counters, &parts, &mut errors);
        workload::collisions(new, old, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        workload::warnings(new)
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        workload::if_counted(new, old, workload::template_warnings)
    }
}

fn strategy(at: &Cursor, errors: &mut Errors) {
    let rolling = at.child("rollingUpdate");
    match at.text("type") {
        "Recreate" => {
            if rolling.is_set() {
                errors.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
            workload::int_or_percent(&unavailable, errors);
            workload::int_or_percent(&surge, errors);
            let none = |at: &Cursor| workload::int_or_percent_value(at.value) == 0;
            if none(&unavailable) && none(&surge) {
                errors.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
            }
            workload::not_more_than_all(&unavailable, errors);
        }
        _ => errors.not_supported(at, &["Recreate", "RollingUpdate"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn deployment(more: Value) -> Value {
        let mut object = json!({
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "a", "image": "busybox"}]},
                },
            },
        });
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            object["spec"][name] = value;
        }
        Deployment.defaults(&mut object, None);
        object
    }

    #[test]
    fn a_deployment_is_filled_in() {
        let object = deployment(json!({}));
        let spec = &object["spec"];
        assert_eq!((&spec["replicas"], &spec["revisionHistoryLimit"]), (&json!(1), &json!(10)));
        assert_eq!(spec["progressDeadlineSeconds"], 600);
        let rolling = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
        assert_eq!(spec["strategy"], json!({"type": "RollingUpdate", "rollingUpdate": rolling}));
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Always");
        assert_eq!(deployment(json!({"replicas": 0}))["spec"]["replicas"], 0);
        let recreate = deployment(json!({"strategy": {"type": "Recreate"}}));
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn deployments_are_checked() {
        let rolling = |unavailable: Value, surge: Value| json!({"strategy": {"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}});
        let table: &[(&str, Value, &[&str])] = &[
            ("valid", json!({}), &[]),
            (
                "replicas",
                json!({"replicas": -1}),
                &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "no selector",
                json!({"selector": null}),
                &[
                    "spec.selector: Required value",
                    "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
                ],
            ),
            (
                "empty selector",
                json!({"selector": {}}),
                &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
            ),
            (
                "other labels",
                json!({"selector": {"matchLabels": {"app": "api"}}}),
                &[
                    "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
                ],
            ),
            (
                "no movement",
                rolling(json!(0), json!("0%")),
                &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
            ),
            (
                "more than all",
                rolling(json!("101%"), json!(1)),
                &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"],
            ),
            (
                "no percentage",
                rolling(json!(1), json!("half")),
                &[
                    "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"half\": a valid percent string must be a numeric \
                   string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                ],
            ),
            (
                "deadline",
                json!({"progressDeadlineSeconds": 5, "minReadySeconds": 5}),
                &["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
            ),
            (
                "jobs",
                json!({"template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                    "restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}],
                }}}),
                &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
            ),
        ];
        for (name, more, expected) in table {
            let errors: Vec<String> =
                Deployment.validate(&deployment(more.clone())).iter().map(ToString::to_string).collect();
            assert_eq!(errors, *expected, "{name}");
        }
    }

    #[test]
    fn selector_stays_and_annotations_count() {
        let old = deployment(json!({}));
        let mut new = old.clone();
        assert!(!Deployment.bumps_generation(&new, &old));
        new["metadata"]["annotations"] = json!({"a": "b"});
        assert!(Deployment.bumps_generation(&new, &old));
        new["spec"]["selector"] = json!({"matchLabels": {"app": "api"}});
        let errors = Deployment.validate_update(&new, &old);
        let expected = "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"api\"}}: field is immutable";
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn a_status_changes_no_labels() {
        let old = json!({"metadata": {"labels": {"a": "1"}, "annotations": {"x": "1"}}});
        let mut new = json!({"metadata": {"labels": {"a": "2"}, "annotations": {"x": "2"}}});
        Deployment.prepare_for_subresource("status", &mut new, &old);
        assert_eq!(new["metadata"], json!({"labels": {"a": "1"}, "annotations": {"x": "2"}}));
    }

    #[test]
    fn status_counts_add_up() {
        let old = json!({"status": {"collisionCount": 2}});
        let new = json!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 1, "collisionCount": 1}});
        let errors = Deployment.validate_subresource("status", &new, &old);
        let expected = [
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.collisionCount: Invalid value: 1: cannot be decremented",
        ];
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }
}
