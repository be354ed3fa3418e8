//! Pods that start, end and are deleted while processes are killed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use e2e::objects::{FOREVER, at, pod, text};
use e2e::{Cluster, eventually};
use serde_json::json;

use super::{Random, steady};

/// Pods of one wave that end by themselves; one more runs until it is deleted.
const PODS: u64 = 3;
const PODS_PATH: &str = "/api/v1/namespaces/default/pods";

/// How a pod must end: its exit code and the number of its lines.
pub type Expected = BTreeMap<String, (u64, u64)>;

/// A folder of the host in which each pod says that it was started.
pub fn marks(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("marks")
}

/// Creates a wave of pods on these nodes.
pub fn make(cluster: &Cluster, wave: u64, nodes: &[String], random: &mut Random) -> Result<Expected> {
    let mut made = Expected::new();
    let mut nodes = nodes.iter().cycle().skip(usize::try_from(wave)?);
    let mut create = |name: &str, script: &str| {
        let mut object = pod(name, &format!("echo started >>/marks/{name}; {script}"));
        object["spec"]["restartPolicy"] = "Never".into();
        object["spec"]["volumes"] = json!([{"name": "marks", "hostPath": {"path": marks(cluster)}}]);
        object["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "marks", "mountPath": "/marks"}]);
        object["spec"]["nodeSelector"]["kubernetes.io/hostname"] = nodes.next().map(String::as_str).into();
        cluster.api().create_pod(&object)
    };
    create(&forever(wave), FOREVER)?;
    for index in 0..PODS {
        let name = format!("wave-{wave}-{index}");
        let (code, lines, pause) = (random.below(3), 1 + random.below(400), random.below(4));
        let script =
            format!("i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done; sleep 0.{pause}; exit {code}");
        create(&name, &script)?;
        made.insert(name, (code, lines));
    }
    Ok(made)
}

fn forever(wave: u64) -> String {
    format!("wave-{wave}-forever")
}

/// Begins to end the long pod of a wave; it may be starting still.
pub fn remove_forever(cluster: &Cluster, wave: u64) -> Result<()> {
    cluster.api().delete(&format!("{PODS_PATH}/{}", forever(wave)))
}

/// The pods of a wave have run once, to their end, and are deleted.
pub fn verify(cluster: &Cluster, wave: u64, made: &Expected) -> Result<()> {
    let started_once = |name: &str| -> Result<()> {
        let mark = std::fs::read_to_string(marks(cluster).join(name))?;
        ensure!(mark == "started\n", "{name} was started {} times", mark.lines().count());
        Ok(())
    };
    for (name, (code, lines)) in made {
        let object = cluster.api().pod_phase(name, if *code == 0 { "Succeeded" } else { "Failed" })?;
        let status = at(&object, "status.containerStatuses.0");
        ensure!(*at(status, "state.terminated.exitCode") == *code && status["restartCount"] == 0, "{name}: {status}");
        let expected: String = (1..=*lines).map(|line| format!("line {line}\n")).collect();
        // The node's process may be starting again.
        let log = eventually("the node gives the log", || cluster.setpoint(["logs", name.as_str()]).ok().map(Some))?;
        ensure!(log == expected, "{name}: {} of {lines} lines", log.lines().count());
        started_once(name)?;
        cluster.api().delete(&format!("{PODS_PATH}/{name}"))?;
    }
    let running = cluster.api().pod_when(&forever(wave), "runs", |pod| text(pod, "status.phase") == "Running")?;
    ensure!(*at(&running, "status.containerStatuses.0.restartCount") == 0, "{}", running["status"]);
    started_once(&forever(wave))
}

/// Until all pods of waves are gone.
pub fn only_steady_pods(cluster: &Cluster) -> Result<()> {
    eventually("the other pods are gone", || {
        let pods = cluster.api().items(PODS_PATH)?;
        Ok(pods.iter().all(|pod| text(pod, "metadata.name").starts_with(steady::PREFIX)).then_some(()))
    })
}
