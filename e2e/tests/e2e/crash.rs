//! `kill -9` of the control plane: containers go on, and nothing that was acknowledged is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use e2e::host;
use e2e::objects::{FOREVER, at, config_map, deployment, pod, text};
use e2e::{Api, Cluster, eventually, with_cluster};
use serde_json::{Value, json};

const CRASHES: usize = 3;

#[test]
fn containers_and_acknowledged_writes_survive_a_crash() -> Result<()> {
    with_cluster(|cluster| {
        let mark = |name: &str| format!("crash-{name}-{}", std::process::id());
        let marked = |name: &str| pod(name, &format!(": {}; echo begun; {FOREVER}", mark(name)));
        for name in ["kept", "killed"] {
            cluster.api().create_pod(&marked(name))?;
            cluster.api().pod_ready(name)?;
        }
        cluster.apply(&deployment("web", 2))?;
        cluster.api().deployment_ready("web")?;
        let before = world(cluster)?;
        let pid = host::process(&mark("kept"))?;

        let mut acknowledged = Vec::new();
        for crash in 0..CRASHES {
            acknowledged.extend(write_until_the_crash(cluster, crash)?);
            cluster.up([])?;
            ensure!(host::process(&mark("kept"))? == pid, "another process after crash {crash}");
        }
        ensure!(!acknowledged.is_empty(), "nothing was written");
        nothing_is_lost(cluster, &acknowledged)?;
        cluster.api().deployment_ready("web")?;
        for (name, container) in world(cluster)? {
            ensure!(before.get(&name) == Some(&container), "{name}: {:?} became {container:?}", before.get(&name));
        }
        ensure!(world(cluster)?.len() == before.len());
        ensure!(cluster.kubectl(["logs", "kept"]).ok()? == "begun\n");
        ensure!(cluster.shell("kept", "echo alive")? == "alive");

        an_exit_in_between_is_noticed(cluster, &mark("killed"))?;
        a_deletion_in_between_is_done(cluster, &mark("kept"))
    })
}

/// Each pod with its uid and its container, which a restart would change.
fn world(cluster: &Cluster) -> Result<BTreeMap<String, [String; 3]>> {
    let pods = cluster.api().items("/api/v1/namespaces/default/pods")?;
    let describe = |pod: &Value| {
        let of = |path: &str| at(pod, path).to_string();
        let container = "status.containerStatuses.0";
        let facts =
            [of("metadata.uid"), of(&format!("{container}.containerID")), of(&format!("{container}.restartCount"))];
        (text(pod, "metadata.name").to_owned(), facts)
    };
    Ok(pods.iter().map(describe).collect())
}

/// ConfigMaps whose creation was acknowledged, with their resourceVersions, while the daemon was killed.
fn write_until_the_crash(cluster: &Cluster, crash: usize) -> Result<Vec<(String, String)>> {
    let dead = AtomicBool::new(false);
    let api = Api::new(&cluster.kubeconfig(), &cluster.namespace)?;
    let path = "/api/v1/namespaces/default/configmaps";
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut acknowledged = Vec::new();
            while !dead.load(Ordering::Relaxed) {
                let name = format!("written-{crash}-{}", acknowledged.len());
                match api.create(path, &config_map(&name, json!({"k": name.clone()}))) {
                    Ok(object) => acknowledged.push((name, text(&object, "metadata.resourceVersion").to_owned())),
                    Err(_) => break,
                }
            }
            acknowledged
        });
        let begun = eventually("some were written", || {
            Ok(cluster.api().find(&format!("{path}/written-{crash}-20"))?.map(drop))
        });
        let killed = cluster.kill_daemon();
        dead.store(true, Ordering::Relaxed);
        let acknowledged = writer.join().ok().context("the writer panicked")?;
        begun.and(killed).map(|()| acknowledged)
    })
}

