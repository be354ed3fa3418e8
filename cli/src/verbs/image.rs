//! `image`: the nodes' image stores, reached through the API server's node proxy.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use kube::client::Body;
use serde_json::Value;

use crate::output::{line, note};
use crate::session::{ApiError, Connection, Session};
use crate::target::encode;

#[derive(Debug, clap::Args)]
pub struct Image {
    /// Only this node [default: all nodes]
    #[arg(long, global = true)]
    node: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Bring images from archives: `docker save` or an OCI layout, plain or compressed
    Load {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List the images
    Ls,
    /// Remove images by reference or id
    Rm {
        #[arg(required = true)]
        references: Vec<String>,
    },
}

impl Image {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let nodes = match self.node {
            Some(node) => vec![node],
            None => {
                let list = session.get("/api/v1/nodes").await?;
                let items = list["items"].as_array().into_iter().flatten();
                items.filter_map(|node| Some(node.pointer("/metadata/name")?.as_str()?.to_owned())).collect()
            }
        };
        if nodes.is_empty() {
            bail!("the cluster has no nodes");
        }
        match self.action {
            Action::Load { files } => {
                for file in &files {
                    for node in &nodes {
                        load(&session, node, file).await?;
                    }
                }
            }
            Action::Ls => list(&session, &nodes).await?,
            Action::Rm { references } => {
                for reference in &references {
                    for node in &nodes {
                        remove(&session, node, reference).await?;
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn path(node: &str) -> String {
    format!("/api/v1/nodes/{node}/proxy/images")
}

async fn load(session: &Session, node: &str, file: &std::path::Path) -> Result<()> {
    // The client library sends only bodies that it has whole.
    let archive = tokio::fs::read(file).await.with_context(|| format!("read {}", file.display()))?;
    let body = Body::from(archive);
    let request = http::Request::post(path(node)).header("Content-Type", "application/x-tar").body(body)?;
    let response = session.client.send(request).await.map_err(ApiError::Unreachable)?;
    let ok = response.status().is_success();
    let bytes = response.into_body().collect_bytes().await.map_err(ApiError::Unreachable)?;
    if !ok {
        bail!("load {} on node {node}: {}", file.display(), message(&bytes));
    }
    let loaded: Value = serde_json::from_slice(&bytes).context("read the node's answer")?;
    for image in images(&loaded) {
        let names: Vec<&str> = image["references"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        line(format_args!(
            "{node}: loaded {}",
            if names.is_empty() { image["id"].as_str().unwrap_or("") } else { names[0] }
        ));
    }
    Ok(())
}

/// What a failed answer says: a Status or plain text.
fn message(bytes: &[u8]) -> String {
    let status: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    status["message"].as_str().map_or_else(|| text.trim().to_owned(), str::to_owned)
}

fn images(answer: &Value) -> Vec<Value> {
    answer.as_array().or_else(|| answer["images"].as_array()).cloned().unwrap_or_default()
}

async fn list(session: &Session, nodes: &[String]) -> Result<()> {
    line(format_args!("{:<16}{:<56}{:<16}SIZE", "NODE", "IMAGE", "ID"));
    for node in nodes {
        let answer = session.get(&path(node)).await?;
        for image in images(&answer) {
            let id = image["id"].as_str().unwrap_or_default().trim_start_matches("sha256:");
            let size = image["size"].as_u64().unwrap_or(0);
            let names: Vec<String> = image["references"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect();
            let names = if names.is_empty() { vec!["<none>".to_owned()] } else { names };
            for name in names {
                let megabytes = size as f64 / 1e6;
                line(format_args!("{node:<16}{name:<56}{:<16}{megabytes:.1}MB", id.get(..12).unwrap_or(id)));
            }
        }
    }
    Ok(())
}

async fn remove(session: &Session, node: &str, reference: &str) -> Result<()> {
    match session.call("DELETE", &format!("{}?reference={}", path(node), encode(reference)), None).await {
        Ok(_) => line(format_args!("{node}: removed {reference}")),
        Err(error) if error.is_not_found() => note(format_args!("{node}: {reference} is not there")),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
