//! The order of a merged list: `$setElementOrder` first, then the order in the patch, then that of the live list.

use serde_json::{Map, Value};

use super::error::{go_text, list_text};
use super::list::{Kind, element_kind, position};
use super::{
    DIRECTIVE, Merger, Onto, SET_ELEMENT_ORDER, StrategicPatchError, keep_directive, list_name, without_directives,
};
use crate::schema::Shape;

/// Go's stable sort takes so many elements at a time.
const INSERTION: usize = 20;

/// How to tell whether two elements are the same one.
#[derive(Clone, Copy)]
pub(super) struct Elements<'a> {
    /// Empty for lists of scalars, and for those of objects that do not merge, whose elements have no such key.
    merge_key: &'a str,
    objects: bool,
}

impl<'a> Elements<'a> {
    pub(super) fn of(merge_key: &'a str, objects: bool) -> Self {
        Self { merge_key, objects }
    }

    fn key(self, value: &Value) -> Option<&Value> {
        if self.objects { value.get(self.merge_key) } else { Some(value) }
    }

    fn has_key(self, element: &Value) -> Result<(), StrategicPatchError> {
        let members = element.as_object().ok_or_else(|| StrategicPatchError::bad_map(element))?;
        match members.contains_key(self.merge_key) {
            true => Ok(()),
            false => Err(StrategicPatchError::no_merge_key(element, self.merge_key)),
        }
    }

    fn index(self, list: &[Value], value: &Value) -> Option<usize> {
        list.iter().position(|other| self.key(other) == self.key(value))
    }
}

/// Obeys the `$setElementOrder` directives of an object. The lists they are about are merged here, and taken out of the patch.
pub(super) fn sort_by_directive<'a>(
    merger: Merger<'a>,
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    shape: &'a Shape,
) -> Result<(), StrategicPatchError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let order = patch.get(&directive).cloned();
        if merger.onto == Onto::Patch {
            keep_directive(original, patch, &directive, StrategicPatchError::SetElementOrderFormat)?;
        }
        patch.remove(&directive);
        let wanted = match order {
            Some(Value::Array(wanted)) => wanted,
            other => return Err(StrategicPatchError::bad_list(&other.unwrap_or_default())),
        };
        let name = list_name(&directive, StrategicPatchError::SetElementOrderFormat)?;
        let live = list_in(original, &name)?;
        let patched = list_in(patch, &name)?;
        let (field, item) = merger.list_field(shape, &name)?;
        let merge_key = field.patch.merge_key.as_deref().unwrap_or_default();
        check_order(patched.as_deref().unwrap_or_default(), &wanted, merge_key)?;

        let lists = [live.as_deref().unwrap_or_default(), patched.as_deref().unwrap_or_default()];
        let kind = element_kind(&lists);
        let (merged, live) = match (live, patched) {
            (None, None) => continue,
            (Some(live), None) => (live.clone(), live),
            (None, Some(patched)) => (patched.into_iter().filter_map(without_directives).collect(), Vec::new()),
            (Some(live), Some(patched)) => {
                let record = record(&live, &patched, merge_key)?;
                (merger.lists(live, patched, field, item, false)?, record)
            }
        };
        let elements = Elements { merge_key, objects: kind? == Kind::Object };
        original.insert(name.clone(), Value::Array(normalize(merged, &wanted, &live, elements)?));
        patch.remove(&name);
    }
    Ok(())
}

fn list_in(object: &Map<String, Value>, name: &str) -> Result<Option<Vec<Value>>, StrategicPatchError> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list.clone())),
        Some(other) => Err(StrategicPatchError::bad_list(other)),
    }
}

/// The elements of the patch list must stand in the wanted order, and all be in it; deletions need not.
fn check_order(patch: &[Value], wanted: &[Value], merge_key: &str) -> Result<(), StrategicPatchError> {
    if patch.is_empty() || wanted.is_empty() {
        return Ok(());
    }
    if !merge_key.is_empty()
        && let Some(scalar) = patch.iter().find(|element| !element.is_object())
    {
        return Err(StrategicPatchError::bad_map(scalar));
    }
    let kept = patch.iter().filter(|element| merge_key.is_empty() || !is_deletion(element));
    let (mut kept, mut wanted_left) = (kept.peekable(), wanted.iter().peekable());
    while let (Some(element), Some(place)) = (kept.peek(), wanted_left.peek()) {
        if element.get(DIRECTIVE).is_some() {
            kept.next();
            continue;
        }
        let found = same(element, place, merge_key)?;
        wanted_left.next();
        if found {
            kept.next();
        }
    }
    if kept.peek().is_some() {
        let (patch, order) = (list_text(patch), list_text(wanted));
        return Err(StrategicPatchError::Order { patch, order });
    }
    Ok(())
}

