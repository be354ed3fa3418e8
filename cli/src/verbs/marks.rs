//! What `label` and `annotate` have in common: words that name objects, then changes of the form `key=value` and `key-`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::manifests;
use crate::output::line;
use crate::resources::Resource;
use crate::session::Session;
use crate::target::{encode, parse};

/// The flags of both verbs.
#[derive(Debug, clap::Args)]
pub struct Marks {
    /// What to change and how: `pod web-0 tier=front old-`, `node/a zone=1`
    words: Vec<String>,
    /// The objects of these manifests
    #[arg(short, long)]
    filename: Vec<PathBuf>,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Objects with these fields
    #[arg(long)]
    field_selector: Option<String>,
    /// All objects of the kinds in the namespace
    #[arg(long)]
    all: bool,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Change what has another value already
    #[arg(long)]
    overwrite: bool,
    /// Show what is there
    #[arg(long)]
    list: bool,
    /// Only if the object has this version
    #[arg(long)]
    resource_version: Option<String>,
    /// `client`: say what would be sent; `server`: ask the server, and change nothing
    #[arg(long, value_parser = ["none", "client", "server"], default_value = "none")]
    dry_run: String,
}

/// What tells the verbs apart.
pub struct Family {
    /// Below `metadata`.
    pub field: &'static str,
    /// `label`, `annotation`.
    pub noun: &'static str,
    pub parse: fn(&[String]) -> Result<Changes>,
    /// What to say of keys that have another value; `key already has a value` each.
    pub refuse: fn(&[String]) -> String,
    /// From the object's JSON before and after.
    pub outcome: fn(&str, &str, bool) -> &'static str,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub set: Vec<(String, String)>,
    pub remove: Vec<String>,
}

impl Marks {
    pub async fn run(self, session: &Session, family: &Family) -> Result<()> {
        let (objects, words) = split(&self.words, family.noun)?;
        let changes = (family.parse)(&words)?;
        if self.all && (self.selector.is_some() || self.field_selector.is_some()) {
            let other = if self.selector.is_some() { "selector" } else { "field-selector" };
            bail!("cannot set --all and --{other} at the same time");
        }
        if objects.is_empty() && self.filename.is_empty() {
            bail!("one or more resources must be specified as <resource> <name> or <resource>/<name>");
        }
        if changes == Changes::default() && !self.list {
            bail!("at least one {} update is required", family.noun);
        }
        let objects = self.objects(session, &objects).await?;
        if objects.len() != 1 && self.resource_version.is_some() {
            bail!("--resource-version may only be used with a single resource");
        }
        let alone = objects.len() == 1;
        for (resource, object) in &objects {
            match self.list {
                true => list(resource, object, family, alone),
                false => self.change(session, family, &changes, resource, object).await?,
            }
        }
        Ok(())
    }

