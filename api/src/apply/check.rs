//! Whether a configuration fits the schema, in upstream's words. Decoded objects are checked elsewhere; a configuration is not
//! decoded into a struct but merged as it is.

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use super::element::PathElement;
use super::place::{Keys, Kind, Place};
use crate::schema::Scalar;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct Misfit {
    /// `.spec.containers[name="a"]`; empty for the object itself.
    pub path: String,
    pub message: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct Misfits(pub Vec<Misfit>);

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0.as_slice() {
            return one.fmt(f);
        }
        f.write_str("errors:")?;
        self.0.iter().try_for_each(|misfit| write!(f, "\n  {misfit}"))
    }
}

/// Unknown fields, values of wrong types, elements without keys or twice in a list.
pub fn check(place: Place<'_>, config: &Value) -> Result<(), Misfits> {
    checked(place, config, false)
}

/// As [`check`], of an object: elements may stand in a list twice. What decoding does not find: fields that may leave out what names them
/// in a list, and lists where the definition of a custom resource wants text of some format, which lets them through.
pub fn check_object(place: Place<'_>, object: &Value) -> Result<(), Misfits> {
    if place.is_decoded() { Ok(()) } else { checked(place, object, true) }
}

fn checked(place: Place<'_>, value: &Value, allows_twice: bool) -> Result<(), Misfits> {
    let mut walk = Walk { path: String::new(), found: Vec::new(), allows_twice };
    walk.place(place, value);
    if walk.found.is_empty() { Ok(()) } else { Err(Misfits(walk.found)) }
}

struct Walk {
    path: String,
    found: Vec<Misfit>,
    allows_twice: bool,
}

impl Walk {
    fn report(&mut self, message: String) {
        self.found.push(Misfit { path: self.path.clone(), message });
    }

    fn below(&mut self, element: &PathElement, walk: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path += &element.to_string();
        walk(self);
        self.path.truncate(length);
    }

    fn place(&mut self, place: Place<'_>, value: &Value) {
        match (place.kind, value) {
            (_, Value::Null) => {}
            (Kind::Struct(_) | Kind::Map(_) | Kind::Deduced | Kind::Untyped, Value::Object(members)) => {
                self.members(place, members);
            }
            (Kind::List(..), Value::Array(items)) => self.items(place, items),
            (Kind::Deduced | Kind::Untyped, _) => {}
            (Kind::Scalar(scalar), value) => {
                if let Some(message) = wrong_scalar(scalar, value) {
                    self.report(message);
                }
            }
            (Kind::Struct(_) | Kind::Map(_), value) => {
                self.report(format!("expected map, got &{{{}}}", Printed(value)))
            }
            (Kind::List(..), value) => self.report(format!("expected list, got &{{{}}}", Printed(value))),
        }
    }

    fn members(&mut self, place: Place<'_>, members: &Map<String, Value>) {
        for (name, value) in members {
            let Some((member, _)) = place.member(name) else {
                self.below(&PathElement::field(name), |walk| walk.report("field not declared in schema".to_owned()));
                return;
            };
            self.below(&PathElement::field(name), |walk| walk.place(member, value));
        }
    }

    fn items(&mut self, place: Place<'_>, items: &[Value]) {
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let element = match place.keys() {
                Keys::None => PathElement::Index(i64::try_from(index).unwrap_or(i64::MAX)),
                Keys::Set | Keys::Named(_) => match place.element(item) {
                    Ok(element) => element,
                    Err(error) => return self.report(format!("element {index}: {error}")),
                },
            };
            if !self.allows_twice && !seen.insert(element.clone()) {
                self.report(format!("duplicate entries for key {element}"));
            }
            self.below(&element, |walk| walk.place(place.item(), item));
        }
    }
}

