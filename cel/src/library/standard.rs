//! Operators, conversions and functions of CEL itself, but arithmetic and time.

use std::sync::Arc;

use super::{Row, member, never, row, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{self, Key, Map, Value, equal};

pub(super) const ROWS: &[Row] = &[
    row("_?_:_", "conditional", "bool, A, A", "A", Rule::Conditional, never),
    row("_&&_", "logical_and", "bool, bool", "bool", Rule::Logical, never),
    row("_||_", "logical_or", "bool, bool", "bool", Rule::Logical, never),
    row("!_", "logical_not", "bool", "bool", Rule::Unit, |args| match args {
        [Value::Bool(value)] => Ok(Value::Bool(!*value)),
        _ => Err(Error::NO_OVERLOAD),
    }),
    row("@not_strictly_false", "not_strictly_false", "bool", "bool", Rule::Unit, never),
    row("_==_", "equals", "A, A", "bool", Rule::Compare, |args| Ok(equal(&args[0], &args[1]).into())),
    row("_!=_", "not_equals", "A, A", "bool", Rule::Compare, |args| Ok((!equal(&args[0], &args[1])).into())),
    row("_[_]", "index_list", "list(A), int", "A", Rule::Unit, never),
    row("_[_]", "index_map", "map(A, B), A", "B", Rule::Unit, never),
    row("@in", "in_list", "A, list(A)", "bool", Rule::In, is_in),
    row("@in", "in_map", "A, map(A, B)", "bool", Rule::Unit, is_in),
    row("size", "size_bytes", "bytes", "int", Rule::Unit, size),
    member("size", "bytes_size", "bytes", "int", Rule::Unit, size),
    row("size", "size_list", "list(A)", "int", Rule::Unit, size),
    member("size", "list_size", "list(A)", "int", Rule::Unit, size),
    row("size", "size_map", "map(A, B)", "int", Rule::Unit, size),
    member("size", "map_size", "map(A, B)", "int", Rule::Unit, size),
    row("size", "size_string", "string", "int", Rule::Unit, size),
    member("size", "string_size", "string", "int", Rule::Unit, size),
    row("type", "type", "A", "type(A)", Rule::Unit, |args| Ok(Value::Type(args[0].type_of()))),
    row("bool", "bool_to_bool", "bool", "bool", Rule::Unit, |args| value::to_bool(&args[0])),
    row("bool", "string_to_bool", "string", "bool", Rule::Unit, |args| value::to_bool(&args[0])),
    row("bytes", "bytes_to_bytes", "bytes", "bytes", Rule::Unit, |args| value::to_bytes(&args[0])),
    row("bytes", "string_to_bytes", "string", "bytes", Rule::ToBytes, |args| value::to_bytes(&args[0])),
    row("double", "double_to_double", "double", "double", Rule::Unit, |args| value::to_double(&args[0])),
    row("double", "int64_to_double", "int", "double", Rule::Unit, |args| value::to_double(&args[0])),
    row("double", "string_to_double", "string", "double", Rule::Unit, |args| value::to_double(&args[0])),
    row("double", "uint64_to_double", "uint", "double", Rule::Unit, |args| value::to_double(&args[0])),
    row("duration", "duration_to_duration", "duration", "duration", Rule::Unit, |args| value::to_duration(&args[0])),
    row("duration", "int64_to_duration", "int", "duration", Rule::Unit, |args| value::to_duration(&args[0])),
    row("duration", "string_to_duration", "string", "duration", Rule::Unit, |args| value::to_duration(&args[0])),
    row("dyn", "to_dyn", "A", "dyn", Rule::Unit, |args| Ok(std::mem::replace(&mut args[0], Value::Null))),
    row("int", "int64_to_int64", "int", "int", Rule::Unit, |args| value::to_int(&args[0])),
    row("int", "double_to_int64", "double", "int", Rule::Unit, |args| value::to_int(&args[0])),
    row("int", "duration_to_int64", "duration", "int", Rule::Unit, |args| value::to_int(&args[0])),
    row("int", "string_to_int64", "string", "int", Rule::Unit, |args| value::to_int(&args[0])),
    row("int", "timestamp_to_int64", "timestamp", "int", Rule::Unit, |args| value::to_int(&args[0])),
    row("int", "uint64_to_int64", "uint", "int", Rule::Unit, |args| value::to_int(&args[0])),
    row("string", "string_to_string", "string", "string", Rule::Unit, |args| value::to_string(&args[0])),
    row("string", "bool_to_string", "bool", "string", Rule::Unit, |args| value::to_string(&args[0])),
    row("string", "bytes_to_string", "bytes", "string", Rule::ToString, |args| value::to_string(&args[0])),
    row("string", "double_to_string", "double", "string", Rule::Unit, |args| value::to_string(&args[0])),
    row("string", "duration_to_string", "duration", "string", Rule::Unit, |args| value::to_string(&args[0])),
    row("string", "int64_to_string", "int", "string", Rule::Unit, |args| value::to_string(&args[0])),
    row("string", "timestamp_to_string", "timestamp", "string", Rule::Unit, |args| value::to_string(&args[0])),
    row("string", "uint64_to_string", "uint", "string", Rule::Unit, |args| value::to_string(&args[0])),
    row("timestamp", "timestamp_to_timestamp", "timestamp", "timestamp", Rule::Unit, |args| {
        value::to_timestamp(&args[0])
    }),
    row("timestamp", "int64_to_timestamp", "int", "timestamp", Rule::Unit, |args| value::to_timestamp(&args[0])),
    row("timestamp", "string_to_timestamp", "string", "timestamp", Rule::Unit, |args| value::to_timestamp(&args[0])),
    row("uint", "uint64_to_uint64", "uint", "uint", Rule::Unit, |args| value::to_uint(&args[0])),
    row("uint", "double_to_uint64", "double", "uint", Rule::Unit, |args| value::to_uint(&args[0])),
    row("uint", "int64_to_uint64", "int", "uint", Rule::Unit, |args| value::to_uint(&args[0])),
    row("uint", "string_to_uint64", "string", "uint", Rule::Unit, |args| value::to_uint(&args[0])),
    member("contains", "contains_string", "string, string", "bool", Rule::Contains, |args| {
        Ok(text(args, 0)?.contains(text(args, 1)?).into())
    }),
    member("endsWith", "ends_with_string", "string, string", "bool", Rule::Affix, |args| {
        Ok(text(args, 0)?.ends_with(text(args, 1)?).into())
    }),
    member("startsWith", "starts_with_string", "string, string", "bool", Rule::Affix, |args| {
        Ok(text(args, 0)?.starts_with(text(args, 1)?).into())
    }),
    row("matches", "matches", "string, string", "bool", Rule::Unit, matches),
    member("matches", "matches_string", "string, string", "bool", Rule::Matches, matches),
];

/// What the loops that make maps use.
pub(super) const INSERT: &[Row] = &[
    row("cel.@mapInsert", "@mapInsert_map_key_value", "map(K, V), K, V", "map(K, V)", Rule::Unit, insert),
    row("cel.@mapInsert", "@mapInsert_map_map", "map(K, V), map(K, V)", "map(K, V)", Rule::Unit, insert),
];

fn size<'v>(args: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
    Ok(Value::Int(i64::try_from(args[0].size()).unwrap_or(i64::MAX)))
}

