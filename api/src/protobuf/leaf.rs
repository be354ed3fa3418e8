//! Scalars: their protobuf form, which for many is a message of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::decode::DecodeError;
use super::encode::{EncodeError, Written};
use super::envelope;
use super::wire::{BYTES, FIXED64, Reader, VARINT, Writer};
use crate::quantity::Quantity;
use crate::schema::check::ZERO_TIME;
use crate::schema::{Scalar, SchemaSet};
use crate::time;

pub fn wire_type(scalar: Scalar) -> u8 {
    match scalar {
        Scalar::Boolean | Scalar::Int32 | Scalar::Int64 => VARINT,
        Scalar::Float64 => FIXED64,
        _ => BYTES,
    }
}

/// Null is a value that JSON does not show, such as the zero time.
pub fn decode(set: &SchemaSet, scalar: Scalar, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match scalar {
        Scalar::Boolean => (reader.varint()? != 0).into(),
        Scalar::Int32 => (reader.varint()? as i32).into(),
        Scalar::Int64 => (reader.varint()? as i64).into(),
        Scalar::Float64 => float(reader.double()?),
        Scalar::String => String::from_utf8_lossy(reader.bytes()?).into(),
        Scalar::Bytes => STANDARD.encode(reader.bytes()?).into(),
        Scalar::Time => match timestamp(reader.bytes()?)? {
            Some((seconds, _)) => time::format_time(instant(seconds, 0)?).into(),
            None => Value::Null,
        },
        Scalar::MicroTime => match timestamp(reader.bytes()?)? {
            Some((seconds, nanos)) => time::format_micro_time(instant(seconds, nanos)?).into(),
            None => Value::Null,
        },
        Scalar::Duration => {
            let nanoseconds = Parts::read(reader.bytes()?)?.first;
            time::format_duration(jiff::SignedDuration::from_nanos(nanoseconds)).into()
        }
        Scalar::Quantity => {
            let text = Parts::read(reader.bytes()?)?.bytes;
            let text = if text.is_empty() { "0" } else { std::str::from_utf8(text).map_err(|_| DecodeError::Utf8)? };
            Quantity::parse(text)?.to_string().into()
        }
        Scalar::IntOrString => int_or_string(reader.bytes()?)?,
        Scalar::FieldsV1 | Scalar::RawExtension | Scalar::Any => match Parts::read(reader.bytes()?)?.bytes {
            [] => Value::Null,
            raw if scalar == Scalar::RawExtension && raw.starts_with(envelope::MAGIC) => {
                envelope::decode_object(set, raw, None)?
            }
            raw => serde_json::from_slice(raw).map_err(|error| DecodeError::Json(error.to_string()))?,
        },
    })
}

/// Go writes no fraction where there is none; what is no number JSON cannot say.
fn float(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { (value as i64).into() } else { value.into() }
}

/// The two fields that most leaf messages have at most.
#[derive(Default)]
struct Parts<'a> {
    /// Field 1 as a varint.
    first: i64,
    /// Field 2 as a varint.
    second: i64,
    /// Field 1 as bytes.
    bytes: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut parts = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, wire_type)) = reader.tag()? {
            match (number, wire_type) {
                (1, VARINT) => parts.first = reader.varint()? as i64,
                (2, VARINT) => parts.second = reader.varint()? as i64,
                (1, BYTES) => parts.bytes = reader.bytes()?,
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(parts)
    }
}

/// Seconds and nanoseconds; none for Go's zero time, which an empty message says as well.
fn timestamp(message: &[u8]) -> Result<Option<(i64, i32)>, DecodeError> {
    let parts = Parts::read(message)?;
    let zero = message.is_empty() || (parts.first == ZERO_TIME && parts.second == 0);
    Ok((!zero).then_some((parts.first, parts.second as i32)))
}

/// The first second of year 0: RFC 3339 has no years before.
const YEAR_ZERO: i64 = -62_167_219_200;

fn instant(seconds: i64, nanos: i32) -> Result<Timestamp, DecodeError> {
    let time = Timestamp::new(seconds, nanos).ok().filter(|time| time.as_second() >= YEAR_ZERO);
    time.ok_or(DecodeError::Time(seconds))
}

