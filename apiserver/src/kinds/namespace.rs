//! Namespace: a container that ends when its finalizers are gone.

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, field, list, text};
use super::edit::{copy, get_mut, object_mut, remove, set};
use crate::strategy::Strategy;

const LABEL: &str = "kubernetes.io/metadata.name";
const FINALIZER: &str = "kubernetes";

#[derive(Debug)]
pub struct Namespace;

impl Strategy for Namespace {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        label(new);
    }

    fn prepare_for_create(&self, new: &mut Object) {
        // A generated name is known only now.
        label(new);
        set(new, "status", json!({"phase": "Active"}));
        let mut finalizers = list(field(new, "spec"), "finalizers").to_vec();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
        if let Some(spec) = object_mut(new, "spec") {
            set(spec, "finalizers", finalizers);
        }
    }

    fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        if let Some(spec) = object_mut(new, "spec") {
            copy(spec, field(old, "spec"), "finalizers");
        }
    }

    fn prepare_for_subresource(&self, subresource: &str, new: &mut Object, old: &Object) {
        match subresource {
            "finalize" => copy(new, old, "status"),
            "status" => copy(new, old, "spec"),
            _ => {}
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let at = spec.child("finalizers");
        for finalizer in at.items() {
            // Upstream reports these at the list.
            finalizer_name(&at.showing(finalizer.value), &mut errors);
        }
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        match subresource {
            "finalize" => {
                let spec = Cursor::root(new, "spec");
                for finalizer in spec.child("finalizers").items() {
                    finalizer_name(&finalizer, &mut errors);
                }
            }
            "status" => phase(new, &mut errors),
            _ => {}
        }
        errors.into_vec()
    }

    fn keeps(&self, object: &Object) -> bool {
        !list(field(object, "spec"), "finalizers").is_empty()
    }

    fn mark_deleting(&self, object: &mut Object) {
        // There is no grace for namespaces, not even none.
        if let Some(metadata) = get_mut(object, "metadata") {
            remove(metadata, "deletionGracePeriodSeconds");
        }
        if let Some(status) = object_mut(object, "status") {
            set(status, "phase", "Terminating");
        }
    }
}

fn label(namespace: &mut Value) {
    let name = text(field(namespace, "metadata"), "name").to_owned();
    let metadata = get_mut(namespace, "metadata").filter(|_| !name.is_empty());
    if let Some(labels) = metadata.and_then(|metadata| object_mut(metadata, "labels")) {
        set(labels, LABEL, name);
    }
}

fn finalizer_name(at: &Cursor, errors: &mut Errors) {
    const STANDARD: [&str; 3] = [FINALIZER, "orphan", "foregroundDeletion"];
    errors.messages(at, names::qualified_name(at.str()));
    if !at.str().contains('/') && !STANDARD.contains(&at.str()) {
        errors.invalid_text(at, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// The phase says whether the namespace is being deleted.
fn phase(namespace: &Value, errors: &mut Errors) {
    let deleted = !field(field(namespace, "metadata"), "deletionTimestamp").is_null();
    let (expected, what) = match deleted {
        true => ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty"),
        false => ("Active", "may only be 'Active' if `deletionTimestamp` is empty"),
    };
    let status = Cursor::root(namespace, "status");
    let phase = status.text("phase");
    if phase != expected {
        // The capital letter is upstream's.
        errors.invalid_as(&status.child("Phase"), phase, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_namespace_is_active_labelled_and_finalized() {
        let mut object = json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["example.com/x"]}});
        Namespace.defaults(&mut object, None);
        Namespace.prepare_for_create(&mut object);
        let expected = json!({
            "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
            "spec": {"finalizers": ["example.com/x", "kubernetes"]},
            "status": {"phase": "Active"},
        });
        assert_eq!(object, expected);
        assert_eq!(texts(Namespace.validate(&object)), Vec::<String>::new());
        let mut new = object.clone();
        new["spec"]["finalizers"] = json!([]);
        Namespace.prepare_for_update(&mut new, &object);
        assert_eq!(new, object, "finalizers are changed by the subresource only");
        assert!(Namespace.keeps(&object));
        Namespace.mark_deleting(&mut object);
        assert_eq!(object["status"]["phase"], "Terminating");
        assert!(!Namespace.keeps(&json!({"spec": {"finalizers": []}})));
    }

    #[test]
    fn finalizers_and_phases_are_checked() {
        let object = json!({"spec": {"finalizers": ["odd"]}, "status": {"phase": "Terminating"}});
        let odd = "Invalid value: \"odd\": name is neither a standard finalizer name nor is it fully qualified";
        assert_eq!(texts(Namespace.validate(&object)), [format!("spec.finalizers: {odd}")]);
        assert_eq!(
            texts(Namespace.validate_subresource("finalize", &object, &object)),
            [format!("spec.finalizers[0]: {odd}")]
        );
        assert_eq!(
            texts(Namespace.validate_subresource("status", &object, &object)),
            ["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"]
        );
    }
}
