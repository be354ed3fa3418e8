//! From `setpoint up` to an API that answers, a Ready node and a Ready pod; the same on a data directory that was used before.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Effort;
use super::client::{Access, condition};
use super::cluster::Starting;
use super::figures::{Report, ms, percentile};
use super::pods::serving;
use super::processes::{Meter, Spent};

/// Between two looks at something that sends no event yet.
const LOOK: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(60);

/// Since the command was started.
pub struct Start {
    pub api: Duration,
    node: Duration,
    pod: Duration,
    returned: Duration,
    down: Duration,
}

pub async fn measure(binary: &Path, folder: &Path, effort: Effort, report: &mut Report) -> Result<()> {
    let mut group = report.group("up --detach -f POD");
    let meter = Meter::start(&[]);
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for round in 0..effort.starts {
        let data = folder.join(format!("start-{round}"));
        cold.push(once(binary, &data, "first").await?);
        warm.push(once(binary, &data, "second").await?);
    }
    let spent = meter.stop();
    let mut add = |state: &str, starts: &[Start], goals: [&'static str; 2]| {
        let mut median = |what: &str, of: fn(&Start) -> Duration, goal: &'static str, spent: Spent| {
            let mut values: Vec<Duration> = starts.iter().map(of).collect();
            values.sort_unstable();
            group.add(format!("{state}: {what}"), ms(percentile(&values, 0.5)), "ms", (goal, ""), spent);
        };
        median("API answers", |start| start.api, goals[0], spent);
        median("node Ready", |start| start.node, "", spent);
        median("first pod Ready", |start| start.pod, goals[1], spent);
        median("the command returns", |start| start.returned, "", spent);
        median("down", |start| start.down, "", spent);
    };
    add("new data directory", &cold, ["", "< 1000"]);
    add("used data directory", &warm, ["", "< 1000"]);
    Ok(())
}

pub async fn once(binary: &Path, data: &Path, pod: &str) -> Result<Start> {
    let manifest = data.with_extension(format!("{pod}.json"));
    std::fs::write(&manifest, serving(pod).to_string())?;
    let begin = Instant::now();
    let mut starting = Starting::begin(binary, data, Some(&manifest))?;
    let (api, node, pod) = match follow(&mut starting, pod, begin).await {
        Ok(seen) => seen,
        // The command's own words say more, if it has failed.
        Err(error) if starting.is_done()? => return Err(starting.finish().err().unwrap_or(error)),
        Err(error) => return Err(error),
    };
    while !starting.is_done()? {
        tokio::time::sleep(LOOK).await;
    }
    let returned = begin.elapsed();
    let cluster = starting.finish()?;
    let down = cluster.down()?;
    Ok(Start { api, node, pod, returned, down })
}

async fn follow(starting: &mut Starting, pod: &str, begin: Instant) -> Result<(Duration, Duration, Duration)> {
    let answer = tokio::time::timeout(TIMEOUT, first_answer(starting)).await;
    let access = answer.with_context(|| format!("the API does not answer after {TIMEOUT:?}"))??;
    let api = begin.elapsed();
    let node = async {
        see(&access, "/api/v1/nodes", |node| condition(node, "Ready")).await?;
        anyhow::Ok(begin.elapsed())
    };
    let pod = async {
        let wanted = |object: &Value| object["metadata"]["name"] == pod && condition(object, "Ready");
        see(&access, "/api/v1/namespaces/default/pods", wanted).await?;
        anyhow::Ok(begin.elapsed())
    };
    let (node, pod) = tokio::try_join!(node, pod)?;
    Ok((api, node, pod))
}

/// Looks until the API says that it is ready.
async fn first_answer(starting: &mut Starting) -> Result<Access> {
    loop {
        if let Ok(access) = Access::read(&starting.kubeconfig())
            && let Ok(mut connection) = access.connect().await
            && let Ok((status, _)) = connection.send(http::Method::GET, "/readyz", bytes::Bytes::new()).await
            && status.is_success()
        {
            return Ok(access);
        }
        if starting.is_done()? {
            bail!("the command returned before the API answered");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Until an object of a collection is as wanted.
async fn see(access: &Access, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
    let mut connection = access.connect().await?;
    let list = connection.get(path).await?;
    if list["items"].as_array().into_iter().flatten().any(&wanted) {
        return Ok(());
    }
    let revision = list.pointer("/metadata/resourceVersion").and_then(Value::as_str).context("no resourceVersion")?;
    let watch = format!("{path}?watch=1&resourceVersion={revision}");
    let mut lines = access.connect().await?.watch(&watch).await?;
    let seen = async {
        while !wanted(&lines.event().await?.1) {}
        anyhow::Ok(())
    };
    match tokio::time::timeout(TIMEOUT, seen).await {
        Ok(seen) => seen,
        Err(_) => bail!("nothing in {path} is as wanted after {TIMEOUT:?}: {}", connection.get(path).await?["items"]),
    }
}
