//! `logs`: what containers printed, and go on printing.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use http_body_util::BodyDataStream;
use serde_json::Value;

use super::pods;
use crate::output;
use crate::session::{Connection, Session};
use crate::target::{self, encode};

#[derive(Debug, clap::Args)]
pub struct Logs {
    /// A pod, or an object that has pods: `web-0`, `deployment/web`
    what: Vec<String>,
    /// Go on as new lines come
    #[arg(short, long)]
    follow: bool,
    /// Which container of the pod
    #[arg(short, long)]
    container: Option<String>,
    /// The container before the last restart
    #[arg(short, long)]
    previous: bool,
    /// A time in front of each line
    #[arg(long)]
    timestamps: bool,
    /// Only the last lines; -1 means all
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,
    /// Only lines younger than this, such as 5s or 2m
    #[arg(long, default_value = "0s")]
    since: String,
    /// Stop after this many bytes
    #[arg(long)]
    limit_bytes: Option<u64>,
    /// All pods with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// The pod's name in front of each line
    #[arg(long)]
    prefix: bool,
}

impl Logs {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let pods = self.pods(&session).await?;
        if pods.is_empty() {
            bail!("no pods found");
        }
        let streams = pods.iter().map(|pod| self.stream(&session, pod));
        futures::future::try_join_all(streams).await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn pods(&self, session: &Session) -> Result<Vec<String>> {
        if let Some(selector) = &self.selector {
            return Ok(names(&pods::of(session, selector).await?));
        }
        let (resource, name) = target::one(session, &self.what, Some("pods")).await?;
        if resource.plural == "pods" {
            return Ok(vec![name]);
        }
        let object = session.get(&resource.path(Some(&session.namespace), Some(&name))).await?;
        let mut pods = names(&pods::of(session, &pods::selector_of(&object)?).await?);
        if pods.len() > 1 {
            output::note(format_args!("Found {} pods, using pod/{}", pods.len(), pods[0]));
            pods.truncate(1);
        }
        Ok(pods)
    }

    async fn stream(&self, session: &Session, pod: &str) -> Result<()> {
        let mut query = vec![format!("follow={}", self.follow), format!("timestamps={}", self.timestamps)];
        query.push(format!("previous={}", self.previous));
        query.extend(self.container.iter().map(|container| format!("container={}", encode(container))));
        if self.tail >= 0 {
            query.push(format!("tailLines={}", self.tail));
        }
        if let Some(since) = super::duration(&self.since)? {
            query.push(format!("sinceSeconds={}", since.as_secs().max(1)));
        }
        query.extend(self.limit_bytes.iter().map(|limit| format!("limitBytes={limit}")));
        let namespace = &session.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}/log?{}", encode_name(pod), query.join("&"));
        let response = session.send("GET", &path, None, "*/*").await?;
        let mut body = BodyDataStream::new(response.into_body());
        let mut rest = String::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.context("read the log")?;
            if !self.prefix {
                output::bytes(&chunk);
                continue;
            }
            rest.push_str(&String::from_utf8_lossy(&chunk));
            while let Some(at) = rest.find('\n') {
                output::line(format_args!("[pod/{pod}] {}", &rest[..at]));
                rest.drain(..=at);
            }
        }
        Ok(())
    }
}

fn encode_name(name: &str) -> String {
    name.replace('/', "%2F")
}

fn names(pods: &[Value]) -> Vec<String> {
    pods.iter().filter_map(|pod| Some(pod.pointer("/metadata/name")?.as_str()?.to_owned())).collect()
}
