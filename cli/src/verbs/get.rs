//! `get`: tables as the server makes them, or objects as they are.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use api::jsonpath::JsonPath;
use api::table::{PrintOptions, Printer};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::output::{line, note, text};
use crate::session::{Connection, Session};
use crate::target::{Target, encode, parse};
use crate::{watch, yaml};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

#[derive(Debug, clap::Args)]
pub struct Get {
    /// Kinds and names: `pods`, `pod web-0`, `deploy/web svc/web`, `all`
    #[arg(required = true)]
    what: Vec<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only objects with these field values
    #[arg(long)]
    field_selector: Option<String>,
    /// wide, yaml, json, name, jsonpath=TEMPLATE
    #[arg(short, long)]
    output: Option<String>,
    /// Go on showing changes
    #[arg(short, long)]
    watch: bool,
    #[arg(long)]
    show_labels: bool,
    /// A column for the value of this label
    #[arg(short = 'L', long)]
    label_columns: Vec<String>,
    #[arg(long)]
    no_headers: bool,
    /// No error when a named object does not exist
    #[arg(long)]
    ignore_not_found: bool,
}

enum Format {
    Table { wide: bool },
    Yaml,
    Json,
    Name,
    JsonPath(JsonPath),
}

impl Format {
    fn parse(text: Option<&str>) -> Result<Self> {
        Ok(match text {
            None => Self::Table { wide: false },
            Some("wide") => Self::Table { wide: true },
            Some("yaml") => Self::Yaml,
            Some("json") => Self::Json,
            Some("name") => Self::Name,
            Some(other) => match other.strip_prefix("jsonpath=") {
                Some(template) => {
                    let parsed = JsonPath::parse(template);
                    Self::JsonPath(
                        parsed.with_context(|| format!("error parsing jsonpath {template}"))?.allow_missing_keys(true),
                    )
                }
                None => bail!(
                    "unable to match a printer suitable for the output format {other:?}, allowed formats are: \
                     json,jsonpath=,name,wide,yaml"
                ),
            },
        })
    }
}

