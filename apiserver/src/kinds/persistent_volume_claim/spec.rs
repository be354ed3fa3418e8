//! The spec of a claim, as a PersistentVolumeClaim and the templates of others have it: what is valid, and where its data come
//! from.

use api::names;
use serde_json::{Value, json};

use super::super::cursor::{Cursor, Errors, field, text};
use super::super::edit::{remove, set};
use super::super::equality::same_complete;
use super::super::pod_template::resources::amount_of;
use super::super::quantities::parse_at;
use super::super::selectors::label_selector;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const CLAIM: &str = "PersistentVolumeClaim";

/// A PersistentVolumeClaimSpec. `any_group` forgives what groups of data sources are called.
pub fn claim_spec(at: &Cursor, any_group: bool, errors: &mut Errors) {
    let modes = at.child("accessModes");
    if modes.is_empty() {
        errors.required_because(&modes, "at least 1 access mode is required");
    }
    label_selector(&at.child("selector"), errors);
    access_modes(&modes, errors);
    storage(&at.child("resources"), errors);
    class_name(&at.child("storageClassName"), errors);
    errors.one_of_if_set(&at.child("volumeMode"), &VOLUME_MODES);
    data_sources(at, any_group, errors);
    class_name(&at.child("volumeAttributesClassName"), errors);
}

/// One that may be used by a single pod only, has no other modes.
pub fn access_modes(modes: &Cursor, errors: &mut Errors) {
    for mode in modes.items().filter(|mode| !ACCESS_MODES.contains(&mode.str())) {
        errors.push(api::field::FieldError::not_supported(&modes.path(), mode.str(), &ACCESS_MODES));
    }
    let is_single = |mode: &Cursor| mode.str() == "ReadWriteOncePod";
    let is_other = |mode: &Cursor| ACCESS_MODES.contains(&mode.str()) && !is_single(mode);
    if modes.items().any(|mode| is_single(&mode)) && modes.items().any(|mode| is_other(&mode)) {
        errors.forbidden(modes, "may not use ReadWriteOncePod with other access modes");
    }
}

fn storage(resources: &Cursor, errors: &mut Errors) {
    let storage = resources.child("requests");
    let (storage, place) = (storage.key("storage"), resources.key("storage"));
    match parse_at(&storage) {
        None => errors.required(&place),
        Some(amount) if amount.is_negative() || amount.is_zero() => {
            errors.invalid_as(&place, amount.to_string(), "must be greater than zero");
        }
        Some(_) => amount_of(&place.showing(storage.value), "storage", errors),
    }
}

/// The name of a class, where there is one.
pub fn class_name(at: &Cursor, errors: &mut Errors) {
    if !at.str().is_empty() {
        errors.messages(at, names::dns1123_subdomain(at.str()));
    }
}

fn data_sources(at: &Cursor, any_group: bool, errors: &mut Errors) {
    let (local, reference) = (at.child("dataSource"), at.child("dataSourceRef"));
    for source in [&local, &reference] {
        if source.is_set() {
            data_source(source, any_group, errors);
        }
    }
    let namespace = reference.child("namespace");
    if !namespace.str().is_empty() {
        errors.messages(&namespace, names::dns1123_label(namespace.str()));
    }
    if !local.is_set() || !reference.is_set() {
        return;
    }
    // Upstream shows a path as the value, of which nothing is public.
    let path = json!({});
    if !namespace.str().is_empty() {
        errors.invalid_as(at, path, "may not be specified when dataSourceRef.namespace is specified");
    } else if ["apiGroup", "kind", "name"].iter().any(|part| field(local.value, part) != field(reference.value, part)) {
        errors.invalid_as(at, path, "must match dataSourceRef");
    }
}

fn data_source(at: &Cursor, any_group: bool, errors: &mut Errors) {
    for part in ["name", "kind"] {
        if at.text(part).is_empty() {
            errors.required(&at.child(part));
        }
    }
    let group = at.child("apiGroup");
    if !group.str().is_empty() {
        if !any_group {
            errors.messages(&group, names::dns1123_subdomain(group.str()));
        }
    } else if at.text("kind") != CLAIM {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.invalid_as(at, at.text("kind"), detail);
    }
}

