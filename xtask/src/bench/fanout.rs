//! One writer, many watchers of the same namespace: what delivering an event costs, and how long it takes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use super::Effort;
use super::client::{Access, Lines};
use super::cluster::Server;
use super::figures::{Report, ms, percentile};
use super::processes::{self, Meter};

const CONFIG_MAPS: &str = "/api/v1/namespaces/bench-watch/configmaps";
/// Time for the last events to arrive after the last write.
const DRAIN: Duration = Duration::from_secs(30);
const MARK: &[u8] = b"\"sent\":\"";

pub async fn measure(server: &Server, effort: Effort, report: &mut Report) -> Result<()> {
    let Server { access, roots } = server;
    let mut writer = access.connect().await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench-watch"}});
    writer.create("/api/v1/namespaces", &namespace).await?;
    let created = writer.create(CONFIG_MAPS, &marked(0)).await?;
    let revision =
        created.pointer("/metadata/resourceVersion").and_then(Value::as_str).context("no resourceVersion")?;
    processes::pin_apart(roots)?;
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={revision}&fieldSelector=metadata.name=watched");
    let watches = try_join_all((0..effort.watchers).map(|_| open(access, &path))).await?;

    let mut group = report.group("watch, one writer");
    let base = Instant::now();
    let (stop, stopped) = tokio::sync::watch::channel(usize::MAX);
    let watchers: Vec<_> =
        watches.into_iter().map(|lines| tokio::spawn(follow(lines, base, stopped.clone()))).collect();
    let meter = Meter::start(roots);
    let mut writes = 0;
    while base.elapsed() < effort.load {
        let body = Bytes::from(marked(base.elapsed().as_nanos()).to_string());
        writer.object(Method::PUT, &format!("{CONFIG_MAPS}/watched"), body).await?;
        writes += 1;
    }
    stop.send(writes)?;
    let mut latencies = Vec::new();
    for watcher in watchers {
        latencies.extend(tokio::time::timeout(DRAIN, watcher).await.context("wait for the last events")???);
    }
    let spent = meter.stop();
    ensure!(latencies.len() == writes * effort.watchers, "{} events of {writes} writes", latencies.len());
    latencies.sort_unstable();
    let each = spent.cpu.as_secs_f64() * 1e6 / latencies.len().max(1) as f64;
    let name = |what: &str| format!("event to {} watchers: {what}", effort.watchers);
    group.add(name("CPU each"), each, "us", ("<= 10", "36"), spent);
    group.add(name("rate"), latencies.len() as f64 / spent.wall.as_secs_f64(), "/s", ("", "27000"), spent);
    group.add(name("p50"), ms(percentile(&latencies, 0.5)), "ms", ("", "9.5"), spent);
    group.add(name("p99"), ms(percentile(&latencies, 0.99)), "ms", ("", "15.7"), spent);
    Ok(())
}

async fn open(access: &Access, path: &str) -> Result<Lines> {
    access.connect().await?.watch(path).await
}

/// The time from sending to seeing of each event, until as many came as were written.
async fn follow(
    mut lines: Lines,
    base: Instant,
    mut stopped: tokio::sync::watch::Receiver<usize>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while latencies.len() < *stopped.borrow() {
        tokio::select! {
            line = lines.next() => {
                let line = line?.context("the watch ended")?;
                if let Some(sent) = sent(&line) {
                    latencies.push(base.elapsed().saturating_sub(sent));
                }
            }
            _ = stopped.changed() => {}
        }
    }
    Ok(latencies)
}

/// When the event was sent; `None` for a bookmark. Found in the bytes: decoding 200 copies would be the measurement.
fn sent(line: &[u8]) -> Option<Duration> {
    let start = line.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits: Vec<u8> = line[start..].iter().copied().take_while(u8::is_ascii_digit).collect();
    Some(Duration::from_nanos(std::str::from_utf8(&digits).ok()?.parse().ok()?))
}

/// 256 bytes with the time in them.
fn marked(nanoseconds: u128) -> Value {
    let filler = "x".repeat(236);
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched"},
        "data": {"sent": format!("{nanoseconds:0>20}"), "value": filler},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found_in_the_bytes() {
        let cases = [
            (format!("{{\"object\":{}}}\n", marked(1_234)), Some(Duration::from_nanos(1_234))),
            ("{\"type\":\"BOOKMARK\"}\n".to_owned(), None),
        ];
        for (line, expected) in cases {
            assert_eq!(sent(line.as_bytes()), expected, "{line}");
        }
    }
}