/// The live list as upstream consults it for the order: it has deleted elements in place, and the first new elements stand at
/// the end, where the deletions left room.
fn record(live: &[Value], patch: &[Value], merge_key: &str) -> Result<Vec<Value>, StrategicPatchError> {
    let mut record = live.to_vec();
    let directive = |element: &Value| element.get(DIRECTIVE).and_then(Value::as_str).map(str::to_owned);
    if merge_key.is_empty() || patch.iter().any(|element| directive(element).as_deref() == Some("replace")) {
        return Ok(record);
    }
    for element in patch.iter().filter(|element| directive(element).as_deref() == Some("delete")) {
        let Some(key) = element.get(merge_key) else { continue };
        while let Some(at) = position(&record, merge_key, key)? {
            record.remove(at);
        }
    }
    for element in patch.iter().filter(|element| element.get(DIRECTIVE).is_none()) {
        let Some(key) = element.get(merge_key) else { continue };
        if record.len() < live.len() && position(&record, merge_key, key)?.is_none() {
            record.push(element.clone());
        }
    }
    Ok(record)
}

fn same(left: &Value, right: &Value, merge_key: &str) -> Result<bool, StrategicPatchError> {
    if merge_key.is_empty() {
        return Ok(left == right);
    }
    let key = |value: &Value| -> Result<Value, StrategicPatchError> {
        let members = value.as_object().ok_or_else(|| StrategicPatchError::bad_map(value))?;
        members
            .get(merge_key)
            .cloned()
            .ok_or_else(|| StrategicPatchError::NoMergeKey { element: go_text(value), key: merge_key.to_owned() })
    };
    Ok(key(left)? == key(right)?)
}

/// Puts the elements that the patch names in the patch's order, keeps the order of the others, and interleaves the two by their
/// order in the live list.
pub(super) fn normalize(
    merged: Vec<Value>,
    patch_order: &[Value],
    live: &[Value],
    elements: Elements<'_>,
) -> Result<Vec<Value>, StrategicPatchError> {
    let mut named = Vec::new();
    let mut others = Vec::new();
    for value in merged {
        let in_patch = if elements.merge_key.is_empty() {
            patch_order.contains(&value)
        } else {
            if !value.is_object() {
                return Err(StrategicPatchError::bad_map(&value));
            }
            let key = value
                .get(elements.merge_key)
                .ok_or_else(|| StrategicPatchError::no_merge_key(&value, elements.merge_key))?;
            position(patch_order, elements.merge_key, key)?.is_some()
        };
        if in_patch { named.push(value) } else { others.push(value) }
    }
    let (named, others) = (sorted(named, patch_order, elements)?, sorted(others, live, elements)?);
    Ok(interleave(others, named, live, elements))
}

/// Puts a list in the order of another one; deletions go to the end.
pub(super) fn sorted(
    list: Vec<Value>,
    order: &[Value],
    elements: Elements<'_>,
) -> Result<Vec<Value>, StrategicPatchError> {
    let mut deletions = Vec::new();
    let mut placed = Vec::with_capacity(list.len());
    if elements.objects {
        list.iter().chain(order).try_for_each(|element| elements.has_key(element))?;
    }
    for value in list {
        if elements.objects && is_deletion(&value) {
            deletions.push(value);
        } else {
            placed.push((elements.index(order, &value), value));
        }
    }
    // To upstream, what the order does not have is less than everything, and everything is less than it. So where it goes is
    // what Go's sort by insertion makes of that, which is how lists are sorted that are no longer.
    if placed.iter().all(|(place, _)| place.is_some()) || placed.len() > INSERTION {
        placed.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
    } else {
        for end in 1..placed.len() {
            for at in (1..=end).rev() {
                match (placed[at].0, placed[at - 1].0) {
                    (Some(place), Some(before)) if place >= before => break,
                    _ => placed.swap(at, at - 1),
                }
            }
        }
    }
    Ok(placed.into_iter().map(|(_, value)| value).chain(deletions).collect())
}

fn is_deletion(element: &Value) -> bool {
    element.get(DIRECTIVE).and_then(Value::as_str) == Some("delete")
}

/// An element of `left` goes before the first one of `right` that follows it in the live list.
fn interleave(left: Vec<Value>, right: Vec<Value>, live: &[Value], elements: Elements<'_>) -> Vec<Value> {
    let mut all = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        let before = match (elements.index(live, first), elements.index(live, second)) {
            (Some(first), Some(second)) => first < second,
            _ => false,
        };
        all.extend(if before { left.next() } else { right.next() });
    }
    all.extend(left);
    all.extend(right);
    all
}
