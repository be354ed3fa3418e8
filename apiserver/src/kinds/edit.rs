//! Changing a JSON tree the way Go's defaulting functions do, where absent, null and (for plain scalars) zero are the same.

use serde_json::{Map, Value};

/// The member `name`, where it is present and not null.
pub fn get_mut<'v>(object: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    object.get_mut(name).filter(|value| !value.is_null())
}

/// The elements of the list `name`; none where it is absent.
pub fn list_mut<'v>(object: &'v mut Value, name: &str) -> &'v mut [Value] {
    object.get_mut(name).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// The object `name`, made when it is absent or null. Anything else than an object is left alone, and `None`.
pub fn object_mut<'v>(object: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    let members = object.as_object_mut()?;
    let child = members.entry(name).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::Object(Map::new());
    }
    child.is_object().then_some(child)
}

pub fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
}

pub fn remove(object: &mut Value, name: &str) -> Option<Value> {
    object.as_object_mut()?.remove(name)
}

/// Put `name` of `from` in the place of `to`'s, or remove it where `from` has none.
pub fn copy(to: &mut Value, from: &Value, name: &str) {
    match from.get(name) {
        Some(value) => set(to, name, value.clone()),
        None => drop(remove(to, name)),
    }
}

/// A write to a status that changes the metadata of no object (`ResetObjectMetaForStatus`).
pub fn keep_metadata(new: &mut Value, old: &Value) {
    let Some(metadata) = get_mut(new, "metadata") else { return };
    for name in ["annotations", "deletionTimestamp", "finalizers", "generation", "labels", "ownerReferences"] {
        copy(metadata, old.get("metadata").unwrap_or(&Value::Null), name);
    }
}

/// Default of a pointer, list or struct: set where absent or null.
pub fn default_to(object: &mut Value, name: &str, value: impl Into<Value>) {
    if object.get(name).is_none_or(Value::is_null) {
        set(object, name, value);
    }
}

/// Default of a plain text: set where absent or empty.
pub fn default_text(object: &mut Value, name: &str, value: &str) {
    if object.get(name).is_none_or(|current| current.is_null() || current == "") {
        set(object, name, value);
    }
}

/// Default of a plain number: set where absent or zero.
pub fn default_number(object: &mut Value, name: &str, value: i64) {
    if object.get(name).is_none_or(|current| current.is_null() || current == 0) {
        set(object, name, value);
    }
}
