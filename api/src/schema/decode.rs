//! JSON text to a tree, with what upstream's strict decoding finds on the way: fields that the type does not have, and fields
//! given twice. In document order, so that the sentence is the same as upstream's.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

use super::{SchemaSet, Shape, Type, TypeId};

/// Upstream stops collecting here.
const MAX_STRICT_ERRORS: usize = 100;

#[derive(Debug)]
pub struct Decoded {
    /// Of fields given twice, the last one; with a type, objects given twice are merged. Unknown fields are still there.
    pub value: Value,
    pub strict: Vec<StrictError>,
}

/// What `fieldValidation` is about; the path is `spec.containers[0].image`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StrictError {
    #[error("unknown field {0:?}")]
    Unknown(String),
    #[error("duplicate field {0:?}")]
    Duplicate(String),
    /// What the reader of YAML says about a key that stands there twice.
    #[error("yaml: unmarshal errors:\n  {0}")]
    Yaml(String),
}

impl StrictError {
    /// As a warning says it.
    pub fn warning(&self) -> String {
        match self {
            Self::Yaml(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// The text is not JSON, or holds what no tree can.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct SyntaxError(String);

/// The error of `fieldValidation=Strict`.
pub fn strict_message(errors: &[StrictError]) -> String {
    let errors: Vec<String> = errors.iter().map(StrictError::to_string).collect();
    format!("strict decoding error: {}", errors.join(", "))
}

/// Without a type every member is known, and duplicates are looked for everywhere (custom resources). With one, the inside of
/// unknown fields and of leaves that hold JSON is not looked at, as upstream does.
pub fn json(bytes: &[u8], ty: Option<(&SchemaSet, TypeId)>) -> Result<Decoded, SyntaxError> {
    let known = ty.map_or(Known::Untyped, |(set, id)| Known::Struct(set, set.get(id)));
    let mut findings = Findings::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { known, findings: &mut findings }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    let value = value.map_err(|error| SyntaxError(super::syntax::error(bytes).unwrap_or_else(|| error.to_string())))?;
    Ok(Decoded { value, strict: findings.errors })
}

#[derive(Default)]
struct Findings {
    path: String,
    errors: Vec<StrictError>,
}

impl Findings {
    fn add(&mut self, error: StrictError) {
        if self.errors.len() < MAX_STRICT_ERRORS && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn member(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// What is known about the value to come.
#[derive(Clone, Copy)]
enum Known<'a> {
    Struct(&'a SchemaSet, &'a Type),
    List(&'a SchemaSet, &'a Shape),
    Map(&'a SchemaSet, &'a Shape),
    Untyped,
    /// Not to be looked into.
    Opaque,
}

impl<'a> Known<'a> {
    fn of(set: &'a SchemaSet, shape: &'a Shape) -> Self {
        match shape {
            Shape::Struct(id) => Self::Struct(set, set.get(*id)),
            Shape::List(item) => Self::List(set, item),
            Shape::Map(item) => Self::Map(set, item),
            Shape::Scalar(_) => Self::Opaque,
        }
    }

    fn item(self) -> Self {
        match self {
            Self::List(set, item) => Self::of(set, item),
            Self::Untyped => Self::Untyped,
            _ => Self::Opaque,
        }
    }
}

struct Seed<'a, 'f> {
    known: Known<'a>,
    findings: &'f mut Findings,
}

impl Seed<'_, '_> {
    fn scalar<E>(self, value: impl Into<Value>) -> Result<Value, E> {
        Ok(value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let known = self.known.item();
        let start = self.findings.path.len();
        let mut items = Vec::new();
        loop {
            use std::fmt::Write;
            write!(self.findings.path, "[{}]", items.len()).map_err(A::Error::custom)?;
            let item = access.next_element_seed(Seed { known, findings: &mut *self.findings })?;
            self.findings.path.truncate(start);
            let Some(item) = item else { return Ok(Value::Array(items)) };
            items.push(item);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let start = self.findings.path.len();
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let (known, tracked) = match self.known {
                Known::Struct(set, ty) => match ty.field(&name) {
                    Some(field) => (Known::of(set, &field.shape), true),
                    None if ty.preserve_unknown => (Known::Opaque, true),
                    None => {
                        let path = self.findings.member(&name);
                        self.findings.add(StrictError::Unknown(path));
                        (Known::Opaque, false)
                    }
                },
                Known::Map(set, item) => (Known::of(set, item), true),
                Known::Untyped => (Known::Untyped, true),
                Known::List(..) | Known::Opaque => (Known::Opaque, false),
            };
            if tracked && members.contains_key(&name) {
                let path = self.findings.member(&name);
                self.findings.add(StrictError::Duplicate(path));
            }
            if start > 0 {
                self.findings.path.push('.');
            }
            self.findings.path.push_str(&name);
            let value = access.next_value_seed(Seed { known, findings: &mut *self.findings })?;
            self.findings.path.truncate(start);
            match members.get_mut(&name) {
                Some(before) if matches!(self.known, Known::Struct(..)) => merge(known, before, value),
                _ => drop(members.insert(name, value)),
            }
        }
        Ok(Value::Object(members))
    }
}

/// A struct's field that is given again: Go reads it into what the first one left there.
fn merge(known: Known<'_>, before: &mut Value, again: Value) {
    match (known, before, again) {
        (Known::Struct(set, ty), Value::Object(before), Value::Object(again)) => {
            for (name, value) in again {
                match (before.get_mut(&name), ty.field(&name)) {
                    (Some(before), Some(field)) => merge(Known::of(set, &field.shape), before, value),
                    _ => drop(before.insert(name, value)),
                }
            }
        }
        (Known::Map(..), Value::Object(before), Value::Object(again)) => before.extend(again),
        (_, before, again) => *before = again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvk::GroupVersionKind;

    fn strict(kind: Option<(&str, &str)>, text: &str) -> Vec<String> {
        let set = SchemaSet::builtin();
        let ty = kind.map(|(api_version, kind)| {
            (set, set.of_kind(&GroupVersionKind::from_api_version(api_version, kind)).expect("a kind"))
        });
        let decoded = json(text.as_bytes(), ty).expect("JSON");
        decoded.strict.iter().map(StrictError::to_string).collect()
    }

    #[test]
    fn finds_unknown_and_duplicate_fields_in_document_order() {
        let deployment = Some(("apps/v1", "Deployment"));
        let cases: [(&str, _, _, &[&str]); 7] = [
            ("clean", deployment, r#"{"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"a"}]}}}}"#, &[]),
            (
                "both kinds",
                deployment,
                r#"{"spec":{"unknown1":1,"unknownDupe":1,"unknownDupe":2,"paused":true,"paused":false,
                    "template":{"spec":{"containers":[{"unknownNested":"x","imagePullPolicy":"a","imagePullPolicy":"b"}]}}}}"#,
                &[
                    r#"unknown field "spec.unknown1""#,
                    r#"unknown field "spec.unknownDupe""#,
                    r#"duplicate field "spec.paused""#,
                    r#"unknown field "spec.template.spec.containers[0].unknownNested""#,
                    r#"duplicate field "spec.template.spec.containers[0].imagePullPolicy""#,
                ],
            ),
            ("case matters", deployment, r#"{"Spec":{}}"#, &[r#"unknown field "Spec""#]),
            (
                "keys of maps",
                deployment,
                r#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#,
                &[r#"duplicate field "metadata.labels.a""#],
            ),
            ("inside of unknown fields", deployment, r#"{"x":{"a":1,"a":2}}"#, &[r#"unknown field "x""#]),
            (
                "untyped",
                None,
                r#"{"a":[{"b":1},{"b":1,"b":2}],"a":1}"#,
                &[r#"duplicate field "a[1].b""#, r#"duplicate field "a""#],
            ),
            (
                "flat in JSON, nested in protobuf",
                Some(("v1", "Pod")),
                r#"{"spec":{"volumes":[{"hostPath":{"path":"/","hostPath":1}}]}}"#,
                &[r#"unknown field "spec.volumes[0].hostPath.hostPath""#],
            ),
        ];
        for (name, kind, text, expected) in cases {
            assert_eq!(strict(kind, text), expected, "{name}");
        }
    }

    #[test]
    fn the_last_duplicate_wins() {
        let decoded = json(br#"{"a":1,"a":[null,-2,1.5,18446744073709551615]}"#, None).expect("JSON");
        assert_eq!(decoded.value, serde_json::json!({"a": [null, -2, 1.5, 18446744073709551615_u64]}));
        assert_eq!(strict_message(&decoded.strict), r#"strict decoding error: duplicate field "a""#);
    }

    #[test]
    fn objects_given_twice_are_merged_as_in_go() {
        let text = br#"{"metadata":{"name":"a","labels":{"x":"1"}},"metadata":{"labels":{"y":"2"},"finalizers":["f"]},
            "data":{"k":"1"},"data":null}"#;
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("", "v1", "ConfigMap")).expect("a kind");
        let merged = serde_json::json!({
            "metadata": {"name": "a", "labels": {"x": "1", "y": "2"}, "finalizers": ["f"]}, "data": null,
        });
        assert_eq!(json(text, Some((set, ty))).expect("JSON").value, merged);
        let last = serde_json::json!({"metadata": {"labels": {"y": "2"}, "finalizers": ["f"]}, "data": null});
        assert_eq!(json(text, None).expect("JSON").value, last);
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in ["", "{", r#"{"a":1} x"#, "nul", r#"{"a":1e999}"#] {
            assert!(json(text.as_bytes(), None).is_err(), "{text}");
        }
    }

    #[test]
    fn stops_at_a_hundred_findings() {
        let text: Vec<String> = (0..150).map(|number| format!(r#""x{number}":1"#)).collect();
        assert_eq!(strict(Some(("v1", "Pod")), &format!("{{{}}}", text.join(","))).len(), 100);
    }
}
