//! PersistentVolumeClaim: what a user wants of storage. [`spec`] is shared with templates of claims.

pub mod spec;

use api::Object;
use api::field::FieldError;
use api::names;
use api::quantity::Quantity;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, text};
use super::diff::diff;
use super::edit::{copy, default_text, default_to, get_mut, object_mut, remove, set};
use super::equality::same_field;
use super::pod_template::resources::amount_of;
use super::pod_template::warnings::fractional;
use super::quantities::{canonicalize, canonicalize_requirements, parse_at, parse_value};
use crate::strategy::Strategy;

/// Names a class in place of the field.
pub const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
pub const CLASS_ANNOTATION_WARNING: &str = "deprecated since v1.8; use \"storageClassName\" attribute instead";

#[derive(Debug)]
pub struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(spec) = object_mut(new, "spec") {
            default_to(spec, "volumeMode", "Filesystem");
            if let Some(resources) = get_mut(spec, "resources") {
                canonicalize_requirements(resources);
            }
        }
        if let Some(status) = object_mut(new, "status") {
            default_text(status, "phase", "Pending");
            canonicalize(status, "capacity");
            canonicalize(status, "allocatedResources");
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        set(new, "status", json!({"phase": "Pending"}));
        if let Some(spec) = get_mut(new, "spec") {
            spec::normalize_sources(spec, &Value::Null);
        }
    }

    fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        if let Some(spec) = get_mut(new, "spec") {
            spec::normalize_sources(spec, field(old, "spec"));
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        spec::claim_spec(&Cursor::root(new, "spec"), false, &mut errors);
        errors.into_vec()
    }

    fn validate_again(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let before = field(old, "spec");
        let any_group =
            ["dataSource", "dataSourceRef"].iter().any(|name| !field(field(before, name), "apiGroup").is_null());
        spec::claim_spec(&Cursor::root(new, "spec"), any_group, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        fixed(new, old, &mut errors);
        not_smaller(new, old, &mut errors);
        let (spec, before) = (Cursor::root(new, "spec"), field(old, "spec"));
        if !same_field(spec.value, before, "volumeMode") {
            let mode = field(spec.value, "volumeMode");
            errors.invalid(&Cursor::root(new, "volumeMode").showing(mode), IS_IMMUTABLE);
        }
        let class = spec.child("volumeAttributesClassName");
        let applied = !field(field(old, "status"), "currentVolumeAttributesClassName").is_null();
        if applied && class.value != field(before, "volumeAttributesClassName") && class.str().is_empty() {
            let to = if class.is_set() { "empty string" } else { "nil" };
            let detail = format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
            errors.forbidden(&class, detail);
        }
        errors.into_vec()
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let status = Cursor::root(new, "status");
        for (_, amount) in status.child("capacity").entries() {
            basic_amount(&amount, &mut errors);
        }
        resize_states(&status.child("allocatedResourceStatuses"), &mut errors);
        let allocated = status.child("allocatedResources");
        for (name, amount) in allocated.entries() {
            let before = errors.len();
            resource_key(&allocated, name, &mut errors);
            if errors.len() == before {
                basic_amount(&amount, &mut errors);
            }
            if errors.len() == before {
                amount_of(&amount, "storage", &mut errors);
            }
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let mut warnings = Vec::new();
        if class_annotation(new).is_some() {
            warnings.push(format!("metadata.annotations[{CLASS_ANNOTATION}]: {CLASS_ANNOTATION_WARNING}"));
        }
        let spec = Cursor::root(new, "spec");
        let resources = spec.child("resources");
        for list in ["requests", "limits"] {
            fractional(&resources.child(list), &["storage"], &mut warnings);
        }
        warnings
    }
}

fn class_annotation(claim: &Object) -> Option<&str> {
    field(field(claim, "metadata"), "annotations").get(CLASS_ANNOTATION)?.as_str()
}

/// A claim is for what it was made for: quotas and limits were checked then. Its volume is chosen once; one that has its volume
/// may ask for more.
fn fixed(new: &Object, old: &Object, errors: &mut Errors) {
    let (mut now, mut before) = (field(new, "spec").clone(), field(old, "spec").clone());
    if text(&before, "volumeName").is_empty() {
        copy(&mut before, &now, "volumeName");
    }
    let class = field(&now, "storageClassName").as_str().map(str::to_owned);
    let unclassed = field(&before, "storageClassName").is_null();
    let (annotated, was_annotated) = (class_annotation(new), class_annotation(old));
    let is_old = |class: &str| was_annotated == Some(class);
    let moved = unclassed && class.as_deref().is_some_and(is_old) && annotated.is_none_or(is_old);
    if moved {
        remove(&mut now, "storageClassName");
    } else {
        let (annotated, was_annotated) = (annotated.unwrap_or_default(), was_annotated.unwrap_or_default());
        if annotated != was_annotated {
            let metadata = Cursor::root(new, "metadata");
            let annotations = metadata.child("annotations");
            errors.invalid_as(&annotations.child(CLASS_ANNOTATION), annotated, IS_IMMUTABLE);
        }
        if unclassed && class.is_some_and(|class| class_annotation(old).is_none_or(|annotation| annotation == class)) {
            remove(&mut now, "storageClassName");
        }
    }
    if text(field(new, "status"), "phase") == "Bound" {
        let requested = field(field(&before, "resources"), "requests").clone();
        if let Some(requests) = get_mut(&mut now, "resources").and_then(|resources| get_mut(resources, "requests")) {
            copy(requests, &requested, "storage");
        }
        copy(&mut now, &before, "volumeAttributesClassName");
    }
    if !spec::same_spec(&now, &before) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                      claims";
        errors.forbidden(&Cursor::root(new, "spec"), format!("{detail}\n{}", diff(&before, &now)));
    }
}

