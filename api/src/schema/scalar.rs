//! The leaves: what Go's decoders accept, and how they write it back.

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::{Engine, alphabet};
use serde_json::Value;
use thiserror::Error;

use super::Scalar;
use crate::quantity::{Quantity, QuantityError};
use crate::structural::go;
use crate::time::{self, DurationError, TimeError};

/// Why a value does not fit the type of its field, in the words of Go's decoders.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TypeMismatch {
    #[error("json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {wanted}")]
    Field { found: String, owner: String, path: String, wanted: String },
    #[error("json: cannot unmarshal {found} into Go value of type {wanted}")]
    Root { found: String, wanted: String },
    #[error("illegal base64 data at input byte {0}")]
    Base64(usize),
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    #[error(transparent)]
    Time(#[from] TimeError),
    #[error(transparent)]
    Duration(#[from] DurationError),
    #[error("boolean or JSON schema expected")]
    SchemaOrBool,
}

impl TypeMismatch {
    /// Without the place: the walker knows it.
    pub(super) fn value(found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self::Root { found: found.into(), wanted: wanted.into() }
    }
}

/// The name of a JSON value in Go's type errors.
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The type that Go has for a value it has read without one. Of none, each of its printers says something else: `nil`.
pub fn go_type_of(value: &Value, nil: &'static str) -> &'static str {
    match value {
        Value::Null => nil,
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The kind of a value that Go has read without a type.
pub(super) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// `error` in the words of upstream's converter. `named` is the Go type, where the scalar does not say it.
pub(super) fn conversion(scalar: Scalar, value: &Value, error: &TypeMismatch, named: Option<&str>) -> String {
    let wanted = go_type(scalar);
    match (scalar, go_kind(value)) {
        (Scalar::Bytes, "string") => format!("error decoding from json: {error}"),
        (Scalar::Bytes, kind) => format!("cannot restore slice from {kind}"),
        (Scalar::String, "int64") => format!("cannot convert int64 to {}", named.unwrap_or(wanted)),
        (Scalar::Int32 | Scalar::Int64, "float64") => format!("cannot convert float64 to {}", named.unwrap_or(wanted)),
        (scalar, _) if stops(scalar) => error.to_string(),
        _ => format!("unrecognized type: {wanted}"),
    }
}

/// The Go type of a scalar.
pub(super) fn go_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String => "string",
        Scalar::Boolean => "bool",
        Scalar::Int32 => "int32",
        Scalar::Int64 => "int64",
        Scalar::Float64 => "float64",
        Scalar::Bytes => "[]uint8",
        Scalar::Time => "v1.Time",
        Scalar::MicroTime => "v1.MicroTime",
        Scalar::Duration => "v1.Duration",
        Scalar::Quantity => "resource.Quantity",
        Scalar::IntOrString => "intstr.IntOrString",
        Scalar::FieldsV1 => "v1.FieldsV1",
        Scalar::RawExtension => "runtime.RawExtension",
        Scalar::Any => "v1.JSON",
    }
}

/// Checks a value that is not null, and brings it into the form that Go writes. Null afterwards means the zero time.
pub(super) fn conform(scalar: Scalar, value: &mut Value) -> Result<(), TypeMismatch> {
    match scalar {
        Scalar::String => text(value, "string").map(|_| ()),
        Scalar::Boolean if value.is_boolean() => Ok(()),
        Scalar::Boolean => Err(TypeMismatch::value(json_type(value), "bool")),
        Scalar::Int32 => integer(value, i64::from(i32::MIN)..=i64::from(i32::MAX), "int32"),
        Scalar::Int64 => integer(value, i64::MIN..=i64::MAX, "int64"),
        Scalar::Float64 => {
            let number = value.as_f64().ok_or_else(|| TypeMismatch::value(json_type(value), "float64"))?;
            // Go writes no fraction where there is none.
            if number.fract() == 0.0 && number.abs() < 9e15 {
                *value = Value::from(number as i64);
            }
            Ok(())
        }
        Scalar::Bytes => bytes(value),
        Scalar::Time => {
            let time = time::parse_time(text(value, "string")?)?;
            *value = written_time(time, time::format_time);
            Ok(())
        }
        Scalar::MicroTime => {
            let time = time::parse_micro_time(text(value, "string")?)?;
            *value = written_time(time, time::format_micro_time);
            Ok(())
        }
        Scalar::Duration => {
            *value = time::format_duration(time::parse_duration(text(value, "string")?)?).into();
            Ok(())
        }
        Scalar::Quantity => {
            *value = Quantity::from_json(value)?.to_string().into();
            Ok(())
        }
        Scalar::IntOrString if value.is_string() => Ok(()),
        Scalar::IntOrString => integer(value, i64::from(i32::MIN)..=i64::from(i32::MAX), "int32"),
        Scalar::FieldsV1 | Scalar::RawExtension | Scalar::Any => Ok(()),
    }
}

/// A number in a field of integers as Go converts it: a whole fraction is an integer, and of what is too large the lowest bits count.
/// Quantities are read from the number as Go writes it.
pub(super) fn convert(scalar: Scalar, value: &mut Value) {
    if let (Scalar::Quantity, Some(float)) = (scalar, value.as_f64().filter(|_| value.is_f64())) {
        *value = go::float(float).into();
    }
    if !matches!(scalar, Scalar::Int32 | Scalar::Int64) {
        return;
    }
    let Value::Number(number) = &*value else { return };
    let whole = number.as_f64().filter(|number| number.fract() == 0.0);
    let Some(integer) = number.as_i64().or_else(|| whole.map(truncated)) else { return };
    *value = match scalar {
        Scalar::Int32 => (integer as i32).into(),
        _ => integer.into(),
    };
}

/// The processor's conversion, which has one answer for all that does not fit.
fn truncated(number: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&number) { number as i64 } else { i64::MIN }
}

/// What Go has in a field that nothing was written to; None where that is null.
pub(super) fn zero(scalar: Scalar) -> Option<Value> {
    match scalar {
        Scalar::String => Some("".into()),
        Scalar::Boolean => Some(false.into()),
        Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString => Some(0.into()),
        Scalar::Duration => Some("0s".into()),
        Scalar::Quantity => Some("0".into()),
        Scalar::Bytes | Scalar::Time | Scalar::MicroTime | Scalar::FieldsV1 | Scalar::RawExtension | Scalar::Any => {
            None
        }
    }
}

fn text<'a>(value: &'a Value, wanted: &str) -> Result<&'a str, TypeMismatch> {
    value.as_str().ok_or_else(|| TypeMismatch::value(json_type(value), wanted))
}

