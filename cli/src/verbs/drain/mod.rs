//! `drain`: cordons nodes and evicts their pods, as disruption budgets allow.

mod filter;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cordon::{self, Nodes, dry_run_suffix};
use crate::output::{line, note};
use crate::session::{Connection, Session};
use crate::target::encode;
use crate::watch;
use filter::{Allowed, Removal};

/// Before a refused eviction is asked for again (upstream's).
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Drain {
    #[command(flatten)]
    nodes: Nodes,
    /// Also pods that no controller replaces
    #[arg(long)]
    force: bool,
    /// Leave pods of DaemonSets where they are
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Also pods whose emptyDir volumes are lost with them
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Seconds the pods get to end; negative means their own choice
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// Longest time to wait, such as 30s; 0 means as long as it takes
    #[arg(long, default_value = "0s")]
    timeout: String,
    /// Only pods with these labels
    #[arg(long)]
    pod_selector: Option<String>,
    /// Delete instead of evicting: disruption budgets are not asked
    #[arg(long)]
    disable_eviction: bool,
}

/// A drain under way.
struct Work<'a> {
    session: &'a Session,
    drain: &'a Drain,
    deadline: Option<(Instant, String)>,
}

impl Drain {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let limit = super::duration(&self.timeout)?;
        let session = Session::open(connection).await?;
        let nodes = self.nodes.find(&session, "drain").await?;
        cordon::set(&session, &nodes, true, &self.nodes.dry_run).await;
        let deadline = limit.map(|limit| (Instant::now() + limit, self.timeout.clone()));
        let work = Work { session: &session, drain: &self, deadline };
        let (mut remaining, mut fatal) = (Vec::new(), Vec::new());
        for node in &nodes {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            match work.node(name).await {
                Ok(()) => line(format_args!("node/{name} drained{}", dry_run_suffix(&self.nodes.dry_run))),
                Err(error) => {
                    let text = format!("{error:#}");
                    note(format_args!(
                        "error: unable to drain node {name:?} due to error: {text}, continuing command..."
                    ));
                    remaining.push(name);
                    fatal.push(text);
                }
            }
        }
        if !remaining.is_empty() {
            note(format_args!("There are pending nodes to be drained:"));
            remaining.iter().for_each(|name| note(format_args!(" {name}")));
            bail!("{}", aggregate(&fatal));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> Value {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if self.grace_period >= 0 {
            options["gracePeriodSeconds"] = self.grace_period.into();
        }
        if self.nodes.dry_run == "server" {
            options["dryRun"] = json!(["All"]);
        }
        options
    }
}

impl Work<'_> {
    async fn node(&self, node: &str) -> Result<()> {
        let removal = self.pods_of(node).await?;
        if !removal.errors.is_empty() {
            bail!("{}", aggregate(&removal.errors));
        }
        if !removal.warnings.is_empty() {
            note(format_args!("Warning: {}", removal.warnings));
        }
        let outcomes = join_all(removal.pods.iter().map(|pod| self.remove(pod))).await;
        let errors: Vec<String> =
            outcomes.into_iter().filter_map(|outcome| Some(format!("{:#}", outcome.err()?))).collect();
        if errors.is_empty() {
            return Ok(());
        }
        let text = aggregate(&errors);
        let pending = self.pods_of(node).await?;
        if !pending.pods.is_empty() {
            note(format_args!("There are pending pods in node {node:?} when an error occurred: {text}"));
            pending.pods.iter().for_each(|pod| note(format_args!("pod/{}", name_of(pod).1)));
        }
        bail!("{text}")
    }

