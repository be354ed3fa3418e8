//! StatefulSet.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, field, list, number, text};
use super::edit::{copy, default_text, default_to, get_mut, list_mut, object_mut, remove, set};
use super::equality::same_complete;
use super::persistent_volume_claim::spec::{claim_spec, same_spec};
use super::pod_template::spec;
use super::pod_template::warnings::fractional;
use super::quantities::canonicalize_requirements;
use super::selectors::{label_selector, selects, selects_everything};
use super::workload;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct StatefulSet;

impl Strategy for StatefulSet {
    fn complete_nothing(&self, nothing: &mut Object) {
        super::workload::no_replicas(nothing);
    }

    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        workload::template_defaults(new);
        let Some(spec) = get_mut(new, "spec") else { return };
        default_text(spec, "podManagementPolicy", "OrderedReady");
        default_to(spec, "replicas", 1);
        default_to(spec, "revisionHistoryLimit", 10);
        if let Some(strategy) = object_mut(spec, "updateStrategy") {
            if text(strategy, "type").is_empty() {
                default_text(strategy, "type", "RollingUpdate");
                default_to(strategy, "rollingUpdate", json!({}));
            }
            let rolls = text(strategy, "type") == "RollingUpdate";
            if let Some(rolling) = get_mut(strategy, "rollingUpdate").filter(|_| rolls) {
                default_to(rolling, "partition", 0);
            }
        }
        if let Some(policy) = object_mut(spec, "persistentVolumeClaimRetentionPolicy") {
            default_text(policy, "whenDeleted", "Retain");
            default_text(policy, "whenScaled", "Retain");
        }
        for claim in list_mut(spec, "volumeClaimTemplates") {
            claim_template(claim);
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        drop_disabled(new);
    }

    fn prepare_for_update(&self, new: &mut Object, _old: &Object) {
        drop_disabled(new);
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        content(new, Strictness::New)
    }

    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let bad_before = !content(old, Strictness::Old).is_empty();
        content(new, if bad_before { Strictness::BadBefore } else { Strictness::Old })
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        const MUTABLE: [&str; 7] = [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ];
        let mut errors = Errors::default();
        let old_spec = field(old, "spec");
        let mut rest = field(new, "spec").clone();
        for name in MUTABLE {
            copy(&mut rest, old_spec, name);
        }
        let claims = |spec: &Value| list(spec, "volumeClaimTemplates").to_vec();
        let same_claims =
            claims(&rest).iter().zip(claims(old_spec)).all(|(new, old)| same_spec(&new["spec"], &old["spec"]));
        if !same_complete(&rest, old_spec) || !same_claims {
            let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are \
                forbidden";
            errors.forbidden(&Cursor::root(new, "spec"), detail);
        }
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        if subresource != "status" {
            return self.validate_again(new, old);
        }
        let mut errors = Errors::default();
        let status = Cursor::root(new, "status");
        let counters = [
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ];
        let parts = ["currentReplicas", "updatedReplicas", "availableReplicas"];
        let ready = number(status.value, "readyReplicas").unwrap_or_default();
        workload::counters(&status, &counters, &[], &mut errors);
        if ready > number(status.value, "replicas").unwrap_or_default() {
            errors.invalid_as(&status.child("readyReplicas"), ready, "cannot be greater than status.replicas");
        }
        workload::counters(&status, &[], &parts, &mut errors);
        let available = number(status.value, "availableReplicas").unwrap_or_default();
        if available > ready {
            let why = "cannot be greater than status.readyReplicas";
            errors.invalid_as(&status.child("availableReplicas"), available, why);
        }
        workload::collisions(new, old, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let mut warnings = workload::template_warnings(new);
        claim_warnings(new, false, &mut warnings);
        warnings.extend(history_warning(new));
        warnings
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        let mut warnings = workload::if_counted(new, old, workload::template_warnings);
        claim_warnings(new, true, &mut warnings);
        warnings.extend(history_warning(new));
        warnings
    }
}

