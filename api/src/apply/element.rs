//! One step of a path into an object: a field, an element of a list by its keys or its value, or an index.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;
use thiserror::Error;

/// Ordered as upstream orders them, which is the order in `fieldsV1`: fields, keys, values, indices.
#[derive(Clone, Debug)]
pub enum PathElement {
    /// A member of a struct or map.
    Field(String),
    /// The element of a list whose members have these values. Sorted by name.
    Key(Vec<(String, Value)>),
    /// The element of a set of scalars.
    Value(Value),
    Index(i64),
}

/// Why the text of a path element cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ElementError {
    #[error("key must be 2 characters long")]
    Short,
    #[error("missing colon: {0}")]
    Colon(String),
    #[error("{0}")]
    Json(String),
    #[error("{0:?} is no index")]
    Index(String),
}

impl PathElement {
    /// Reads `f:NAME`, `k:{"KEY":VALUE}`, `v:VALUE` or `i:NUMBER`. `None` for other letters, which some later version may know.
    pub fn parse(text: &str) -> Result<Option<Self>, ElementError> {
        let json = |error: serde_json::Error| ElementError::Json(error.to_string());
        if text.len() < 2 {
            return Err(ElementError::Short);
        }
        if text.as_bytes()[1] != b':' {
            return Err(ElementError::Colon(text.to_owned()));
        }
        let rest = &text[2..];
        Ok(Some(match text.as_bytes()[0] {
            b'f' => Self::Field(rest.to_owned()),
            b'v' => Self::Value(serde_json::from_str(rest).map_err(json)?),
            b'k' => {
                let keys: serde_json::Map<String, Value> = serde_json::from_str(rest).map_err(json)?;
                Self::Key(keys.into_iter().collect())
            }
            b'i' => Self::Index(rest.parse().map_err(|_| ElementError::Index(rest.to_owned()))?),
            _ => return Ok(None),
        }))
    }

    pub fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    /// The form in `fieldsV1`, the inverse of [`Self::parse`].
    pub fn wire(&self) -> impl fmt::Display + '_ {
        Wire(self)
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_keys(a, b),
            (Self::Value(a), Self::Value(b)) => compare_values(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PathElement {}

fn compare_keys(a: &[(String, Value)], b: &[(String, Value)]) -> Ordering {
    for ((name, value), (other_name, other)) in a.iter().zip(b) {
        let order = name.cmp(other_name).then_with(|| compare_values(value, other));
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// A total order of JSON values: numbers by their value, then strings, booleans, lists, maps, null.
pub(super) fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let order = a.iter().zip(b).map(|(a, b)| compare_values(a, b)).find(|order| order.is_ne());
            order.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let members = a.iter().zip(b);
            let order = members.map(|((name, a), (other, b))| name.cmp(other).then_with(|| compare_values(a, b)));
            order.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// Equal as upstream compares: 1 and 1.0 are the same.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    a == b || compare_values(a, b) == Ordering::Equal
}

struct Wire<'a>(&'a PathElement);

impl fmt::Display for Wire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            PathElement::Field(name) => write!(f, "f:{name}"),
            PathElement::Value(value) => write!(f, "v:{}", go_json(value)),
            PathElement::Index(index) => write!(f, "i:{index}"),
            PathElement::Key(keys) => {
                f.write_str("k:{")?;
                for (index, (name, value)) in keys.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{}:{}", go_json(&Value::from(name.as_str())), go_json(value))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// JSON as Go writes it: what a browser could take for markup is escaped.
pub(super) fn go_json(value: &Value) -> String {
    const ESCAPED: [(char, &str); 5] =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    let text = value.to_string();
    // The last two begin with this byte.
    if !text.bytes().any(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2)) {
        return text;
    }
    ESCAPED.iter().fold(text, |text, (letter, escaped)| text.replace(*letter, escaped))
}

/// As messages show it: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={}]", Shown(value)),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (index, (name, value)) in keys.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", Shown(value))?;
                }
                f.write_str("]")
            }
        }
    }
}

struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => write!(f, "{text:?}"),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| Shown(item).to_string()).collect();
                write!(f, "[{}]", items.join(","))
            }
            // Upstream puts nothing around them, and nothing between them.
            Value::Object(members) => members.iter().try_for_each(|(name, value)| write!(f, "{name}={}", Shown(value))),
            other => write!(f, "{other}"),
        }
    }
}

/// A path for messages: `.spec.containers[name="a"].image`.
pub fn path_text(path: &[PathElement]) -> String {
    path.iter().map(PathElement::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn elements_come_back_as_they_were_written() {
        let cases = [
            ("f:spec", ".spec"),
            ("f:app.kubernetes.io/name", ".app.kubernetes.io/name"),
            ("f:", "."),
            ("v:\"finalizer.example.com\"", "[=\"finalizer.example.com\"]"),
            ("v:8080", "[=8080]"),
            ("v:true", "[=true]"),
            ("v:null", "[=null]"),
            ("v:{}", "[=]"),
            ("v:{\"a\":[1,\"x\"]}", "[=a=[1,\"x\"]]"),
            ("k:{\"containerPort\":80,\"protocol\":\"TCP\"}", "[containerPort=80,protocol=\"TCP\"]"),
            ("k:{\"name\":\"a\\\"b\"}", "[name=\"a\\\"b\"]"),
            ("k:{\"name\":\"\\u003ca\\u003e\\u0026\"}", "[name=\"<a>&\"]"),
            ("i:3", "[3]"),
        ];
        for (wire, shown) in cases {
            let element = PathElement::parse(wire).unwrap().unwrap();
            assert_eq!(element.wire().to_string(), wire);
            assert_eq!(element.to_string(), shown, "{wire}");
        }
    }

    #[test]
    fn unknown_letters_are_left_to_the_future_and_wrong_texts_refused() {
        assert_eq!(PathElement::parse("x:y"), Ok(None));
        for wrong in ["", "f", "fx", "v:{", "k:[]", "k:1", "i:x"] {
            assert!(PathElement::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_order_is_upstreams() {
        let sorted = [
            PathElement::field("a"),
            PathElement::field("b"),
            PathElement::Key(vec![("name".into(), json!("a"))]),
            PathElement::Key(vec![("port".into(), json!(80))]),
            PathElement::Key(vec![("port".into(), json!(80)), ("protocol".into(), json!("TCP"))]),
            PathElement::Key(vec![("port".into(), json!(443))]),
            PathElement::Value(json!(9)),
            PathElement::Value(json!(9.5)),
            PathElement::Value(json!(10)),
            PathElement::Value(json!("a")),
            PathElement::Value(json!(false)),
            PathElement::Value(json!(null)),
            PathElement::Index(2),
            PathElement::Index(10),
        ];
        assert!(sorted.is_sorted_by(|a, b| a < b));
        assert_eq!(PathElement::Value(json!(1)), PathElement::Value(json!(1.0)));
    }
}