fn is_in<'v>(args: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
    match &args[1] {
        Value::List(list) => list.contains(&args[0]).map(Value::Bool),
        Value::Map(map) => Ok(map.get(&args[0])?.is_some().into()),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn matches<'v>(args: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
    let regex = super::compile_regex(text(args, 1)?).map_err(Error::new)?;
    Ok(regex.is_match(text(args, 0)?).into())
}

fn insert<'v>(args: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
    let Value::Map(Map::Members(mut members)) = std::mem::replace(&mut args[0], Value::Null) else {
        return Err(Error::NO_OVERLOAD);
    };
    let more = match &args[1..] {
        [key, value] => vec![(key.clone(), value.clone())],
        [Value::Map(map)] => {
            let keys = map.keys().into_iter();
            let pairs = keys.map(|key| Ok((key.clone(), map.get(&key)?.unwrap_or(Value::Null))));
            pairs.collect::<Result<_, Error>>()?
        }
        _ => return Err(Error::NO_OVERLOAD),
    };
    let inner = Arc::make_mut(&mut members);
    for (key, value) in more {
        let found = Key::new(&key).ok_or(Error::new("unsupported key type"))?;
        if inner.insert(found, value).is_some() {
            return Err(Error::new(format!("insert failed: key {} already exists", shown(&key))));
        }
    }
    Ok(Value::Map(Map::Members(members)))
}

/// A value inside of a message.
pub(crate) fn shown(value: &Value<'_>) -> String {
    value::to_string(value).ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The rows of an operator that compares.
macro_rules! relation {
    ($name:literal, $word:literal, $test:expr) => {{
        const fn one(id: &'static str, args: &'static str, cost: Rule) -> Row {
            row($name, id, args, "bool", cost, |args| Ok(Value::Bool($test(compare(&args[0], &args[1])?))))
        }
        [
            one(concat!($word, "_bool"), "bool, bool", Rule::Unit),
            one(concat!($word, "_int64"), "int, int", Rule::Unit),
            one(concat!($word, "_int64_double"), "int, double", Rule::Unit),
            one(concat!($word, "_int64_uint64"), "int, uint", Rule::Unit),
            one(concat!($word, "_uint64"), "uint, uint", Rule::Unit),
            one(concat!($word, "_uint64_double"), "uint, double", Rule::Unit),
            one(concat!($word, "_uint64_int64"), "uint, int", Rule::Unit),
            one(concat!($word, "_double"), "double, double", Rule::Unit),
            one(concat!($word, "_double_int64"), "double, int", Rule::Unit),
            one(concat!($word, "_double_uint64"), "double, uint", Rule::Unit),
            one(concat!($word, "_string"), "string, string", Rule::Compare),
            one(concat!($word, "_bytes"), "bytes, bytes", Rule::Compare),
            one(concat!($word, "_timestamp"), "timestamp, timestamp", Rule::Unit),
            one(concat!($word, "_duration"), "duration, duration", Rule::Unit),
        ]
    }};
}

pub(super) use relation;