fn integer(value: &Value, range: std::ops::RangeInclusive<i64>, wanted: &str) -> Result<(), TypeMismatch> {
    let Value::Number(number) = value else { return Err(TypeMismatch::value(json_type(value), wanted)) };
    match number.as_i64() {
        Some(number) if range.contains(&number) => Ok(()),
        _ => Err(TypeMismatch::value(format!("number {number}"), wanted)),
    }
}

/// A decoder of its own stops at the first error; the others go on.
pub(super) fn stops(scalar: Scalar) -> bool {
    matches!(scalar, Scalar::Time | Scalar::MicroTime | Scalar::Duration | Scalar::Quantity | Scalar::IntOrString)
}

fn bytes(value: &mut Value) -> Result<(), TypeMismatch> {
    if let Value::Array(items) = value {
        *value = STANDARD.encode(small_numbers(items)?).into();
        return Ok(());
    }
    let text = text(value, "[]uint8")?;
    if STANDARD.decode(text).is_ok() {
        return Ok(());
    }
    // Go skips line breaks, as MIME writers insert them, and does not mind bits after the last byte.
    let bytes = LENIENT.decode(text.replace(['\r', '\n'], ""));
    let bytes = bytes.map_err(|_| TypeMismatch::Base64(corrupt_byte(text.as_bytes())))?;
    *value = STANDARD.encode(bytes).into();
    Ok(())
}

