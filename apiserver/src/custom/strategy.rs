//! The rules of custom resources (`registry/customresource`).

use std::sync::Arc;

use api::Object;
use api::field::{FieldError, Path};
use api::meta::Meta;

use super::CustomKind;
use crate::strategy::Strategy;

pub(super) struct CustomStrategy {
    kind: Arc<CustomKind>,
}

impl CustomStrategy {
    pub fn new(kind: Arc<CustomKind>) -> Self {
        Self { kind }
    }

    /// `apiVersion` and `kind`. When they are wrong, nothing else is looked at.
    fn type_errors(&self, object: &Object) -> Vec<FieldError> {
        let expected = &self.kind.gvk;
        let own = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let wanted = [("kind", expected.kind.clone()), ("apiVersion", expected.api_version())];
        let wrong = wanted.into_iter().filter(|(key, wanted)| own(key) != *wanted);
        wrong.map(|(key, wanted)| FieldError::invalid(&Path::new(key), own(key), format!("must be {wanted}"))).collect()
    }
}

impl Strategy for CustomStrategy {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        self.kind.fill(new);
    }

    /// Of a status nothing but the status is taken.
    fn prepare_for_subresource(&self, subresource: &str, new: &mut Object, old: &Object) {
        if subresource == "status" {
            new["metadata"] = old["metadata"].clone();
        }
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        let rest = |object: &Object| {
            let mut rest = object.as_object().cloned().unwrap_or_default();
            rest.remove("metadata");
            rest
        };
        rest(new) != rest(old)
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        self.type_errors(new)
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        self.type_errors(new)
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        new.finalizers().flat_map(finalizer_warnings).collect()
    }
}

/// Finalizers should say whose they are.
fn finalizer_warnings(finalizer: &str) -> Vec<String> {
    const STANDARD: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];
    let said = |why: &str| format!("metadata.finalizers: {finalizer:?}: {why}");
    let mut warnings: Vec<String> = api::names::qualified_name(finalizer).iter().map(|why| said(why)).collect();
    if !finalizer.contains('/') && !STANDARD.contains(&finalizer) {
        let path = if finalizer.contains('.') { " including a path (/)" } else { "" };
        warnings.push(said(&format!(
            "prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        )));
    }
    warnings
}
