//! Regular expressions (`library/regex.go`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use super::{Row, int, member, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    member("find", "string_find_string", "string, string", "string", Rule::Find, |args| {
        let found = illegal(text(args, 1)?)?.find(text(args, 0)?).map(|found| found.as_str().to_owned());
        Ok(Value::text(found.unwrap_or_default()))
    }),
    member("findAll", "string_find_all_string", "string, string", "list(string)", Rule::Find, |args| {
        find_all(text(args, 0)?, text(args, 1)?, -1)
    }),
    member("findAll", "string_find_all_string_int", "string, string, int", "list(string)", Rule::Find, |args| {
        find_all(text(args, 0)?, text(args, 1)?, int(args, 2)?)
    }),
];

fn illegal(pattern: &str) -> Result<Arc<Regex>, Error> {
    compile(pattern).map_err(|why| Error::new(format!("Illegal regex: {why}")))
}

fn find_all<'v>(whole: &str, pattern: &str, limit: i64) -> Result<Value<'v>, Error> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let regex = illegal(pattern)?;
    Ok(Value::List(regex.find_iter(whole).take(limit).map(|found| Value::text(found.as_str())).collect()))
}

/// Patterns of rules are few and come again with every object.
const KEPT: usize = 256;

thread_local! {
    static COMPILED: RefCell<HashMap<String, Arc<Regex>>> = RefCell::default();
}

/// In Go's syntax.
///
/// # Errors
/// What is wrong with the pattern, in Go's words where they are the same.
pub(crate) fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    if let Some(known) = COMPILED.with_borrow(|compiled| compiled.get(pattern).cloned()) {
        return Ok(known);
    }
    let regex = Arc::new(api::structural::compile_pattern(pattern)?);
    COMPILED.with_borrow_mut(|compiled| {
        if compiled.len() >= KEPT {
            compiled.clear();
        }
        compiled.insert(pattern.to_owned(), regex.clone());
    });
    Ok(regex)
}
