//! The Go program that knows, as a child.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use api::schema::{Scalar, SchemaSet, Shape};
use e2e::go_client::GoClient;
use serde_json::{Value, json};

use crate::diff::kinds::Kind;

pub struct Question {
    pub verb: &'static str,
    pub kind: &'static Kind,
    pub manager: &'static str,
    pub force: bool,
    /// Null for an object that is to be created.
    pub live: Value,
    pub sent: Value,
    pub original: Value,
}

impl Question {
    /// Go goes through a patch in no order, so that a list which is both patched and deleted from comes out in either way.
    pub fn is_ambiguous(&self) -> bool {
        self.verb == "strategic" && self.sent.to_string().contains("$deleteFromPrimitiveList")
    }
}

pub struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// `None`: there is no Go here, which is said.
    pub fn start() -> Result<Option<Self>> {
        let program = GoClient { name: "oracle-v0.35.4", module: "e2e/clients/oracle", package: "." };
        let Some(program) = program.build()? else { return Ok(None) };
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Some(Self { child, questions, answers }))
    }

    /// The outer error: it does not answer. The inner one is the answer.
    pub fn ask(&mut self, question: &Question) -> Result<Result<Value, String>> {
        let Question { verb, kind, manager, force, live, sent, original } = question;
        let mut asked = json!({"verb": verb, "apiVersion": kind.api_version, "kind": kind.kind, "manager": manager,
            "force": force, "sent": sent});
        for (name, value) in [("live", live), ("original", original)] {
            if !value.is_null() {
                asked[name] = value.clone();
            }
        }
        writeln!(self.questions, "{asked}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let mut said: Value = serde_json::from_str(&line).context("the oracle's answer is no JSON")?;
        if let Some(error) = said["error"].as_str() {
            return Ok(Err(error.to_owned()));
        }
        let mut result = match said["patched"].take() {
            Value::Null => said["result"].take(),
            // What comes of it counts: ours leaves out what takes nothing away.
            patched => patched,
        };
        forget_times(&mut result);
        store_bytes(kind, &mut result);
        forget_nulls(&mut result);
        Ok(Ok(result))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When somebody wrote is different each time.
pub fn forget_times(object: &mut Value) {
    let managers = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for entry in managers.into_iter().flatten() {
        entry["time"] = "2026-01-01T00:00:00Z".into();
    }
}

/// Go has null in a map for bytes that are none. A server stores them, and has empty ones then.
fn store_bytes(kind: &Kind, object: &mut Value) {
    let set = SchemaSet::builtin();
    for field in kind.schema().into_iter().flat_map(|ty| &set.get(ty).fields) {
        let of_bytes = matches!(&field.shape, Shape::Map(item) if matches!(**item, Shape::Scalar(Scalar::Bytes)));
        if of_bytes && let Some(members) = object.get_mut(&field.name).and_then(Value::as_object_mut) {
            members.values_mut().filter(|member| member.is_null()).for_each(|member| *member = "".into());
        }
    }
}

/// Go writes null for lists and maps that nobody set; absent means the same.
fn forget_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(forget_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(forget_nulls),
        _ => {}
    }
}

/// The first place where two answers differ.
pub fn difference(ours: &Result<Value, String>, theirs: &Result<Value, String>) -> String {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => first(ours, theirs, String::new()).unwrap_or_default(),
        _ => String::new(),
    }
}

fn first(ours: &Value, theirs: &Value, path: String) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                first(a, b, format!("{path}.{key}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(index, (a, b))| first(a, b, format!("{path}[{index}]")))
        }
        _ => (ours != theirs).then(|| format!("at {path}: {ours} and {theirs}")),
    }
}
