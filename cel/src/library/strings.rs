//! Texts (`ext/strings.go`, version 2). Positions are counted in characters.

use super::{Row, int, member, print, row, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    member("charAt", "string_char_at_int", "string, int", "string", Rule::Unit, |args| {
        let (text, index) = (text(args, 0)?, int(args, 1)?);
        let length = text.chars().count();
        match usize::try_from(index) {
            Ok(at) if at <= length => Ok(Value::text(text.chars().nth(at).map(String::from).unwrap_or_default())),
            _ => Err(out_of_range(index)),
        }
    }),
    member("indexOf", "string_index_of_string", "string, string", "int", Rule::Walk, |args| {
        index_of(text(args, 0)?, text(args, 1)?, 0)
    }),
    member("indexOf", "string_index_of_string_int", "string, string, int", "int", Rule::Walk, |args| {
        index_of(text(args, 0)?, text(args, 1)?, int(args, 2)?)
    }),
    member("lastIndexOf", "string_last_index_of_string", "string, string", "int", Rule::Walk, |args| {
        let (whole, part) = (text(args, 0)?, text(args, 1)?);
        let length = i64::try_from(whole.chars().count()).unwrap_or(i64::MAX);
        match part {
            "" => Ok(Value::Int(length)),
            part if whole.len() < part.len() => Ok(Value::Int(-1)),
            part => last_index_of(whole, part, length - 1),
        }
    }),
    member("lastIndexOf", "string_last_index_of_string_int", "string, string, int", "int", Rule::Walk, |args| {
        last_index_of(text(args, 0)?, text(args, 1)?, int(args, 2)?)
    }),
    member("lowerAscii", "string_lower_ascii", "string", "string", Rule::Traverse, |args| {
        Ok(Value::text(text(args, 0)?.to_ascii_lowercase()))
    }),
    member("upperAscii", "string_upper_ascii", "string", "string", Rule::Traverse, |args| {
        Ok(Value::text(text(args, 0)?.to_ascii_uppercase()))
    }),
    member("replace", "string_replace_string_string", "string, string, string", "string", Rule::Replace, |args| {
        replace(text(args, 0)?, text(args, 1)?, text(args, 2)?, usize::MAX)
    }),
    member(
        "replace",
        "string_replace_string_string_int",
        "string, string, string, int",
        "string",
        Rule::Replace,
        |args| {
            let limit = usize::try_from(int(args, 3)?).unwrap_or(usize::MAX);
            replace(text(args, 0)?, text(args, 1)?, text(args, 2)?, limit)
        },
    ),
    member("split", "string_split_string", "string, string", "list(string)", Rule::Split, |args| {
        Ok(split(text(args, 0)?, text(args, 1)?, -1))
    }),
    member("split", "string_split_string_int", "string, string, int", "list(string)", Rule::Split, |args| {
        Ok(split(text(args, 0)?, text(args, 1)?, int(args, 2)?))
    }),
    member("substring", "string_substring_int", "string, int", "string", Rule::Traverse, |args| {
        let whole = text(args, 0)?;
        let end = i64::try_from(whole.chars().count()).unwrap_or(i64::MAX);
        let start = int(args, 1)?;
        if start > end { Err(out_of_range(start)) } else { substring(whole, start, end) }
    }),
    member("substring", "string_substring_int_int", "string, int, int", "string", Rule::Traverse, |args| {
        substring(text(args, 0)?, int(args, 1)?, int(args, 2)?)
    }),
    member("trim", "string_trim", "string", "string", Rule::Traverse, |args| Ok(Value::text(text(args, 0)?.trim()))),
    member("format", "string_format", "string, list(dyn)", "string", Rule::Format, |args| match &args[1] {
        Value::List(list) => print::format(text(args, 0)?, list).map(Value::text),
        _ => Err(Error::NO_OVERLOAD),
    }),
    row("strings.quote", "strings_quote", "string", "string", Rule::Quote, |args| {
        Ok(Value::text(quote(text(args, 0)?)))
    }),
    member("join", "list_join", "list(string)", "string", Rule::Join, |args| join(args, "")),
    member("join", "list_join_string", "list(string), string", "string", Rule::Join, |args| join(args, text(args, 1)?)),
];

