//! What `up` waits for, and the addresses it ends with.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::Value;

use crate::output::Progress;
use crate::resources::Resource;
use crate::session::Session;
use crate::verbs::Applied;
use crate::watch;

/// For a node to become Ready: many times what it needs, also on a busy machine.
const NODE_LIMIT: Duration = Duration::from_secs(120);

/// A node that is waited for.
#[derive(Clone, Debug)]
pub struct Awaited {
    pub name: String,
    /// Of its process.
    pub log: PathBuf,
    /// After its process of an earlier start had ended, and before this one's began. `None`: it is in the process that serves the API.
    pub begun: Option<Timestamp>,
}

/// Until these nodes are Ready. Machines that joined are not waited for: they may be off.
pub async fn nodes_ready(session: &Session, nodes: &[Awaited], progress: &Progress) -> Result<()> {
    let ready = Cell::new(0);
    let waits = nodes.iter().map(async |node| {
        let limited = tokio::time::timeout(NODE_LIMIT, node_ready(session, node)).await;
        limited.with_context(|| {
            let limit = NODE_LIMIT.as_secs();
            format!("node {} is not Ready after {limit} seconds: see {}", node.name, node.log.display())
        })??;
        ready.set(ready.get() + 1);
        if nodes.len() > 1 {
            progress.step(&format!("{} of {} nodes are Ready", ready.get(), nodes.len()));
        }
        anyhow::Ok(())
    });
    try_join_all(waits).await.map(drop)
}

/// What the Node says may be of an earlier start; a heartbeat after the process began is not. Its kubelet listens before that.
async fn node_ready(session: &Session, node: &Awaited) -> Result<()> {
    if let Some(begun) = node.begun {
        let leases = session.resource("leases").await?;
        let beats = |lease: Option<&Value>| lease.and_then(renewed).is_some_and(|at| at > begun).then_some(());
        watch::until(session, &leases, "kube-node-lease", &node.name, beats).await?;
    }
    let nodes = session.resource("nodes").await?;
    watch::until(session, &nodes, "", &node.name, |node| condition(node?, "Ready").then_some(())).await
}

fn renewed(lease: &Value) -> Option<Timestamp> {
    lease.pointer("/spec/renewTime")?.as_str()?.parse().ok()
}

/// Until all that was applied does what it is for.
pub async fn ready(session: &Session, applied: &[Applied], progress: &Progress) -> Result<()> {
    let waits = applied.iter().map(|one| async move {
        let name = one.resource.display(&one.name);
        let wanted = |object: Option<&Value>| match object.map(|object| readiness(&one.resource, object)) {
            Some(Readiness::Ready) => Some(()),
            Some(Readiness::Waiting(what)) => {
                progress.step(&format!("{name}: {what}"));
                None
            }
            None => None,
        };
        if matches!(
            one.resource.kind.as_str(),
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod" | "Job"
        ) {
            watch::until(session, &one.resource, &one.namespace, &one.name, wanted).await?;
            progress.done(&format!("{name} is Ready"));
        }
        anyhow::Ok(())
    });
    try_join_all(waits).await.map(drop)
}

enum Readiness {
    Ready,
    Waiting(String),
}

fn readiness(resource: &Resource, object: &Value) -> Readiness {
    let number = |path: &str| object.pointer(path).and_then(Value::as_i64);
    let seen = number("/status/observedGeneration") >= number("/metadata/generation");
    let of = |have: Option<i64>, want: i64| match have.unwrap_or(0) {
        have if seen && have >= want => Readiness::Ready,
        have => Readiness::Waiting(format!("{have} of {want} ready")),
    };
    let replicas = number("/spec/replicas").unwrap_or(1);
    match resource.kind.as_str() {
        "Deployment" if number("/status/updatedReplicas").unwrap_or(0) < replicas => of(Some(0), replicas.max(1)),
        "Deployment" => of(number("/status/availableReplicas"), replicas),
        "ReplicaSet" | "StatefulSet" => of(number("/status/readyReplicas"), replicas),
        "DaemonSet" => of(number("/status/numberReady"), number("/status/desiredNumberScheduled").unwrap_or(1)),
        "Job" if condition(object, "Complete") => Readiness::Ready,
        "Pod" if condition(object, "Ready") || object["status"]["phase"] == "Succeeded" => Readiness::Ready,
        _ => Readiness::Waiting("not ready yet".to_owned()),
    }
}

fn condition(object: &Value, kind: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// Name and address of each Service among what was applied.
pub async fn addresses(session: &Session, applied: &[Applied]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for one in applied.iter().filter(|one| one.resource.kind == "Service") {
        let service = session.get(&one.resource.path(Some(&one.namespace), Some(&one.name))).await?;
        found.extend(address(&service).map(|address| (one.name.clone(), address)));
    }
    Ok(found)
}

/// `http://` in front when the port looks like HTTP, as its number or name tells.
fn address(service: &Value) -> Option<String> {
    let host = service.pointer("/spec/clusterIP")?.as_str().filter(|host| !host.is_empty() && *host != "None")?;
    let port = service.pointer("/spec/ports/0")?;
    let number = port["port"].as_i64()?;
    let named = port["name"].as_str().is_some_and(|name| name.starts_with("http"));
    Some(match number {
        80 => format!("http://{host}"),
        _ if named || number == 8080 => format!("http://{host}:{number}"),
        _ => format!("{host}:{number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_ready_when_they_do_what_they_are_for() {
        let kind = |kind: &str| Resource { kind: kind.to_owned(), ..Resource::default() };
        let deployment = |generation: i64, updated: i64, available: i64| {
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {"observedGeneration": generation,
                "updatedReplicas": updated, "availableReplicas": available}})
        };
        let cases = [
            ("Deployment", deployment(2, 3, 3), true),
            ("Deployment", deployment(1, 3, 3), false),
            ("Deployment", deployment(2, 2, 3), false),
            ("Deployment", deployment(2, 3, 2), false),
            ("Pod", json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}), true),
            ("Pod", json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}), false),
            ("Job", json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}), true),
        ];
        for (name, object, expected) in cases {
            let ready = matches!(readiness(&kind(name), &object), Readiness::Ready);
            assert_eq!(ready, expected, "{name} {object}");
        }
    }

    #[test]
    fn heartbeats_tell_starts_apart() {
        let lease = |time: &str| json!({"spec": {"renewTime": time}});
        let begun: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
        let cases = [
            ("of this start", lease("2026-01-02T03:04:05.500001Z"), true),
            ("of the same second, before", lease("2026-01-02T03:04:05.499999Z"), false),
            ("never renewed", json!({"spec": {}}), false),
            ("no time", lease("soon"), false),
        ];
        for (name, lease, expected) in cases {
            assert_eq!(renewed(&lease).is_some_and(|at| at > begun), expected, "{name}");
        }
    }

    #[test]
    fn services_have_addresses_that_can_be_typed() {
        let service = |ip: &str, name: &str, port: i64| json!({"spec": {"clusterIP": ip, "ports": [{"name": name, "port": port}]}});
        let cases = [
            (service("10.96.0.9", "http", 80), Some("http://10.96.0.9")),
            (service("10.96.0.9", "http-api", 9000), Some("http://10.96.0.9:9000")),
            (service("10.96.0.9", "sql", 5432), Some("10.96.0.9:5432")),
            (service("None", "x", 80), None),
        ];
        for (service, expected) in cases {
            assert_eq!(address(&service).as_deref(), expected);
        }
    }
}