    async fn objects(&self, session: &Session, words: &[String]) -> Result<Vec<(Resource, Value)>> {
        let mut found = Vec::new();
        // Reading nothing is an error of `apply`.
        let documents = if self.filename.is_empty() { Vec::new() } else { manifests::read(&self.filename, false)? };
        for document in documents {
            let text = |pointer: &str| document.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (version, kind) = (text("/apiVersion"), text("/kind"));
            let resource = session.catalogue().await?.of_kind(version, kind).cloned();
            let resource = resource.with_context(|| format!("no matches for kind {kind:?} in version {version:?}"))?;
            let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
            let path = resource.path(Some(namespace.unwrap_or(&session.namespace)), Some(text("/metadata/name")));
            found.push((resource, session.get(&path).await?));
        }
        if words.is_empty() {
            return Ok(found);
        }
        let namespace = (!self.all_namespaces).then_some(session.namespace.as_str());
        for target in parse(session, words).await? {
            for name in &target.names {
                let path = target.resource.path(Some(&session.namespace), Some(name));
                found.push((target.resource.clone(), session.get(&path).await?));
            }
            if !target.names.is_empty() {
                continue;
            }
            if !self.all && self.selector.is_none() && self.field_selector.is_none() && !self.list {
                bail!("resource(s) were provided, but no name was specified");
            }
            let query = [("labelSelector", &self.selector), ("fieldSelector", &self.field_selector)];
            let query: Vec<String> =
                query.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(value.as_ref()?)))).collect();
            let list = session.get(&format!("{}?{}", target.resource.path(namespace, None), query.join("&"))).await?;
            let items = list["items"].as_array().cloned().unwrap_or_default();
            found.extend(items.into_iter().map(|item| (target.resource.clone(), item)));
        }
        Ok(found)
    }

    async fn change(
        &self,
        session: &Session,
        family: &Family,
        changes: &Changes,
        resource: &Resource,
        object: &Value,
    ) -> Result<()> {
        let current = object["metadata"][family.field].as_object().cloned().unwrap_or_default();
        if !self.overwrite {
            let taken = declared(&current, changes);
            if !taken.is_empty() {
                bail!("{}", (family.refuse)(&taken));
            }
        }
        for key in changes.remove.iter().filter(|key| family.noun == "label" && !current.contains_key(*key)) {
            line(format_args!("label {key:?} not found."));
        }
        let mut patch = patch(family.field, changes);
        let mut after = object.clone();
        json_patch::merge(&mut after, &patch);
        let outcome = (family.outcome)(&object.to_string(), &after.to_string(), self.overwrite);
        if let Some(version) = &self.resource_version {
            patch["metadata"]["resourceVersion"] = version.as_str().into();
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let suffix = match self.dry_run.as_str() {
            "client" => " (dry run)",
            "server" => " (server dry run)",
            _ => "",
        };
        if self.dry_run != "client" {
            let namespace = object["metadata"]["namespace"].as_str();
            let mut path = resource.path(namespace, Some(name)) + "?fieldManager=setpoint-" + family.noun;
            if self.dry_run == "server" {
                path.push_str("&dryRun=All");
            }
            let body = Some(("application/merge-patch+json", patch.to_string().into_bytes()));
            session.call("PATCH", &path, body).await?;
        }
        line(format_args!("{} {outcome}{suffix}", resource.display(name)));
        Ok(())
    }
}

fn list(resource: &Resource, object: &Value, family: &Family, alone: bool) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if !alone {
        line(format_args!("Listing {}s for {}.{}/{name}:", family.noun, resource.kind, resource.group));
    }
    for (key, value) in object["metadata"][family.field].as_object().into_iter().flatten() {
        let indent = if alone { "" } else { " " };
        line(format_args!("{indent}{key}={}", value.as_str().unwrap_or_default()));
    }
}

/// Words that name objects, then changes.
pub fn split(words: &[String], noun: &str) -> Result<(Vec<String>, Vec<String>)> {
    let is_change = |word: &String| word.find('=').is_some_and(|at| at > 0) || (word.ends_with('-') && word != "-");
    let objects = words.iter().take_while(|word| !is_change(word)).count();
    let (objects, changes) = words.split_at(objects);
    if let Some(word) = changes.iter().find(|word| !is_change(word)) {
        bail!("all resources must be specified before {noun} changes: {word}");
    }
    Ok((objects.to_vec(), changes.to_vec()))
}

/// Keys that have another value than the wanted one, as kubectl tells them.
fn declared(current: &Map<String, Value>, changes: &Changes) -> Vec<String> {
    let taken = changes.set.iter().filter_map(|(key, wanted)| {
        let value = current.get(key)?.as_str()?;
        (value != wanted).then(|| format!("'{key}' already has a value ({value})"))
    });
    taken.collect()
}

fn patch(field: &str, changes: &Changes) -> Value {
    let set = changes.set.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    let remove = changes.remove.iter().map(|key| (key.clone(), Value::Null));
    json!({"metadata": {field: set.chain(remove).collect::<Map<_, _>>()}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_before_changes() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let split = |text: &str| split(&words(text), "label").map_err(|error| error.to_string());
        assert_eq!(split("pods a b x=1 y-"), Ok((words("pods a b"), words("x=1 y-"))));
        assert_eq!(split("pods =x"), Ok((words("pods =x"), vec![])), "a name, however odd");
        let late = "all resources must be specified before label changes: b";
        assert_eq!(split("pods x=1 b"), Err(late.to_owned()));
    }

    #[test]
    fn other_values_are_not_overwritten() {
        let current = json!({"a": "1", "b": "2"});
        let set = |pairs: &[(&str, &str)]| Changes {
            set: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            remove: vec!["c".into()],
        };
        let current = current.as_object().unwrap();
        assert_eq!(declared(current, &set(&[("a", "1"), ("c", "3")])), Vec::<String>::new());
        assert_eq!(declared(current, &set(&[("a", "9")])), ["'a' already has a value (1)"]);
        assert_eq!(patch("labels", &set(&[("a", "9")])), json!({"metadata": {"labels": {"a": "9", "c": null}}}));
    }
}
