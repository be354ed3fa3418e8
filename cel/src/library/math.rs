//! Arithmetic and order.

use std::cmp::Ordering;

use super::standard::relation;
use super::{Row, row};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{Time, Value, compare};

const LESS: [Row; 14] = relation!("_<_", "less", Ordering::is_lt);
const LESS_EQUALS: [Row; 14] = relation!("_<=_", "less_equals", Ordering::is_le);
const GREATER: [Row; 14] = relation!("_>_", "greater", Ordering::is_gt);
const GREATER_EQUALS: [Row; 14] = relation!("_>=_", "greater_equals", Ordering::is_ge);

const ARITHMETIC: [Row; 24] = [
    row("_+_", "add_bytes", "bytes, bytes", "bytes", Rule::AddText, add),
    row("_+_", "add_double", "double, double", "double", Rule::Unit, add),
    row("_+_", "add_duration_duration", "duration, duration", "duration", Rule::Unit, add),
    row("_+_", "add_duration_timestamp", "duration, timestamp", "timestamp", Rule::Unit, add),
    row("_+_", "add_timestamp_duration", "timestamp, duration", "timestamp", Rule::Unit, add),
    row("_+_", "add_int64", "int, int", "int", Rule::Unit, add),
    row("_+_", "add_list", "list(A), list(A)", "list(A)", Rule::AddList, add),
    row("_+_", "add_string", "string, string", "string", Rule::AddText, add),
    row("_+_", "add_uint64", "uint, uint", "uint", Rule::Unit, add),
    row("_/_", "divide_double", "double, double", "double", Rule::Unit, divide),
    row("_/_", "divide_int64", "int, int", "int", Rule::Unit, divide),
    row("_/_", "divide_uint64", "uint, uint", "uint", Rule::Unit, divide),
    row("_%_", "modulo_int64", "int, int", "int", Rule::Unit, modulo),
    row("_%_", "modulo_uint64", "uint, uint", "uint", Rule::Unit, modulo),
    row("_*_", "multiply_double", "double, double", "double", Rule::Unit, multiply),
    row("_*_", "multiply_int64", "int, int", "int", Rule::Unit, multiply),
    row("_*_", "multiply_uint64", "uint, uint", "uint", Rule::Unit, multiply),
    row("-_", "negate_double", "double", "double", Rule::Unit, negate),
    row("-_", "negate_int64", "int", "int", Rule::Unit, negate),
    row("_-_", "subtract_double", "double, double", "double", Rule::Unit, subtract),
    row("_-_", "subtract_duration_duration", "duration, duration", "duration", Rule::Unit, subtract),
    row("_-_", "subtract_int64", "int, int", "int", Rule::Unit, subtract),
    row("_-_", "subtract_timestamp_duration", "timestamp, duration", "timestamp", Rule::Unit, subtract),
    row("_-_", "subtract_timestamp_timestamp", "timestamp, timestamp", "duration", Rule::Unit, subtract),
];
const REST: [Row; 1] = [row("_-_", "subtract_uint64", "uint, uint", "uint", Rule::Unit, subtract)];

pub(super) const TABLES: [&[Row]; 6] = [&LESS, &LESS_EQUALS, &GREATER, &GREATER_EQUALS, &ARITHMETIC, &REST];

type Computed<'v> = Result<Value<'v>, Error>;

fn int<'v>(value: Option<i64>) -> Computed<'v> {
    value.map(Value::Int).ok_or(Error::OVERFLOW)
}

fn uint<'v>(value: Option<u64>) -> Computed<'v> {
    value.map(Value::Uint).ok_or(Error::UINT_OVERFLOW)
}

fn duration<'v>(nanos: Option<i64>) -> Computed<'v> {
    nanos.map(Value::Duration).ok_or(Error::new("duration overflow"))
}

fn moved<'v>(time: Time, nanos: Option<i64>) -> Computed<'v> {
    time.after(nanos.ok_or(Error::new("duration overflow"))?).map(Value::Timestamp)
}

pub(super) fn add<'v>(args: &mut [Value<'v>]) -> Computed<'v> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_add(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_add(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(*a + *b)),
        [Value::Duration(a), Value::Duration(b)] => duration(a.checked_add(*b)),
        [Value::Timestamp(time), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(time)] => {
            moved(*time, Some(*nanos))
        }
        [Value::String(a), Value::String(b)] => Ok(Value::text([&**a, &**b].concat())),
        [Value::Bytes(a), Value::Bytes(b)] => Ok(Value::Bytes([&**a, &**b].concat().into())),
        [a @ Value::List(_), b @ Value::List(_)] => {
            // Taken, so that a list which nobody else has grows in place.
            let (a, b) = (std::mem::replace(a, Value::Null), std::mem::replace(b, Value::Null));
            let (Value::List(mut a), Value::List(b)) = (a, b) else { return Err(Error::NO_OVERLOAD) };
            a.concat(b)?;
            Ok(Value::List(a))
        }
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn subtract<'v>(args: &mut [Value<'v>]) -> Computed<'v> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_sub(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_sub(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(*a - *b)),
        [Value::Duration(a), Value::Duration(b)] => duration(a.checked_sub(*b)),
        [Value::Timestamp(time), Value::Duration(nanos)] => moved(*time, nanos.checked_neg()),
        [Value::Timestamp(a), Value::Timestamp(b)] => a.since(*b).map(Value::Duration),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn multiply<'v>(args: &mut [Value<'v>]) -> Computed<'v> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_mul(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_mul(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(*a * *b)),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn divide<'v>(args: &mut [Value<'v>]) -> Computed<'v> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Error::new("division by zero")),
        [Value::Int(a), Value::Int(b)] => int(a.checked_div(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_div(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(*a / *b)),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn modulo<'v>(args: &mut [Value<'v>]) -> Computed<'v> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Error::new("modulus by zero")),
        [Value::Int(a), Value::Int(b)] => int(a.checked_rem(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_rem(*b)),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn negate<'v>(args: &mut [Value<'v>]) -> Computed<'v> {
    match args {
        [Value::Int(a)] => int(a.checked_neg()),
        [Value::Double(a)] => Ok(Value::Double(-*a)),
        _ => Err(Error::NO_OVERLOAD),
    }
}
