//! JSON as values: as it is, or as a schema says what it is (`k8s.io/apiserver/pkg/cel/common`).

use base64::Engine;
use serde_json::Value as Json;

use super::time::{Time, parse_duration};
use super::{List, Map, Text, Value};
use crate::error::Error;
use crate::schema::Schema;

impl<'v> Value<'v> {
    pub fn from_json(json: &'v Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Self::Int(int),
                (None, Some(uint)) => Self::Uint(uint),
                _ => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::String(Text::Borrowed(text)),
            Json::Array(items) => Self::List(List::Json(items, None)),
            Json::Object(members) => Self::Map(Map::Json(members, None)),
        }
    }

    /// # Errors
    /// It is not what the schema says.
    pub fn typed(json: &'v Json, schema: &'v Schema) -> Result<Self, Error> {
        let wrong = |what: &'static str| Err(Error::new(what));
        match (json, schema.kind.as_str()) {
            (Json::Null, _) if schema.nullable => Ok(Self::Null),
            (Json::Null, _) => wrong("invalid data, got null for schema with nullable=false"),
            (Json::String(text), _) if schema.int_or_string => Ok(Self::String(Text::Borrowed(text))),
            (json, _) if schema.int_or_string => match json.as_i64() {
                Some(int) => Ok(Self::Int(int)),
                None => wrong("invalid data, expected XIntOrString value to be either a string or integer"),
            },
            (Json::Object(members), "object") => Ok(Self::Map(Map::Json(members, Some(schema)))),
            (_, "object") => wrong("invalid data, expected a map for the provided schema with type=object"),
            (Json::Array(items), "array") => Ok(Self::List(List::Json(items, Some(schema)))),
            (_, "array") => wrong("invalid data, expected an array for the provided schema with type=array"),
            (Json::String(text), "string") => formatted(text, &schema.format),
            (_, "string") => wrong("invalid data, expected string"),
            (Json::Number(number), "number") => Ok(Self::Double(number.as_f64().unwrap_or(f64::NAN))),
            (_, "number") => wrong("invalid data, expected float"),
            (json, "integer") => json.as_i64().map(Self::Int).ok_or(Error::new("invalid data, expected int")),
            (Json::Bool(value), "boolean") => Ok(Self::Bool(*value)),
            (_, "boolean") => wrong("invalid data, expected bool"),
            (json, _) if schema.preserve_unknown => Ok(Self::Unknown(json)),
            (_, kind) => Err(Error::new(format!(
                "invalid type, expected object, array, number, integer, boolean or string, or no type with \
                 x-kubernetes-int-or-string or x-kubernetes-preserve-unknown-fields is true, got {kind}"
            ))),
        }
    }
}

/// A string whose format says that it is something else.
fn formatted<'v>(text: &'v str, format: &str) -> Result<Value<'v>, Error> {
    let wrong = |what: &str| Error::new(format!("Invalid {what} {text}"));
    match format {
        "duration" => parse_duration(text).map(Value::Duration).ok_or_else(|| wrong("duration")),
        "date" => Time::parse_date(text).map(Value::Timestamp).ok_or_else(|| wrong("date formatted string")),
        "date-time" => Time::parse(text).map(Value::Timestamp).ok_or_else(|| wrong("date-time formatted string")),
        "byte" => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.map(|bytes| Value::Bytes(bytes.into())).map_err(|_| wrong("byte formatted string"))
        }
        _ => Ok(Value::String(Text::Borrowed(text))),
    }
}
