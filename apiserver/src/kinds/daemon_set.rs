//! DaemonSet.

use api::Object;
use api::field::FieldError;
use api::gvk::GroupVersionKind;
use api::schema::{SchemaSet, check};
use api::table::TEMPLATE_GENERATION;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, field, text};
use super::edit::{default_text, default_to, get_mut, object_mut, set};
use super::equality::changed;
use super::pod_template::spec;
use super::selectors::{label_selector, selects_everything};
use super::workload;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct DaemonSet;

impl Strategy for DaemonSet {
    fn complete_nothing(&self, nothing: &mut Object) {
        set_template_generation(nothing, 0);
    }

    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        // Upstream has the number in a field, which is an annotation for clients: it is always there.
        let told = template_generation(new);
        set_template_generation(new, told);
        workload::template_defaults(new);
        let Some(spec) = get_mut(new, "spec") else { return };
        default_to(spec, "revisionHistoryLimit", 10);
        let Some(strategy) = object_mut(spec, "updateStrategy") else { return };
        default_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            default_to(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = get_mut(strategy, "rollingUpdate") {
                default_to(rolling, "maxUnavailable", 1);
                default_to(rolling, "maxSurge", 0);
            }
        }
        // Numbers in upstream's internal form: what nobody says is none.
        if let Some(rolling) = get_mut(strategy, "rollingUpdate") {
            default_to(rolling, "maxUnavailable", 0);
            default_to(rolling, "maxSurge", 0);
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        let asked = template_generation(new);
        set_template_generation(new, asked.max(1));
    }

    fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        let (template, before) = (field(field(new, "spec"), "template"), field(field(old, "spec"), "template"));
        let changes = template != before && changed(&as_stored(new)["spec"], field(old, "spec"), "template");
        set_template_generation(new, template_generation(old) + i64::from(changes));
    }

    fn prepare_for_subresource(&self, _subresource: &str, new: &mut Object, old: &Object) {
        set_template_generation(new, template_generation(old));
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        changed(new, old, "spec")
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let selector = spec.child("selector");
        label_selector(&selector, &mut errors);
        workload::matches_template(&spec, &mut errors);
        if selector.is_set() && selects_everything(selector.value) {
            errors.invalid(&selector, "empty selector is invalid for daemonset");
        }
        spec::template(&spec.child("template"), &mut errors);
        workload::runs_forever(&spec, "DaemonSet", &mut errors);
        errors.not_negative(&spec.child("minReadySeconds"));
        strategy(&spec.child("updateStrategy"), &mut errors);
        errors.not_negative(&spec.child("revisionHistoryLimit"));
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        workload::selector_unchanged(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let counters = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        workload::counters(&Cursor::root(new, "status"), &counters, &[], &mut errors);
        workload::collisions(new, old, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        workload::template_warnings(new)
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        if template_generation(new) == template_generation(old) { Vec::new() } else { self.warnings(new) }
    }
}

/// The object without the zeros that Go leaves out.
fn as_stored(object: &Object) -> Object {
    let mut object = object.clone();
    let set = SchemaSet::builtin();
    if let Some(ty) = set.of_kind(&GroupVersionKind::new("apps", "v1", "DaemonSet")) {
        check::conform_stored(set, ty, &mut object);
        check::complete(set, ty, &mut object);
    }
    object
}

fn template_generation(object: &Value) -> i64 {
    let annotations = field(field(object, "metadata"), "annotations");
    text(annotations, TEMPLATE_GENERATION).parse().unwrap_or_default()
}

fn set_template_generation(object: &mut Value, generation: i64) {
    let annotations = object_mut(object, "metadata").and_then(|metadata| object_mut(metadata, "annotations"));
    if let Some(annotations) = annotations {
        set(annotations, TEMPLATE_GENERATION, generation.to_string());
    }
}

fn strategy(at: &Cursor, errors: &mut Errors) {
    match at.text("type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = at.child("rollingUpdate");
            let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
            for at in [&unavailable, &surge] {
                workload::int_or_percent(at, errors);
            }
            for at in [&unavailable, &surge] {
                workload::not_more_than_all(at, errors);
            }
            let some = |at: &Cursor| workload::int_or_percent_value(at.value) != 0;
            match (some(&unavailable), some(&surge)) {
                (true, true) => errors.invalid(&surge, "may not be set when maxUnavailable is non-zero"),
                (false, false) => errors.required_because(&unavailable, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => errors.not_supported(at, &["RollingUpdate", "OnDelete"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_of(more: Value) -> Value {
        let mut object = json!({"metadata": {"name": "a"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
        }});
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            object["spec"][name] = value;
        }
        DaemonSet.defaults(&mut object, None);
        object
    }

    #[test]
    fn a_daemon_set_is_filled_in_and_counted() {
        let mut old = set_of(json!({}));
        let rolling = json!({"maxUnavailable": 1, "maxSurge": 0});
        assert_eq!(old["spec"]["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": rolling}));
        DaemonSet.prepare_for_create(&mut old);
        assert_eq!(old["metadata"]["annotations"][TEMPLATE_GENERATION], "1");
        let mut new = old.clone();
        new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("c");
        DaemonSet.prepare_for_update(&mut new, &old);
        assert_eq!(new["metadata"]["annotations"][TEMPLATE_GENERATION], "2");
    }

    #[test]
    fn daemon_sets_are_checked() {
        let rolling = |unavailable: i64, surge: i64| json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}});
        let table: &[(&str, Value, &[&str])] = &[
            ("valid", json!({}), &[]),
            (
                "no movement",
                rolling(0, 0),
                &["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
            ),
            (
                "both ways",
                rolling(1, 1),
                &[
                    "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
                ],
            ),
            (
                "everything",
                json!({"selector": {}}),
                &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
            ),
        ];
        for (name, more, expected) in table {
            let errors: Vec<String> =
                DaemonSet.validate(&set_of(more.clone())).iter().map(ToString::to_string).collect();
            assert_eq!(errors, *expected, "{name}");
        }
    }
}