fn wrong_scalar(scalar: Scalar, value: &Value) -> Option<String> {
    let is_leaf = !value.is_object() && !value.is_array();
    match scalar {
        Scalar::String | Scalar::Bytes => (!value.is_string())
            .then(|| format!("expected string, got &value.valueUnstructured{{Value:{}}}", Syntax(value))),
        Scalar::Boolean => (!value.is_boolean()).then(|| format!("expected boolean, got &{{{}}}", Printed(value))),
        Scalar::Int32 | Scalar::Int64 | Scalar::Float64 => {
            (!value.is_number()).then(|| format!("expected numeric (int or float), got {}", go_type(value)))
        }
        // In upstream's documents it has no type, so that anything may be there; the conversion says more.
        Scalar::IntOrString => None,
        _ => (!is_leaf).then(|| format!("expected any scalar, got &{{{}}}", Printed(value))),
    }
}

fn go_type(value: &Value) -> &'static str {
    crate::schema::check::go_type_of(value, "<nil>")
}

/// A value as Go's `%v` prints it.
struct Printed<'a>(&'a Value);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaced = |f: &mut fmt::Formatter<'_>, index: usize| if index > 0 { f.write_str(" ") } else { Ok(()) };
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            Value::String(text) => f.write_str(text),
            Value::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    spaced(f, index)?;
                    Printed(item).fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                f.write_str("map[")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    spaced(f, index)?;
                    write!(f, "{name}:{}", Printed(value))?;
                }
                f.write_str("]")
            }
            other => write!(f, "{other}"),
        }
    }
}

/// A value as Go's `%#v` prints it.
struct Syntax<'a>(&'a Value);

impl fmt::Display for Syntax<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comma = |f: &mut fmt::Formatter<'_>, index: usize| if index > 0 { f.write_str(", ") } else { Ok(()) };
        match self.0 {
            Value::Null => f.write_str("interface {}(nil)"),
            Value::String(text) => write!(f, "{text:?}"),
            Value::Array(items) => {
                f.write_str("[]interface {}{")?;
                for (index, item) in items.iter().enumerate() {
                    comma(f, index)?;
                    Syntax(item).fmt(f)?;
                }
                f.write_str("}")
            }
            Value::Object(members) => {
                f.write_str("map[string]interface {}{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    comma(f, index)?;
                    write!(f, "{name:?}:{}", Syntax(value))?;
                }
                f.write_str("}")
            }
            other => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gvk::GroupVersionKind;
    use crate::schema::SchemaSet;

    #[test]
    fn configurations_are_refused_in_upstreams_words() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("apps", "v1", "Deployment")).unwrap();
        let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
        let cases = [
            (json!({"spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}}}), ""),
            (pod(json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]})), ""),
            (json!({"spec": {"foo": 1}}), ".spec.foo: field not declared in schema"),
            (json!({"spec": {"replicas": "2"}}), ".spec.replicas: expected numeric (int or float), got string"),
            (json!({"spec": {"paused": "yes"}}), ".spec.paused: expected boolean, got &{yes}"),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
            ),
            (json!({"metadata": {"labels": ["a", "b"]}}), ".metadata.labels: expected map, got &{[a b]}"),
            (pod(json!({"containers": {"a": 1}})), ".spec.template.spec.containers: expected list, got &{map[a:1]}"),
            (
                pod(json!({"containers": [{"name": "a", "imag": "x"}]})),
                ".spec.template.spec.containers[name=\"a\"].imag: field not declared in schema",
            ),
            (
                pod(json!({"containers": [{"name": "a", "env": [{"name": "x"}, {"name": "x"}]}]})),
                ".spec.template.spec.containers[name=\"a\"].env: duplicate entries for key [name=\"x\"]",
            ),
            (
                pod(json!({"containers": [null], "tolerations": [{"x": 1}]})),
                "errors:\n  .spec.template.spec.containers: element 0: associative list with keys may not have a null \
                 element\n  .spec.template.spec.tolerations[0].x: field not declared in schema",
            ),
        ];
        for (config, expected) in cases {
            let said = check(Place::root(set, ty), &config).err().map(|misfits| misfits.to_string());
            assert_eq!(said.unwrap_or_default(), expected, "{config}");
        }
    }
}
