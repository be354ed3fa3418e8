//! What is done to a good object so that it is another one: a field more, or something wrong.

use api::schema::{Scalar, SchemaSet, Shape, TypeId};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::random::Random;
use super::step::merge;
use super::stories::changes;
use super::values;

/// A member or element, from the root.
type Place = Vec<Key>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Member(String),
    Element(usize),
}

/// Fields of metadata that hold no surprise are left to the stories.
const ADDED_DEPTH: usize = 2;

/// Adds a field that the schema has, somewhere in the object; to a kind without a schema here, something that makes it.
pub fn add(random: &mut Random, object: &mut Value, kind: &Kind, wild: usize) {
    let Some(ty) = kind.schema() else { return merge(object, &changes::own(random, kind.kind)) };
    let mut structs = Vec::new();
    structs_of(object, ty, &mut Vec::new(), &mut structs);
    let Some((place, ty)) = pick_deep(random, &structs) else { return };
    let fields = &SchemaSet::builtin().get(ty).fields;
    let is_root = place.is_empty();
    let fields: Vec<_> = fields.iter().filter(|field| !is_root || !is_header(&field.name)).collect();
    if fields.is_empty() {
        return;
    }
    let field = *random.pick(&fields);
    let value = values::field(random, field, ADDED_DEPTH, wild);
    if let Some(Value::Object(members)) = at(object, &place) {
        members.insert(field.name.clone(), value);
    }
}

fn is_header(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// One thing wrong. The text differs from the object's JSON where no tree can say it: a field twice.
pub fn spoil(random: &mut Random, object: &mut Value) -> Option<String> {
    let mut places = Vec::new();
    places_of(object, &mut Vec::new(), &mut places);
    let place = random.pick(&places).clone();
    match random.weighted(&[5, 6, 4, 3, 3, 2, 2]) {
        0 => remove(object, &place),
        1 => replace(random, object, &place),
        2 => insert(random, object, &place),
        3 => put(object, &place, Value::Null),
        4 => return Some(twice(random, object)),
        5 => rename(random, object),
        _ => metadata(random, object),
    }
    None
}

fn remove(object: &mut Value, place: &[Key]) {
    let Some((last, parent)) = place.split_last() else { return };
    match (at(object, parent), last) {
        (Some(Value::Object(members)), Key::Member(name)) => drop(members.remove(name)),
        (Some(Value::Array(elements)), Key::Element(index)) => drop(elements.remove(*index)),
        _ => {}
    }
}

fn put(object: &mut Value, place: &[Key], value: Value) {
    if let Some(found) = at(object, place)
        && !place.is_empty()
    {
        *found = value;
    }
}

fn replace(random: &mut Random, object: &mut Value, place: &[Key]) {
    let choices = [
        json!(""),
        json!("Not Valid!"),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(99_999_999_999_i64),
        json!(9_223_372_036_854_775_807_u64 as f64 * 4.0),
        json!(true),
        json!({}),
        json!([]),
        json!([null]),
        json!("x".repeat(300)),
        json!({"a": {"b": []}}),
    ];
    let choice = random.pick(&choices).clone();
    put(object, place, choice);
}

fn insert(random: &mut Random, object: &mut Value, place: &[Key]) {
    let mut place = place;
    while let Some((_, parent)) = place.split_last() {
        if matches!(at(object, place), Some(Value::Object(_))) {
            break;
        }
        place = parent;
    }
    if let Some(Value::Object(members)) = at(object, place) {
        let name = *random.pick(&["unknown", "Name", "spec ", "x-y"]);
        members.insert(name.to_owned(), random.pick(&[json!(1), json!("a"), json!({"b": 1}), Value::Null]).clone());
    }
}

/// JSON in which a member of the object, or of its metadata, is there twice.
fn twice(random: &mut Random, object: &Value) -> String {
    let text = object.to_string();
    let choices = [
        ("\"metadata\":{", "\"metadata\":{\"labels\":{\"twice\":\"1\"},"),
        ("\"kind\":", "\"kind\":\"Other\",\"kind\":"),
        ("\"name\":", "\"name\":\"twice\",\"name\":"),
        ("\"spec\":{", "\"spec\":{},\"spec\":{"),
    ];
    let fitting: Vec<_> = choices.iter().filter(|(from, _)| text.contains(from)).collect();
    let (from, to) = random.pick(&fitting);
    text.replacen(from, to, 1)
}

fn rename(random: &mut Random, object: &mut Value) {
    let names = ["", "A", "a_b", "-a", "a.b", "a/b", "..", ".", "a%b", "a b", "ä"];
    let long = "x".repeat(260);
    let name = if random.percent(10) { long.as_str() } else { *random.pick(&names) };
    object["metadata"]["name"] = name.into();
}

fn metadata(random: &mut Random, object: &mut Value) {
    let changes = [
        json!({"labels": {"a b": "c"}}),
        json!({"labels": {"a": "b c"}}),
        json!({"labels": {"example.com/": "x"}}),
        json!({"annotations": {"A_b": "any thing"}}),
        json!({"annotations": {"a b": "c"}}),
        json!({"namespace": "other"}),
        json!({"uid": "11111111-2222-3333-4444-555555555555"}),
        json!({"resourceVersion": "5"}),
        json!({"generation": 9}),
        json!({"creationTimestamp": "2020-01-01T00:00:00Z"}),
        json!({"creationTimestamp": "yesterday"}),
        json!({"deletionTimestamp": "2020-01-01T00:00:00Z"}),
        json!({"deletionGracePeriodSeconds": 5}),
        json!({"selfLink": "/x"}),
        json!({"finalizers": ["bad"]}),
        json!({"finalizers": ["example.com/f"]}),
        json!({"finalizers": ["a b/c"]}),
        json!({"finalizers": ["orphan", "foregroundDeletion"]}),
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}),
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": ""}]}),
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}]}),
        json!({"ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true},
            {"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "w", "controller": true}]}),
        json!({"managedFields": [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}]}),
        json!({"managedFields": [{"manager": "m", "operation": "Replace"}]}),
        json!({"managedFields": []}),
        json!({"generateName": "G_"}),
        json!({"labels": null, "annotations": {}}),
    ];
    if let (Value::Object(change), Value::Object(target)) = (random.pick(&changes).clone(), &mut object["metadata"]) {
        target.extend(change);
    }
}

