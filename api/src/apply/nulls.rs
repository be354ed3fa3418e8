//! The nulls that Go has where a list, map, time or pointer without `omitempty` was never set. Stored objects are without them;
//! to a configuration, which is no Go struct, they are a difference.

use serde_json::Value;

use crate::schema::{SchemaSet, Shape, Type};

pub(super) fn spell_out(set: &SchemaSet, ty: &Type, value: &mut Value) {
    let Value::Object(members) = value else { return };
    for field in &ty.fields {
        match members.get_mut(&field.name) {
            Some(member) => below(set, &field.shape, member),
            None if field.null_when_absent() => {
                members.insert(field.name.clone(), Value::Null);
            }
            None => {}
        }
    }
}

fn below(set: &SchemaSet, shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Struct(id), value) => spell_out(set, set.get(*id), value),
        (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|value| below(set, item, value)),
        (Shape::Map(item), Value::Object(members)) => members.values_mut().for_each(|value| below(set, item, value)),
        _ => {}
    }
}
