//! A client-go program: shared informers, a work queue and leader election, while the server crashes and forgets.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::command::Running;
use e2e::go_client::GoClient;
use e2e::history;
use e2e::objects::text;
use e2e::storm::{COMPACTION, Change, VALUE, Writer};
use e2e::{Cluster, cluster::with_place, eventually};
use serde_json::Value;

use crate::weather;

/// The version in the module.
const NAME: &str = "client-go-v0.35.4";

fn program() -> Result<Option<PathBuf>> {
    GoClient { name: NAME, module: "e2e/clients/go", package: "." }.build()
}

#[test]
fn informers_of_client_go_miss_nothing() -> Result<()> {
    let Some(program) = program()? else { return Ok(()) };
    with_place(|cluster| {
        cluster.up([COMPACTION])?;
        let start = |id: &str| -> Result<Running> {
            let program = cluster.program(&program).args(["-id", id]).env("KUBECONFIG", cluster.kubeconfig());
            let mut running = program.start()?;
            running.line("its caches are filled", |line| line.contains("SYNCED"))?;
            Ok(running)
        };
        let mut first = start("a")?;
        first.line("it leads", |line| line.contains("LEADING"))?;
        let mut second = start("b")?;
        let mut writer = Writer::new(cluster, weather::targets())?;
        let calm = weather::endure(cluster, &mut writer, &mut [&mut first, &mut second])?;
        let mirrors = mirrors_are_right(cluster, &writer);
        mirrors.with_context(|| format!("--- a\n{}\n--- b\n{}", first.tail(), second.tail()))?;
        // Which one leads after they slept is not said.
        let (leader, mut other) = if holder(cluster)? == "a" { (first, second) } else { (second, first) };
        let lost = the_leader_dies(cluster, &mut writer, leader, &mut other, &calm)?;
        let outcome = other.finish()?;
        let lines: Vec<String> = outcome.stdout.lines().map(str::to_owned).collect();
        let seen = history::events(&lines);
        history::check(writer.changes(), &calm, &seen)?;
        caches_hold(&lines, &writer)?;
        history::tell("client-go, the leader", writer.changes(), lost);
        history::tell("client-go, the other", writer.changes(), seen.len());
        Ok(())
    })
}

/// What the leader makes of the ConfigMaps.
fn mirrors_are_right(cluster: &Cluster, writer: &Writer) -> Result<()> {
    let maps = writer.live().filter(|change| change.kind == "ConfigMap");
    let expected: BTreeMap<String, String> =
        maps.map(|change| (format!("mirror-{}", change.name), change.value.to_string())).collect();
    let of = |secret: &Value| {
        let value = secret["metadata"]["annotations"][VALUE].as_str().unwrap_or_default();
        (text(secret, "metadata.name").to_owned(), value.to_owned())
    };
    eventually("every mirror is right", || {
        let secrets = cluster.api().items("/api/v1/namespaces/default/secrets?labelSelector=mirror%3Dyes")?;
        let found: BTreeMap<String, String> = secrets.iter().map(of).collect();
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        Ok(Some(()))
    })
}

fn holder(cluster: &Cluster) -> Result<String> {
    let lease = cluster.api().get("/apis/coordination.k8s.io/v1/namespaces/default/leases/mirror")?;
    Ok(text(&lease, "spec.holderIdentity").to_owned())
}

/// The leader dies without a word; the other one leads when the lease has run out, and does what is left to do. How many
/// events the dead one saw.
fn the_leader_dies(
    cluster: &Cluster,
    writer: &mut Writer,
    mut leader: Running,
    other: &mut Running,
    calm: &[Range<usize>],
) -> Result<usize> {
    let seen = history::events(leader.lines());
    history::check(writer.changes(), calm, &seen)?;
    let before = holder(cluster)?;
    drop(leader);
    writer.write(30)?;
    let after = eventually("another one leads", || Ok(Some(holder(cluster)?).filter(|after| *after != before)))?;
    ensure!(["a", "b"].contains(&&*after), "{after:?} leads after {before:?}");
    let marks = writer.mark()?;
    weather::sees(other, &marks)?;
    mirrors_are_right(cluster, writer)?;
    Ok(seen.len())
}

/// In the end, its caches are what the server has.
fn caches_hold(lines: &[String], writer: &Writer) -> Result<()> {
    let state = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of = |line: Value| ["kind", "name", "uid", "value"].map(|field| text(&line, field).to_owned());
    let mut found: Vec<[String; 4]> = state.filter(|line| line["type"] == "STATE").map(of).collect();
    let of = |change: &Change| [change.kind.into(), change.name.clone(), change.uid.clone(), change.value.to_string()];
    let mut expected: Vec<[String; 4]> = writer.live().map(of).collect();
    found.sort();
    expected.sort();
    ensure!(found == expected, "{found:?} instead of {expected:?}");
    Ok(())
}
