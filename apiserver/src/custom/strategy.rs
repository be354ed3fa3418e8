//! The rules of custom resources (`registry/customresource`).

use std::collections::BTreeSet;
use std::sync::Arc;

use api::Object;
use api::field::{ErrorKind, FieldError, Path};
use api::meta::Meta;
use api::structural::{lists, metadata};

use super::CustomKind;
use crate::strategy::Strategy;

pub(super) struct CustomStrategy {
    kind: Arc<CustomKind>,
}

impl CustomStrategy {
    pub fn new(kind: Arc<CustomKind>) -> Self {
        Self { kind }
    }

    /// Unless the old object has the same kind of fault.
    fn list_errors(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let errors = lists::validate(new, self.kind.structural());
        if errors.is_empty() || !lists::validate(old, self.kind.structural()).is_empty() { Vec::new() } else { errors }
    }

    /// What rules say, where the object is what they can read.
    fn rule_errors(&self, new: &Object, old: Option<&Object>, errors: &mut Vec<FieldError>) {
        let Some(rules) = self.kind.rules() else { return };
        let blocking = |error: &FieldError| {
            use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
            matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
        };
        if errors.iter().any(blocking) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing errors \
                          to complete validation";
            errors.push(FieldError::invalid(&Path::new("<nil>"), serde_json::Value::Null, detail));
        } else {
            errors.extend(rules.check(new, old).errors);
        }
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

    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        let errors = self.type_errors(new);
        if !errors.is_empty() {
            return errors;
        }
        let kind = &self.kind;
        let mut errors = kind.validator().validate(None, new);
        errors.extend(kind.scale().iter().flat_map(|scale| scale.spec_errors(new)));
        errors.extend(kind.scale().iter().flat_map(|scale| scale.status_errors(new)));
        errors.extend(metadata::validate(new, kind.structural()));
        errors.extend(lists::validate(new, kind.structural()));
        self.rule_errors(new, None, &mut errors);
        errors
    }

    /// What was wrong before and is as it was is let be.
    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let errors = self.type_errors(new);
        if !errors.is_empty() {
            return errors;
        }
        let kind = &self.kind;
        let mut errors = kind.validator().validate_update(None, new, old);
        errors.extend(kind.scale().iter().flat_map(|scale| scale.spec_errors(new)));
        errors.extend(kind.scale().iter().flat_map(|scale| scale.status_errors(new)));
        errors.extend(metadata::validate(new, kind.structural()));
        errors.extend(self.list_errors(new, old));
        self.rule_errors(new, Some(old), &mut errors);
        errors
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = self.type_errors(new);
        if !errors.is_empty() || subresource != "status" {
            return if errors.is_empty() { self.validate_update(new, old) } else { errors };
        }
        let validator = self.kind.validator().property("status");
        if let (Some(validator), Some(status)) = (validator, new.get("status")) {
            errors.extend(validator.validate_update(Some(&Path::new("status")), status, &old["status"]));
        }
        errors.extend(self.kind.scale().iter().flat_map(|scale| scale.status_errors(new)));
        errors.extend(self.list_errors(new, old));
        self.rule_errors(new, Some(old), &mut errors);
        errors
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let finalizers: BTreeSet<&str> = new.finalizers().collect();
        finalizers.into_iter().flat_map(finalizer_warnings).collect()
    }

    /// Rules that did not hold before either are only mentioned, finalizers that were there are not.
    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        let [new_ones, old_ones] = [new, old].map(|object| object.finalizers().collect::<BTreeSet<&str>>());
        let mut warnings: Vec<String> = new_ones.difference(&old_ones).copied().flat_map(finalizer_warnings).collect();
        let let_be = self.kind.rules().map(|rules| rules.check(new, Some(old)).let_be);
        warnings.extend(let_be.iter().flatten().map(ToString::to_string));
        warnings
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
