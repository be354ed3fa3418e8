//! Kubernetes' JSONPath dialect (`k8s.io/client-go/util/jsonpath`): `-o jsonpath`, custom columns, `wait --for=jsonpath` and the
//! printer columns of CRDs. It is a template language, and not RFC 9535.
//!
//! `parse` makes nodes from the text, `evaluate` walks them over an object, `print` writes what was found. Members of objects are
//! visited in the order of their names.

mod evaluate;
mod node;
mod parse;
mod print;

use std::borrow::Cow;

use serde_json::Value;

pub use evaluate::EvaluateError;
pub use parse::ParseError;
pub use print::{to_json, to_text};

/// What one part of a template found.
pub type Found<'a> = Vec<Cow<'a, Value>>;

/// A parsed template: `{.metadata.name}{"\n"}`.
#[derive(Clone, Debug)]
pub struct JsonPath {
    nodes: Vec<node::Node>,
    allow_missing_keys: bool,
}

impl JsonPath {
    pub fn parse(template: &str) -> Result<Self, ParseError> {
        Ok(Self { nodes: parse::parse(template)?, allow_missing_keys: false })
    }

    /// A missing key is no error but finds nothing. kubectl's default.
    #[must_use]
    pub fn allow_missing_keys(mut self, allow: bool) -> Self {
        self.allow_missing_keys = allow;
        self
    }

    /// What each part of the template finds, text included.
    pub fn find<'a>(&self, data: &'a Value) -> Result<Vec<Found<'a>>, EvaluateError> {
        evaluate::evaluate(&self.nodes, self.allow_missing_keys, data)
    }

    /// The template filled in. Several values of one part are separated by spaces.
    pub fn render(&self, data: &Value) -> Result<String, EvaluateError> {
        let mut out = String::new();
        for found in self.find(data)? {
            let texts: Vec<String> = found.iter().map(|value| to_text(value)).collect();
            out.push_str(&texts.join(" "));
        }
        Ok(out)
    }

    /// `-o jsonpath-as-json`: each part as an indented list.
    pub fn render_json(&self, data: &Value) -> Result<String, EvaluateError> {
        let mut out = String::new();
        for found in self.find(data)? {
            let list = Value::Array(found.into_iter().map(Cow::into_owned).collect());
            out.push_str(&print::indented(&list));
            out.push('\n');
        }
        Ok(out)
    }
}

/// What people write for a single path (`.a.b`, `a.b`, `{.a.b}`, `{a.b}`) as a template. An empty text stays empty.
pub fn relaxed(expression: &str) -> Result<String, ParseError> {
    if expression.is_empty() {
        return Ok(String::new());
    }
    let inner = expression.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(expression);
    // With a dot only if something follows it.
    let field = inner.strip_prefix('.').filter(|rest| !rest.is_empty()).unwrap_or(inner);
    if field.is_empty() || field.contains(['{', '}']) {
        return Err(ParseError::Relaxed);
    }
    Ok(format!("{{.{field}}}"))
}

#[cfg(test)]
mod tests;
