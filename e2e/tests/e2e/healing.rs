//! Containers that die are started again, pods that vanish are made again.

use anyhow::{Result, ensure};
use e2e::host;
use e2e::objects::{FOREVER, at, deployment, pod, text};
use e2e::{Cluster, eventually, with_cluster};
use serde_json::Value;

const RESTARTS: &str = "status.containerStatuses.0.restartCount";

#[test]
fn what_dies_comes_back() -> Result<()> {
    with_cluster(|cluster| {
        a_killed_container_is_restarted(cluster)?;
        a_crashing_container_is_backed_off(cluster)?;
        a_deleted_pod_of_a_replica_set_is_replaced(cluster)?;
        a_container_over_its_memory_limit_is_killed(cluster)
    })
}

fn a_killed_container_is_restarted(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    // The process is told from others by its environment's shell variable.
    let marker = format!("victim-{}", std::process::id());
    api.create_pod(&pod("victim", &format!(": {marker}; {FOREVER}")))?;
    let before = api.pod_ready("victim")?;
    let pid = host::process(&marker)?;
    host::kill_9(pid)?;
    let after = api.pod_when("victim", "was restarted", |pod| {
        *at(pod, RESTARTS) == 1 && !at(pod, "status.containerStatuses.0.state.running").is_null()
    })?;
    let last = at(&after, "status.containerStatuses.0.lastState.terminated");
    ensure!(last["exitCode"] == 137 && last["reason"] == "Error", "{last}");
    ensure!(last["containerID"] == *at(&before, "status.containerStatuses.0.containerID"));
    ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
    ensure!(after["status"]["podIP"] == before["status"]["podIP"], "the sandbox stays");
    ensure!(host::process(&marker)? != pid);
    api.pod_ready("victim")?;
    Ok(())
}

fn a_crashing_container_is_backed_off(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    api.create_pod(&pod("crashing", "echo failing; exit 3"))?;
    let waiting = "status.containerStatuses.0.state.waiting";
    let backed_off = |object: &Value| at(object, waiting)["reason"] == "CrashLoopBackOff";
    let object = api.pod_when("crashing", "is backed off", backed_off)?;
    let message = text(&object, "status.containerStatuses.0.state.waiting.message");
    ensure!(message.contains("back-off 10s restarting failed container=main pod=crashing_default("), "{message}");
    let last = at(&object, "status.containerStatuses.0.lastState.terminated");
    ensure!(last["exitCode"] == 3 && last["reason"] == "Error", "{last}");
    ensure!(text(&object, "status.phase") == "Running", "a pod that will be restarted is not Failed");
    let restarts = at(&object, RESTARTS).as_i64().unwrap_or(0);
    ensure!(restarts >= 1, "the first restart needs no waiting");
    let table = cluster.kubectl(["get", "pod", "crashing"]).ok()?;
    ensure!(table.contains("CrashLoopBackOff") && table.contains("0/1"), "{table}");
    eventually("an Event says so", || {
        let events = cluster.kubectl(["describe", "pod", "crashing"]).ok()?;
        Ok(events.contains("Back-off restarting failed container").then_some(()))
    })
}

fn a_deleted_pod_of_a_replica_set_is_replaced(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    cluster.apply(&deployment("web", 2))?;
    api.deployment_ready("web")?;
    let before = api.pods_of("web")?;
    let name = text(&before[0], "metadata.name");
    cluster.kubectl(["delete", "pod", name]).ok()?;
    api.deployment_ready("web")?;
    let after = api.pods_of("web")?;
    ensure!(after.len() == 2, "{} pods", after.len());
    let uids = |pods: &[Value]| pods.iter().map(|pod| text(pod, "metadata.uid").to_owned()).collect::<Vec<_>>();
    let (old, new) = (uids(&before), uids(&after));
    ensure!(!new.contains(&old[0]) && new.contains(&old[1]), "{old:?} {new:?}");
    Ok(())
}

fn a_container_over_its_memory_limit_is_killed(cluster: &Cluster) -> Result<()> {
    let mut greedy = pod("greedy", "tail /dev/zero");
    greedy["spec"]["restartPolicy"] = "Never".into();
    greedy["spec"]["containers"][0]["resources"] = serde_json::json!({"limits": {"memory": "16Mi"}});
    cluster.api().create_pod(&greedy)?;
    let object = cluster.api().pod_phase("greedy", "Failed")?;
    let ended = at(&object, "status.containerStatuses.0.state.terminated");
    ensure!(ended["reason"] == "OOMKilled" && ended["exitCode"] == 137, "{ended}");
    Ok(())
}
