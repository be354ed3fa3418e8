//! `rollout`: how a change of a Deployment goes, what changes there were, and going back.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::output::line;
use crate::resources::Resource;
use crate::session::{Connection, Session};
use crate::target::{self, encode};
use crate::watch;

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const HASH_LABEL: &str = "pod-template-hash";

#[derive(Debug, clap::Args)]
pub struct Rollout {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Wait until the newest change is everywhere
    Status {
        what: Vec<String>,
        /// Do not wait
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
        watch: bool,
        /// Longest time to wait; 0 means as long as it takes
        #[arg(long, default_value = "0s")]
        timeout: String,
    },
    /// List the revisions
    History {
        what: Vec<String>,
        /// Show the pod template of one revision
        #[arg(long)]
        revision: Option<i64>,
    },
    /// Go back to an earlier revision
    Undo {
        what: Vec<String>,
        /// Which one; 0 means the one before
        #[arg(long, default_value_t = 0)]
        to_revision: i64,
    },
    /// Replace all pods with new ones
    Restart { what: Vec<String> },
}

impl Rollout {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let words = match &self.action {
            Action::Status { what, .. }
            | Action::History { what, .. }
            | Action::Undo { what, .. }
            | Action::Restart { what } => what,
        };
        let (resource, name) = target::one(&session, words, None).await?;
        if resource.plural != "deployments" {
            bail!("no rollout is known for {}", resource.plural);
        }
        let this = Deployment { session: &session, resource, name };
        match self.action {
            Action::Status { watch, timeout, .. } => {
                let done = this.status(watch);
                match super::duration(&timeout)? {
                    Some(limit) => {
                        tokio::time::timeout(limit, done).await.context("timed out waiting for the condition")??
                    }
                    None => done.await?,
                }
            }
            Action::History { revision, .. } => this.history(revision).await?,
            Action::Undo { to_revision, .. } => this.undo(to_revision).await?,
            Action::Restart { .. } => this.restart().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Deployment<'a> {
    session: &'a Session,
    resource: Resource,
    name: String,
}

/// How far a rollout is (`kubectl/pkg/polymorphichelpers/rollout_status.go`).
#[derive(Debug, PartialEq)]
enum Progress {
    Done,
    Waiting(String),
    Failed(String),
}

fn progress(deployment: &Value) -> Progress {
    let number = |path: &str| deployment.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let name = deployment.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if number("/metadata/generation") > number("/status/observedGeneration") {
        return Progress::Waiting("Waiting for deployment spec update to be observed...".to_owned());
    }
    let conditions = deployment.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    if conditions.into_iter().any(|one| one["type"] == "Progressing" && one["reason"] == "ProgressDeadlineExceeded") {
        return Progress::Failed(format!("deployment {name:?} exceeded its progress deadline"));
    }
    let wanted = deployment.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let (updated, all) = (number("/status/updatedReplicas"), number("/status/replicas"));
    let available = number("/status/availableReplicas");
    let waiting =
        |what: String| Progress::Waiting(format!("Waiting for deployment {name:?} rollout to finish: {what}..."));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if all > updated {
        return waiting(format!("{} old replicas are pending termination", all - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    Progress::Done
}

impl Deployment<'_> {
    fn path(&self) -> String {
        self.resource.path(Some(&self.session.namespace), Some(&self.name))
    }

    async fn status(&self, wait: bool) -> Result<()> {
        let mut last = String::new();
        let mut gone = false;
        let namespace = &self.session.namespace;
        let outcome = watch::until(self.session, &self.resource, namespace, &self.name, |object| {
            let Some(object) = object else {
                gone = true;
                return Some(Progress::Failed("object has been deleted".to_owned()));
            };
            match progress(object) {
                Progress::Waiting(text) => {
                    if text != last {
                        line(format_args!("{text}"));
                        last = text;
                    }
                    (!wait).then_some(Progress::Done)
                }
                other => Some(other),
            }
        })
        .await?;
        match outcome {
            Progress::Failed(_) if gone => {
                self.session.get(&self.path()).await?;
                bail!("object has been deleted")
            }
            Progress::Failed(text) => bail!("{text}"),
            _ if wait || last.is_empty() => line(format_args!("deployment {:?} successfully rolled out", self.name)),
            _ => {}
        }
        Ok(())
    }

    /// Its ReplicaSets with their revisions, oldest first.
    async fn revisions(&self) -> Result<Vec<(i64, Value)>> {
        let deployment = self.session.get(&self.path()).await?;
        let uid = deployment.pointer("/metadata/uid").cloned().unwrap_or_default();
        let labels =
            deployment.pointer("/spec/selector/matchLabels").and_then(Value::as_object).cloned().unwrap_or_default();
        let pairs: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        let namespace = &self.session.namespace;
        let path =
            format!("/apis/apps/v1/namespaces/{namespace}/replicasets?labelSelector={}", encode(&pairs.join(",")));
        let list = self.session.get(&path).await?;
        let owned = |set: &&Value| {
            let owners = set.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
        };
        let revision =
            |set: &Value| set["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse().ok());
        let mut found: Vec<(i64, Value)> = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(owned)
            .filter_map(|set| Some((revision(set)?, set.clone())))
            .collect();
        found.sort_by_key(|(revision, _)| *revision);
        Ok(found)
    }

    async fn history(&self, revision: Option<i64>) -> Result<()> {
        let revisions = self.revisions().await?;
        let shown = self.resource.display(&self.name);
        if let Some(wanted) = revision {
            let (_, set) = revisions
                .iter()
                .find(|(revision, _)| *revision == wanted)
                .with_context(|| format!("unable to find the specified revision {wanted}"))?;
            line(format_args!("{shown} with revision #{wanted}"));
            output_template(&set["spec"]["template"])?;
            return Ok(());
        }
        line(format_args!("{shown} \nREVISION  CHANGE-CAUSE"));
        for (revision, set) in &revisions {
            let cause = set["metadata"]["annotations"][CHANGE_CAUSE].as_str().unwrap_or("<none>");
            line(format_args!("{revision:<10}{cause}"));
        }
        Ok(())
    }

    async fn undo(&self, to_revision: i64) -> Result<()> {
        let revisions = self.revisions().await?;
        let found = match to_revision {
            0 => revisions.iter().rev().nth(1).with_context(|| "no rollout history found for deployment".to_owned())?,
            wanted => revisions
                .iter()
                .find(|(revision, _)| *revision == wanted)
                .with_context(|| format!("unable to find specified revision {wanted} in history"))?,
        };
        let mut template = found.1["spec"]["template"].clone();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(HASH_LABEL);
        }
        let current = self.session.get(&self.path()).await?;
        let shown = self.resource.display(&self.name);
        if current.pointer("/spec/template") == Some(&template) {
            line(format_args!("{shown} skipped rollback (current template already matches revision {})", found.0));
            return Ok(());
        }
        let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        self.patch("application/json-patch+json", &patch).await?;
        line(format_args!("{shown} rolled back"));
        Ok(())
    }

    async fn restart(&self) -> Result<()> {
        let at = api::time::format_time(jiff::Timestamp::now());
        let annotation = json!({"kubectl.kubernetes.io/restartedAt": at});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotation}}}});
        self.patch("application/strategic-merge-patch+json", &patch).await?;
        line(format_args!("{} restarted", self.resource.display(&self.name)));
        Ok(())
    }

    async fn patch(&self, content_type: &str, patch: &Value) -> Result<()> {
        let body = Some((content_type, patch.to_string().into_bytes()));
        self.session.call("PATCH", &self.path(), body).await?;
        Ok(())
    }
}

fn output_template(template: &Value) -> Result<()> {
    let text = crate::yaml::to_string(&json!({"Pod Template": template}))?;
    crate::output::text(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_told_in_kubectls_words() {
        let deployment = |updated: i64, all: i64, available: i64| {
            json!({"metadata": {"name": "web", "generation": 1}, "spec": {"replicas": 3}, "status": {"observedGeneration": 1,
                "updatedReplicas": updated, "replicas": all, "availableReplicas": available}})
        };
        let waiting =
            |text: &str| Progress::Waiting(format!("Waiting for deployment \"web\" rollout to finish: {text}..."));
        let cases = [
            (deployment(1, 3, 3), waiting("1 out of 3 new replicas have been updated")),
            (deployment(3, 4, 3), waiting("1 old replicas are pending termination")),
            (deployment(3, 3, 2), waiting("2 of 3 updated replicas are available")),
            (deployment(3, 3, 3), Progress::Done),
        ];
        for (object, expected) in cases {
            assert_eq!(progress(&object), expected);
        }
    }
}
