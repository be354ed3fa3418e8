//! What every client that watches goes through: calm, a storm of crashes, a sleep, calm with a compaction.

use std::ops::Range;

use anyhow::Result;
use e2e::Cluster;
use e2e::command::Running;
use e2e::history::Seen;
use e2e::objects::deployment;
use e2e::storm::{COMPACTION, Change, Target, Writer, compacted};
use rustix::process::Signal;
use serde_json::json;

const CRASHES: usize = 3;

/// Kinds of three groups of rules: selected by label, by field, and written to by a controller, too.
pub fn targets() -> Vec<Target> {
    let core = |plural: &str| format!("/api/v1/namespaces/default/{plural}");
    let labels = json!({"labels": {"e2e": "yes"}});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": labels, "data": {"k": "v"}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}, "type": "setpoint.dev/watched"});
    let mut deployment = deployment("x", 0);
    deployment["metadata"] = labels;
    let path = "/apis/apps/v1/namespaces/default/deployments".to_owned();
    vec![
        Target { kind: "ConfigMap", path: core("configmaps"), shared: false, lingers: false, object: map },
        Target { kind: "Secret", path: core("secrets"), shared: false, lingers: false, object: secret },
        Target { kind: "Deployment", path, shared: true, lingers: false, object: deployment },
    ]
}

/// The ranges of changes during which the clients were connected all the time. The cluster was started with [`COMPACTION`].
pub fn endure(cluster: &mut Cluster, writer: &mut Writer, clients: &mut [&mut Running]) -> Result<Vec<Range<usize>>> {
    all_see(writer, clients)?;
    let mut calm = Vec::new();
    let begun = writer.changes().len();
    writer.write(90)?;
    all_see(writer, clients)?;
    calm.push(begun..writer.changes().len());

    writer.storm(cluster, CRASHES, [COMPACTION])?;
    all_see(writer, clients)?;
    sleep(cluster, writer, clients)?;
    all_see(writer, clients)?;

    let begun = writer.changes().len();
    writer.write(60)?;
    compacted(cluster)?;
    writer.write(40)?;
    all_see(writer, clients)?;
    calm.push(begun..writer.changes().len());
    Ok(calm)
}

/// When the clients wake up, their connections are gone, and so is the history from which they would go on.
fn sleep(cluster: &mut Cluster, writer: &mut Writer, clients: &[&mut Running]) -> Result<()> {
    clients.iter().try_for_each(|client| client.signal(Signal::STOP))?;
    writer.alone = true;
    writer.storm(cluster, 1, [COMPACTION])?;
    writer.write(60)?;
    compacted(cluster)?;
    writer.alone = false;
    clients.iter().try_for_each(|client| client.signal(Signal::CONT))
}

fn all_see(writer: &mut Writer, clients: &mut [&mut Running]) -> Result<()> {
    writer.settle()?;
    let marks = writer.mark()?;
    clients.iter_mut().try_for_each(|client| sees(client, &marks))
}

/// Until a client has seen these changes, and so everything before them.
pub fn sees(client: &mut Running, marks: &[Change]) -> Result<()> {
    let mut left: Vec<&Change> = marks.iter().collect();
    let reached = |seen: &Seen, mark: &Change| seen.uid == mark.uid && seen.value == mark.value;
    client.line("what was written last", |line| {
        if let Some(seen) = Seen::parse(line) {
            left.retain(|mark| !reached(&seen, mark));
        }
        left.is_empty()
    })?;
    Ok(())
}
