//! `wait`: until objects have a condition, a value, or are gone.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use api::jsonpath::{JsonPath, relaxed};
use serde_json::Value;

use crate::output::line;
use crate::session::{Connection, Session};
use crate::target::{encode, parse};
use crate::watch;

#[derive(Debug, clap::Args)]
pub struct Wait {
    /// Kinds and names: `pod web-0`, `deploy/web`
    #[arg(required = true)]
    what: Vec<String>,
    /// create, delete, condition=NAME[=VALUE] or jsonpath={PATH}=VALUE
    #[arg(long = "for", required = true)]
    wanted: String,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// All objects of the kind in the namespace
    #[arg(long)]
    all: bool,
    /// Longest time to wait for each object
    #[arg(long, default_value = "30s")]
    timeout: String,
}

enum Wanted {
    Create,
    Delete,
    Condition { name: String, value: String },
    JsonPath { path: JsonPath, value: Option<String> },
}

impl Wanted {
    fn parse(text: &str) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("condition=") {
            let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
            return Ok(Self::Condition { name: name.to_lowercase(), value: value.to_lowercase() });
        }
        if let Some(rest) = text.strip_prefix("jsonpath=") {
            let end = rest.rfind('}').map_or(rest.len(), |at| at + 1);
            let (path, value) = rest.split_at(end);
            let path = relaxed(path.trim_matches('\'')).and_then(|path| JsonPath::parse(&path));
            let value = value.trim_start_matches('\'').strip_prefix('=').map(str::to_owned);
            return Ok(Self::JsonPath { path: path.context("read the jsonpath")?.allow_missing_keys(true), value });
        }
        match text {
            "create" => Ok(Self::Create),
            "delete" => Ok(Self::Delete),
            _ => bail!("unrecognized condition: {text:?}"),
        }
    }

    /// The word for the line that says it is met.
    fn met(&self, object: Option<&Value>) -> Option<&'static str> {
        match (self, object) {
            (Self::Create, Some(_)) => Some("condition met"),
            (Self::Delete, None) => Some("deleted"),
            (Self::Condition { name, value }, Some(object)) => {
                let generation = object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
                let conditions = object.pointer("/status/conditions").and_then(Value::as_array)?;
                let found = conditions.iter().find(|condition| text(&condition["type"]).to_lowercase() == *name)?;
                let current = found["observedGeneration"].as_i64().is_none_or(|seen| seen >= generation);
                (current && text(&found["status"]).to_lowercase() == *value).then_some("condition met")
            }
            (Self::JsonPath { path, value }, Some(object)) => {
                let is = path.render(object).ok()?;
                let met = value.as_ref().map_or(!is.is_empty(), |wanted| *wanted == is);
                met.then_some("condition met")
            }
            _ => None,
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Wait {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let wanted = Wanted::parse(&self.wanted)?;
        let limit = super::duration(&self.timeout)?;
        let session = Session::open(connection).await?;
        let mut found = false;
        for target in parse(&session, &self.what).await? {
            let mut names = target.names;
            if names.is_empty() && (self.all || self.selector.is_some()) {
                let query = self.selector.as_ref().map(|selector| format!("?labelSelector={}", encode(selector)));
                let path = target.resource.path(Some(&session.namespace), None) + &query.unwrap_or_default();
                let list = session.get(&path).await?;
                let items = list["items"].as_array().into_iter().flatten();
                names = items.filter_map(|item| Some(item.pointer("/metadata/name")?.as_str()?.to_owned())).collect();
            }
            for name in names {
                found = true;
                let shown = target.resource.display(&name);
                if !matches!(wanted, Wanted::Create | Wanted::Delete) {
                    session.get(&target.resource.path(Some(&session.namespace), Some(&name))).await?;
                }
                let met =
                    watch::until(&session, &target.resource, &session.namespace, &name, |object| wanted.met(object));
                let word = match limit {
                    Some(limit) => tokio::time::timeout(limit, met)
                        .await
                        .map_err(|_| anyhow::anyhow!("timed out waiting for the condition on {shown}"))??,
                    None => met.await?,
                };
                line(format_args!("{shown} {word}"));
            }
        }
        if !found && !matches!(wanted, Wanted::Delete) {
            bail!("no matching resources found");
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_are_met_as_kubectl_sees_it() {
        let object = json!({"metadata": {"generation": 2}, "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "Old", "status": "True", "observedGeneration": 1}]}});
        let cases = [
            ("condition=ready", Some("condition met")),
            ("condition=Ready=False", None),
            ("condition=Old", None),
            ("jsonpath={.status.phase}=Running", Some("condition met")),
            ("jsonpath='{.status.phase}'=Pending", None),
            ("jsonpath={.status.nothing}", None),
            ("create", Some("condition met")),
            ("delete", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Wanted::parse(text).unwrap().met(Some(&object)), expected, "{text}");
        }
        assert_eq!(Wanted::parse("delete").unwrap().met(None), Some("deleted"));
        assert!(Wanted::parse("soon").is_err());
    }
}