/// Every member and element below the root, but for apiVersion and kind most of the time being the same mistake.
fn places_of(value: &Value, place: &mut Place, found: &mut Vec<Place>) {
    found.push(place.clone());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                place.push(Key::Member(name.clone()));
                places_of(member, place, found);
                place.pop();
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                place.push(Key::Element(index));
                places_of(element, place, found);
                place.pop();
            }
        }
        _ => {}
    }
}

/// Every struct in the object, with its type.
fn structs_of(value: &Value, ty: TypeId, place: &mut Place, found: &mut Vec<(Place, TypeId)>) {
    found.push((place.clone(), ty));
    let Value::Object(members) = value else { return };
    for (name, member) in members {
        let Some(field) = SchemaSet::builtin().get(ty).field(name) else { continue };
        if place.is_empty() && name == "metadata" {
            continue;
        }
        place.push(Key::Member(name.clone()));
        shape_of(member, &field.shape, place, found);
        place.pop();
    }
}

fn shape_of(value: &Value, shape: &Shape, place: &mut Place, found: &mut Vec<(Place, TypeId)>) {
    match (shape, value) {
        (Shape::Struct(ty), Value::Object(_)) => structs_of(value, *ty, place, found),
        (Shape::List(element), Value::Array(elements)) => {
            for (index, member) in elements.iter().enumerate() {
                place.push(Key::Element(index));
                shape_of(member, element, place, found);
                place.pop();
            }
        }
        (Shape::Scalar(Scalar::Any), _) | (_, _) => {}
    }
}

/// Deep structs have the interesting fields.
fn pick_deep(random: &mut Random, structs: &[(Place, TypeId)]) -> Option<(Place, TypeId)> {
    let weights: Vec<usize> = structs.iter().map(|(place, _)| 1 + 2 * place.len()).collect();
    if structs.is_empty() { None } else { Some(structs[random.weighted(&weights)].clone()) }
}

fn at<'a>(value: &'a mut Value, place: &[Key]) -> Option<&'a mut Value> {
    place.iter().try_fold(value, |value, key| match key {
        Key::Member(name) => value.get_mut(name),
        Key::Element(index) => value.get_mut(*index),
    })
}

#[cfg(test)]
mod tests {
    use super::super::kinds;
    use super::*;

    #[test]
    fn something_is_added_and_something_is_wrong() {
        let mut random = Random::new(3);
        for kind in kinds::all() {
            let good = kind.object("a");
            let mut changed = 0;
            for _ in 0..20 {
                let mut object = good.clone();
                add(&mut random, &mut object, kind, 10);
                let text = spoil(&mut random, &mut object);
                changed += usize::from(text.is_some() || object != good);
            }
            assert!(changed > 10, "{}: {changed}", kind.kind);
        }
    }
}
