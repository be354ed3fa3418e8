//! The same load on this project's cluster and on upstream's etcd and kube-apiserver, one after the other, and both in one table.
//!
//! Both speak TLS, know the client by its certificate, have RBAC on and their other settings at their defaults, keep every write on
//! disk before they answer, and get one core while the load has the other. What is counted of ours does more: controllers,
//! scheduler and kubelet live in the same process.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use e2e::namespace::Namespace;
use e2e::upstream::{self, Part, Upstream};
use serde_json::json;

use super::client::Access;
use super::cluster::{Cluster, Server};
use super::figures::{Figure, Report, ms, number, percentile};
use super::processes::Meter;
use super::{Effort, Options, fanout, idle, machine, processes, requests, start};

const STARTS: usize = 3;

pub fn run(options: &Options, setpoint: &Path, folder: &Path) -> Result<()> {
    // Minutes of building are no part of a measurement.
    for part in [Part::Etcd, Part::KubeApiserver] {
        part.path()?;
    }
    let effort = Effort::new(options.quick);
    let (mut ours, mut theirs) = (Report::new(machine::describe()), Report::new(machine::describe()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Interrupted or failed, the guards of both still take everything down.
        tokio::select! {
            outcome = both(setpoint, folder, effort, &mut ours, &mut theirs) => outcome,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })?;
    crate::say(format_args!("\n{}\n", ours.machine()));
    for line in table(ours.figures(), theirs.figures()) {
        crate::say(format_args!("{line}"));
    }
    if let Some(path) = &options.json {
        let text = json!({"setpoint": ours, "upstream": theirs});
        std::fs::write(path, format!("{text:#}\n")).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

async fn both(setpoint: &Path, folder: &Path, effort: Effort, ours: &mut Report, theirs: &mut Report) -> Result<()> {
    crate::say(format_args!("setpoint"));
    let meter = Meter::start(&[]);
    let mut starts = Vec::new();
    for round in 0..STARTS {
        starts.push(start::once(setpoint, &folder.join(format!("start-{round}")), "first").await?.api);
    }
    add_start(ours, starts, &meter);
    let cluster = Cluster::up(setpoint, &folder.join("cluster"), None)?;
    loads(&cluster.server()?, effort, ours).await.context("measure setpoint")?;
    processes::unpin()?;
    cluster.down()?;

    crate::say(format_args!("upstream"));
    let meter = Meter::start(&[]);
    let mut starts = Vec::new();
    for _ in 1..STARTS {
        starts.push(start_upstream(folder)?.ready_after);
    }
    let upstream = start_upstream(folder)?;
    starts.push(upstream.ready_after);
    add_start(theirs, starts, &meter);
    let server = Server { access: Access::read(&upstream.kubeconfig)?, roots: upstream.pids() };
    let outcome = loads(&server, effort, theirs).await.context("measure upstream");
    processes::unpin()?;
    outcome
}

fn start_upstream(folder: &Path) -> Result<Upstream> {
    let namespace = Some(Namespace::current()?);
    let options = upstream::Options { namespace, parent: Some(folder.to_owned()), ..Default::default() };
    // It waits on a runtime of its own, which this thread, being in one, must not.
    let started = thread::scope(|scope| scope.spawn(|| upstream::start(&options)).join());
    started.map_err(|_| anyhow!("the thread that starts upstream panicked"))?
}

fn add_start(report: &mut Report, mut starts: Vec<Duration>, meter: &Meter<'_>) {
    starts.sort_unstable();
    let spent = meter.stop();
    report.group("start on a new data directory").add(
        "API answers",
        ms(percentile(&starts, 0.5)),
        "ms",
        ("", ""),
        spent,
    );
}

async fn loads(server: &Server, effort: Effort, report: &mut Report) -> Result<()> {
    idle::settle(&server.roots).await?;
    idle::rest(&server.roots, effort, &mut report.group("idle")).await;
    requests::measure(server, effort, report).await?;
    fanout::measure(server, effort, report).await
}

/// Markdown: first what has a cost, a rate and latencies, then single figures.
fn table(ours: &[Figure], theirs: &[Figure]) -> Vec<String> {
    let find = |figures: &[Figure], name: &str| figures.iter().find(|figure| figure.name == name).cloned();
    let mut operations = vec![
        "| per operation | CPU, us | upstream | ratio | rate, /s | upstream | ratio | p50 / p99, ms | upstream |"
            .to_owned(),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
    ];
    let mut singles = vec!["| | setpoint | upstream | ratio |".to_owned(), "|---|---:|---:|---:|".to_owned()];
    for figure in ours {
        if let Some(operation) = figure.name.strip_suffix(": CPU each") {
            let of = |what: &str| {
                let name = format!("{operation}: {what}");
                Some((find(ours, &name)?.value, find(theirs, &name)?.value))
            };
            if let (Some(cpu), Some(rate), Some(p50), Some(p99)) = (of("CPU each"), of("rate"), of("p50"), of("p99")) {
                operations.push(format!(
                    "| {operation} | {} | {} | {} | {} | {} | {} | {} / {} | {} / {} |",
                    number(cpu.0),
                    number(cpu.1),
                    times(cpu.1 / cpu.0),
                    number(rate.0),
                    number(rate.1),
                    times(rate.0 / rate.1),
                    number(p50.0),
                    number(p99.0),
                    number(p50.1),
                    number(p99.1),
                ));
            }
        } else if let Some(other) = find(theirs, &figure.name)
            && !figure.name.contains(": ")
        {
            let (name, unit, value) = (&figure.name, figure.unit, figure.value);
            let group = figure.group;
            singles.push(format!(
                "| {group}: {name} | {} {unit} | {} {unit} | {} |",
                number(value),
                number(other.value),
                times(other.value / value),
            ));
        }
    }
    operations.push(String::new());
    operations.extend(singles);
    operations
}

/// How many times better ours is.
fn times(ratio: f64) -> String {
    match ratio {
        // Ours used nothing that can be counted.
        ratio if !ratio.is_finite() => String::new(),
        ratio if ratio < 10.0 => format!("{ratio:.1}x"),
        ratio => format!("{ratio:.0}x"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(cpu: f64, rate: f64, memory: f64) -> Vec<Figure> {
        let figure = |name: &str, value| Figure {
            group: "g",
            name: name.to_owned(),
            value,
            unit: "MiB",
            goal: "",
            upstream: "",
            pressure: 0.0,
        };
        vec![
            figure("create: CPU each", cpu),
            figure("create: rate", rate),
            figure("create: p50", 1.0),
            figure("create: p99", 2.0),
            figure("memory", memory),
        ]
    }

    #[test]
    fn a_ratio_says_how_many_times_better_ours_is() {
        let lines = table(&figures(10.0, 500.0, 40.0), &figures(125.0, 250.0, 20.0));
        assert!(
            lines.contains(&"| create | 10.0 | 125 | 12x | 500 | 250 | 2.0x | 1.00 / 2.00 | 1.00 / 2.00 |".to_owned())
        );
        assert!(lines.contains(&"| g: memory | 40.0 MiB | 20.0 MiB | 0.5x |".to_owned()));
        assert_eq!(lines.len(), 2 + 1 + 1 + 2 + 1);
        assert_eq!(times(f64::INFINITY), "");
    }
}
