//! Strategic merge patch (`application/strategic-merge-patch+json`): a merge patch that knows the types, so that lists merge by
//! key. The rules are those of `k8s.io/apimachinery/pkg/util/strategicpatch`, its oddities included.
//!
//! Directives of a patch, beside values and null (remove the member):
//! - `$patch: replace | delete` in an object: take the object as it is, or empty it; in an element of a list: replace the list,
//!   or delete the elements with that merge key;
//! - `$retainKeys: [...]`: members of the object that are not named go;
//! - `$deleteFromPrimitiveList/NAME: [...]`: these elements of the list `NAME` go;
//! - `$setElementOrder/NAME: [...]`: the order of the list `NAME` after the merge.
//!
//! This file merges objects, `list` merges lists, `order` puts merged lists in order; `diff` makes patches.

use serde_json::{Map, Value};

mod diff;
mod error;
mod list;
mod order;
#[cfg(test)]
mod tests;

pub use diff::three_way;
pub use error::{Answer, StrategicPatchError};

use crate::schema::{Field, Scalar, SchemaSet, Shape, Type, TypeId};
use order::sort_by_directive;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

/// Applies `patch` to an object of the type. The result may hold nulls and unknown fields that the patch brought: conform it.
pub fn apply(set: &SchemaSet, ty: TypeId, original: &Value, patch: Value) -> Result<Value, StrategicPatchError> {
    let Value::Object(patch) = patch else {
        return Err(StrategicPatchError::NotAnObject { found: crate::schema::check::json_type(&patch) });
    };
    let Value::Object(original) = original else { return Err(StrategicPatchError::bad_map(original)) };
    let shape = Shape::Struct(ty);
    Merger { set, onto: Onto::Object }.objects(original.clone(), patch, &shape).map(Value::Object)
}

/// What a patch is merged into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Onto {
    Object,
    /// Another patch: directives and nulls are not followed but kept.
    Patch,
}

#[derive(Clone, Copy)]
struct Merger<'a> {
    set: &'a SchemaSet,
    onto: Onto,
}

impl<'a> Merger<'a> {
    /// `shape` is what the Go type behind the object is.
    fn objects(
        self,
        mut original: Map<String, Value>,
        mut patch: Map<String, Value>,
        shape: &'a Shape,
    ) -> Result<Map<String, Value>, StrategicPatchError> {
        if let Some(directive) = patch.remove(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => Ok(patch),
                Some("delete") => Ok(Map::new()),
                _ => {
                    patch.insert(DIRECTIVE.to_owned(), directive.clone());
                    Err(StrategicPatchError::bad_directive(&directive, &Value::Object(patch)))
                }
            };
        }
        match self.onto {
            Onto::Object => retain_keys(&mut original, &mut patch)?,
            Onto::Patch => {
                keep_directive(&mut original, &mut patch, RETAIN_KEYS, StrategicPatchError::RetainKeysFormat)?
            }
        }
        sort_by_directive(self, &mut original, &mut patch, shape)?;
        for (key, value) in patch {
            self.member(&mut original, key, value, shape)?;
        }
        Ok(original)
    }

    fn member(
        self,
        original: &mut Map<String, Value>,
        key: String,
        patch: Value,
        shape: &'a Shape,
    ) -> Result<(), StrategicPatchError> {
        let (key, deletes) = match (key.starts_with(DELETE_FROM_PRIMITIVE_LIST), self.onto) {
            (true, Onto::Object) => (list_name(&key, StrategicPatchError::PrimitiveListFormat)?, true),
            (true, Onto::Patch) => {
                original.insert(key, patch);
                return Ok(());
            }
            (false, _) => (key, false),
        };
        if patch.is_null() {
            original.remove(&key);
            if self.onto == Onto::Patch {
                original.insert(key, patch);
            }
            return Ok(());
        }
        let merged = match (original.remove(&key), patch) {
            (Some(Value::Object(current)), Value::Object(patch)) => {
                let field = self.field(shape, &key)?;
                if field.patch.replace {
                    Some(Value::Object(patch))
                } else {
                    Some(Value::Object(self.objects(current, patch, &field.shape)?))
                }
            }
            (Some(Value::Array(current)), Value::Array(patch)) => {
                let (field, item) = self.list_field(shape, &key)?;
                Some(Value::Array(self.lists(current, patch, field, item, deletes)?))
            }
            (current, _) if deletes => current,
            (_, patch) if self.onto == Onto::Patch => without_directives(patch),
            (_, patch) => without_directives(without_nulls(patch)),
        };
        if let Some(merged) = merged {
            original.insert(key, merged);
        }
        Ok(())
    }

    /// The facts of a member of an object.
    fn field(self, shape: &Shape, key: &str) -> Result<&'a Field, StrategicPatchError> {
        lookup(self.set, shape, key)
    }

    /// The facts of a list, and the shape of its elements.
    fn list_field(self, shape: &Shape, key: &str) -> Result<(&'a Field, &'a Shape), StrategicPatchError> {
        let field = self.field(shape, key)?;
        match &field.shape {
            Shape::List(item) => Ok((field, item)),
            _ => Err(StrategicPatchError::NotAList),
        }
    }
}

