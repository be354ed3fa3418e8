//! What expressions of mutating admission make: objects of the types `Object`, `Object.spec` and so on, whose fields are not known
//! before, and operations of the type `JSONPatch` (`k8s.io/apiserver/pkg/cel/mutation`).

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value as Json};

use crate::error::Error;
use crate::types::Type;
use crate::value::{Key, List, Map, Value, to_string};

/// The type of a whole object. Those of its parts are named by their fields: `Object.spec.template`.
pub const OBJECT: &str = "Object";
/// The type of one operation.
pub const JSON_PATCH: &str = "JSONPatch";

static ANY: Type = Type::Dyn;
static TEXT: Type = Type::String;
/// Of a field that an operation does not have: nothing fits, and it has no name (upstream).
static NONE: LazyLock<Type> = LazyLock::new(|| Type::object(""));

pub(crate) fn is_type(name: &str) -> bool {
    name == JSON_PATCH || is_object(name)
}

fn is_object(name: &str) -> bool {
    name.strip_prefix(OBJECT).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The type of a field of one of these types; `None` where there is no such field.
pub(crate) fn field(of: &str, field: &str) -> Option<&'static Type> {
    match (of, field) {
        (JSON_PATCH, "op" | "path" | "from") => Some(&TEXT),
        (JSON_PATCH, "value") => Some(&ANY),
        (JSON_PATCH, _) => Some(&NONE),
        (name, _) => is_object(name).then_some(&ANY),
    }
}

impl Value<'_> {
    /// # Errors
    /// It is, or has in it, what JSON has not.
    pub fn to_json(&self) -> Result<Json, Error> {
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Uint(value) => (*value).into(),
            Self::Double(value) => whole(*value).map_or_else(|| (*value).into(), Json::from),
            Self::String(text) => (**text).into(),
            Self::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Self::Duration(_) | Self::Timestamp(_) => to_string(self)?.as_str().unwrap_or_default().into(),
            Self::List(List::Json(items, _)) => Json::Array(items.to_vec()),
            Self::List(list) => Json::Array(list.iter().map(|item| item?.to_json()).collect::<Result<_, Error>>()?),
            Self::Map(Map::Json(members, _)) => Json::Object((*members).clone()),
            Self::Map(Map::Members(members)) | Self::Struct(_, members) => {
                let mut out = JsonMap::new();
                for (key, value) in members.iter() {
                    let Key::String(name) = key else {
                        return Err(Error::new(format!("map key {key:?} is no string")));
                    };
                    out.insert((**name).to_owned(), value.to_json()?);
                }
                Json::Object(out)
            }
            Self::Unknown(json) => (*json).clone(),
            Self::Optional(Some(value)) => value.to_json()?,
            Self::Optional(None) => return Err(Error::new("optional.none() dereference")),
            Self::Type(_) | Self::Opaque(_) => {
                return Err(Error::new(format!("a value of type {} is no JSON", self.type_of().name())));
            }
        })
    }

    /// What a made object has that no field of an object can be, with the path to it: upstream's objects have values of Go there.
    pub fn foreign(&self) -> Option<(String, String)> {
        foreign(self, "")
    }

    /// Objects in it whose type is not named by the fields that lead to them, in upstream's words. Only the fields of made objects
    /// count; lists and maps between them do not.
    pub fn misnamed(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Self::Struct(name, _) = self {
            misnamed(self, name, &mut found);
        }
        found
    }
}

fn foreign(value: &Value<'_>, path: &str) -> Option<(String, String)> {
    let found = |printed: String| Some((path.to_owned(), printed));
    match value {
        Value::Null => found("NULL_VALUE".to_owned()),
        Value::Bytes(bytes) => found(format!("{bytes:?}").replace(',', "")),
        Value::Duration(_) | Value::Timestamp(_) => {
            found(to_string(value).ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default())
        }
        Value::Struct(_, members) | Value::Map(Map::Members(members)) => members.iter().find_map(|(key, value)| {
            let Key::String(name) = key else { return None };
            foreign(value, &format!("{path}.{}", &**name))
        }),
        Value::List(List::Items(items)) => {
            items.iter().enumerate().find_map(|(index, item)| foreign(item, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}

/// As Go writes a float that is an integer: without a point.
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
}

fn misnamed(value: &Value<'_>, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Struct(name, members) => {
            if name.as_ref() != path {
                found.push(format!(
                    "unexpected type name {name:?}, expected {path:?}, which matches field name path from root Object type"
                ));
            }
            for (key, value) in members.iter() {
                if let Key::String(field) = key {
                    misnamed(value, &format!("{path}.{}", &**field), found);
                }
            }
        }
        Value::List(List::Items(items)) => items.iter().for_each(|item| misnamed(item, path, found)),
        Value::Map(Map::Members(members)) => members.values().for_each(|value| misnamed(value, path, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{Env, Outcome, Program};

    fn env() -> Env {
        Env::kubernetes().variable("object", Type::Dyn).patches()
    }

    fn made(source: &str) -> (Json, Vec<String>) {
        let program = Program::new(env().compile(source).unwrap(), crate::CALL_LIMIT).unwrap();
        let object = json!({"spec": {"a": [1, {"b": null}]}, "n": 3});
        let Outcome { result, .. } = program.eval(&BTreeMap::from([("object", Value::from_json(&object))]));
        let value = result.unwrap();
        (value.to_json().unwrap(), value.misnamed())
    }

    #[test]
    fn objects_are_made_of_types_by_name() {
        let table = [
            ("Object{}", json!({})),
            (
                "Object{metadata: Object.metadata{labels: {'a': 'b'}}, spec: object.spec}",
                json!({"metadata": {"labels": {"a": "b"}}, "spec": {"a": [1, {"b": null}]}}),
            ),
            (
                "Object{list: [Object.list{n: object.n + 1, x: 1.5, y: 2.0}], ?no: optional.none()}",
                json!({"list": [{"n": 4, "x": 1.5, "y": 2}]}),
            ),
            (
                "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c~d'), value: Object.a{z: true}}]",
                json!([{"op": "add", "path": "/a/b~1c~0d", "value": {"z": true}}]),
            ),
        ];
        for (source, expected) in table {
            assert_eq!(made(source), (expected, vec![]), "{source}");
        }
    }

    #[test]
    fn types_of_other_places_are_found() {
        let wrong = |name: &str, expected: &str| {
            format!(
                "unexpected type name {name:?}, expected {expected:?}, which matches field name path from root Object type"
            )
        };
        let table = [
            ("Object{spec: Object.metadata{}}", vec![wrong("Object.metadata", "Object.spec")]),
            ("Object{a: [Object.b{}], c: {'d': Object.c{}}}", vec![wrong("Object.b", "Object.a")]),
            ("Object.a.b{c: Object.a.b.c{}}", vec![]),
        ];
        for (source, expected) in table {
            assert_eq!(made(source).1, expected, "{source}");
        }
    }

    #[test]
    fn what_is_no_such_type_is_not_known() {
        let table = [
            ("Objects{}", "undeclared reference to 'Objects'"),
            ("JSONPatch{no: 1}", "expected type of field 'no' is '' but provided type is 'int'"),
            ("Object{", "mismatched input '<EOF>' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"),
            ("JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"),
        ];
        for (source, expected) in table {
            let said = env().compile(source).unwrap_err().to_string();
            assert!(said.contains(expected), "{source}: {said}");
        }
        assert!(Env::kubernetes().compile("Object{}").is_err());
    }
}
