//! A JSON tree to protobuf, byte for byte as Go's generated code writes it.

use serde_json::{Map, Value};
use thiserror::Error;

use super::leaf;
use super::wire::Writer;
use crate::schema::{Entry, Field, Form, Message, Presence, Scalar, SchemaSet, Shape, Type, TypeId, check};

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EncodeError {
    /// The tree was not conformed to the type.
    #[error("encode field {field:?} of {ty}: the value is not of its type")]
    Mismatch { ty: String, field: String },
    #[error("encode a message: the value is no object")]
    NotAnObject,
    #[error("encode embedded JSON: {0}")]
    Json(String),
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind { api_version: String, kind: String },
}

/// Encodes an object as the message of the type, without envelope. Fields the type does not have are left out, as are
/// `apiVersion` and `kind`, which the envelope carries.
pub fn encode(set: &SchemaSet, ty: TypeId, value: &Value) -> Result<Vec<u8>, EncodeError> {
    let object = value.as_object().ok_or(EncodeError::NotAnObject)?;
    let ty = set.get(ty);
    let mut writer = Writer::default();
    Encoder { set }.message(ty, &ty.message, object, &mut writer)?;
    Ok(writer.into_bytes())
}

struct Encoder<'a> {
    set: &'a SchemaSet,
}

/// `Err(None)` for a value that is not of its type: the field that holds it is the one to name.
pub type Written = Result<(), Option<EncodeError>>;

impl Encoder<'_> {
    fn message(
        &self,
        ty: &Type,
        message: &Message,
        object: &Map<String, Value>,
        writer: &mut Writer,
    ) -> Result<(), EncodeError> {
        for (number, entry) in &message.entries {
            match entry {
                Entry::Nested(nested) => {
                    writer.message(*number, |writer| self.message(ty, nested, object, writer))?;
                }
                Entry::Field(index) => {
                    let field = &ty.fields[*index];
                    let written = match object.get(&field.name) {
                        None | Some(Value::Null) => self.absent(field, writer),
                        Some(value) => self.field(field, value, writer),
                    };
                    let mismatch = || EncodeError::Mismatch { ty: ty.name.clone(), field: field.name.clone() };
                    written.map_err(|error| error.unwrap_or_else(mismatch))?;
                }
            }
        }
        Ok(())
    }

    /// Go writes a field that is no pointer even when it is empty.
    fn absent(&self, field: &Field, writer: &mut Writer) -> Written {
        match &field.shape {
            Shape::Scalar(_) | Shape::Struct(_) if field.presence != Presence::Explicit => {
                self.zero(&field.shape, field.number, writer)
            }
            _ => Ok(()),
        }
    }

    fn zero(&self, shape: &Shape, number: u32, writer: &mut Writer) -> Written {
        match shape {
            Shape::Scalar(scalar) => {
                leaf::encode_zero(*scalar, number, writer);
                Ok(())
            }
            Shape::Struct(_) => self.value(Form::Plain, shape, number, &Value::Object(Map::new()), writer),
            Shape::List(_) | Shape::Map(_) => {
                writer.bytes_field(number, b"");
                Ok(())
            }
        }
    }

    fn field(&self, field: &Field, value: &Value, writer: &mut Writer) -> Written {
        match &field.shape {
            Shape::List(item) if field.form != Form::Wrapped => {
                let items = value.as_array().ok_or(None)?;
                items.iter().try_for_each(|item_value| self.value(field.form, item, field.number, item_value, writer))
            }
            Shape::Map(item) => {
                for (key, value) in value.as_object().ok_or(None)? {
                    writer.message(field.number, |writer| {
                        writer.bytes_field(1, key.as_bytes());
                        self.value(field.form, item, 2, value, writer)
                    })?;
                }
                Ok(())
            }
            shape => self.value(field.form, shape, field.number, value, writer),
        }
    }

    /// One value; null is the zero of its type, as in a list or map.
    fn value(&self, form: Form, shape: &Shape, number: u32, value: &Value, writer: &mut Writer) -> Written {
        match (form, shape) {
            _ if value.is_null() => self.zero(shape, number, writer),
            (Form::SchemaOrBool | Form::SchemaOrArray | Form::SchemaOrStrings, Shape::Scalar(_)) => {
                self.schema_union(form, number, value, writer)
            }
            (_, Shape::Scalar(scalar)) => leaf::encode(*scalar, number, value, writer),
            (_, Shape::Struct(id)) => {
                let ty = self.set.get(*id);
                let object = value.as_object().ok_or(None)?;
                Ok(writer.message(number, |writer| self.message(ty, &ty.message, object, writer))?)
            }
            (_, Shape::List(item)) => {
                let items = value.as_array().ok_or(None)?;
                writer.message(number, |writer| {
                    items.iter().try_for_each(|value| self.value(Form::Plain, item, 1, value, writer))
                })
            }
            (_, Shape::Map(_)) => Err(None),
        }
    }

    fn schema_union(&self, form: Form, number: u32, value: &Value, writer: &mut Writer) -> Written {
        let schema = Shape::Struct(self.set.named(check::SCHEMA).ok_or(None)?);
        let text = Shape::Scalar(Scalar::String);
        let one = |number, shape, value, writer: &mut Writer| self.value(Form::Plain, shape, number, value, writer);
        writer.message(number, |writer| match (form, value) {
            (Form::SchemaOrBool, Value::Bool(allows)) => {
                writer.varint_field(1, (*allows).into());
                Ok(())
            }
            (Form::SchemaOrBool, Value::Object(_)) => {
                writer.varint_field(1, 1);
                one(2, &schema, value, writer)
            }
            (_, Value::Object(_)) => one(1, &schema, value, writer),
            (Form::SchemaOrArray, Value::Array(items)) => {
                items.iter().try_for_each(|item| one(2, &schema, item, writer))
            }
            (Form::SchemaOrStrings, Value::Array(items)) => {
                items.iter().try_for_each(|item| one(2, &text, item, writer))
            }
            _ => Err(None),
        })
    }
}