/// Of a gate that is off.
fn drop_disabled(object: &mut Object) {
    if let Some(rolling) = object.pointer_mut("/spec/updateStrategy/rollingUpdate") {
        remove(rolling, "maxUnavailable");
    }
}

/// Upstream's paths miss the `spec`, or have it in the words of Go.
fn claim_warnings(object: &Object, update: bool, warnings: &mut Vec<String>) {
    let spec = Cursor::root(object, "spec");
    for claim in spec.child("volumeClaimTemplates").items() {
        let inner = claim.child("Spec");
        let place = if update { inner } else { claim };
        let resources = place.child("resources");
        let resources = resources.showing(field(field(claim.value, "spec"), "resources"));
        for list in ["requests", "limits"] {
            fractional(&resources.child(list), &["storage"], warnings);
        }
    }
}

fn history_warning(new: &Object) -> Option<String> {
    let text =
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
    let limit = number(field(new, "spec"), "revisionHistoryLimit");
    limit.is_some_and(|limit| limit < 0).then(|| text.to_owned())
}

/// A PersistentVolumeClaim that pods get one of each.
fn claim_template(claim: &mut Value) {
    set(claim, "apiVersion", "v1");
    set(claim, "kind", "PersistentVolumeClaim");
    if let Some(status) = object_mut(claim, "status") {
        default_text(status, "phase", "Pending");
    }
    let Some(spec) = get_mut(claim, "spec") else { return };
    default_to(spec, "volumeMode", "Filesystem");
    if let Some(resources) = get_mut(spec, "resources") {
        canonicalize_requirements(resources);
    }
}

/// What is forgiven: what cannot change any more, and templates of sets that had a bad one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    New,
    Old,
    BadBefore,
}

fn content(object: &Value, strictness: Strictness) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = Cursor::root(object, "spec");
    let policy = spec.child("podManagementPolicy");
    match policy.str() {
        "" => errors.required(&policy),
        "OrderedReady" | "Parallel" => {}
        _ => errors.invalid(&policy, "must be 'OrderedReady' or 'Parallel'"),
    }
    update_strategy(&spec.child("updateStrategy"), &mut errors);
    let retention = spec.child("persistentVolumeClaimRetentionPolicy");
    for name in ["whenDeleted", "whenScaled"] {
        let at = retention.child(name);
        if retention.is_set() && !matches!(at.str(), "Retain" | "Delete") {
            errors.not_supported(&at, &["Retain", "Delete"]);
        }
    }
    if strictness == Strictness::New {
        for claim in spec.child("volumeClaimTemplates").items() {
            claim_spec(&claim.child("spec"), false, &mut errors);
        }
    }
    errors.not_negative(&spec.child("replicas"));
    errors.not_negative(&spec.child("minReadySeconds"));
    let ordinals = field(spec.value, "ordinals");
    errors.not_negative(&spec.child("ordinals.start").showing(field(ordinals, "start")));
    let service = spec.child("serviceName");
    if strictness == Strictness::New && !service.str().is_empty() {
        errors.messages(&service, names::dns1123_label(service.str()));
    }
    pods(&spec, strictness != Strictness::BadBefore, &mut errors);
    errors.into_vec()
}

/// The selector and the template that it has to select.
fn pods(spec: &Cursor, check_template: bool, errors: &mut Errors) {
    let selector = spec.child("selector");
    if !selector.is_set() {
        errors.required(&selector);
    } else {
        label_selector(&selector, errors);
        if selects_everything(selector.value) {
            errors.invalid(&selector, "empty selector is invalid for statefulset");
        }
    }
    if workload::is_readable(&selector) {
        let effective = with_identity(spec.value);
        let effective = spec.showing(&effective);
        let template = effective.child("template");
        let metadata = template.child("metadata");
        let labels = metadata.child("labels");
        if !selector.is_set() || (!selects_everything(selector.value) && !selects(selector.value, labels.value)) {
            errors.invalid(&labels, "`selector` does not match template `labels`");
        }
        if check_template {
            spec::template(&template, errors);
        }
        spec::template_metadata(&template, errors);
    } else {
        errors.invalid(&selector, "");
    }
    workload::runs_forever(spec, "StatefulSet", errors);
}