fn int_or_string(message: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(message);
    let (mut is_string, mut number, mut text) = (false, 0, Value::from(""));
    while let Some((field, wire_type)) = reader.tag()? {
        match (field, wire_type) {
            (1, VARINT) => is_string = reader.varint()? == 1,
            (2, VARINT) => number = reader.varint()? as i32,
            (3, BYTES) => text = String::from_utf8_lossy(reader.bytes()?).into(),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(if is_string { text } else { number.into() })
}

pub fn encode(scalar: Scalar, number: u32, value: &Value, writer: &mut Writer) -> Written {
    match scalar {
        Scalar::Boolean => writer.varint_field(number, value.as_bool().ok_or(None)?.into()),
        Scalar::Int32 | Scalar::Int64 => writer.int_field(number, value.as_i64().ok_or(None)?),
        Scalar::Float64 => writer.double_field(number, value.as_f64().ok_or(None)?),
        Scalar::String => writer.bytes_field(number, text(value)?.as_bytes()),
        Scalar::Bytes => writer.bytes_field(number, &STANDARD.decode(text(value)?).map_err(|_| None)?),
        Scalar::Time | Scalar::MicroTime => {
            let micro = scalar == Scalar::MicroTime;
            let parse = if micro { time::parse_micro_time } else { time::parse_time };
            let micros = parse(text(value)?).map_err(|_| None)?.as_microsecond();
            let nanos = if micro { micros.rem_euclid(1_000_000) * 1_000 } else { 0 };
            message(writer, number, |writer| {
                writer.int_field(1, micros.div_euclid(1_000_000));
                writer.int_field(2, nanos);
            });
        }
        Scalar::Duration => {
            let duration = time::parse_duration(text(value)?).map_err(|_| None)?;
            let nanoseconds = i64::try_from(duration.as_nanos()).map_err(|_| None)?;
            message(writer, number, |writer| writer.int_field(1, nanoseconds));
        }
        Scalar::Quantity => {
            let text = Quantity::from_json(value).map_err(|_| None)?.to_string();
            message(writer, number, |writer| writer.bytes_field(1, text.as_bytes()));
        }
        Scalar::IntOrString => {
            let (kind, integer, text) = match value {
                Value::String(text) => (1, 0, text.as_str()),
                value => (0, value.as_i64().ok_or(None)?, ""),
            };
            message(writer, number, |writer| {
                writer.int_field(1, kind);
                writer.int_field(2, integer);
                writer.bytes_field(3, text.as_bytes());
            });
        }
        Scalar::FieldsV1 | Scalar::RawExtension | Scalar::Any => {
            let raw = serde_json::to_vec(value).map_err(|error| EncodeError::Json(error.to_string()))?;
            message(writer, number, |writer| writer.bytes_field(1, &raw));
        }
    }
    Ok(())
}

fn text(value: &Value) -> Result<&str, Option<EncodeError>> {
    value.as_str().ok_or(None)
}

/// What Go writes for an empty field that is no pointer; nothing for a nil slice of bytes.
pub fn encode_zero(scalar: Scalar, number: u32, writer: &mut Writer) {
    match scalar {
        Scalar::Boolean | Scalar::Int32 | Scalar::Int64 => writer.varint_field(number, 0),
        Scalar::Float64 => writer.double_field(number, 0.0),
        Scalar::Bytes => {}
        Scalar::String | Scalar::Time | Scalar::MicroTime | Scalar::FieldsV1 | Scalar::RawExtension | Scalar::Any => {
            writer.bytes_field(number, b"")
        }
        Scalar::Duration => message(writer, number, |writer| writer.int_field(1, 0)),
        Scalar::Quantity => message(writer, number, |writer| writer.bytes_field(1, b"0")),
        Scalar::IntOrString => message(writer, number, |writer| {
            writer.int_field(1, 0);
            writer.int_field(2, 0);
            writer.bytes_field(3, b"");
        }),
    }
}

fn message(writer: &mut Writer, number: u32, write: impl FnOnce(&mut Writer)) {
    let written: Result<(), std::convert::Infallible> = writer.message(number, |writer| {
        write(writer);
        Ok(())
    });
    match written {
        Ok(()) => {}
        Err(never) => match never {},
    }
}