const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// To Go, bytes are a list of small numbers as well.
fn small_numbers(items: &[Value]) -> Result<Vec<u8>, TypeMismatch> {
    let byte = |item: &Value| match item {
        Value::Null => Ok(0),
        Value::Number(number) => {
            let byte = number.as_u64().and_then(|number| u8::try_from(number).ok());
            byte.ok_or_else(|| TypeMismatch::value(format!("number {number}"), "uint8"))
        }
        other => Err(TypeMismatch::value(json_type(other), "uint8")),
    };
    items.iter().map(byte).collect()
}

/// Where Go's decoder gives up on text that is not base64.
fn corrupt_byte(text: &[u8]) -> usize {
    let skip_breaks = |mut at: usize| {
        while matches!(text.get(at), Some(b'\r' | b'\n')) {
            at += 1;
        }
        at
    };
    let (mut at, mut in_group) = (0, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match (byte, in_group) {
            (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/', _) => in_group = (in_group + 1) % 4,
            (b'\r' | b'\n', _) => {}
            (b'=', 2) => {
                let second = skip_breaks(at);
                return match text.get(second) {
                    None => text.len(),
                    Some(b'=') => skip_breaks(second + 1),
                    Some(_) => second - 1,
                };
            }
            (b'=', 3) => return skip_breaks(at),
            _ => return at - 1,
        }
    }
    at - in_group
}

/// Seconds from 1970 back to the first of January of the year 1, which is Go's zero time.
pub(crate) const ZERO_TIME: i64 = -62_135_596_800;

fn written_time(time: jiff::Timestamp, format: fn(jiff::Timestamp) -> String) -> Value {
    if time.as_second() == ZERO_TIME && time.subsec_nanosecond() == 0 { Value::Null } else { format(time).into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_as_go_converts_them() {
        let cases = [
            (Scalar::Int32, json!(2.0), json!(2)),
            (Scalar::Int32, json!(1.5), json!(1.5)),
            (Scalar::Int32, json!(99_999_999_999_i64), json!(1_215_752_191)),
            (Scalar::Int32, json!(4e20), json!(0)),
            (Scalar::Int64, json!(-4e20), json!(i64::MIN)),
            (Scalar::Int64, json!(u64::MAX), json!(i64::MIN)),
            (Scalar::Int64, json!("1"), json!("1")),
            (Scalar::Float64, json!(2.0), json!(2.0)),
            (Scalar::Quantity, json!(4e20), json!("400000000000000000000")),
            (Scalar::Quantity, json!(2), json!(2)),
        ];
        for (scalar, value, expected) in cases {
            let mut converted = value.clone();
            convert(scalar, &mut converted);
            assert_eq!(converted, expected, "{value}");
        }
    }

    #[test]
    fn bytes_as_go_reads_them() {
        let cases = [
            (json!("YWI="), Ok("YWI=")),
            (json!("YW\nI=\r\n"), Ok("YWI=")),
            (json!("YWJ="), Ok("YWI=")),
            (json!([97, null, 255]), Ok("YQD/")),
            (json!(""), Ok("")),
            (json!("x"), Err("illegal base64 data at input byte 0")),
            (json!("YWJjx"), Err("illegal base64 data at input byte 4")),
            (json!("0.5"), Err("illegal base64 data at input byte 1")),
            (json!("YW=I"), Err("illegal base64 data at input byte 2")),
            (json!("YW="), Err("illegal base64 data at input byte 3")),
            (json!("YWI=x"), Err("illegal base64 data at input byte 4")),
            (json!("=YWI"), Err("illegal base64 data at input byte 0")),
            (json!([256]), Err("json: cannot unmarshal number 256 into Go value of type uint8")),
            (json!(["x"]), Err("json: cannot unmarshal string into Go value of type uint8")),
        ];
        for (mut value, expected) in cases {
            let input = value.clone();
            let result = conform(Scalar::Bytes, &mut value).map_err(|error| error.to_string());
            let result = result.as_ref().map(|()| value.as_str().unwrap_or_default()).map_err(String::as_str);
            assert_eq!(result, expected, "{input}");
        }
    }
}
