//! Optional values.

use super::{Row, member, never, row};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::Value;

const NONE: &str = "optional.none() dereference";

pub(super) const ROWS: &[Row] = &[
    row("optional.of", "optional_of", "V", "optional(V)", Rule::Unit, |args| Ok(Value::some(args[0].clone()))),
    row("optional.ofNonZeroValue", "optional_ofNonZeroValue", "V", "optional(V)", Rule::Unit, |args| {
        Ok(if args[0].is_zero() { Value::none() } else { Value::some(args[0].clone()) })
    }),
    row("optional.none", "optional_none", "", "optional(V)", Rule::Unit, |_| Ok(Value::none())),
    row("optional.unwrap", "optional_unwrap", "list(optional(V))", "list(V)", Rule::Unit, unwrap),
    member("unwrapOpt", "optional_unwrapOpt", "list(optional(V))", "list(V)", Rule::Unit, unwrap),
    member("value", "optional_value", "optional(V)", "V", Rule::Unit, |args| match &args[0] {
        Value::Optional(Some(value)) => Ok((**value).clone()),
        _ => Err(Error::new(NONE)),
    }),
    member("hasValue", "optional_hasValue", "optional(V)", "bool", Rule::Unit, |args| {
        Ok(Value::Bool(matches!(&args[0], Value::Optional(Some(_)))))
    }),
    member("or", "optional_or_optional", "optional(V), optional(V)", "optional(V)", Rule::Unit, never),
    member("orValue", "optional_orValue_value", "optional(V), V", "V", Rule::Unit, never),
    row("_?._", "select_optional_field", "dyn, string", "optional(V)", Rule::Unit, never),
    row("_[?_]", "list_optindex_optional_int", "list(V), int", "optional(V)", Rule::Unit, never),
    row("_[?_]", "optional_list_optindex_optional_int", "optional(list(V)), int", "optional(V)", Rule::Unit, never),
    row("_[?_]", "map_optindex_optional_value", "map(K, V), K", "optional(V)", Rule::Unit, never),
    row("_[?_]", "optional_map_optindex_optional_value", "optional(map(K, V)), K", "optional(V)", Rule::Unit, never),
    row("_[_]", "optional_list_index_int", "optional(list(V)), int", "optional(V)", Rule::Unit, never),
    row("_[_]", "optional_map_index_value", "optional(map(K, V)), K", "optional(V)", Rule::Unit, never),
    member("first", "list_first", "list(V)", "optional(V)", Rule::Unit, |args| at(&args[0], |_| 0)),
    member("last", "list_last", "list(V)", "optional(V)", Rule::Unit, |args| at(&args[0], |length| length - 1)),
];

fn at<'v>(list: &Value<'v>, index: fn(usize) -> usize) -> Result<Value<'v>, Error> {
    match list {
        Value::List(list) if list.is_empty() => Ok(Value::none()),
        Value::List(list) => {
            list.get(index(list.len())).transpose().map(|item| item.map_or(Value::none(), Value::some))
        }
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn unwrap<'v>(args: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
    let Value::List(list) = &args[0] else { return Err(Error::NO_OVERLOAD) };
    let mut values = Vec::new();
    for item in list.iter() {
        match item? {
            Value::Optional(Some(value)) => values.push((*value).clone()),
            Value::Optional(None) => {}
            other => return Err(Error::new(format!("value {} is not optional", super::standard::shown(&other)))),
        }
    }
    Ok(Value::list(values))
}
