//! Walking nodes over an object.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::node::{Filter, Node, Slice};
use super::{Found, print};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    #[error("{0} is not found")]
    NotFound(String),
    #[error("unrecognized identifier {0}")]
    Identifier(String),
    #[error("not in range, nothing to end")]
    End,
    #[error("{0} is not array or slice")]
    NoArray(&'static str),
    #[error("{0} is not array or slice and cannot be filtered")]
    NoFilter(String),
    #[error("array index out of bounds: index {index}, length {length}")]
    Bounds { index: i64, length: i64 },
    #[error("starting index {start} is greater than ending index {end}")]
    Order { start: i64, end: i64 },
    #[error("step must be > 0")]
    Step,
    #[error("can only compare one element at a time")]
    CompareMany,
    #[error("incompatible types for comparison")]
    CompareKinds,
    #[error("invalid type for comparison")]
    CompareKind,
    #[error("unrecognized filter operator {0}")]
    Operator(String),
    #[error("more than {MAX_WALKED} values on the way")]
    TooMany,
    #[error("more than {MAX_RANGES} ranges inside one another")]
    TooDeep,
}

/// Of one evaluation: unions, descents and ranges multiply, and whoever defines a kind writes the paths of its columns.
const MAX_WALKED: usize = 500_000;
/// Each is a call inside a call.
const MAX_RANGES: u32 = 100;

type Result<T> = std::result::Result<T, EvaluateError>;

pub(super) fn evaluate<'a>(nodes: &[Node], allow_missing_keys: bool, data: &'a Value) -> Result<Vec<Found<'a>>> {
    Evaluation { nodes, allow_missing_keys, opened: 0, ranges: 0, closed: 0, last_end: 0, walked: 0 }.run(0, data)
}

/// `range` and `end` are found while walking, so the state of the loops is kept beside the walk.
struct Evaluation<'n> {
    nodes: &'n [Node],
    allow_missing_keys: bool,
    /// A `range` was walked and its loop has not begun.
    opened: u32,
    /// Loops we are in.
    ranges: u32,
    /// `end`s walked that have ended no loop yet.
    closed: u32,
    /// Where the innermost loop ended.
    last_end: usize,
    /// Values, of all nodes that were walked.
    walked: usize,
}

impl Evaluation<'_> {
    fn run<'a>(&mut self, start: usize, data: &'a Value) -> Result<Vec<Found<'a>>> {
        let nodes = self.nodes;
        let mut all = Vec::new();
        let mut at = start;
        while at < nodes.len() {
            let found = self.walk(vec![Cow::Borrowed(data)], &nodes[at])?;
            if self.closed > 0 && self.closed <= self.ranges {
                self.closed -= 1;
                self.last_end = at;
                break;
            }
            if self.opened > 0 {
                self.opened -= 1;
                self.ranges += 1;
                if self.ranges > MAX_RANGES {
                    return Err(EvaluateError::TooDeep);
                }
                for value in &found {
                    all.extend(match value {
                        Cow::Borrowed(value) => self.run(at + 1, value)?,
                        Cow::Owned(value) => self.run(at + 1, value)?.into_iter().map(into_owned).collect::<Vec<_>>(),
                    });
                }
                if found.is_empty() {
                    // Nothing to loop over: walk the body once, only to find its end.
                    self.run(at + 1, &Value::Null)?;
                }
                self.ranges -= 1;
                at = self.last_end.max(at);
            } else {
                all.push(found);
            }
            at += 1;
        }
        Ok(all)
    }

    fn walk<'a>(&mut self, input: Found<'a>, node: &Node) -> Result<Found<'a>> {
        self.walked += 1 + input.len();
        if self.walked > MAX_WALKED {
            return Err(EvaluateError::TooMany);
        }
        let constant = |value: Value| Ok(input.iter().map(|_| Cow::Owned(value.clone())).collect());
        match node {
            Node::List(nodes) => self.list(input, nodes),
            Node::Text(text) => Ok(vec![Cow::Owned(Value::String(text.clone()))]),
            Node::Int(value) => constant((*value).into()),
            Node::Float(value) => constant((*value).into()),
            Node::Bool(value) => constant((*value).into()),
            Node::Field(name) => self.field(input, name),
            Node::Slice(slice) => array(input, slice),
            Node::Filter(filter) => self.filter(input, filter),
            Node::Wildcard => Ok(input.into_iter().flat_map(children).collect()),
            Node::Recursive => Ok(input.into_iter().flat_map(descendants).collect()),
            Node::Union(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.list(input.clone(), part)?);
                }
                Ok(all)
            }
            Node::Identifier(word) => match word.as_str() {
                "range" => {
                    self.opened += 1;
                    Ok(input)
                }
                "end" if self.ranges > 0 => {
                    self.closed += 1;
                    Ok(Vec::new())
                }
                "end" => Err(EvaluateError::End),
                other => Err(EvaluateError::Identifier(other.to_owned())),
            },
        }
    }

    fn list<'a>(&mut self, input: Found<'a>, nodes: &[Node]) -> Result<Found<'a>> {
        nodes.iter().try_fold(input, |found, node| self.walk(found, node))
    }

    fn field<'a>(&self, input: Found<'a>, name: &str) -> Result<Found<'a>> {
        if input.is_empty() {
            return Ok(input);
        }
        // What is owned is a constant and has no members.
        let found: Found<'a> =
            input.into_iter().filter_map(borrowed).filter_map(|value| value.get(name)).map(Cow::Borrowed).collect();
        if found.is_empty() && !self.allow_missing_keys {
            return Err(EvaluateError::NotFound(name.to_owned()));
        }
        Ok(found)
    }

    fn filter<'a>(&mut self, input: Found<'a>, filter: &Filter) -> Result<Found<'a>> {
        let mut passed = Vec::new();
        for value in input {
            let items = borrowed(value.clone()).and_then(Value::as_array);
            let items = items.ok_or_else(|| EvaluateError::NoFilter(print::to_text(&value)))?;
            for item in items {
                let here = vec![Cow::Borrowed(item)];
                let left = self.list(here.clone(), &filter.left);
                let Some(operator) = &filter.operator else {
                    if left.is_ok_and(|found| !found.is_empty()) {
                        passed.push(Cow::Borrowed(item));
                    }
                    continue;
                };
                let Some(left) = single(left?)? else { continue };
                let Some(right) = single(self.list(here, &filter.right)?)? else { continue };
                if compare(&left, operator, &right)? {
                    passed.push(Cow::Borrowed(item));
                }
            }
        }
        Ok(passed)
    }
}

