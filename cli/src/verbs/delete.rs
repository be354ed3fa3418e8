//! `delete`: asks for deletion and waits until the objects are gone.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::output::{line, note};
use crate::resources::Resource;
use crate::session::{Connection, Session};
use crate::target::{encode, parse};
use crate::{manifests, watch};

#[derive(Debug, clap::Args)]
pub struct Delete {
    /// Kinds and names: `pod web-0`, `deploy/web svc/web`
    what: Vec<String>,
    /// The objects of these manifests
    #[arg(short, long)]
    filename: Vec<PathBuf>,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// All objects of the kinds in the namespace
    #[arg(long)]
    all: bool,
    /// Seconds the objects get to end; negative means their own choice
    #[arg(long, default_value_t = -1)]
    grace_period: i64,
    /// Delete at once, with --grace-period=0, without waiting for the node
    #[arg(long)]
    force: bool,
    /// Delete with a grace period of one second
    #[arg(long)]
    now: bool,
    /// Wait until the objects are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    wait: bool,
    /// What happens to dependants: background, foreground or orphan
    #[arg(long, value_parser = ["background", "foreground", "orphan"], default_value = "background")]
    cascade: String,
    #[arg(long)]
    ignore_not_found: bool,
    /// Longest time to wait, such as 30s; 0 means as long as it takes
    #[arg(long, default_value = "0s")]
    timeout: String,
}

impl Delete {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let timeout = super::duration(&self.timeout)?;
        let mut deleted = Vec::new();
        let mut failed = false;
        for (resource, namespace, name) in self.objects(&session).await? {
            let path = resource.path(Some(&namespace), Some(&name));
            match session
                .call("DELETE", &path, Some(("application/json", self.options().to_string().into_bytes())))
                .await
            {
                Ok(answer) => {
                    let verb = if self.force { "force deleted" } else { "deleted" };
                    line(format_args!("{} {verb}", resource.display(&name).replacen('/', " \"", 1) + "\""));
                    let uid = answer.pointer("/metadata/uid").or_else(|| answer.pointer("/details/uid"));
                    let uid = uid.and_then(Value::as_str).unwrap_or_default().to_owned();
                    deleted.push((resource, namespace, name, uid));
                }
                Err(error)
                    if error.is_not_found() && (self.ignore_not_found || self.selector.is_some() || self.all) => {}
                Err(error) => {
                    failed = true;
                    note(format_args!("{error}"));
                }
            }
        }
        if self.wait && !self.force {
            let gone = async {
                for (resource, namespace, name, uid) in &deleted {
                    wait_gone(&session, resource, namespace, name, uid).await?;
                }
                anyhow::Ok(())
            };
            match timeout {
                Some(limit) => {
                    tokio::time::timeout(limit, gone).await.context("timed out waiting for the condition")??
                }
                None => gone.await?,
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn options(&self) -> Value {
        let policy = match self.cascade.as_str() {
            "foreground" => "Foreground",
            "orphan" => "Orphan",
            _ => "Background",
        };
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        let grace = if self.now { 1 } else { self.grace_period };
        if self.force && !self.now {
            options["gracePeriodSeconds"] = 0.into();
        } else if grace >= 0 {
            options["gracePeriodSeconds"] = grace.into();
        }
        options
    }

    /// What to delete, in order.
    async fn objects(&self, session: &Session) -> Result<Vec<(Resource, String, String)>> {
        let mut objects = Vec::new();
        if !self.filename.is_empty() {
            for document in manifests::read(&self.filename, false)? {
                let text = |pointer: &str| document.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                let (version, kind) = (text("/apiVersion"), text("/kind"));
                let resource = session.catalogue().await?.of_kind(version, kind).cloned();
                let resource =
                    resource.with_context(|| format!("no matches for kind {kind:?} in version {version:?}"))?;
                let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
                let namespace = namespace.unwrap_or(&session.namespace).to_owned();
                objects.push((resource, namespace, text("/metadata/name").to_owned()));
            }
            return Ok(objects);
        }
        for target in parse(session, &self.what).await? {
            let mut names = target.names;
            if names.is_empty() {
                if !self.all && self.selector.is_none() {
                    bail!("resource(s) were provided, but no name was specified");
                }
                let query = self.selector.as_ref().map(|selector| format!("?labelSelector={}", encode(selector)));
                let path = target.resource.path(Some(&session.namespace), None) + &query.unwrap_or_default();
                let list = session.get(&path).await?;
                let found = list["items"].as_array().into_iter().flatten();
                names = found.filter_map(|item| Some(item.pointer("/metadata/name")?.as_str()?.to_owned())).collect();
            }
            let namespace = session.namespace.clone();
            objects.extend(names.into_iter().map(|name| (target.resource.clone(), namespace.clone(), name)));
        }
        Ok(objects)
    }
}

/// Until the object is gone, or another one has its name.
async fn wait_gone(session: &Session, resource: &Resource, namespace: &str, name: &str, uid: &str) -> Result<()> {
    let gone = |object: Option<&Value>| match object {
        None => Some(()),
        Some(object) => {
            let current = object.pointer("/metadata/uid").and_then(Value::as_str);
            (!uid.is_empty() && current != Some(uid)).then_some(())
        }
    };
    watch::until(session, resource, namespace, name, gone).await
}
