//! Protobuf to a JSON tree.

use serde_json::map::Entry as Slot;
use serde_json::{Map, Value};
use thiserror::Error;

use super::leaf;
use super::wire::{BYTES, Reader};
use crate::quantity::QuantityError;
use crate::schema::check::{self, is_zero};
use crate::schema::{Entry, Field, Form, Message, Presence, SchemaSet, Shape, Type, TypeId};

/// Deeper than any real object, and far from the end of the stack.
const MAX_DEPTH: usize = 128;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error("empty data")]
    Empty,
    #[error("empty body")]
    EmptyBody,
    #[error("provided data does not appear to be a protobuf message, expected prefix {:?}", super::MAGIC)]
    Prefix,
    #[error("Object 'Kind' is missing")]
    MissingKind,
    #[error("Object 'apiVersion' is missing")]
    MissingVersion,
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind { api_version: String, kind: String },
    #[error("unexpected EOF")]
    Truncated,
    #[error("proto: integer overflow")]
    Overflow,
    #[error("proto: negative length found during unmarshaling")]
    NegativeLength,
    #[error("proto: unexpected end of group")]
    EndOfGroup,
    #[error("proto: illegal wireType {0}")]
    IllegalWireType(u8),
    #[error("proto: illegal tag {number} (wire type {wire_type})")]
    IllegalTag { number: i32, wire_type: u8 },
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WrongWireType { wire_type: u8, field: String },
    #[error("proto: messages are nested too deeply")]
    TooDeep,
    #[error("proto: string field contains invalid UTF-8")]
    Utf8,
    #[error("proto: time of {0} seconds is out of range")]
    Time(i64),
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    #[error("json: {0}")]
    Json(String),
}

/// Decodes a message without envelope; `apiVersion` and `kind` are in the envelope, and not in the result.
pub fn decode(set: &SchemaSet, ty: TypeId, bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut value = Decoder { set }.structure(ty, bytes, None, 0)?;
    check::complete(set, ty, &mut value);
    Ok(value)
}

struct Decoder<'a> {
    set: &'a SchemaSet,
}

