//! From client-side to server-side apply: kubectl keeps what it applied last in an annotation. What is still as it was there is
//! kubectl's own, though it was not managed as applied.

use serde_json::Value;

use super::compare::{Nulls, compare};
use super::element::go_json;
use super::owned::field_set;
use super::place::Place;
use super::set::Set;
use crate::Object;
use crate::meta::{self, Meta};

/// The one manager that this is done for.
pub(super) const KUBECTL: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// All annotations of an object together (upstream's `TotalAnnotationSizeLimitB`).
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// The fields that were applied from the client's side and have not changed since. `None` without the annotation, or when it is
/// of another version. `live` has its nulls spelled out.
pub(super) fn owned(place: Place<'_>, api_version: &str, live: &Object) -> Option<Set> {
    let text = live.annotation(ANNOTATION).filter(|text| !text.is_empty())?;
    let last: Object = serde_json::from_str(text).ok()?;
    if last["apiVersion"] != api_version {
        return None;
    }
    let applied = field_set(place, &last).ok()?;
    let changes = compare(place, &last, live, Nulls::Explicit).ok()?;
    Some(applied.difference(&changes.modified).difference(&changes.added).difference(&changes.removed))
}

/// Where the annotation is, it says what is applied now.
pub(super) fn renew(object: &mut Object, config: &Object) {
    if object.annotation(ANNOTATION).is_none_or(str::is_empty) {
        return;
    }
    let mut config = config.clone();
    match config.pointer_mut("/metadata/annotations") {
        Some(Value::Object(annotations)) => drop(annotations.remove(ANNOTATION)),
        Some(Value::Null) => meta::set(&mut config, "annotations", Value::Null),
        _ => {}
    }
    let mut annotations = object.annotations().cloned().unwrap_or_default();
    annotations.insert(ANNOTATION.to_owned(), format!("{}\n", go_json(&config)).into());
    let size = |value: &Value| value.as_str().unwrap_or_default().len();
    if annotations.iter().map(|(key, value)| key.len() + size(value)).sum::<usize>() > ANNOTATIONS_LIMIT {
        annotations.remove(ANNOTATION);
    }
    meta::set(object, "annotations", Value::Object(annotations));
}