fn nothing_is_lost(cluster: &Cluster, acknowledged: &[(String, String)]) -> Result<()> {
    let found = cluster.api().items("/api/v1/namespaces/default/configmaps")?;
    let found: BTreeMap<&str, &Value> = found.iter().map(|object| (text(object, "metadata.name"), object)).collect();
    for (name, revision) in acknowledged {
        let object = found.get(name.as_str()).with_context(|| format!("{name} was acknowledged and is lost"))?;
        ensure!(text(object, "metadata.resourceVersion") == revision, "{name} changed its revision");
        ensure!(object["data"]["k"] == name.as_str());
    }
    let number = |revision: &str| revision.parse::<u64>().unwrap_or(0);
    let next = cluster.api().create("/api/v1/namespaces/default/configmaps", &config_map("after", json!({})))?;
    let highest = acknowledged.iter().map(|(_, revision)| number(revision)).max();
    ensure!(Some(number(text(&next, "metadata.resourceVersion"))) > highest, "revisions go back");
    Ok(())
}

fn an_exit_in_between_is_noticed(cluster: &mut Cluster, mark: &str) -> Result<()> {
    cluster.kill_daemon()?;
    host::kill_9(host::process(mark)?)?;
    cluster.up([])?;
    let object = cluster.api().pod_when("killed", "was restarted", |pod| {
        *at(pod, "status.containerStatuses.0.restartCount") == 1
            && !at(pod, "status.containerStatuses.0.state.running").is_null()
    })?;
    ensure!(*at(&object, "status.containerStatuses.0.lastState.terminated.exitCode") == 137, "{}", object["status"]);
    host::process(mark)?;
    Ok(())
}

/// A pod that was asked to end at the moment of the crash ends after it.
fn a_deletion_in_between_is_done(cluster: &mut Cluster, mark: &str) -> Result<()> {
    cluster.api().delete("/api/v1/namespaces/default/pods/kept")?;
    cluster.kill_daemon()?;
    cluster.up([])?;
    eventually("the pod is gone", || {
        let pod = cluster.api().find("/api/v1/namespaces/default/pods/kept")?;
        Ok((pod.is_none() && host::processes(mark)?.is_empty()).then_some(()))
    })
}

#[test]
fn a_termination_leaves_containers_alone() -> Result<()> {
    with_cluster(|cluster| {
        let mark = format!("term-{}", std::process::id());
        cluster.api().create_pod(&pod("kept", &format!(": {mark}; {FOREVER}")))?;
        cluster.api().pod_ready("kept")?;
        let pid = host::process(&mark)?;
        rustix::process::kill_process(cluster.daemon()?, rustix::process::Signal::TERM)?;
        cluster.daemon_ends()?;
        ensure!(host::process(&mark)? == pid);
        cluster.up([])?;
        ensure!(cluster.shell("kept", "echo alive")? == "alive");
        let object = cluster.api().pod("kept")?;
        ensure!(*at(&object, "status.containerStatuses.0.restartCount") == 0, "{}", object["status"]);
        ensure!(host::process(&mark)? == pid);
        Ok(())
    })
}

/// Containers end with their parent. The node starts another launcher, and the containers anew.
#[test]
fn the_launcher_may_die_too() -> Result<()> {
    with_cluster(|cluster| {
        let mark = format!("orphan-{}", std::process::id());
        let orphan = pod("orphan", &format!(": {mark}; {FOREVER}"));
        cluster.api().create_pod(&cluster.on_first_node(orphan)?)?;
        let before = cluster.api().pod_ready("orphan")?;
        let pid = host::process(&mark)?;
        let state = cluster.data_dir().join("node/runtime");
        host::kill_9(host::process(&state.to_string_lossy())?)?;
        let after = cluster.api().pod_when("orphan", "was restarted", |pod| {
            *at(pod, "status.containerStatuses.0.restartCount") == 1 && e2e::objects::has_condition(pod, "Ready")
        })?;
        ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
        ensure!(host::process(&mark)? != pid, "one container too many");
        ensure!(cluster.shell("orphan", "echo alive")? == "alive");
        Ok(())
    })
}
