//! A request before it is sent: its texts may name what earlier answers said, since that differs between servers.
//!
//! `${ns}` is the scenario's namespace. `${rv:LABEL}`, `${uid:LABEL}`, `${name:LABEL}` and `${continue:LABEL}` are taken from the
//! answer of the step with that label, and are empty when it has none.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

/// Requests that belong together, in order, in a namespace of their own.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    pub name: String,
    pub steps: Vec<Step>,
    /// What it reads was made by the servers themselves, in an order of their own.
    pub no_revisions: bool,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub label: String,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Action {
    Send(Request),
    /// Begins a watch that goes on until its `EndWatch`.
    Watch(Request),
    /// Both servers forget what was before now. Goes on when both answer this request with 410.
    Forget(Request),
    /// Waits for the events of the watch with that label, and ends it.
    EndWatch(String),
}

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Content,
}

#[derive(Clone, Debug, Default)]
pub enum Content {
    #[default]
    None,
    Json(Value),
    /// Sent as it is.
    Text(String),
    /// The object that a step answered, with a JSON merge patch: what clients do that get, change and put.
    Edited {
        of: String,
        changes: Value,
    },
}

/// A request as one server gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What one server answered so far.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub namespace: String,
    pub answers: BTreeMap<String, Value>,
}

impl Request {
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        let accept = vec![("accept".to_owned(), "application/json".to_owned())];
        Self { method: method.to_owned(), path: path.into(), headers: accept, ..Self::default() }
    }

    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Replaces an earlier one.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, content_type: &str, body: Content) -> Self {
        self.body = body;
        self.header("content-type", content_type)
    }

    pub fn json(self, object: Value) -> Self {
        self.body("application/json", Content::Json(object))
    }

    pub fn wire(&self, memory: &Memory) -> Wire {
        let mut target = memory.resolve(&self.path);
        for (index, (name, value)) in self.query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(&escaped(name));
            target.push('=');
            target.push_str(&escaped(&memory.resolve(value)));
        }
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), memory.resolve(value))).collect();
        let body = match &self.body {
            Content::None => String::new(),
            Content::Text(text) => memory.resolve(text),
            Content::Json(value) => memory.resolve(&value.to_string()),
            Content::Edited { of, changes } => {
                let mut object = memory.answers.get(of).cloned().unwrap_or_default();
                let changes = memory.resolve(&changes.to_string());
                merge(&mut object, &serde_json::from_str(&changes).unwrap_or_default());
                object.to_string()
            }
        };
        Wire { method: self.method.clone(), target, headers, body }
    }
}

impl Memory {
    /// An object has got another revision without a change: who looked at it last would have seen that one.
    pub fn write(&mut self, before: u64, after: u64) {
        let before = Value::from(before.to_string());
        for answer in self.answers.values_mut() {
            if answer["metadata"]["resourceVersion"] == before {
                answer["metadata"]["resourceVersion"] = after.to_string().into();
            }
        }
    }

    pub fn resolve(&self, text: &str) -> String {
        let mut resolved = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(length) = rest[start..].find('}') else { break };
            resolved.push_str(&rest[..start]);
            resolved.push_str(&self.value(&rest[start + 2..start + length]));
            rest = &rest[start + length + 1..];
        }
        resolved.push_str(rest);
        resolved
    }

    fn value(&self, reference: &str) -> String {
        let Some((what, label)) = reference.split_once(':') else {
            return self.namespace.clone();
        };
        let pointer = match what {
            "rv" => "/metadata/resourceVersion",
            "uid" => "/metadata/uid",
            "name" => "/metadata/name",
            _ => "/metadata/continue",
        };
        let value = self.answers.get(label).and_then(|answer| answer.pointer(pointer)).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    }
}

/// A JSON merge patch (RFC 7396).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            members.remove(key);
        } else {
            merge(members.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~,/:".contains(&byte) {
            escaped.push(byte.into());
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn memory() -> Memory {
        let first = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "labels": {"x": "1"}}});
        Memory { namespace: "d1".into(), answers: BTreeMap::from([("first".to_owned(), first)]) }
    }

    #[test]
    fn references_are_what_was_answered() {
        let cases = [
            ("plain", "plain"),
            ("/ns/${ns}/a", "/ns/d1/a"),
            ("${rv:first}-${uid:first}-${name:first}", "7-u-a"),
            ("${rv:unknown}", ""),
            ("${continue:first}|", "|"),
            ("${open", "${open"),
        ];
        for (text, expected) in cases {
            assert_eq!(memory().resolve(text), expected, "{text}");
        }
    }

    #[test]
    fn a_request_on_the_wire() {
        let request = Request::new("PUT", "/api/v1/namespaces/${ns}/configmaps/a")
            .query("labelSelector", "a in (b)")
            .query("resourceVersion", "${rv:first}")
            .body(
                "application/json",
                Content::Edited {
                    of: "first".into(),
                    changes: json!({"metadata": {"labels": {"x": null, "y": "${ns}"}}}),
                },
            );
        let wire = request.wire(&memory());
        assert_eq!(wire.target, "/api/v1/namespaces/d1/configmaps/a?labelSelector=a%20in%20%28b%29&resourceVersion=7");
        let expected = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "labels": {"y": "d1"}}});
        assert_eq!(wire.body, expected.to_string());
    }
}