    async fn pods_of(&self, node: &str) -> Result<Removal> {
        let mut path = format!("/api/v1/pods?fieldSelector={}", encode(&format!("spec.nodeName={node}")));
        if let Some(selector) = &self.drain.pod_selector {
            path.push_str(&format!("&labelSelector={}", encode(selector)));
        }
        let list = self.session.get(&path).await?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let allowed = Allowed {
            force: self.drain.force,
            ignore_daemonsets: self.drain.ignore_daemonsets,
            delete_emptydir_data: self.drain.delete_emptydir_data,
        };
        let of_daemons = pods.iter().any(|pod| {
            let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            owners.into_iter().flatten().any(|owner| owner["kind"] == "DaemonSet")
        });
        let sets = if of_daemons { self.session.get("/apis/apps/v1/daemonsets").await? } else { Value::Null };
        let sets = sets["items"].as_array().into_iter().flatten().map(|set| {
            let (namespace, name) = name_of(set);
            format!("{namespace}/{name}")
        });
        Ok(filter::choose(&pods, &sets.collect::<BTreeSet<String>>(), allowed))
    }

    /// Until the pod is gone.
    async fn remove(&self, pod: &Value) -> Result<()> {
        let (namespace, name) = name_of(pod);
        let dry = self.drain.nodes.dry_run.as_str();
        let gone = if self.drain.disable_eviction {
            if dry != "client" {
                self.delete(namespace, name).await?;
            }
            "deleted"
        } else {
            if !self.evict(namespace, name).await? {
                return Ok(());
            }
            "evicted"
        };
        if dry == "none" {
            self.wait_gone(pod).await?;
            line(format_args!("pod/{name} {gone}"));
        }
        Ok(())
    }

    async fn delete(&self, namespace: &str, name: &str) -> Result<()> {
        let body = Some(("application/json", self.drain.options().to_string().into_bytes()));
        match self.session.call("DELETE", &format!("/api/v1/namespaces/{namespace}/pods/{name}"), body).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// False when the pod is gone already. Asks again as long as a budget refuses.
    async fn evict(&self, namespace: &str, name: &str) -> Result<bool> {
        let dry = self.drain.nodes.dry_run.as_str();
        let metadata = json!({"name": name, "namespace": namespace});
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata,
            "deleteOptions": self.drain.options()});
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        loop {
            line(format_args!("evicting pod {namespace}/{name}{}", dry_run_suffix(dry)));
            if let Some((deadline, limit)) = &self.deadline
                && *deadline <= Instant::now()
            {
                bail!("error when evicting pods/{name:?} -n {namespace:?}: global timeout reached: {limit}");
            }
            if dry == "client" {
                return Ok(true);
            }
            let body = Some(("application/json", eviction.to_string().into_bytes()));
            match self.session.call("POST", &path, body).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error) if error.is("TooManyRequests") => {
                    let message = error.message();
                    note(format_args!(
                        "error when evicting pods/{name:?} -n {namespace:?} (will retry after 5s): {message}"
                    ));
                    // Not past the deadline: what cannot be done in time is told in time.
                    let left = self.deadline.as_ref().map(|(deadline, _)| *deadline - Instant::now());
                    tokio::time::sleep(left.map_or(RETRY, |left| left.min(RETRY))).await;
                }
                Err(error) => bail!("error when evicting pods/{name:?} -n {namespace:?}: {}", error.message()),
            }
        }
    }

    async fn wait_gone(&self, pod: &Value) -> Result<()> {
        let (namespace, name) = name_of(pod);
        let pods = self.session.resource("pods").await?;
        let uid = &pod["metadata"]["uid"];
        let gone = watch::until(self.session, &pods, namespace, name, |current| {
            current.is_none_or(|current| current["metadata"]["uid"] != *uid).then_some(())
        });
        let Some((deadline, limit)) = &self.deadline else { return gone.await };
        match tokio::time::timeout_at(*deadline, gone).await {
            Ok(done) => done,
            Err(_) => bail!(
                "error when waiting for pod {name:?} in namespace {namespace:?} to terminate: global timeout reached: {limit}"
            ),
        }
    }
}

fn name_of(object: &Value) -> (&str, &str) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}

/// Several errors as one, as upstream puts them.
fn aggregate(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
