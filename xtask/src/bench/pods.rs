//! Pods: from their creation to Ready, and from start to exit, as a watch sees it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::Effort;
use super::client::{Access, Connection, Lines, condition};
use super::cluster::Cluster;
use super::figures::{Report, ms, percentile};
use super::idle::settle;
use super::processes::{self, Meter};

/// The image that the binary carries, and a command of it that ends at once.
pub const IMAGE: &str = "setpoint/demo:v1";
const TRIVIAL: [&str; 3] = ["/setpoint", "version", "--client"];
const TIMEOUT: Duration = Duration::from_secs(60);

pub async fn measure(cluster: &Cluster, effort: Effort, report: &mut Report) -> Result<()> {
    let access = cluster.access()?;
    let mut board = Board::open(&access, "bench-pods").await?;
    board.start("warm-up").await?;
    settle(&cluster.roots).await?;

    let mut group = report.group("pods, created to Ready");
    let mut times = Vec::new();
    let meter = Meter::start(&cluster.roots);
    for number in 0..effort.pods {
        times.push(board.start(&format!("single-{number}")).await?);
    }
    let spent = meter.stop();
    times.sort_unstable();
    let upstream = [(0.5, "< 100", "1060"), (0.9, "", "1540"), (0.99, "", "")];
    for (part, goal, upstream) in upstream {
        let name = format!("one by one, p{:.0} of {}", part * 100.0, effort.pods);
        group.add(name, ms(percentile(&times, part)), "ms", (goal, upstream), spent);
    }
    let each = spent.cpu.as_secs_f64() * 1e3 / effort.pods as f64;
    group.add("one by one, CPU per pod", each, "ms", ("", "455"), spent);

    settle(&cluster.roots).await?;
    let memory: u64 = processes::memory(&cluster.roots).iter().map(|(_, kibibytes)| kibibytes).sum();
    let name = format!("memory (PSS) with {} pods", effort.pods + 1);
    group.add(name, memory as f64 / 1024.0, "MiB", ("", ""), spent);
    board.clear().await?;
    settle(&cluster.roots).await?;

    let meter = Meter::start(&cluster.roots);
    let begin = Instant::now();
    let mut times = board.burst(effort.pods).await?;
    let all = begin.elapsed();
    let spent = meter.stop();
    times.sort_unstable();
    let name = |what: &str| format!("burst of {}, {what}", effort.pods);
    group.add(name("first"), ms(percentile(&times, 0.0)), "ms", ("", "5200 (Deployment)"), spent);
    group.add(name("p50"), ms(percentile(&times, 0.5)), "ms", ("", "8400 (Deployment)"), spent);
    group.add(name("all"), ms(all), "ms", ("", "9600 (Deployment)"), spent);
    let each = spent.cpu.as_secs_f64() * 1e3 / effort.pods as f64;
    group.add(name("CPU per pod"), each, "ms", ("", ""), spent);
    board.clear().await?;
    settle(&cluster.roots).await?;

    let mut group = report.group("pods, start to exit");
    let mut times = Vec::new();
    let meter = Meter::start(&cluster.roots);
    for number in 0..effort.pods {
        times
            .push(board.run(&format!("trivial-{number}"), trivial, |pod| pod["status"]["phase"] == "Succeeded").await?);
    }
    let spent = meter.stop();
    times.sort_unstable();
    group.add("created to Succeeded, p50", ms(percentile(&times, 0.5)), "ms", ("", ""), spent);
    group.add("created to Succeeded, p99", ms(percentile(&times, 0.99)), "ms", ("", ""), spent);
    board.clear().await
}

/// A namespace, a connection that writes its pods and a watch that sees them.
pub struct Board {
    pods: String,
    connection: Connection,
    watch: Lines,
}

impl Board {
    pub async fn open(access: &Access, namespace: &str) -> Result<Self> {
        let mut connection = access.connect().await?;
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        connection.create("/api/v1/namespaces", &object).await?;
        // A pod is refused until its namespace has the account that it runs as.
        let path =
            format!("/api/v1/namespaces/{namespace}/serviceaccounts?watch=1&fieldSelector=metadata.name=default");
        let mut accounts = access.connect().await?.watch(&path).await?;
        tokio::time::timeout(TIMEOUT, accounts.event()).await.context("wait for the service account")??;
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let list = connection.get(&pods).await?;
        let revision = list.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let watch = access.connect().await?.watch(&format!("{pods}?watch=1&resourceVersion={revision}")).await?;
        Ok(Self { pods, connection, watch })
    }

    /// From the create request to the event that says Ready.
    pub async fn start(&mut self, name: &str) -> Result<Duration> {
        self.run(name, serving, |pod| condition(pod, "Ready")).await
    }

    async fn run(&mut self, name: &str, make: fn(&str) -> Value, done: fn(&Value) -> bool) -> Result<Duration> {
        let start = Instant::now();
        self.connection.create(&self.pods, &make(name)).await?;
        let seen = async {
            loop {
                let (_, pod) = self.watch.event().await?;
                if pod["metadata"]["name"] == name && done(&pod) {
                    return Ok(start.elapsed());
                }
            }
        };
        match tokio::time::timeout(TIMEOUT, seen).await {
            Ok(seen) => seen,
            Err(_) => bail!("pod {name} is not there after {TIMEOUT:?}: {}", self.status(name).await),
        }
    }

    async fn status(&mut self, name: &str) -> String {
        match self.connection.get(&format!("{}/{name}", self.pods)).await {
            Ok(pod) => pod["status"].to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// All at once; each one's time from its own create request.
    async fn burst(&mut self, count: usize) -> Result<Vec<Duration>> {
        let mut started = BTreeMap::new();
        for number in 0..count {
            let name = format!("burst-{number}");
            started.insert(name.clone(), Instant::now());
            self.connection.create(&self.pods, &serving(&name)).await?;
        }
        let mut times = Vec::new();
        let all = async {
            while !started.is_empty() {
                let (_, pod) = self.watch.event().await?;
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                if condition(&pod, "Ready")
                    && let Some(start) = started.remove(name)
                {
                    times.push(start.elapsed());
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(TIMEOUT, all).await.with_context(|| format!("wait for {count} pods"))??;
        Ok(times)
    }

    /// Deletes all pods and waits until they are gone.
    pub async fn clear(&mut self) -> Result<()> {
        let names = |list: &Value| -> Vec<String> {
            let items = list["items"].as_array().into_iter().flatten();
            items.filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned())).collect()
        };
        let mut left = names(&self.connection.get(&self.pods).await?);
        for name in &left {
            let path = format!("{}/{name}?gracePeriodSeconds=1", self.pods);
            self.connection.object(Method::DELETE, &path, Bytes::new()).await?;
        }
        let gone = async {
            while !left.is_empty() {
                let (kind, pod) = self.watch.event().await?;
                if kind == "DELETED" {
                    left.retain(|name| pod["metadata"]["name"] != *name);
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(TIMEOUT, gone).await.context("wait until the pods are gone")?
    }
}

/// A pod of the demo image, without a probe.
pub fn serving(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "demo", "image": IMAGE}]},
    })
}

fn trivial(name: &str) -> Value {
    let mut pod = serving(name);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["containers"][0]["command"] = json!(TRIVIAL);
    pod
}