/// Of mutating policies (`library/jsonpatch.go`).
pub(super) const JSON_PATCH: &[Row] =
    &[row("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", "string", "string", Rule::Traverse, |args| {
        Ok(Value::text(text(args, 0)?.replace('~', "~0").replace('/', "~1")))
    })];

/// What a call makes costs by what goes in. Longer texts than this, in bytes, are not made: a few calls could fill any memory.
const MAX_TEXT: usize = 64 << 20;

fn replace<'v>(whole: &str, old: &str, new: &str, limit: usize) -> Result<Value<'v>, Error> {
    let count = whole.matches(old).take(limit).count();
    if count.saturating_mul(new.len()) > MAX_TEXT {
        return Err(Error::CostLimit);
    }
    Ok(Value::text(whole.replacen(old, new, limit)))
}

fn out_of_range(index: i64) -> Error {
    Error::new(format!("index out of range: {index}"))
}

/// Where a part begins, among the places that `places` goes through.
fn find<'v>(whole: &[char], part: &[char], mut places: impl Iterator<Item = usize>) -> Value<'v> {
    let found = places.find(|at| whole.get(*at..*at + part.len()) == Some(part));
    Value::Int(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn index_of<'v>(whole: &str, part: &str, offset: i64) -> Result<Value<'v>, Error> {
    if part.is_empty() {
        return Ok(Value::Int(offset));
    }
    let start = usize::try_from(offset).map_err(|_| out_of_range(offset))?;
    let (whole, part): (Vec<char>, Vec<char>) = (whole.chars().collect(), part.chars().collect());
    Ok(find(&whole, &part, start..whole.len()))
}

fn last_index_of<'v>(whole: &str, part: &str, offset: i64) -> Result<Value<'v>, Error> {
    if part.is_empty() {
        return Ok(Value::Int(offset));
    }
    let start = usize::try_from(offset).map_err(|_| out_of_range(offset))?;
    let (whole, part): (Vec<char>, Vec<char>) = (whole.chars().collect(), part.chars().collect());
    if start >= whole.len() {
        return Ok(Value::Int(-1));
    }
    Ok(find(&whole, &part, (0..=start).rev()))
}

fn substring<'v>(whole: &str, start: i64, end: i64) -> Result<Value<'v>, Error> {
    if start > end {
        return Err(Error::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let length = i64::try_from(whole.chars().count()).unwrap_or(i64::MAX);
    if let Some(wrong) = [start, end].into_iter().find(|at| !(0..=length).contains(at)) {
        return Err(out_of_range(wrong));
    }
    let (start, count) = (usize::try_from(start).unwrap_or_default(), usize::try_from(end - start).unwrap_or_default());
    Ok(Value::text(whole.chars().skip(start).take(count).collect::<String>()))
}

/// At most so many parts; any number when it is negative.
fn split<'v>(whole: &str, separator: &str, limit: i64) -> Value<'v> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let parts: Vec<Value<'v>> = match (limit, separator) {
        (0, _) => Vec::new(),
        (_, "") => {
            let chars: Vec<char> = whole.chars().collect();
            let singles = chars.len().min(limit - 1);
            let rest: String = chars[singles..].iter().collect();
            let singles = chars[..singles].iter().map(|c| Value::text(c.to_string()));
            singles.chain((!rest.is_empty()).then(|| Value::text(rest))).collect()
        }
        _ => whole.splitn(limit, separator).map(Value::text).collect(),
    };
    Value::list(parts)
}

fn join<'v>(args: &[Value<'_>], separator: &str) -> Result<Value<'v>, Error> {
    let Value::List(list) = &args[0] else { return Err(Error::NO_OVERLOAD) };
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            joined += separator;
        }
        let item = item?;
        if joined.len() > MAX_TEXT {
            return Err(Error::CostLimit);
        }
        let wrong = || Error::new(format!("join: invalid input: {}", super::standard::shown(&item)));
        joined += item.as_str().ok_or_else(wrong)?;
    }
    Ok(Value::text(joined))
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\x07' => quoted += "\\a",
            '\x08' => quoted += "\\b",
            '\x0c' => quoted += "\\f",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            '\x0b' => quoted += "\\v",
            '\\' => quoted += "\\\\",
            '"' => quoted += "\\\"",
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
