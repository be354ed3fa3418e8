//! ReplicationController: a ReplicaSet whose selector is a plain map.

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::{Map, Value};

use super::cursor::{Cursor, Errors, field};
use super::edit::{default_to, get_mut, object_mut, set};
use super::equality::changed;
use super::pod_template::{defaults, spec};
use super::workload;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct ReplicationController;

/// Upstream's newer validation counts bytes, and says so.
pub fn name(name: &str) -> Vec<String> {
    let in_bytes = |message: String| match message.strip_suffix(" characters") {
        Some(start) => format!("{start} bytes"),
        None => message,
    };
    names::dns1123_subdomain(name).into_iter().map(in_bytes).collect()
}

impl Strategy for ReplicationController {
    /// Selects what it makes, and is labelled like that, unless it says otherwise.
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let labels = new.pointer("/spec/template/metadata/labels").filter(|labels| labels.is_object()).cloned();
        if let Some(spec) = get_mut(new, "spec") {
            default_to(spec, "replicas", 1);
            if let Some(template) = get_mut(spec, "template") {
                defaults::template(template);
            }
        }
        let Some(labels) = labels else { return };
        for (owner, name) in [("spec", "selector"), ("metadata", "labels")] {
            if let Some(owner) = object_mut(new, owner)
                && field(owner, name).as_object().is_none_or(Map::is_empty)
            {
                set(owner, name, labels.clone());
            }
        }
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        changed(new, old, "spec")
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        errors.not_negative(&spec.child("minReadySeconds"));
        let selector = spec.child("selector");
        if selector.is_empty() {
            errors.required(&selector);
        }
        errors.not_negative(&spec.child("replicas"));
        template(&spec, &selector, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        if subresource != "status" {
            return self.validate(new);
        }
        let mut errors = Errors::default();
        let counters = ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
        let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        workload::counters(&Cursor::root(new, "status"), &counters, &parts, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        workload::warnings(new)
    }

    /// About the template that was, as upstream has it.
    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        workload::if_counted(new, old, |_| workload::template_warnings(old))
    }
}

fn template(spec: &Cursor, selector: &Cursor, errors: &mut Errors) {
    let template = spec.child("template");
    if !template.is_set() {
        return errors.required(&template);
    }
    let metadata = template.child("metadata");
    let labels = metadata.child("labels");
    let matches = |(name, value): (&String, &Value)| labels.value.get(name) == Some(value);
    if !selector.value.as_object().into_iter().flatten().all(matches) {
        errors.invalid(&labels, "`selector` does not match template `labels`");
    }
    spec::template(&template, errors);
    workload::runs_forever(spec, "ReplicationController", errors);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn controller(spec: &Value) -> Value {
        let mut object = json!({"metadata": {"name": "a"}, "spec": spec});
        ReplicationController.defaults(&mut object, None);
        object
    }

    #[test]
    fn a_controller_selects_what_it_makes() {
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
        let plain = controller(&json!({"template": template}));
        assert_eq!(plain["spec"]["selector"], json!({"a": "b"}));
        assert_eq!((&plain["metadata"]["labels"], &plain["spec"]["replicas"]), (&json!({"a": "b"}), &json!(1)));
        let table = [
            (json!({"template": template}), vec![]),
            (json!({}), vec!["spec.selector: Required value", "spec.template: Required value"]),
            (
                json!({"template": template, "selector": {"a": "c"}, "replicas": -1}),
                vec![
                    "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                    "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
                ],
            ),
        ];
        for (spec, expected) in table {
            let errors = ReplicationController.validate(&controller(&spec));
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        }
    }
}
