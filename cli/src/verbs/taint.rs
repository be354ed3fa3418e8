//! `taint`: sets and removes taints of nodes.

use std::process::ExitCode;

use anyhow::{Result, bail};
use api::names;
use serde_json::{Value, json};

use super::cordon::dry_run_suffix;
use crate::output::line;
use crate::session::{Connection, Session};
use crate::target::{encode, parse};

#[derive(Debug, clap::Args)]
pub struct Taint {
    /// Nodes and changes: `nodes a key=value:NoSchedule`, `node b key-`, `node b key:NoExecute-`
    #[arg(required = true)]
    words: Vec<String>,
    /// Nodes with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// All nodes
    #[arg(long)]
    all: bool,
    /// Change what is there already
    #[arg(long)]
    overwrite: bool,
    /// `client`: say what would be sent; `server`: ask the server, and change nothing
    #[arg(long, value_parser = ["none", "client", "server"], default_value = "none")]
    dry_run: String,
}

/// One change; without an effect it concerns all of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Change {
    key: String,
    value: String,
    effect: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Changes {
    add: Vec<Change>,
    remove: Vec<Change>,
}

impl Taint {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let (objects, words) = split(&self.words)?;
        let changes = changes(&words)?;
        let session = Session::open(connection).await?;
        let suffix = dry_run_suffix(&self.dry_run);
        for node in self.nodes(&session, &objects).await? {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
            let (outcome, new) = apply(name, &taints, &changes, self.overwrite)?;
            if self.dry_run != "client" {
                let mut path = format!("/api/v1/nodes/{name}?fieldManager=setpoint-taint");
                if self.dry_run == "server" {
                    path.push_str("&dryRun=All");
                }
                let new = if new.is_empty() { Value::Null } else { new.into() };
                // The version makes it a change of what was looked at.
                let version = &node["metadata"]["resourceVersion"];
                let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": new}});
                let body = Some(("application/merge-patch+json", patch.to_string().into_bytes()));
                session.call("PATCH", &path, body).await?;
            }
            line(format_args!("node/{name} {outcome}{suffix}"));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn nodes(&self, session: &Session, words: &[String]) -> Result<Vec<Value>> {
        if self.all && self.selector.is_some() {
            bail!("setting 'all' parameter with a non empty selector is prohibited");
        }
        let targets = parse(session, words).await?;
        if let Some(other) = targets.iter().find(|target| target.resource.kind != "Node") {
            bail!("invalid resource type {}, only node types are supported", other.resource.plural);
        }
        if self.all || self.selector.is_some() {
            let query = self.selector.as_ref().map(|selector| format!("?labelSelector={}", encode(selector)));
            let list = session.get(&format!("/api/v1/nodes{}", query.unwrap_or_default())).await?;
            return Ok(list["items"].as_array().cloned().unwrap_or_default());
        }
        let names: Vec<&String> = targets.iter().flat_map(|target| &target.names).collect();
        if names.is_empty() {
            bail!("at least one resource name must be specified since 'all' parameter is not set");
        }
        let mut nodes = Vec::new();
        for name in names {
            nodes.push(session.get(&format!("/api/v1/nodes/{name}")).await?);
        }
        Ok(nodes)
    }
}

/// Words that name nodes, then changes.
fn split(words: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let is_change = |word: &String| word.contains(['=', ':']) || word.ends_with('-');
    let objects = words.iter().take_while(|word| !is_change(word)).count();
    let (objects, changes) = words.split_at(objects);
    if let Some(word) = changes.iter().find(|word| !is_change(word)) {
        bail!("all resources must be specified before taint changes: {word}");
    }
    if objects.is_empty() {
        bail!("one or more resources must be specified as <resource> <name>");
    }
    if changes.is_empty() {
        bail!("at least one taint update is required");
    }
    Ok((objects.to_vec(), changes.to_vec()))
}

fn changes(words: &[String]) -> Result<Changes> {
    let mut changes = Changes::default();
    for word in words {
        match word.strip_suffix('-') {
            Some(word) => changes.remove.push(Change { value: String::new(), ..change(word)? }),
            None => {
                let new = change(word)?;
                if new.effect.is_empty() {
                    bail!("invalid taint spec: {word}");
                }
                if changes.add.iter().any(|other| other.key == new.key && other.effect == new.effect) {
                    let Change { key, value, effect } = new;
                    bail!("duplicated taints with the same key and effect: {{{key} {value} {effect} <nil>}}");
                }
                changes.add.push(new);
            }
        }
    }
    let clashes: Vec<String> = changes
        .add
        .iter()
        .flat_map(|add| changes.remove.iter().filter(|remove| removes(remove, &add.key, &add.effect)))
        .map(|remove| format!("{}={}", remove.key, remove.effect))
        .collect();
    if !clashes.is_empty() {
        bail!("can not both modify and remove the following taint(s) in the same command: {}", clashes.join(", "));
    }
    Ok(changes)
}

/// `key=value:effect`, `key:effect` or `key`.
fn change(text: &str) -> Result<Change> {
    let invalid = |problems: Vec<String>| match problems.is_empty() {
        true => Ok(()),
        false => bail!("invalid taint spec: {text}, {}", problems.join("; ")),
    };
    let (head, effect) = text.split_once(':').unwrap_or((text, ""));
    if effect.contains(':') {
        bail!("invalid taint spec: {text}");
    }
    let (mut key, mut value) = (head, "");
    if text.contains(':') {
        if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            bail!("invalid taint effect: {effect}, unsupported taint effect");
        }
        (key, value) = head.split_once('=').unwrap_or((head, ""));
        if value.contains('=') {
            bail!("invalid taint spec: {text}");
        }
        invalid(names::label_value(value))?;
    }
    invalid(names::qualified_name(key))?;
    Ok(Change { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
}

fn removes(remove: &Change, key: &str, effect: &str) -> bool {
    remove.key == key && (remove.effect.is_empty() || remove.effect == effect)
}

/// What became of a node's taints, in a word, and the new ones.
fn apply(node: &str, old: &[Value], changes: &Changes, overwrite: bool) -> Result<(&'static str, Vec<Value>)> {
    let text = |taint: &Value, field: &str| taint[field].as_str().unwrap_or_default().to_owned();
    let same = |taint: &Value, add: &Change| text(taint, "key") == add.key && text(taint, "effect") == add.effect;
    if !overwrite {
        let taken = changes.add.iter().filter(|add| old.iter().any(|taint| same(taint, add)));
        let taken: Vec<&str> = taken.map(|add| add.key.as_str()).collect();
        if !taken.is_empty() {
            let keys = taken.join(",");
            bail!("node {node} already has {keys} taint(s) with same effect(s) and --overwrite is false");
        }
    }
    let mut new: Vec<Value> = changes.add.iter().map(as_json).collect();
    new.extend(old.iter().filter(|taint| !changes.add.iter().any(|add| same(taint, add))).cloned());
    let added = new.len() != old.len();
    let mut removed = false;
    for remove in &changes.remove {
        let before = new.len();
        new.retain(|taint| !removes(remove, &text(taint, "key"), &text(taint, "effect")));
        removed = new.len() != before;
        if !removed {
            let effect = if remove.effect.is_empty() { String::new() } else { format!(":{}", remove.effect) };
            bail!("taint \"{}{effect}\" not found", remove.key);
        }
    }
    let outcome = match (added, removed) {
        (true, true) => "modified",
        _ if overwrite => "modified",
        (true, false) => "tainted",
        _ => "untainted",
    };
    Ok((outcome, new))
}

fn as_json(change: &Change) -> Value {
    match change.value.as_str() {
        "" => json!({"key": change.key, "effect": change.effect}),
        value => json!({"key": change.key, "value": value, "effect": change.effect}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn changes_are_read() {
        let table = [
            ("a", "invalid taint spec: a"),
            ("a=1", "invalid taint spec: a=1, "),
            ("a=1:Never", "invalid taint effect: Never, unsupported taint effect"),
            ("a=1=2:NoSchedule", "invalid taint spec: a=1=2:NoSchedule"),
            ("a:NoSchedule a=1:NoSchedule", "duplicated taints with the same key and effect: {a 1 NoSchedule <nil>}"),
            ("a:NoSchedule a-", "can not both modify and remove the following taint(s) in the same command: a="),
        ];
        for (text, message) in table {
            let error = changes(&words(text)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
        assert!(split(&words("nodes a")).unwrap_err().to_string().contains("at least one taint update"));
        assert_eq!(split(&words("nodes a k:NoSchedule")).unwrap().0, words("nodes a"));
    }

    #[test]
    fn taints_are_added_changed_and_removed() {
        let old =
            [json!({"key": "a", "value": "1", "effect": "NoSchedule"}), json!({"key": "b", "effect": "NoExecute"})];
        let table = [
            ("c=2:NoSchedule", false, Ok(("tainted", "c:2:NoSchedule a:1:NoSchedule b::NoExecute"))),
            (
                "a=2:NoSchedule",
                false,
                Err("node n already has a taint(s) with same effect(s) and --overwrite is false"),
            ),
            ("a=2:NoSchedule", true, Ok(("modified", "a:2:NoSchedule b::NoExecute"))),
            ("a-", false, Ok(("untainted", "b::NoExecute"))),
            ("a:NoExecute-", false, Err("taint \"a:NoExecute\" not found")),
            ("x-", false, Err("taint \"x\" not found")),
            ("c:NoExecute b-", false, Ok(("modified", "c::NoExecute a:1:NoSchedule"))),
        ];
        for (text, overwrite, expected) in table {
            let line = |taint: &Value| {
                let text = |field: &str| taint[field].as_str().unwrap_or_default();
                format!("{}:{}:{}", text("key"), text("value"), text("effect"))
            };
            let found = apply("n", &old, &changes(&words(text)).unwrap(), overwrite)
                .map(|(outcome, new)| (outcome, new.iter().map(line).collect::<Vec<_>>().join(" ")))
                .map_err(|error| error.to_string());
            let expected = expected.map(|(a, b)| (a, b.to_owned())).map_err(str::to_owned);
            assert_eq!(found, expected, "{text}");
        }
    }
}
