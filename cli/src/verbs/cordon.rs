//! `cordon` and `uncordon`: whether new pods may come to a node.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::output::{line, note};
use crate::session::{Connection, Session};
use crate::target::encode;

/// Which nodes, and whether it is meant.
#[derive(Debug, clap::Args)]
pub struct Nodes {
    /// Names of nodes
    names: Vec<String>,
    /// Nodes with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// `client`: say what would be done; `server`: ask the server, and change nothing
    #[arg(long, value_parser = ["none", "client", "server"], default_value = "none")]
    pub dry_run: String,
}

#[derive(Debug, clap::Args)]
pub struct Cordon {
    #[command(flatten)]
    nodes: Nodes,
}

#[derive(Debug, clap::Args)]
pub struct Uncordon {
    #[command(flatten)]
    nodes: Nodes,
}

impl Cordon {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        run(&self.nodes, connection, true).await
    }
}

impl Uncordon {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        run(&self.nodes, connection, false).await
    }
}

async fn run(nodes: &Nodes, connection: &Connection, wanted: bool) -> Result<ExitCode> {
    let session = Session::open(connection).await?;
    let found = nodes.find(&session, if wanted { "cordon" } else { "uncordon" }).await?;
    set(&session, &found, wanted, &nodes.dry_run).await;
    Ok(ExitCode::SUCCESS)
}

impl Nodes {
    pub async fn find(&self, session: &Session, verb: &str) -> Result<Vec<Value>> {
        if let Some(selector) = &self.selector {
            if !self.names.is_empty() {
                bail!("error: cannot specify both a node name and a --selector option");
            }
            let list = session.get(&format!("/api/v1/nodes?labelSelector={}", encode(selector))).await?;
            return Ok(list["items"].as_array().cloned().unwrap_or_default());
        }
        if self.names.is_empty() {
            bail!("USAGE: {verb} NODE [flags]");
        }
        let mut found = Vec::new();
        for name in &self.names {
            let name = name.strip_prefix("node/").or_else(|| name.strip_prefix("nodes/")).unwrap_or(name);
            found.push(session.get(&format!("/api/v1/nodes/{name}")).await?);
        }
        Ok(found)
    }
}

/// What is printed behind what was not done for good.
pub fn dry_run_suffix(dry_run: &str) -> &'static str {
    match dry_run {
        "client" => " (dry run)",
        "server" => " (server dry run)",
        _ => "",
    }
}

/// Failures are told and do not keep the other nodes from being changed.
pub async fn set(session: &Session, nodes: &[Value], wanted: bool, dry_run: &str) {
    let suffix = dry_run_suffix(dry_run);
    let word = if wanted { "cordoned" } else { "uncordoned" };
    for node in nodes {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        if node["spec"]["unschedulable"].as_bool().unwrap_or(false) == wanted {
            line(format_args!("node/{name} already {word}{suffix}"));
            continue;
        }
        if dry_run != "client" {
            let query = if dry_run == "server" { "?dryRun=All" } else { "" };
            let wanted = if wanted { json!(true) } else { Value::Null };
            let patch = json!({"spec": {"unschedulable": wanted}}).to_string().into_bytes();
            let path = format!("/api/v1/nodes/{name}{query}");
            let body = Some(("application/strategic-merge-patch+json", patch));
            if let Err(error) = session.call("PATCH", &path, body).await {
                let verb = word.trim_end_matches("ed");
                note(format_args!("error: unable to {verb} node {name:?}: {}", error.message()));
                continue;
            }
        }
        line(format_args!("node/{name} {word}{suffix}"));
    }
}
