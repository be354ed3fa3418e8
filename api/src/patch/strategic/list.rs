//! Merging of lists: by merge key where the elements are objects, as sets where they are not.

use serde_json::Value;

use super::error::list_text;
use super::order::{self, Elements};
use super::{DIRECTIVE, Merger, StrategicPatchError};
use crate::schema::{Field, Shape};

impl<'a> Merger<'a> {
    /// `deletes`: the patch names elements of a list of scalars that go.
    pub(super) fn lists(
        self,
        original: Vec<Value>,
        patch: Vec<Value>,
        field: &'a Field,
        item: &'a Shape,
        deletes: bool,
    ) -> Result<Vec<Value>, StrategicPatchError> {
        if !field.patch.merge && !deletes {
            return Ok(patch);
        }
        if original.is_empty() && patch.is_empty() {
            return Ok(original);
        }
        let merge_key = field.patch.merge_key.as_deref().unwrap_or_default();
        if element_kind(&[&original, &patch])? != Kind::Object {
            if deletes {
                return Ok(original.into_iter().filter(|value| !patch.contains(value)).collect());
            }
            let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
            for value in original.iter().chain(&patch) {
                if !merged.contains(value) {
                    merged.push(value.clone());
                }
            }
            return order::normalize(merged, &patch, &original, Elements::of(merge_key, false));
        }
        if merge_key.is_empty() {
            let element = if matches!(item, Shape::Map(_)) { "map" } else { "struct" };
            return Err(StrategicPatchError::NoDeclaredMergeKey { element });
        }
        let (original, patch) = directives(original, patch, merge_key)?;
        let live = original.clone();
        let merged = self.elements(original, &patch, merge_key, item)?;
        order::normalize(merged, &patch, &live, Elements::of(merge_key, true))
    }

    fn elements(
        self,
        mut merged: Vec<Value>,
        patch: &[Value],
        merge_key: &str,
        item: &'a Shape,
    ) -> Result<Vec<Value>, StrategicPatchError> {
        for element in patch {
            let key = element.get(merge_key).ok_or_else(|| StrategicPatchError::no_merge_key(element, merge_key))?;
            match position(&merged, merge_key, key)? {
                Some(at) => {
                    if let (Value::Object(current), Value::Object(patch)) = (merged[at].take(), element) {
                        merged[at] = Value::Object(self.objects(current, patch.clone(), item)?);
                    }
                }
                None => merged.push(element.clone()),
            }
        }
        Ok(merged)
    }
}

/// Obeys the elements with `$patch`, and gives what is left of both lists.
fn directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), StrategicPatchError> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for element in patch {
        match element.get(DIRECTIVE) {
            None => plain.push(element),
            Some(directive) => match directive.as_str() {
                Some("delete") => {
                    let key =
                        element.get(merge_key).ok_or_else(|| StrategicPatchError::no_merge_key(&element, merge_key))?;
                    while let Some(at) = position(&original, merge_key, key)? {
                        original.remove(at);
                    }
                }
                Some("replace") => replace = true,
                Some("merge") => return Err(StrategicPatchError::MergeDirectiveInList),
                _ => return Err(StrategicPatchError::bad_directive(directive, &element)),
            },
        }
    }
    Ok(if replace { (plain, Vec::new()) } else { (original, plain) })
}

/// The first element whose merge key has the value.
pub(super) fn position(list: &[Value], merge_key: &str, key: &Value) -> Result<Option<usize>, StrategicPatchError> {
    for (at, element) in list.iter().enumerate() {
        let members = element.as_object().ok_or(StrategicPatchError::NotAMap(at))?;
        if members.get(merge_key) == Some(key) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Float,
    String,
    Object,
    List,
}

/// The Go type of all elements; different ones, lists and none at all are errors.
pub(super) fn element_kind(lists: &[&[Value]]) -> Result<Kind, StrategicPatchError> {
    let mut kinds = lists.iter().copied().flatten().map(|value| match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_f64() => Kind::Float,
        Value::Number(_) => Kind::Integer,
        Value::String(_) => Kind::String,
        Value::Object(_) => Kind::Object,
        Value::Array(_) => Kind::List,
    });
    let first = kinds.next().ok_or(StrategicPatchError::NoElements)?;
    if first == Kind::List {
        return Err(StrategicPatchError::ListOfLists);
    }
    if kinds.any(|kind| kind != first) {
        let lists: Vec<String> = lists.iter().map(|list| list_text(list)).collect();
        return Err(StrategicPatchError::ElementTypes { lists: format!("[{}]", lists.join(" ")) });
    }
    Ok(first)
}
