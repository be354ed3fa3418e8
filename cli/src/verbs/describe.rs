//! `describe`: one object for reading, with its events. All kinds in one form: what kubectl puts first comes first, then spec and
//! status as they are.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use crate::output::{note, text};
use crate::session::{Connection, Session};
use crate::target::{encode, parse};

/// Width of the column of names.
const WIDTH: usize = 24;

#[derive(Debug, clap::Args)]
pub struct Describe {
    /// Kinds and names: `pod web-0`, `deploy/web`
    #[arg(required = true)]
    what: Vec<String>,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

impl Describe {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let mut code = ExitCode::SUCCESS;
        let mut first = true;
        for target in parse(&session, &self.what).await? {
            let mut objects = Vec::new();
            for name in &target.names {
                match session.get(&target.resource.path(Some(&session.namespace), Some(name))).await {
                    Ok(object) => objects.push(object),
                    Err(error) => {
                        note(format_args!("{error}"));
                        code = ExitCode::FAILURE;
                    }
                }
            }
            if target.names.is_empty() {
                let query = self.selector.as_ref().map(|selector| format!("?labelSelector={}", encode(selector)));
                let path = target.resource.path(Some(&session.namespace), None) + &query.unwrap_or_default();
                objects.extend(session.get(&path).await?["items"].as_array().cloned().unwrap_or_default());
            }
            for object in objects {
                let events = events(&session, &object).await?;
                let gap = if first { "" } else { "\n\n" };
                first = false;
                text(&format!("{gap}{}{}", describe(&object), event_table(&events, jiff::Timestamp::now())));
            }
        }
        Ok(code)
    }
}

