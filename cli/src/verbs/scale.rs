//! `scale`: sets the number of replicas through the scale subresource.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::output::line;
use crate::session::{Connection, Session};
use crate::target::parse;

#[derive(Debug, clap::Args)]
pub struct Scale {
    /// What to scale: `deployment/web`, `deploy web db`
    #[arg(required = true)]
    what: Vec<String>,
    /// The wanted number of replicas
    #[arg(long)]
    replicas: u32,
    /// Only when there are this many now
    #[arg(long)]
    current_replicas: Option<i64>,
}

impl Scale {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        for target in parse(&session, &self.what).await? {
            if !target.resource.subresources.iter().any(|subresource| subresource == "scale") {
                bail!("the server could not find the requested resource: {} cannot be scaled", target.resource.plural);
            }
            if target.names.is_empty() {
                bail!("resource(s) were provided, but no name was specified");
            }
            for name in &target.names {
                let path = target.resource.path(Some(&session.namespace), Some(name)) + "/scale";
                let mut patch = json!({"spec": {"replicas": self.replicas}});
                if let Some(expected) = self.current_replicas {
                    let scale = session.get(&path).await?;
                    let now = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
                    if now != expected {
                        bail!("Expected replicas to be {expected}, was {now}");
                    }
                    patch["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
                }
                let body = Some(("application/merge-patch+json", patch.to_string().into_bytes()));
                session.call("PATCH", &path, body).await?;
                line(format_args!("{} scaled", target.resource.display(name)));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
