//! PersistentVolume: a piece of storage. [`sources`] is where it can be, [`inline`] is one inside another object.

pub mod inline;
mod sources;

use api::Object;
use api::field::FieldError;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, list, text};
use super::diff::diff;
use super::edit::{copy, default_text, default_to, get_mut, list_mut, object_mut, set};
use super::equality::{same, same_field};
use super::persistent_volume_claim::spec::{VOLUME_MODES, access_modes, class_name};
use super::persistent_volume_claim::{CLASS_ANNOTATION, CLASS_ANNOTATION_WARNING, basic_amount};
use super::pod_template::affinity::node_selector;
use super::pod_template::volume_defaults;
use super::pod_template::warnings::named_label;
use super::quantities::{canonicalize, parse_at};
use crate::strategy::Strategy;

const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
const CHANGED_AT: &str = "lastPhaseTransitionTime";

#[derive(Debug)]
pub struct PersistentVolume;

impl Strategy for PersistentVolume {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(status) = object_mut(new, "status") {
            default_text(status, "phase", "Pending");
        }
        let Some(spec) = object_mut(new, "spec") else { return };
        default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        default_to(spec, "volumeMode", "Filesystem");
        of_sources(spec);
    }

    fn prepare_for_create(&self, new: &mut Object) {
        set(new, "status", json!({"phase": "Pending"}));
    }

    fn stamp(&self, new: &mut Object, old: Option<&Object>, now: &str) {
        let before = old.map_or(&Value::Null, |old| field(old, "status"));
        let Some(status) = object_mut(new, "status") else { return };
        let moved = old.is_none() || text(status, "phase") != text(before, "phase");
        let told = !field(status, CHANGED_AT).is_null();
        if moved && (!told || field(status, CHANGED_AT) == field(before, CHANGED_AT)) {
            set(status, CHANGED_AT, now);
        } else if !told {
            copy(status, before, CHANGED_AT);
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        spec(new, &mut errors);
        mount_options(new, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        // Upstream checks the new state as a part of the change, too.
        spec(new, &mut errors);
        let (at, before) = (Cursor::root(new, "spec"), field(old, "spec"));
        if !sources::same_source(at.value, before) {
            let detail = format!("spec.persistentvolumesource is immutable after creation\n{}", diff(before, at.value));
            errors.forbidden(&at.child("persistentvolumesource"), detail);
        }
        if !same_field(at.value, before, "volumeMode") {
            errors.invalid(&Cursor::root(new, "volumeMode").showing(field(at.value, "volumeMode")), IS_IMMUTABLE);
        }
        let places = field(at.value, "nodeAffinity");
        let places_before = field(before, "nodeAffinity");
        if !places_before.is_null() && !same(places, &with_newer_labels(places_before, places)) {
            let detail = format!("{IS_IMMUTABLE}, except for updating from beta label to GA");
            errors.invalid(&Cursor::root(new, "nodeAffinity").showing(places), detail);
        }
        let class = "volumeAttributesClassName";
        if !at.has(class) && !field(before, class).is_null() {
            errors.forbidden(&at.child(class), "update from non-nil value to nil is forbidden");
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        const OLD_SOURCES: [(&str, &str, &str); 6] = [
            ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
            ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
            ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
            ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
            ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
            ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
        ];
        let mut warnings = Vec::new();
        let options = "deprecated since v1.31; use \"mountOptions\" attribute instead";
        for (name, text) in [(CLASS_ANNOTATION, CLASS_ANNOTATION_WARNING), (MOUNT_OPTIONS, options)] {
            if has_annotation(new, name) {
                warnings.push(format!("metadata.annotations[{name}]: {text}"));
            }
        }
        let spec = Cursor::root(new, "spec");
        if spec.text("persistentVolumeReclaimPolicy") == "Recycle" {
            warnings.push(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
                 approach is to use dynamic provisioning."
                    .to_owned(),
            );
        }
        let places = spec.child("nodeAffinity");
        let required = places.child("required");
        for term in required.child("nodeSelectorTerms").items() {
            for requirement in term.child("matchExpressions").items() {
                named_label(&requirement.child("key"), &mut warnings);
            }
        }
        let old = OLD_SOURCES.iter().filter(|(name, ..)| spec.has(name));
        warnings.extend(old.map(|(_, shown, text)| format!("spec.{shown}: {text}")));
        warnings
    }
}

/// Defaults wherever the spec of a volume stands.
fn of_sources(spec: &mut Value) {
    canonicalize(spec, "capacity");
    for name in ["hostPath", "rbd", "iscsi", "azureDisk", "scaleIO"] {
        if let Some(source) = get_mut(spec, name) {
            volume_defaults::source(name, source);
        }
    }
}

fn has_annotation(object: &Object, name: &str) -> bool {
    !field(field(field(object, "metadata"), "annotations"), name).is_null()
}

fn spec(object: &Object, errors: &mut Errors) {
    let spec = Cursor::root(object, "spec");
    let modes = spec.child("accessModes");
    if modes.is_empty() {
        errors.required(&modes);
    }
    access_modes(&modes, errors);
    capacity(&spec.child("capacity"), errors);
    let policy = spec.child("persistentVolumeReclaimPolicy");
    if !policy.str().is_empty() {
        errors.one_of(&policy, &["Delete", "Recycle", "Retain"]);
    }
    let places = spec.child("nodeAffinity");
    if places.is_set() {
        let required = places.child("required");
        if required.is_set() {
            node_selector(&required, errors);
        } else {
            errors.required_because(&required, "must specify required node constraints");
        }
    }
    sources::source(&spec, text(field(object, "metadata"), "name"), places.is_set(), errors);
    let host = spec.child("hostPath");
    if host.is_set() && is_root(host.text("path")) && policy.str() == "Recycle" {
        errors.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
    class_name(&spec.child("storageClassName"), errors);
    errors.one_of_if_set(&spec.child("volumeMode"), &VOLUME_MODES);
    let class = spec.child("volumeAttributesClassName");
    if class.is_set() {
        if class.is_empty() {
            errors.required_because(&class, "an empty string is disallowed");
        }
        class_name(&class, errors);
        if !spec.has("csi") {
            errors.required_because(&spec.child("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn capacity(at: &Cursor, errors: &mut Errors) {
    if at.is_empty() {
        errors.required(at);
    }
    if !at.has("storage") || at.len() > 1 {
        let shown = if at.is_set() { at.value.clone() } else { Value::Null };
        errors.push(FieldError::not_supported(&at.path(), shown, &["storage"]));
    }
    for (_, amount) in at.entries() {
        basic_amount(&amount, errors);
        if let Some(size) = parse_at(&amount).filter(|size| size.is_negative() || size.is_zero()) {
            errors.invalid_as(&amount, size.to_string(), "must be greater than zero");
        }
    }
}

/// Whether a path leads to `/`, as Go's `path.Clean` sees it.
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

/// Those that mount something with options.
fn mount_options(object: &Object, errors: &mut Errors) {
    const MOUNTED: [&str; 13] = [
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "cinder",
        "cephfs",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
    ];
    let spec = field(object, "spec");
    if has_annotation(object, MOUNT_OPTIONS) && !MOUNTED.iter().any(|name| !field(spec, name).is_null()) {
        let metadata = Cursor::root(object, "metadata");
        let annotations = metadata.child("annotations");
        errors.forbidden(&annotations.child(MOUNT_OPTIONS), "may not specify mount options for this volume type");
    }
}

/// The old node affinity with the names that its labels have today where the new one has them: to write those is no change.
fn with_newer_labels(old: &Value, new: &Value) -> Value {
    const LABELS: [(&str, &str); 5] = [
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ];
    let mut affinity = old.clone();
    let terms = affinity.pointer_mut("/required/nodeSelectorTerms").and_then(Value::as_array_mut);
    for (term, new_term) in terms.into_iter().flatten().zip(list(field(new, "required"), "nodeSelectorTerms")) {
        let requirements = list_mut(term, "matchExpressions").iter_mut();
        for (requirement, new_requirement) in requirements.zip(list(new_term, "matchExpressions")) {
            let keys = (text(requirement, "key"), text(new_requirement, "key"));
            if LABELS.contains(&keys) {
                copy(requirement, new_requirement, "key");
            }
        }
    }
    affinity
}

#[cfg(test)]
mod tests;