async fn events(session: &Session, object: &Value) -> Result<Vec<Value>> {
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
    let base =
        namespace.map_or_else(|| "/api/v1/events".to_owned(), |name| format!("/api/v1/namespaces/{name}/events"));
    let list = session.get(&format!("{base}?fieldSelector={}", encode(&format!("involvedObject.uid={uid}")))).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn describe(object: &Value) -> String {
    let mut out = String::new();
    let metadata = &object["metadata"];
    field(&mut out, 0, "Name", &metadata["name"]);
    if !metadata["namespace"].is_null() {
        field(&mut out, 0, "Namespace", &metadata["namespace"]);
    }
    for (title, key) in [("Labels", "labels"), ("Annotations", "annotations")] {
        pairs(&mut out, title, &metadata[key]);
    }
    field(&mut out, 0, "CreationTimestamp", &metadata["creationTimestamp"]);
    let owner = metadata["ownerReferences"].as_array().into_iter().flatten().find(|owner| owner["controller"] == true);
    if let Some(owner) = owner {
        let text = |key: &str| owner[key].as_str().unwrap_or_default().to_owned();
        field(&mut out, 0, "Controlled By", &Value::from(format!("{}/{}", text("kind"), text("name"))));
    }
    let rest = object.as_object().into_iter().flatten();
    for (key, value) in rest.filter(|(key, _)| !matches!(key.as_str(), "metadata" | "apiVersion" | "kind")) {
        let secret = object["kind"] == "Secret" && key == "data";
        if secret {
            sizes(&mut out, value);
        } else {
            field(&mut out, 0, &title(key), value);
        }
    }
    out
}

/// `maxSurge` -> `Max Surge`.
fn title(key: &str) -> String {
    let mut out = String::new();
    for (at, letter) in key.char_indices() {
        if at == 0 {
            out.extend(letter.to_uppercase());
        } else if letter.is_uppercase() && !key[..at].ends_with(char::is_uppercase) {
            out.push(' ');
            out.push(letter);
        } else {
            out.push(letter);
        }
    }
    out
}

fn field(out: &mut String, depth: usize, name: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    let width = WIDTH.saturating_sub(indent.len());
    let head = format!("{indent}{:<width$}", format!("{name}:"));
    match value {
        Value::Object(map) if !map.is_empty() => {
            let _ = writeln!(out, "{}", head.trim_end());
            map.iter().for_each(|(key, value)| field(out, depth + 1, &title(key), value));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let _ = writeln!(out, "{}", head.trim_end());
            for item in items {
                element(out, depth + 1, item);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let texts: Vec<String> = items.iter().map(plain).collect();
            let _ = writeln!(out, "{head} {}", texts.join(", "));
        }
        other => {
            let _ = writeln!(out, "{head} {}", plain(other));
        }
    }
}

/// An element of a list, under its name when it has one.
fn element(out: &mut String, depth: usize, item: &Value) {
    let named = ["name", "type", "key"].into_iter().find(|key| item[*key].is_string());
    let indent = "  ".repeat(depth);
    let _ = match named {
        Some(key) => writeln!(out, "{indent}{}:", plain(&item[key])),
        None => writeln!(out, "{indent}-"),
    };
    for (key, value) in item.as_object().into_iter().flatten().filter(|(key, _)| Some(key.as_str()) != named) {
        field(out, depth + 1, &title(key), value);
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::String(text) if text.is_empty() => "<none>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => "<none>".to_owned(),
        other => other.to_string(),
    }
}

fn pairs(out: &mut String, name: &str, value: &Value) {
    let texts: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.as_str() != "kubectl.kubernetes.io/last-applied-configuration")
        .map(|(key, value)| format!("{key}={}", plain(value)))
        .collect();
    let head = format!("{:<WIDTH$}", format!("{name}:"));
    let text = if texts.is_empty() { "<none>".to_owned() } else { texts.join(&format!("\n{:WIDTH$} ", "")) };
    let _ = writeln!(out, "{head} {text}");
}

/// A Secret's values are not for the screen.
fn sizes(out: &mut String, data: &Value) {
    let _ = writeln!(out, "Data:");
    for (key, value) in data.as_object().into_iter().flatten() {
        let bytes = value.as_str().unwrap_or_default().trim_end_matches('=').len() * 3 / 4;
        let _ = writeln!(out, "  {key}:  {bytes} bytes");
    }
}

fn event_table(events: &[Value], now: jiff::Timestamp) -> String {
    if events.is_empty() {
        return format!("{:<WIDTH$} <none>\n", "Events:");
    }
    let mut out = String::from("Events:\n");
    let row = |out: &mut String, cells: [&str; 5]| {
        let [kind, reason, age, from, message] = cells;
        let _ = writeln!(out, "  {kind:<8} {reason:<24} {age:<18} {from:<24} {message}");
    };
    row(&mut out, ["Type", "Reason", "Age", "From", "Message"]);
    row(&mut out, ["----", "------", "----", "----", "-------"]);
    for event in events {
        let string = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let last = string("/lastTimestamp").or_else(|| string("/eventTime"));
        let count = event["count"].as_i64().or_else(|| event.pointer("/series/count").and_then(Value::as_i64));
        let mut age = api::time::age(last, now);
        if let Some(count) = count.filter(|count| *count > 1) {
            age = format!("{age} (x{count} over {})", api::time::age(string("/firstTimestamp"), now));
        }
        let from = string("/source/component").or_else(|| string("/reportingComponent")).unwrap_or_default();
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        row(&mut out, [&text("type"), &text("reason"), &age, from, text("message").trim()]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_read_well() {
        let object = json!({"kind": "Pod", "metadata": {"name": "web", "namespace": "a", "labels": {"x": "y"}},
            "spec": {"containers": [{"name": "c", "image": "i", "args": ["1", "2"]}]}, "status": {"podIP": "10.0.0.1"}});
        let text = describe(&object);
        for expected in [
            "Name:                    web\n",
            "Labels:                  x=y\n",
            "    c:\n",
            "Image:             i\n",
            "Args:              1, 2\n",
            "Pod IP:                10.0.0.1\n",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
        let secret = json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}});
        assert!(describe(&secret).contains("k:  6 bytes") && !describe(&secret).contains("c2VjcmV0"));
    }
}
