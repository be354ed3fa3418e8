//! One type made of another: what `int(x)` and the like do.

use super::{Opaque, Value, parse_duration, time::Time};
use crate::error::Error;
use crate::library::go_float;

type Converted<'v> = Result<Value<'v>, Error>;

fn wrong(value: &Value<'_>, wanted: &str) -> Error {
    Error::new(format!("type conversion error from '{}' to '{wanted}'", value.type_of().name()))
}

pub fn to_bool<'v>(value: &Value<'v>) -> Converted<'v> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => Err(wrong(value, "bool")),
        },
        _ => Err(wrong(value, "bool")),
    }
}

pub fn to_bytes<'v>(value: &Value<'v>) -> Converted<'v> {
    match value {
        Value::Bytes(_) => Ok(value.clone()),
        Value::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(wrong(value, "bytes")),
    }
}

pub fn to_double<'v>(value: &Value<'v>) -> Converted<'v> {
    match value {
        Value::Double(_) => Ok(value.clone()),
        Value::Int(int) => Ok(Value::Double(*int as f64)),
        Value::Uint(uint) => Ok(Value::Double(*uint as f64)),
        Value::String(text) => {
            let number = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
            let named = matches!(number.as_str(), "inf" | "infinity" | "nan");
            let parsed = text.parse::<f64>().ok().filter(|parsed| named || parsed.is_finite());
            parsed.map(Value::Double).ok_or_else(|| wrong(value, "double"))
        }
        _ => Err(wrong(value, "double")),
    }
}

pub fn to_int<'v>(value: &Value<'v>) -> Converted<'v> {
    match value {
        Value::Int(_) => Ok(value.clone()),
        Value::Uint(uint) => i64::try_from(*uint).map(Value::Int).map_err(|_| Error::OVERFLOW),
        // The ends are excluded: they are no longer exact as doubles.
        Value::Double(double) if *double > i64::MIN as f64 && *double < i64::MAX as f64 => {
            Ok(Value::Int(*double as i64))
        }
        Value::Double(_) => Err(Error::OVERFLOW),
        Value::Duration(nanos) => Ok(Value::Int(*nanos)),
        Value::Timestamp(time) => Ok(Value::Int(time.seconds())),
        Value::String(text) => text.parse().map(Value::Int).map_err(|_| wrong(value, "int")),
        _ => Err(wrong(value, "int")),
    }
}

pub fn to_uint<'v>(value: &Value<'v>) -> Converted<'v> {
    match value {
        Value::Uint(_) => Ok(value.clone()),
        Value::Int(int) => u64::try_from(*int).map(Value::Uint).map_err(|_| Error::UINT_OVERFLOW),
        Value::Double(double) if *double >= 0.0 && *double < u64::MAX as f64 => Ok(Value::Uint(*double as u64)),
        Value::Double(_) => Err(Error::UINT_OVERFLOW),
        Value::String(text) if !text.starts_with('+') => {
            text.parse().map(Value::Uint).map_err(|_| wrong(value, "uint"))
        }
        _ => Err(wrong(value, "uint")),
    }
}

pub fn to_string<'v>(value: &Value<'v>) -> Converted<'v> {
    let text = match value {
        Value::String(_) => return Ok(value.clone()),
        Value::Bool(value) => value.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Uint(uint) => uint.to_string(),
        Value::Double(double) => go_float::shortest(*double),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Err(Error::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        Value::Duration(nanos) => duration_text(*nanos),
        Value::Timestamp(time) => time.to_string(),
        Value::Type(ty) => ty.name().to_owned(),
        Value::Null => "null".to_owned(),
        Value::Opaque(Opaque::Ip(address)) => address.to_string(),
        Value::Opaque(Opaque::Cidr(block)) => block.to_string(),
        _ => return Err(wrong(value, "string")),
    };
    Ok(Value::text(text))
}

/// In seconds, with what digits it takes.
fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let digits = format!("{fraction:09}");
    match digits.trim_end_matches('0') {
        "" => format!("{sign}{seconds}s"),
        digits => format!("{sign}{seconds}.{digits}s"),
    }
}

pub fn to_duration<'v>(value: &Value<'v>) -> Converted<'v> {
    match value {
        Value::Duration(_) => Ok(value.clone()),
        Value::String(text) => {
            parse_duration(text).map(Value::Duration).ok_or_else(|| wrong(value, "google.protobuf.Duration"))
        }
        _ => Err(wrong(value, "google.protobuf.Duration")),
    }
}

pub fn to_timestamp<'v>(value: &Value<'v>) -> Converted<'v> {
    match value {
        Value::Timestamp(_) => Ok(value.clone()),
        Value::Int(seconds) => Time::from_seconds(*seconds).map(Value::Timestamp),
        Value::String(text) => match Time::read(text) {
            Some(time) => time.map(Value::Timestamp),
            None => Err(wrong(value, "google.protobuf.Timestamp")),
        },
        _ => Err(wrong(value, "google.protobuf.Timestamp")),
    }
}