impl Decoder<'_> {
    /// A message that comes in several parts adds to what there is, as protobuf wants it.
    fn structure(&self, ty: TypeId, bytes: &[u8], known: Option<Value>, depth: usize) -> Result<Value, DecodeError> {
        let ty = self.set.get(ty);
        let mut object = match known {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        };
        self.message(ty, &ty.message, bytes, &mut object, depth)?;
        Ok(Value::Object(object))
    }

    fn message(
        &self,
        ty: &Type,
        message: &Message,
        bytes: &[u8],
        object: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let mut reader = Reader::new(bytes);
        while let Some((number, wire_type)) = reader.tag()? {
            match message.get(number) {
                None => reader.skip(wire_type)?,
                Some(Entry::Nested(nested)) if wire_type == BYTES => {
                    self.message(ty, nested, reader.bytes()?, object, depth + 1)?;
                }
                Some(Entry::Nested(_)) => {
                    return Err(DecodeError::WrongWireType { wire_type, field: number.to_string() });
                }
                Some(Entry::Field(index)) => {
                    let field = &ty.fields[*index];
                    self.field(field, wire_type, &mut reader, object, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn field(
        &self,
        field: &Field,
        wire_type: u8,
        reader: &mut Reader<'_>,
        object: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let wrong = || DecodeError::WrongWireType { wire_type, field: field.name.clone() };
        match &field.shape {
            Shape::List(item) if field.form != Form::Wrapped => {
                let expected = wire_type_of(item);
                let slot = object.entry(field.name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(items) = slot else { return Ok(()) };
                if wire_type == expected {
                    items.push(self.value(field.form, item, reader, None, depth)?);
                } else if wire_type == BYTES {
                    let mut packed = Reader::new(reader.bytes()?);
                    while !packed.is_empty() {
                        items.push(self.value(field.form, item, &mut packed, None, depth)?);
                    }
                } else {
                    return Err(wrong());
                }
            }
            Shape::Map(item) if wire_type == BYTES => {
                let (key, value) = self.entry(field.form, item, reader.bytes()?, depth)?;
                let slot = object.entry(field.name.clone()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(entries) = slot {
                    entries.insert(key, value);
                }
            }
            shape => {
                if wire_type != wire_type_of(shape) {
                    return Err(wrong());
                }
                let known = match object.entry(field.name.as_str()) {
                    Slot::Occupied(slot) => Some(slot.remove()),
                    Slot::Vacant(_) => None,
                };
                let value = self.value(field.form, shape, reader, known, depth)?;
                let omitted = field.presence == Presence::OmitEmpty && is_zero(&value);
                if !value.is_null() && !omitted {
                    object.insert(field.name.clone(), value);
                }
            }
        }
        Ok(())
    }

    fn value(
        &self,
        form: Form,
        shape: &Shape,
        reader: &mut Reader<'_>,
        known: Option<Value>,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        match (form, shape) {
            (Form::SchemaOrBool | Form::SchemaOrArray | Form::SchemaOrStrings, Shape::Scalar(_)) => {
                self.schema_union(form, reader.bytes()?, depth)
            }
            (_, Shape::Scalar(scalar)) => leaf::decode(self.set, *scalar, reader),
            (_, Shape::Struct(id)) => self.structure(*id, reader.bytes()?, known, depth),
            (_, Shape::List(item)) => self.wrapped(item, reader.bytes()?, depth),
            // No such type exists: protobuf has no list or map of maps.
            (_, Shape::Map(_)) => Ok(Value::Null),
        }
    }

    /// A message with `items` as field 1.
    fn wrapped(&self, item: &Shape, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut items = Vec::new();
        while let Some((number, wire_type)) = reader.tag()? {
            if number == 1 && wire_type == wire_type_of(item) {
                items.push(self.value(Form::Plain, item, &mut reader, None, depth + 1)?);
            } else {
                reader.skip(wire_type)?;
            }
        }
        Ok(Value::Array(items))
    }

    fn entry(&self, form: Form, item: &Shape, bytes: &[u8], depth: usize) -> Result<(String, Value), DecodeError> {
        let mut reader = Reader::new(bytes);
        let (mut key, mut value) = (String::new(), None);
        while let Some((number, wire_type)) = reader.tag()? {
            match number {
                1 if wire_type == BYTES => key = String::from_utf8_lossy(reader.bytes()?).into_owned(),
                2 if wire_type == wire_type_of(item) => {
                    value = Some(self.value(form, item, &mut reader, None, depth + 1)?);
                }
                _ => reader.skip(wire_type)?,
            }
        }
        let value = match value {
            Some(value) => value,
            // A value left out is the zero of its type; an empty message says the same.
            None => match item {
                Shape::Scalar(scalar) if leaf::wire_type(*scalar) != BYTES => {
                    let zeros = [0; 8];
                    leaf::decode(self.set, *scalar, &mut Reader::new(&zeros))?
                }
                _ => self.value(form, item, &mut Reader::new(&[0]), None, depth + 1)?,
            },
        };
        Ok((key, value))
    }

    /// apiextensions' unions: a schema is field 1, or 2 beside a boolean.
    fn schema_union(&self, form: Form, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (mut allows, mut schema, mut items) = (false, None, Vec::new());
        let schema_number = if form == Form::SchemaOrBool { 2 } else { 1 };
        while let Some((number, wire_type)) = reader.tag()? {
            match (form, number, wire_type) {
                (Form::SchemaOrBool, 1, super::wire::VARINT) => allows = reader.varint()? != 0,
                (_, number, BYTES) if number == schema_number => {
                    schema = Some(self.schema(reader.bytes()?, depth)?);
                }
                (Form::SchemaOrArray, 2, BYTES) => items.push(self.schema(reader.bytes()?, depth)?),
                (Form::SchemaOrStrings, 2, BYTES) => {
                    items.push(String::from_utf8_lossy(reader.bytes()?).into());
                }
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(match (schema, form) {
            (_, Form::SchemaOrArray | Form::SchemaOrStrings) if !items.is_empty() => Value::Array(items),
            (Some(schema), _) => schema,
            (None, Form::SchemaOrBool) => allows.into(),
            (None, _) => Value::Null,
        })
    }

    fn schema(&self, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
        let Some(id) = self.set.named(check::SCHEMA) else { return Ok(Value::Null) };
        self.structure(id, bytes, None, depth + 1)
    }
}

fn wire_type_of(shape: &Shape) -> u8 {
    match shape {
        Shape::Scalar(scalar) => leaf::wire_type(*scalar),
        Shape::Struct(_) | Shape::List(_) | Shape::Map(_) => BYTES,
    }
}