impl Get {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let format = Format::parse(self.output.as_deref())?;
        let session = Session::open(connection).await?;
        let targets = parse(&session, &self.what).await?;
        let by_category = targets.len() > 1 || targets.iter().any(|target| target.names.len() > 1);
        if self.all_namespaces && targets.iter().any(|target| !target.names.is_empty()) {
            bail!("a resource cannot be retrieved by name across all namespaces");
        }
        if self.watch {
            let [target] = targets.as_slice() else { bail!("you may only specify a single resource type to watch") };
            return self.watch(&session, target, &format).await;
        }
        match format {
            Format::Table { wide } => self.tables(&session, &targets, wide, by_category).await,
            _ => self.objects(&session, &targets, &format).await,
        }
    }

    fn path(&self, session: &Session, target: &Target, name: Option<&str>) -> String {
        let namespace = (!self.all_namespaces).then_some(session.namespace.as_str());
        target.resource.path(namespace, name)
    }

    fn query(&self, extra: &[(&str, &str)]) -> String {
        let mut parts: Vec<String> = extra.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
        parts.extend(self.selector.iter().map(|selector| format!("labelSelector={}", encode(selector))));
        parts.extend(self.field_selector.iter().map(|selector| format!("fieldSelector={}", encode(selector))));
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }

    fn printing(&self, target: &Target, wide: bool, with_kind: bool) -> PrintOptions {
        let prefix = target.resource.display("");
        PrintOptions {
            no_headers: self.no_headers,
            wide,
            with_namespace: self.all_namespaces && target.resource.namespaced,
            show_labels: self.show_labels,
            label_columns: self.label_columns.clone(),
            kind_prefix: with_kind.then(|| prefix.trim_end_matches('/').to_owned()),
        }
    }

    async fn tables(&self, session: &Session, targets: &[Target], wide: bool, with_kind: bool) -> Result<ExitCode> {
        let (mut shown, mut failed) = (false, false);
        for target in targets {
            let mut printer = Printer::new(self.printing(target, wide, with_kind && targets.len() > 1));
            let paths: Vec<String> = match target.names.as_slice() {
                [] => vec![self.path(session, target, None) + &self.query(&[])],
                names => names.iter().map(|name| self.path(session, target, Some(name))).collect(),
            };
            let mut out = String::new();
            for path in paths {
                match session.call_accepting("GET", &path, None, TABLE).await {
                    Ok(table) => out.push_str(&printer.print(&table, None)),
                    Err(error) if error.is_not_found() && self.ignore_not_found => {}
                    Err(error) => {
                        failed = true;
                        note(format_args!("{error}"));
                    }
                }
            }
            if !out.is_empty() {
                if shown && targets.len() > 1 {
                    line(format_args!(""));
                }
                shown = true;
                text(&out);
            }
        }
        let by_name = targets.iter().any(|target| !target.names.is_empty());
        if !shown && !failed && !by_name {
            let namespaced = targets.iter().any(|target| target.resource.namespaced) && !self.all_namespaces;
            let place = if namespaced { format!(" in {} namespace", session.namespace) } else { String::new() };
            note(format_args!("No resources found{place}."));
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn objects(&self, session: &Session, targets: &[Target], format: &Format) -> Result<ExitCode> {
        let mut items = Vec::new();
        let mut single = false;
        for target in targets {
            single = targets.len() == 1 && target.names.len() == 1;
            for name in &target.names {
                match session.get(&self.path(session, target, Some(name))).await {
                    Err(error) if error.is_not_found() && self.ignore_not_found => {}
                    answer => items.push(answer?),
                }
            }
            if target.names.is_empty() {
                let list = session.get(&(self.path(session, target, None) + &self.query(&[]))).await?;
                let (kind, api_version) = (target.resource.kind.clone(), target.resource.api_version());
                items.extend(list["items"].as_array().cloned().unwrap_or_default().into_iter().map(|mut item| {
                    item["kind"] = kind.clone().into();
                    item["apiVersion"] = api_version.clone().into();
                    item
                }));
            }
        }
        if single && items.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        if let Format::Name = format {
            for item in &items {
                line(format_args!("{}", self.name_of(targets, item)));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let whole = match single {
            true => items.remove(0),
            false => json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}),
        };
        show(&whole, format)?;
        Ok(ExitCode::SUCCESS)
    }

    fn name_of(&self, targets: &[Target], item: &Value) -> String {
        let name = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let target = targets.iter().find(|target| item["kind"] == target.resource.kind.as_str());
        target.map_or_else(|| name.to_owned(), |target| target.resource.display(name))
    }

    async fn watch(&self, session: &Session, target: &Target, format: &Format) -> Result<ExitCode> {
        let name = match target.names.as_slice() {
            [] => None,
            [name] => Some(format!("metadata.name={name}")),
            _ => bail!("you may only specify a single object to watch"),
        };
        let (wide, as_table) = match format {
            Format::Table { wide } => (*wide, true),
            _ => (false, false),
        };
        let accept = if as_table { TABLE } else { "application/json" };
        let mut printer = Printer::new(self.printing(target, wide, false));
        let selector: Vec<(&str, &str)> = name.iter().map(|name| ("fieldSelector", name.as_str())).collect();
        let base = self.path(session, target, None);
        let list = session.call_accepting("GET", &(base.clone() + &self.query(&selector)), None, accept).await?;
        match as_table {
            true => text(&printer.print(&list, None)),
            false => list["items"].as_array().into_iter().flatten().try_for_each(|item| show(item, format))?,
        }
        let mut revision = list.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or("0").to_owned();
        loop {
            let mut query = vec![("watch", "1"), ("allowWatchBookmarks", "1"), ("resourceVersion", revision.as_str())];
            query.extend(selector.iter().copied());
            let path = base.clone() + &self.query(&query);
            let mut events = std::pin::pin!(watch::events(session, &path, accept).await?);
            let mut latest = revision.clone();
            while let Some(event) = events.next().await {
                let event = event?;
                let metadata = match as_table {
                    true => {
                        event.object.pointer("/rows/0/object/metadata").or_else(|| event.object.pointer("/metadata"))
                    }
                    false => event.object.pointer("/metadata"),
                };
                if let Some(seen) = metadata.and_then(|metadata| metadata["resourceVersion"].as_str()) {
                    seen.clone_into(&mut latest);
                }
                match event.kind.as_str() {
                    "BOOKMARK" => {}
                    "ERROR" => bail!("{}", event.object["message"].as_str().unwrap_or("the watch ended")),
                    _ if as_table => text(&printer.print(&event.object, None)),
                    _ => show(&event.object, format)?,
                }
            }
            // The server ends each watch after a while: go on from where it was.
            revision = latest;
        }
    }
}

fn show(object: &Value, format: &Format) -> Result<()> {
    // kubectl hides who set which field unless asked.
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    match format {
        Format::Json => line(format_args!("{}", serde_json::to_string_pretty(&object)?)),
        Format::JsonPath(path) => text(&path.render(&object)?),
        Format::Name | Format::Yaml | Format::Table { .. } => text(&yaml::to_string(&object)?),
    }
    Ok(())
}
