//! Lists: CEL's extension (`ext/lists.go`, version 3) and Kubernetes' (`library/lists.go`).

use std::cmp::Ordering;

use super::{Row, int, member, row};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{List, Value, compare, equal};

type Computed<'v> = Result<Value<'v>, Error>;

pub(super) const ROWS: &[Row] = &[
    member("slice", "list_slice", "list(T), int, int", "list(T)", Rule::Slice, slice),
    member("flatten", "list_flatten", "list(list(T))", "list(T)", Rule::Flatten, |args| {
        flatten(list(args, 0)?, 1).map(Value::list)
    }),
    member("flatten", "list_flatten_int", "list(dyn), int", "list(dyn)", Rule::Flatten, |args| {
        flatten(list(args, 0)?, int(args, 1)?).map(Value::list)
    }),
    member("sort", "list_int_sort", "list(int)", "list(int)", Rule::Sort(0), sort),
    member("sort", "list_uint_sort", "list(uint)", "list(uint)", Rule::Sort(0), sort),
    member("sort", "list_double_sort", "list(double)", "list(double)", Rule::Sort(0), sort),
    member("sort", "list_bool_sort", "list(bool)", "list(bool)", Rule::Sort(0), sort),
    member("sort", "list_duration_sort", "list(duration)", "list(duration)", Rule::Sort(0), sort),
    member("sort", "list_timestamp_sort", "list(timestamp)", "list(timestamp)", Rule::Sort(0), sort),
    member("sort", "list_string_sort", "list(string)", "list(string)", Rule::Sort(0), sort),
    member("sort", "list_bytes_sort", "list(bytes)", "list(bytes)", Rule::Sort(0), sort),
    by("list_int_sortByAssociatedKeys", "list(T), list(int)"),
    by("list_uint_sortByAssociatedKeys", "list(T), list(uint)"),
    by("list_double_sortByAssociatedKeys", "list(T), list(double)"),
    by("list_bool_sortByAssociatedKeys", "list(T), list(bool)"),
    by("list_duration_sortByAssociatedKeys", "list(T), list(duration)"),
    by("list_timestamp_sortByAssociatedKeys", "list(T), list(timestamp)"),
    by("list_string_sortByAssociatedKeys", "list(T), list(string)"),
    by("list_bytes_sortByAssociatedKeys", "list(T), list(bytes)"),
    row("lists.range", "lists_range", "int", "list(int)", Rule::Enumerate, |args| {
        Ok(Value::List((0..int(args, 0)?).map(Value::Int).collect()))
    }),
    member("reverse", "list_reverse", "list(T)", "list(T)", Rule::Reverse, |args| {
        let mut values = list(args, 0)?.values()?;
        values.reverse();
        Ok(Value::list(values))
    }),
    member("distinct", "list_distinct", "list(T)", "list(T)", Rule::Distinct, |args| {
        let mut values: Vec<Value<'_>> = Vec::new();
        for item in list(args, 0)?.iter() {
            let item = item?;
            if !values.iter().any(|known| equal(known, &item)) {
                values.push(item);
            }
        }
        Ok(Value::list(values))
    }),
];

const fn by(id: &'static str, args: &'static str) -> Row {
    member("@sortByAssociatedKeys", id, args, "list(T)", Rule::Sort(1), |args| {
        let (list, keys) = (list(args, 0)?.values()?, list(args, 1)?.values()?);
        sorted(list, keys)
    })
}

pub(super) const KUBERNETES: &[Row] = &[
    is_sorted("list_int_is_sorted_bool", "list(int)"),
    is_sorted("list_uint_is_sorted_bool", "list(uint)"),
    is_sorted("list_double_is_sorted_bool", "list(double)"),
    is_sorted("list_bool_is_sorted_bool", "list(bool)"),
    is_sorted("list_duration_is_sorted_bool", "list(duration)"),
    is_sorted("list_timestamp_is_sorted_bool", "list(timestamp)"),
    is_sorted("list_string_is_sorted_bool", "list(string)"),
    is_sorted("list_bytes_is_sorted_bool", "list(bytes)"),
    member("sum", "list_int_sum_int", "list(int)", "int", Rule::Walk, |args| sum(args, Value::Int(0))),
    member("sum", "list_uint_sum_uint", "list(uint)", "uint", Rule::Walk, |args| sum(args, Value::Uint(0))),
    member("sum", "list_double_sum_double", "list(double)", "double", Rule::Walk, |args| sum(args, Value::Double(0.0))),
    member("sum", "list_duration_sum_duration", "list(duration)", "duration", Rule::Walk, |args| {
        sum(args, Value::Duration(0))
    }),
    max("list_int_max_int", "list(int)", "int"),
    max("list_uint_max_uint", "list(uint)", "uint"),
    max("list_double_max_double", "list(double)", "double"),
    max("list_bool_max_bool", "list(bool)", "bool"),
    max("list_duration_max_duration", "list(duration)", "duration"),
    max("list_timestamp_max_timestamp", "list(timestamp)", "timestamp"),
    max("list_string_max_string", "list(string)", "string"),
    max("list_bytes_max_bytes", "list(bytes)", "bytes"),
    min("list_int_min_int", "list(int)", "int"),
    min("list_uint_min_uint", "list(uint)", "uint"),
    min("list_double_min_double", "list(double)", "double"),
    min("list_bool_min_bool", "list(bool)", "bool"),
    min("list_duration_min_duration", "list(duration)", "duration"),
    min("list_timestamp_min_timestamp", "list(timestamp)", "timestamp"),
    min("list_string_min_string", "list(string)", "string"),
    min("list_bytes_min_bytes", "list(bytes)", "bytes"),
    member("indexOf", "list_a_index_of_int", "list(A), A", "int", Rule::Walk, |args| {
        let list = list(args, 0)?;
        position(list, &args[1], 0..list.len())
    }),
    member("lastIndexOf", "list_a_last_index_of_int", "list(A), A", "int", Rule::Walk, |args| {
        let list = list(args, 0)?;
        position(list, &args[1], (0..list.len()).rev())
    }),
];