/// The facts of a member of an object. `shape` is what the Go type behind the object is.
fn lookup<'a>(set: &'a SchemaSet, shape: &Shape, key: &str) -> Result<&'a Field, StrategicPatchError> {
    let unknown = |owner: &str| StrategicPatchError::UnknownField { owner: owner.to_owned(), field: key.to_owned() };
    match shape {
        Shape::Struct(id) => {
            let ty = set.get(*id);
            field_of(ty, key).ok_or_else(|| unknown(ty.short_name()))
        }
        Shape::List(_) => Err(StrategicPatchError::NotAStruct("slice")),
        Shape::Map(_) => Err(StrategicPatchError::NotAStruct("map")),
        // Structs to Go, with no members that it could look up.
        Shape::Scalar(Scalar::RawExtension) => Err(unknown("RawExtension")),
        Shape::Scalar(Scalar::FieldsV1) => Err(unknown("FieldsV1")),
        Shape::Scalar(Scalar::Any) => Err(unknown("JSON")),
        Shape::Scalar(_) => Err(StrategicPatchError::NotAStruct("string")),
    }
}

/// Upstream takes a field of another case where the exact one is missing.
fn field_of<'a>(ty: &'a Type, key: &str) -> Option<&'a Field> {
    ty.field(key).or_else(|| ty.fields.iter().find(|field| field.name.eq_ignore_ascii_case(key)))
}

/// The name of the list that a directive such as `$setElementOrder/ports` is about.
fn list_name(key: &str, error: StrategicPatchError) -> Result<String, StrategicPatchError> {
    match key.split_once('/') {
        Some((DELETE_FROM_PRIMITIVE_LIST | SET_ELEMENT_ORDER, name)) => Ok(name.to_owned()),
        _ => Err(error),
    }
}

/// Moves a directive from one patch into another, in which it must be the same if it is there.
fn keep_directive(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    name: &str,
    error: StrategicPatchError,
) -> Result<(), StrategicPatchError> {
    match (original.get(name), patch.remove(name)) {
        (Some(before), Some(directive)) if *before != directive => Err(error),
        (None, Some(directive)) => {
            original.insert(name.to_owned(), directive);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), StrategicPatchError> {
    let Some(kept) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(kept) = kept else { return Err(StrategicPatchError::RetainKeysFormat) };
    // Upstream panics of such.
    if kept.iter().any(|kept| kept.is_object() || kept.is_array()) {
        return Err(StrategicPatchError::RetainKeysFormat);
    }
    let is_kept = |key: &str| kept.iter().any(|kept| kept.as_str() == Some(key));
    for (key, value) in patch.iter() {
        let directive = key.starts_with(DELETE_FROM_PRIMITIVE_LIST) || key.starts_with(SET_ELEMENT_ORDER);
        if !value.is_null() && !directive && !is_kept(key) {
            return Err(StrategicPatchError::RetainKeysFormat);
        }
    }
    original.retain(|key, _| is_kept(key));
    Ok(())
}

/// What is new loses its null members; a null that is itself an element stays.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// What is left of a patch when it has been followed: messages show it so. Of what `original` has not, upstream takes the
/// instructions out where it finds them inside of objects.
pub fn without_instructions(mut patch: Value, original: &Value) -> Value {
    if let Value::Object(members) = &mut patch {
        members.retain(|key, _| key != RETAIN_KEYS && !key.starts_with(SET_ELEMENT_ORDER));
        for (key, value) in members.iter_mut() {
            let before = original.get(key);
            let taken = value.take();
            *value = match (before, &taken) {
                (Some(before @ Value::Object(_)), Value::Object(_)) => without_instructions(taken, before),
                (_, Value::Object(_)) => without_directives(without_nulls(taken)).unwrap_or_default(),
                (Some(Value::Array(_)), Value::Array(_)) => taken,
                (_, Value::Array(_)) => without_nulls(taken),
                _ => taken,
            };
        }
    }
    patch
}

/// Objects with `$patch` are instructions about something that is not there, so they vanish.
fn without_directives(value: Value) -> Option<Value> {
    Some(match value {
        Value::Object(members) if members.contains_key(DIRECTIVE) => return None,
        Value::Object(members) => {
            let kept = members.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?)));
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().filter_map(without_directives).collect()),
        other => other,
    })
}
