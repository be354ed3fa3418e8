//! `kill -9` of the control plane and kubelet again and again, while containers start and stop: each container runs once, ends with
//! its exit code, leaves its whole log, and nothing leaks.
//!
//! A sample runs with all tests. The whole: `SETPOINT_KILLS=200 cargo test -p e2e --test e2e soak -- --nocapture`, with
//! `SETPOINT_SEED=N` for other moments.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::footprint::{self, Footprint};
use e2e::objects::{FOREVER, at, pod, text};
use e2e::{Cluster, eventually, with_cluster};
use serde_json::{Value, json};

const SAMPLE: u64 = 10;
const SEED: u64 = 1;
/// Pods of one wave that end by themselves; one more runs until it is deleted.
const PODS: u64 = 3;
const PODS_PATH: &str = "/api/v1/namespaces/default/pods";
/// Every so many kills, one hits a daemon that is just starting.
const EARLY: u64 = 4;

/// SplitMix64: the moments of a run can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// The moment of a kill: within what a wave of pods takes to start.
    fn pause(&mut self, limit_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(limit_ms)));
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn containers_survive_every_kill() -> Result<()> {
    let (kills, seed) = (number("SETPOINT_KILLS", SAMPLE), number("SETPOINT_SEED", SEED));
    with_cluster(|cluster| {
        let mut random = Random(seed);
        let marks = cluster.folder().join("marks");
        std::fs::create_dir(&marks)?;
        let steady = Steady::start(cluster)?;
        occupy_nodes(cluster)?;
        let before = Footprint::take(cluster)?;
        for wave in 0..kills {
            let made = make(cluster, wave, &mut random);
            if wave > 0 {
                remove_forever(cluster, wave - 1)?;
            }
            random.pause(400);
            cluster.kill_daemon()?;
            if wave % EARLY == 0 {
                kill_while_it_starts(cluster, &mut random)?;
            }
            cluster.up([])?;
            let round = || format!("kill {wave} of {kills}, seed {seed}");
            steady.goes_on(cluster).with_context(round)?;
            made.and_then(|made| verify(cluster, wave, &made)).with_context(round)?;
        }
        remove_forever(cluster, kills - 1)?;
        only_steady_pods(cluster)?;
        steady.lost_nothing(cluster)?;
        eventually("nothing has leaked", || {
            let differences = Footprint::take(cluster)?.differences(&before);
            ensure!(differences.is_empty(), "{}", differences.join("\n"));
            Ok(Some(()))
        })
    })
}

/// A pod that nothing may touch.
pub struct Steady {
    container: Value,
    launcher: i32,
}

impl Steady {
    const SCRIPT: &str = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done";

    pub fn start(cluster: &Cluster) -> Result<Self> {
        cluster.api().create_pod(&pod("steady", Self::SCRIPT))?;
        let object = cluster.api().pod_ready("steady")?;
        Ok(Self { container: Self::container(&object), launcher: footprint::launcher(cluster)? })
    }

    fn container(object: &Value) -> Value {
        let status = at(object, "status.containerStatuses.0");
        json!([status["containerID"], status["restartCount"], status["state"]["running"]])
    }

    pub fn goes_on(&self, cluster: &Cluster) -> Result<()> {
        let now = Self::container(&cluster.api().pod_ready("steady")?);
        ensure!(now == self.container, "the steady container {} became {now}", self.container);
        ensure!(footprint::launcher(cluster)? == self.launcher, "another launcher");
        Ok(())
    }

    pub fn lost_nothing(&self, cluster: &Cluster) -> Result<()> {
        self.goes_on(cluster)?;
        let log = cluster.setpoint(["logs", "steady"]).ok()?;
        let lines: Vec<&str> = log.lines().collect();
        ensure!(lines.len() > 10, "the steady pod hardly wrote anything: {log}");
        let wrong = lines.iter().enumerate().find(|(index, line)| **line != format!("tick {}", index + 1));
        ensure!(wrong.is_none(), "the steady log is not complete: {wrong:?}");
        Ok(())
    }
}

/// How a pod must end: its exit code and the number of its lines.
type Expected = BTreeMap<String, (u64, u64)>;