const fn is_sorted(id: &'static str, args: &'static str) -> Row {
    member("isSorted", id, args, "bool", Rule::Walk, |args| {
        let values = list(args, 0)?.values()?;
        for pair in values.windows(2) {
            if compare(&pair[0], &pair[1])?.is_gt() {
                return Ok(Value::Bool(false));
            }
        }
        Ok(Value::Bool(true))
    })
}

const fn max(id: &'static str, args: &'static str, result: &'static str) -> Row {
    member("max", id, args, result, Rule::Walk, |args| extreme(args, "max", Ordering::Less))
}

const fn min(id: &'static str, args: &'static str, result: &'static str) -> Row {
    member("min", id, args, result, Rule::Walk, |args| extreme(args, "min", Ordering::Greater))
}

fn list<'a, 'v>(args: &'a [Value<'v>], index: usize) -> Result<&'a List<'v>, Error> {
    match args.get(index) {
        Some(Value::List(list)) => Ok(list),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn slice<'v>(args: &mut [Value<'v>]) -> Computed<'v> {
    let (values, start, end) = (list(args, 0)?.values()?, int(args, 1)?, int(args, 2)?);
    let refused = |why: &str| Err(Error::new(format!("cannot slice({start}, {end}), {why}")));
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return refused("negative indexes not supported");
    };
    if from > to {
        return refused("start index must be less than or equal to end index");
    }
    match values.get(from..to) {
        Some(part) => Ok(Value::list(part.to_vec())),
        None => refused(&format!("list is length {}", values.len())),
    }
}

fn flatten<'v>(list: &List<'v>, depth: i64) -> Result<Vec<Value<'v>>, Error> {
    if depth < 0 {
        return Err(Error::new("level must be non-negative"));
    }
    let mut flat = Vec::new();
    for item in list.iter() {
        match item? {
            Value::List(inner) if depth > 0 => flat.extend(flatten(&inner, depth - 1)?),
            item => flat.push(item),
        }
    }
    Ok(flat)
}

fn sort<'v>(args: &mut [Value<'v>]) -> Computed<'v> {
    let values = list(args, 0)?.values()?;
    sorted(values.clone(), values)
}

fn sorted<'v>(values: Vec<Value<'v>>, keys: Vec<Value<'v>>) -> Computed<'v> {
    if values.len() != keys.len() {
        return Err(Error::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} \
             elements respectively",
            values.len(),
            keys.len()
        )));
    }
    if let Some(first) = keys.first() {
        if compare(first, first).is_err() {
            return Err(Error::new("list elements must be comparable"));
        }
        if keys.iter().any(|key| key.type_of() != first.type_of()) {
            return Err(Error::new("list elements must have the same type"));
        }
    }
    let mut pairs: Vec<(Value<'v>, Value<'v>)> = keys.into_iter().zip(values).collect();
    pairs.sort_by(|a, b| compare(&a.0, &b.0).unwrap_or(Ordering::Equal));
    Ok(Value::List(pairs.into_iter().map(|(_, value)| value).collect()))
}

fn sum<'v>(args: &[Value<'v>], zero: Value<'v>) -> Computed<'v> {
    list(args, 0)?.iter().try_fold(zero, |total, item| super::math::add(&mut [total, item?]))
}

/// The first of which no other compares so with it.
fn extreme<'v>(args: &[Value<'v>], name: &str, replaced: Ordering) -> Computed<'v> {
    let mut best: Option<Value<'v>> = None;
    for item in list(args, 0)?.iter() {
        let item = item?;
        let better = match &best {
            None => true,
            Some(best) => compare(best, &item)? == replaced,
        };
        if better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| Error::new(format!("{name} called on empty list")))
}

fn position<'v>(list: &List<'v>, wanted: &Value<'v>, places: impl Iterator<Item = usize>) -> Computed<'v> {
    for at in places {
        if let Some(item) = list.get(at)
            && equal(&item?, wanted)
        {
            return Ok(Value::Int(i64::try_from(at).unwrap_or(i64::MAX)));
        }
    }
    Ok(Value::Int(-1))
}