/// After an expansion that failed one may ask for less again, but for more than there is already.
fn not_smaller(new: &Object, old: &Object, errors: &mut Errors) {
    let requested = |claim: &Object| amount(&claim["spec"]["resources"]["requests"]["storage"]);
    let size = requested(new);
    if size < requested(old) && size <= amount(&old["status"]["capacity"]["storage"]) {
        let spec = Cursor::root(new, "spec");
        let resources = spec.child("resources");
        errors.forbidden(&resources.child("requests").child("storage"), "field can not be less than status.capacity");
    }
}

fn amount(value: &Value) -> Quantity {
    parse_value(value).unwrap_or_default()
}

/// Not less than nothing.
pub fn basic_amount(at: &Cursor, errors: &mut Errors) {
    if let Some(amount) = parse_at(at).map(|amount| amount.wrapped_value()).filter(|amount| *amount < 0) {
        errors.invalid_as(at, amount, "must be a valid resource quantity");
    }
}

fn resize_states(at: &Cursor, errors: &mut Errors) {
    const STATES: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    for (name, state) in at.entries() {
        resource_key(at, name, errors);
        if !STATES.contains(&state.str()) {
            errors.push(FieldError::not_supported(&at.path(), name, &STATES));
        }
    }
}

/// A name of what a claim can be given: storage, or something of a driver's own.
fn resource_key(at: &Cursor, name: &str, errors: &mut Errors) {
    let messages = names::qualified_name(name);
    if !messages.is_empty() {
        for message in messages {
            errors.invalid_as(at, name, message);
        }
    } else if (!name.contains('/') || name.contains("kubernetes.io/")) && name != "storage" {
        errors.push(FieldError::not_supported(&at.path(), name, &["storage"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(spec: Value, status: Value) -> Value {
        let mut claim = json!({"metadata": {"name": "c"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}},
        }, "status": status});
        for (name, value) in spec.as_object().cloned().unwrap_or_default() {
            claim["spec"][name] = value;
        }
        PersistentVolumeClaim.defaults(&mut claim, None);
        claim
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(|error| error.to_string().lines().next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn claims_are_filled_in_and_checked() {
        let plain = claim(json!({}), json!({}));
        assert_eq!(
            (&plain["spec"]["volumeMode"], &plain["status"]["phase"]),
            (&json!("Filesystem"), &json!("Pending"))
        );
        let table = [
            ("plain", json!({}), vec![]),
            (
                "no modes",
                json!({"accessModes": []}),
                vec!["spec.accessModes: Required value: at least 1 access mode is required"],
            ),
            ("no size", json!({"resources": {}}), vec!["spec.resources[storage]: Required value"]),
            (
                "single and shared",
                json!({"accessModes": ["ReadWriteOncePod", "ReadWriteMany"]}),
                vec!["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
            ),
            (
                "mode",
                json!({"volumeMode": "File"}),
                vec!["spec.volumeMode: Unsupported value: \"File\": supported values: \"Block\", \"Filesystem\""],
            ),
        ];
        for (name, spec, expected) in table {
            assert_eq!(texts(&PersistentVolumeClaim.validate(&claim(spec, json!({})))), expected, "{name}");
        }
    }

    #[test]
    fn what_a_claim_is_for_stays() {
        let bound = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}});
        let size = |size: &str| json!({"resources": {"requests": {"storage": size}}});
        let fixed = "spec: Forbidden: spec is immutable after creation except resources.requests and \
                     volumeAttributesClassName for bound claims";
        let smaller = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity";
        let table = [
            ("nothing", json!({}), json!({}), json!({}), vec![]),
            ("a volume", json!({}), json!({"volumeName": "v"}), json!({}), vec![]),
            ("another one", json!({"volumeName": "v"}), json!({"volumeName": "w"}), json!({}), vec![fixed]),
            ("a class", json!({}), json!({"storageClassName": "s"}), json!({}), vec![]),
            (
                "another class",
                json!({"storageClassName": "s"}),
                json!({"storageClassName": "t"}),
                json!({}),
                vec![fixed],
            ),
            ("more too early", size("1Gi"), size("2Gi"), json!({}), vec![fixed]),
            ("more", size("1Gi"), size("3Gi"), bound.clone(), vec![]),
            ("less", size("3Gi"), size("2Gi"), bound.clone(), vec![smaller]),
            ("less, but more than there is", size("4Gi"), size("3Gi"), bound, vec![]),
        ];
        for (name, before, after, status, expected) in table {
            let (old, new) = (claim(before, status.clone()), claim(after, status));
            assert_eq!(texts(&PersistentVolumeClaim.validate_update(&new, &old)), expected, "{name}");
        }
    }

    #[test]
    fn a_status_tells_of_storage() {
        let states = json!({"allocatedResourceStatuses": {"cpu": "NodeResizePending", "storage": "Waiting"}});
        let expected = [
            "status.allocatedResourceStatuses: Unsupported value: \"cpu\": supported values: \"storage\"",
            "status.allocatedResourceStatuses: Unsupported value: \"storage\": supported values: \
             \"ControllerResizeInProgress\", \"ControllerResizeInfeasible\", \"NodeResizeInProgress\", \
             \"NodeResizeInfeasible\", \"NodeResizePending\"",
        ];
        let new = claim(json!({}), states);
        assert_eq!(texts(&PersistentVolumeClaim.validate_subresource("status", &new, &new)), expected);
    }
}