/// Creates a wave of pods. Each says on a file of the host that it was started.
fn make(cluster: &Cluster, wave: u64, random: &mut Random) -> Result<Expected> {
    let mut made = Expected::new();
    let marks = cluster.folder().join("marks");
    let on_host = |name: &str, script: &str| {
        let mut object = pod(name, &format!("echo started >>/marks/{name}; {script}"));
        object["spec"]["restartPolicy"] = "Never".into();
        object["spec"]["volumes"] = json!([{"name": "marks", "hostPath": {"path": marks}}]);
        object["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "marks", "mountPath": "/marks"}]);
        object
    };
    for index in 0..PODS {
        let name = format!("wave-{wave}-{index}");
        let (code, lines, pause) = (random.below(3), 1 + random.below(400), random.below(4));
        let script =
            format!("i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done; sleep 0.{pause}; exit {code}");
        cluster.api().create_pod(&on_host(&name, &script))?;
        made.insert(name, (code, lines));
    }
    cluster.api().create_pod(&on_host(&forever(wave), FOREVER))?;
    Ok(made)
}

fn forever(wave: u64) -> String {
    format!("wave-{wave}-forever")
}

/// Begins to end the long pod of a wave; it may be starting still.
fn remove_forever(cluster: &Cluster, wave: u64) -> Result<()> {
    cluster.api().delete(&format!("{PODS_PATH}/{}", forever(wave)))
}

/// A daemon that dies before it is up.
fn kill_while_it_starts(cluster: &Cluster, random: &mut Random) -> Result<()> {
    let old = cluster.daemon()?;
    let starting = cluster.up_program().args(["--detach"]).start()?;
    eventually("another daemon has the lock", || Ok((cluster.daemon()? != old).then_some(())))?;
    random.pause(150);
    // It may have been quicker than we are, or failed: the next one tells.
    cluster.kill_daemon()?;
    starting.finish().map(drop)
}

/// The pods of a wave have run once, to their end, and are deleted.
fn verify(cluster: &Cluster, wave: u64, made: &Expected) -> Result<()> {
    for (name, (code, lines)) in made {
        let object = cluster.api().pod_phase(name, if *code == 0 { "Succeeded" } else { "Failed" })?;
        let status = at(&object, "status.containerStatuses.0");
        ensure!(*at(status, "state.terminated.exitCode") == *code && status["restartCount"] == 0, "{name}: {status}");
        let log = cluster.setpoint(["logs", name.as_str()]).ok()?;
        let expected: String = (1..=*lines).map(|line| format!("line {line}\n")).collect();
        ensure!(log == expected, "{name}: {} of {lines} lines", log.lines().count());
        let mark = std::fs::read_to_string(cluster.folder().join("marks").join(name))?;
        ensure!(mark == "started\n", "{name} was started {} times", mark.lines().count());
        cluster.api().delete(&format!("{PODS_PATH}/{name}"))?;
    }
    let running = cluster.api().pod_when(&forever(wave), "runs", |pod| text(pod, "status.phase") == "Running")?;
    ensure!(*at(&running, "status.containerStatuses.0.restartCount") == 0, "{}", running["status"]);
    let mark = std::fs::read_to_string(cluster.folder().join("marks").join(forever(wave)))?;
    ensure!(mark == "started\n", "{} was started {} times", forever(wave), mark.lines().count());
    Ok(())
}

/// A pod on each of several nodes: from the first pod on, a node has a cgroup for pods of that class, which stays.
fn occupy_nodes(cluster: &Cluster) -> Result<()> {
    if cluster.nodes == 1 {
        return Ok(());
    }
    for (number, node) in cluster.api().items("/api/v1/nodes")?.iter().enumerate() {
        let name = format!("steady-{number}");
        let mut object = pod(&name, FOREVER);
        object["spec"]["nodeSelector"]["kubernetes.io/hostname"] = text(node, "metadata.name").into();
        cluster.api().create_pod(&object)?;
        cluster.api().pod_ready(&name)?;
    }
    Ok(())
}

fn only_steady_pods(cluster: &Cluster) -> Result<()> {
    eventually("the other pods are gone", || {
        let pods = cluster.api().items(PODS_PATH)?;
        Ok(pods.iter().all(|pod| text(pod, "metadata.name").starts_with("steady")).then_some(()))
    })
}
