//! Lists whose elements are told apart (`schema/listtype`): none may be there twice.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Additional, ListType, Structural};
use crate::field::{FieldError, Path};

pub fn validate(object: &Value, schema: &Structural) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(&Path::default(), object, schema, &mut errors);
    errors
}

fn walk(path: &Path, value: &Value, schema: &Structural, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (schema.properties.get(name), schema.additional.as_deref()) {
                    (Some(schema), _) => walk(&path.child(name), value, schema, errors),
                    (None, Some(Additional::Of(schema))) => walk(&path.key(name), value, schema, errors),
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            match &schema.list {
                ListType::Atomic => {}
                ListType::Set => {
                    let again = repeated(items.iter());
                    errors.extend(again.map(|index| FieldError::duplicate(&path.index(index), items[index].clone())));
                }
                ListType::Map(keys) => map(path, items, keys, errors),
            }
            if let Some(schema) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    walk(&path.index(index), item, schema, errors);
                }
            }
        }
        _ => {}
    }
}

fn map(path: &Path, items: &[Value], keys: &[String], errors: &mut Vec<FieldError>) {
    if let Some((index, item)) = items.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null()) {
        let detail = "must be an object for an array of list-type map";
        return errors.push(FieldError::invalid(&path.index(index), item.clone(), detail));
    }
    let name = |item: &Value| {
        let has = |key: &String| Some((key.clone(), item.get(key)?.clone()));
        Value::Object(keys.iter().filter_map(has).collect::<Map<_, _>>())
    };
    let names: Vec<Value> = items.iter().map(name).collect();
    errors.extend(repeated(names.iter()).map(|index| FieldError::duplicate(&path.index(index), json!(names[index]))));
}

/// The second appearance of each value that is there more than once.
fn repeated<'v>(values: impl Iterator<Item = &'v Value>) -> impl Iterator<Item = usize> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut again = Vec::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            again.push(index);
        }
    }
    again.into_iter()
}