fn update_strategy(at: &Cursor, errors: &mut Errors) {
    let rolling = at.child("rollingUpdate");
    match at.text("type") {
        "" => errors.required(at),
        "OnDelete" => {
            if rolling.is_set() {
                errors.invalid(&rolling, "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        "RollingUpdate" => {
            errors.not_negative(&rolling.child("partition"));
            let unavailable = rolling.child("maxUnavailable");
            if unavailable.is_set() {
                workload::int_or_percent(&unavailable, errors);
                if workload::int_or_percent_value(unavailable.value) == 0 {
                    errors.invalid(&unavailable, "cannot be 0");
                }
                workload::not_more_than_all(&unavailable, errors);
            }
        }
        _ => errors.invalid(at, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

/// The spec as its pods will have it: names come from the set, claims are volumes.
fn with_identity(spec: &Value) -> Value {
    let mut effective = spec.clone();
    // Of claims of one name there is one volume.
    let claims: BTreeSet<&str> =
        list(spec, "volumeClaimTemplates").iter().map(|claim| text(field(claim, "metadata"), "name")).collect();
    let pod = get_mut(&mut effective, "template").and_then(|template| get_mut(template, "spec"));
    let Some(pod) = pod else { return effective };
    remove(pod, "hostname");
    remove(pod, "subdomain");
    if !claims.is_empty() {
        let own = list(pod, "volumes").iter().filter(|volume| !claims.contains(&text(volume, "name"))).cloned();
        let claimed = claims.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        let volumes: Vec<Value> = claimed.chain(own).collect();
        set(pod, "volumes", volumes);
    }
    effective
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_of(more: Value) -> Value {
        let mut object = json!({"metadata": {"name": "db"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "serviceName": "db",
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{
                "name": "a", "image": "b", "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}],
        }});
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            object["spec"][name] = value;
        }
        StatefulSet.defaults(&mut object, None);
        object
    }

    fn texts(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stateful_set_is_filled_in() {
        let object = set_of(json!({}));
        let spec = &object["spec"];
        assert_eq!(spec["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
        assert_eq!(
            spec["persistentVolumeClaimRetentionPolicy"],
            json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
        );
        assert_eq!(spec["podManagementPolicy"], "OrderedReady");
        assert_eq!(spec["volumeClaimTemplates"][0]["spec"]["volumeMode"], "Filesystem");
        assert_eq!(texts(StatefulSet.validate(&object)), Vec::<String>::new());
    }

    #[test]
    fn stateful_sets_are_checked() {
        let table: &[(&str, Value, &[&str])] = &[
            (
                "management",
                json!({"podManagementPolicy": "Chaos"}),
                &["spec.podManagementPolicy: Invalid value: \"Chaos\": must be 'OrderedReady' or 'Parallel'"],
            ),
            (
                "no claim",
                json!({"volumeClaimTemplates": []}),
                &["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""],
            ),
            (
                "claims without names make one volume",
                json!({"volumeClaimTemplates": [{"spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}, {"spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}),
                &[
                    "spec.template.spec.volumes[0].persistentVolumeClaim.claimName: Required value",
                    "spec.template.spec.volumes[0].name: Required value",
                    "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
                ],
            ),
            (
                "ordinals",
                json!({"ordinals": {"start": -1}}),
                &["spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"],
            ),
        ];
        for (name, more, expected) in table {
            assert_eq!(texts(StatefulSet.validate(&set_of(more.clone()))), *expected, "{name}");
        }
    }

    #[test]
    fn few_fields_may_change() {
        let old = set_of(json!({}));
        assert_eq!(texts(StatefulSet.validate_update(&set_of(json!({"replicas": 3})), &old)), Vec::<String>::new());
        let errors = texts(StatefulSet.validate_update(&set_of(json!({"serviceName": "other"})), &old));
        assert!(
            errors.len() == 1 && errors[0].starts_with("spec: Forbidden: updates to statefulset spec"),
            "{errors:?}"
        );
    }
}