/// Of two complete specs. No selector is another one than an empty one.
pub fn same_spec(new: &Value, old: &Value) -> bool {
    let selects = |spec: &Value| !field(spec, "selector").is_null();
    same_complete(new, old) && selects(new) == selects(old)
}

/// Drops references that no gate lets in and sources that were never read, and says what is left in both fields.
pub fn normalize_sources(spec: &mut Value, old: &Value) {
    let is_set = |spec: &Value, name: &str| !field(spec, name).is_null();
    let (local, reference) = ("dataSource", "dataSourceRef");
    if !text(field(spec, reference), "namespace").is_empty() && !is_set(old, reference) {
        remove(spec, reference);
    }
    let known = is_set(old, local) || is_set(old, reference) || is_set(spec, reference);
    if !known && !has_meaning(field(spec, local)) {
        remove(spec, local);
    }
    match (is_set(spec, local), is_set(spec, reference)) {
        (true, false) => set(spec, reference, parts(&spec[local])),
        (false, true) if text(&spec[reference], "namespace").is_empty() => set(spec, local, parts(&spec[reference])),
        _ => {}
    }
}

/// What the older field could name at all.
fn has_meaning(source: &Value) -> bool {
    matches!(
        (text(source, "kind"), text(source, "apiGroup")),
        (CLAIM, "") | ("VolumeSnapshot", "snapshot.storage.k8s.io")
    )
}

fn parts(source: &Value) -> Value {
    let mut parts = json!({"kind": text(source, "kind"), "name": text(source, "name")});
    if let Some(group) = source.get("apiGroup").filter(|group| !group.is_null()) {
        set(&mut parts, "apiGroup", group.clone());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fields_say_where_data_come_from() {
        let claim = json!({"kind": CLAIM, "name": "c"});
        let foreign = json!({"kind": "Image", "name": "i", "apiGroup": "example.com"});
        let far = json!({"kind": CLAIM, "name": "c", "namespace": "n"});
        let both = json!({"dataSource": claim, "dataSourceRef": claim});
        let table = [
            ("the old one", json!({"dataSource": claim}), json!({}), both.clone()),
            ("the new one", json!({"dataSourceRef": claim}), json!({}), both),
            ("what the old one never meant", json!({"dataSource": foreign}), json!({}), json!({})),
            (
                "what the new one may mean",
                json!({"dataSourceRef": foreign}),
                json!({}),
                json!({"dataSource": foreign, "dataSourceRef": foreign}),
            ),
            ("of another namespace", json!({"dataSourceRef": far}), json!({}), json!({})),
            (
                "which was there",
                json!({"dataSourceRef": far}),
                json!({"dataSourceRef": far}),
                json!({"dataSourceRef": far}),
            ),
        ];
        for (name, mut spec, old, expected) in table {
            normalize_sources(&mut spec, &old);
            assert_eq!(spec, expected, "{name}");
        }
    }

    #[test]
    fn sources_are_checked() {
        let of = |kind: &str, group: &str| json!({"kind": kind, "name": "a", "apiGroup": group});
        let table = [
            (json!({"dataSource": of(CLAIM, "")}), vec![]),
            (
                json!({"dataSource": of("Image", "")}),
                vec![
                    "spec.dataSource: Invalid value: \"Image\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
                ],
            ),
            (
                json!({"dataSource": of(CLAIM, ""), "dataSourceRef": of("Image", "example.com")}),
                vec!["spec: Invalid value: {}: must match dataSourceRef"],
            ),
        ];
        for (spec, expected) in table {
            let object = json!({ "spec": spec });
            let mut errors = Errors::default();
            data_sources(&Cursor::root(&object, "spec"), false, &mut errors);
            let errors: Vec<String> = errors.into_vec().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }
}