fn into_owned(found: Found<'_>) -> Found<'static> {
    found.into_iter().map(|value| Cow::Owned(value.into_owned())).collect()
}

fn borrowed<'a>(value: Cow<'a, Value>) -> Option<&'a Value> {
    match value {
        Cow::Borrowed(value) => Some(value),
        Cow::Owned(_) => None,
    }
}

fn single(mut found: Found<'_>) -> Result<Option<Cow<'_, Value>>> {
    if found.len() > 1 { Err(EvaluateError::CompareMany) } else { Ok(found.pop()) }
}

fn children<'a>(value: Cow<'a, Value>) -> Found<'a> {
    match borrowed(value) {
        Some(Value::Object(members)) => members.values().map(Cow::Borrowed).collect(),
        Some(Value::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        _ => Vec::new(),
    }
}

/// The value and everything below it, where it has anything below.
fn descendants<'a>(value: Cow<'a, Value>) -> Found<'a> {
    // Upstream counts a text's bytes as its children.
    if value.as_str().is_some_and(|text| !text.is_empty()) {
        return vec![value];
    }
    let below = children(value.clone());
    if below.is_empty() {
        return Vec::new();
    }
    std::iter::once(value).chain(below.into_iter().flat_map(descendants)).collect()
}

fn array<'a>(input: Found<'a>, slice: &Slice) -> Result<Found<'a>> {
    let mut found = Vec::new();
    for value in input {
        if value.is_null() {
            continue;
        }
        let kind = go_type(&value);
        let items = borrowed(value).and_then(Value::as_array).ok_or(EvaluateError::NoArray(kind))?;
        let length = items.len() as i64;
        let from_end = |index: i64| if index < 0 { index + length } else { index };
        let start = from_end(slice.start.unwrap_or(0));
        let end = match slice.end {
            None => length,
            Some(0) if slice.end_is_derived => length,
            Some(end) => from_end(end),
        };
        if start == end {
            return Ok(found);
        }
        if start >= length || start < 0 {
            return Err(EvaluateError::Bounds { index: start, length });
        }
        if end > length || end < 0 {
            return Err(EvaluateError::Bounds { index: end - 1, length });
        }
        if start > end {
            return Err(EvaluateError::Order { start, end });
        }
        let step = slice.step.unwrap_or(1);
        if step <= 0 {
            return Err(EvaluateError::Step);
        }
        found.extend(items[start as usize..end as usize].iter().step_by(step as usize).map(Cow::Borrowed));
    }
    Ok(found)
}

fn go_type(value: &Value) -> &'static str {
    crate::schema::check::go_type_of(value, "nil")
}

/// Only values of the same kind compare: an integer and a fraction do not.
fn compare(left: &Value, operator: &str, right: &Value) -> Result<bool> {
    let ordering = match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => match operator {
            "==" | "!=" => left.cmp(right),
            _ => return Err(EvaluateError::CompareKind),
        },
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) if left.is_f64() == right.is_f64() => {
            match (left.as_i64(), right.as_i64()) {
                (Some(left), Some(right)) => left.cmp(&right),
                _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
            }
        }
        (
            Value::Bool(_) | Value::String(_) | Value::Number(_),
            Value::Bool(_) | Value::String(_) | Value::Number(_),
        ) => {
            return Err(EvaluateError::CompareKinds);
        }
        _ => return Err(EvaluateError::CompareKind),
    };
    Ok(match operator {
        "==" => ordering.is_eq(),
        "!=" => ordering.is_ne(),
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        ">" => ordering.is_gt(),
        ">=" => ordering.is_ge(),
        other => return Err(EvaluateError::Operator(other.to_owned())),
    })
}
