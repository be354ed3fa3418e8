//! `apply`: what was applied last, what the manifest says and what is there become one patch (kubectl's client-side apply).

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use api::gvk::GroupVersionKind;
use api::patch::{merge, strategic};
use api::schema::SchemaSet;
use serde_json::{Value, json};

use super::Applied;
use crate::manifests::{self, Document};
use crate::output::line;
use crate::session::{ApiError, Connection, Session};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const MANAGER: &str = "setpoint-client-side-apply";

#[derive(Debug, clap::Args)]
pub struct Apply {
    /// Files or folders with manifests, or - for standard input
    #[arg(short, long, required = true)]
    filename: Vec<PathBuf>,
    /// Also the folders below a folder
    #[arg(short = 'R', long)]
    recursive: bool,
    /// `server`: ask the server what would happen, and change nothing
    #[arg(long, value_parser = ["none", "server"], default_value = "none")]
    dry_run: String,
    /// What the server does with unknown fields: strict, warn or ignore
    #[arg(long, value_parser = ["strict", "warn", "ignore", "true", "false"], default_value = "strict")]
    validate: String,
}

impl Apply {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let documents = manifests::read(&self.filename, self.recursive)?;
        let options = Options { dry_run: self.dry_run == "server", validation: validation(&self.validate) };
        let mut failed = false;
        for document in documents {
            // One bad object does not keep the others from being applied.
            match apply(&session, document, options).await {
                Ok((_, text)) => line(format_args!("{text}")),
                Err(error) => {
                    failed = true;
                    crate::output::note(format_args!("{}", crate::words(&error)));
                }
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Applies files and stops at the first error. `report` hears of each object.
pub async fn apply_files(session: &Session, files: &[PathBuf], report: &dyn Fn(&str)) -> Result<Vec<Applied>> {
    let options = Options { dry_run: false, validation: "Strict" };
    let mut applied = Vec::new();
    for document in manifests::read(files, false)? {
        let (object, text) = apply(session, document, options).await?;
        report(&text);
        applied.push(object);
    }
    Ok(applied)
}

#[derive(Clone, Copy)]
struct Options {
    dry_run: bool,
    validation: &'static str,
}

impl Options {
    fn query(self) -> String {
        let dry_run = if self.dry_run { "&dryRun=All" } else { "" };
        format!("fieldManager={MANAGER}&fieldValidation={}{dry_run}", self.validation)
    }

    fn suffix(self) -> &'static str {
        if self.dry_run { " (server dry run)" } else { "" }
    }
}

fn validation(flag: &str) -> &'static str {
    match flag {
        "warn" => "Warn",
        "ignore" | "false" => "Ignore",
        _ => "Strict",
    }
}

async fn apply(session: &Session, document: Document, options: Options) -> Result<(Applied, String)> {
    let Document { source, object } = document;
    let (target, modified) = locate(session, &source, object).await?;
    let name = target.resource.display(&target.name);
    let path = target.resource.path(Some(&target.namespace), Some(&target.name));
    let current = match session.get(&path).await {
        Ok(current) => current,
        Err(error) if error.is_not_found() => {
            create(session, &target, &modified, options).await?;
            return Ok((target, format!("{name} created{}", options.suffix())));
        }
        Err(error) => return Err(error).with_context(|| format!("get {name}")),
    };
    let annotation = format!("/metadata/annotations/{}", LAST_APPLIED.replace('/', "~1"));
    let original = current.pointer(&annotation).and_then(Value::as_str).unwrap_or("{}");
    let original: Value = serde_json::from_str(original).context("read the last applied configuration")?;
    let kind = GroupVersionKind::new(&target.resource.group, &target.resource.version, &target.resource.kind);
    let facts = SchemaSet::builtin();
    let (content_type, patch) = match facts.of_kind(&kind) {
        Some(ty) => {
            let patch = strategic::three_way(facts, ty, &original, &modified, &current);
            ("application/strategic-merge-patch+json", patch.with_context(|| format!("make a patch of {name}"))?)
        }
        None => ("application/merge-patch+json", merge::three_way(&original, &modified, &current)),
    };
    if patch == json!({}) {
        return Ok((target, format!("{name} unchanged{}", options.suffix())));
    }
    let body = Some((content_type, patch.to_string().into_bytes()));
    let answer = session.call("PATCH", &format!("{path}?{}", options.query()), body).await?;
    // A dry run never changes the revision.
    let revision = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
    let same = !options.dry_run && revision(&answer) == revision(&current);
    let what = if same { "unchanged" } else { "configured" };
    Ok((target, format!("{name} {what}{}", options.suffix())))
}

async fn create(session: &Session, target: &Applied, object: &Value, options: Options) -> Result<(), ApiError> {
    let path = format!("{}?{}", target.resource.path(Some(&target.namespace), None), options.query());
    session.call("POST", &path, Some(("application/json", object.to_string().into_bytes()))).await.map(drop)
}

/// Which object a document means, and the document with its namespace and the annotation that remembers it.
async fn locate(session: &Session, source: &str, mut object: Value) -> Result<(Applied, Value)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let found = session.catalogue().await?.of_kind(&api_version, &kind).cloned();
    let resource = found.with_context(|| {
        format!(
            "resource mapping not found for name: {:?} namespace: {:?} from {source:?}: no matches for kind {kind:?} in \
             version {api_version:?}\nensure CRDs are installed first",
            text(&object["metadata"]["name"]),
            text(&object["metadata"]["namespace"]),
        )
    })?;
    let name = text(&object["metadata"]["name"]);
    if name.is_empty() {
        bail!("error when retrieving current configuration of {kind} from {source:?}: resource name may not be empty");
    }
    let mut namespace = String::new();
    if resource.namespaced {
        namespace = text(&object["metadata"]["namespace"]);
        if namespace.is_empty() {
            namespace.clone_from(&session.namespace);
            object["metadata"]["namespace"] = namespace.as_str().into();
        }
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    } else if object["metadata"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    let remembered = format!("{object}\n");
    object["metadata"]["annotations"][LAST_APPLIED] = remembered.into();
    Ok((Applied { resource, namespace, name }, object))
}
