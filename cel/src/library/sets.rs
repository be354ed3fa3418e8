//! Lists as sets (`ext/sets.go`).

use super::{Row, row};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{List, Value};

pub(super) const ROWS: &[Row] = &[
    row("sets.contains", "list_sets_contains_list", "list(T), list(T)", "bool", Rule::Sets(1.0), |args| {
        let (a, b) = both(args)?;
        contains(a, b).map(Value::Bool)
    }),
    row("sets.equivalent", "list_sets_equivalent_list", "list(T), list(T)", "bool", Rule::Sets(2.0), |args| {
        let (a, b) = both(args)?;
        Ok(Value::Bool(contains(a, b)? && contains(b, a)?))
    }),
    row("sets.intersects", "list_sets_intersects_list", "list(T), list(T)", "bool", Rule::Sets(1.0), |args| {
        let (a, b) = both(args)?;
        for item in a.iter() {
            if b.contains(&item?).unwrap_or_default() {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
];

fn both<'a, 'v>(args: &'a [Value<'v>]) -> Result<(&'a List<'v>, &'a List<'v>), Error> {
    match args {
        [Value::List(a), Value::List(b)] => Ok((a, b)),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn contains(all: &List<'_>, some: &List<'_>) -> Result<bool, Error> {
    for item in some.iter() {
        if !all.contains(&item?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
