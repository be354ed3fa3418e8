//! What a cluster costs that has nothing to do.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::cluster::Cluster;
use super::figures::{GroupOf, Report, ms};
use super::processes::{self, Meter, Spent, Threads};
use super::{Effort, pods};

/// A cluster that is not at rest by then never will be.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// CPU in a second that is rest.
const AT_REST: Duration = Duration::from_millis(50);

pub async fn measure(cluster: &Cluster, effort: Effort, report: &mut Report) -> Result<()> {
    let access = cluster.access()?;
    // As upstream was measured: with one pod running.
    let mut board = pods::Board::open(&access, "bench-idle").await?;
    board.start("resident").await?;
    settle(&cluster.roots).await?;
    let mut group = report.group("idle, one pod running");
    let spent = rest(&cluster.roots, effort, &mut group).await;
    for (role, kibibytes) in processes::memory(&cluster.roots) {
        group.add(format!("memory (PSS), setpoint {role}"), kibibytes as f64 / 1024.0, "MiB", ("", ""), spent);
    }
    board.clear().await
}

/// Memory, CPU and wake-ups of processes that have nothing to do.
pub async fn rest(roots: &[i32], effort: Effort, group: &mut GroupOf<'_>) -> Spent {
    let meter = Meter::start(roots);
    let threads = Threads::of(roots);
    tokio::time::sleep(effort.idle).await;
    let (cpu, wakeups) = Threads::of(roots).since(&threads);
    let spent = meter.stop();
    let total: u64 = processes::memory(roots).iter().map(|(_, kibibytes)| kibibytes).sum();
    group.add("memory (PSS), all processes", total as f64 / 1024.0, "MiB", ("<= 60", "687"), spent);
    let seconds = spent.wall.as_secs_f64();
    group.add("CPU per second", ms(cpu) / seconds, "ms", ("", "12 (apiserver, etcd)"), spent);
    group.add("wake-ups per second", wakeups as f64 / seconds, "/s", ("", "330 (apiserver, etcd)"), spent);
    spent
}

/// Until the cluster uses next to nothing for a second.
pub async fn settle(roots: &[i32]) -> Result<()> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let meter = Meter::start(roots);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let spent = meter.stop();
        if spent.cpu < AT_REST {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the cluster does not come to rest: {:?} of CPU in the last second", spent.cpu);
        }
    }
}
