//! Crates measured alone, by their own examples.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Effort;
use super::binaries::Binaries;
use super::figures::Report;
use super::machine;
use super::processes::{self, Spent};

pub fn store(binaries: &Binaries, folder: &Path, effort: Effort, report: &mut Report) -> Result<()> {
    let mut group = report.group("the store alone, durable puts of 1 KiB");
    let seconds = effort.load.as_secs().to_string();
    for writers in ["1", "64"] {
        let data = folder.join(format!("puts-{writers}"));
        let data = data.to_str().context("the folder's name is not text")?;
        let (answer, spent) = run(binaries, "puts", &[writers, &seconds, "1024", data])?;
        let number = |key: &str| answer[key].as_f64().with_context(|| format!("puts says no {key}"));
        let name = |what: &str| format!("{writers} writers: {what}");
        let puts = number("puts")?;
        let upstream = if writers == "1" { "" } else { "11800 (etcd)" };
        group.add(name("puts per second"), number("puts_per_second")?, "/s", ("", upstream), spent);
        let per_cpu = puts / spent.cpu.as_secs_f64();
        group.add(
            name("puts per CPU-second"),
            per_cpu,
            "/s",
            ("", if writers == "1" { "" } else { "6200 (etcd)" }),
            spent,
        );
        group.add(name("p50"), number("p50_us")?, "us", ("", if writers == "1" { "355 (etcd)" } else { "" }), spent);
        group.add(name("p99"), number("p99_us")?, "us", ("", ""), spent);
    }
    Ok(())
}

pub fn runtime(binaries: &Binaries, folder: &Path, effort: Effort, report: &mut Report) -> Result<()> {
    let mut group = report.group("the runtime alone, a static `true`");
    let count = effort.pods * 4;
    let cases = [
        ("container in a sandbox", "one", ["<= 5", ""], ["", ""]),
        ("sandbox and container", "each", ["", ""], ["23 (crun)", "8 (crun)"]),
    ];
    for (what, mode, goals, upstream) in cases {
        let data = folder.join(format!("starts-{mode}"));
        let data = data.to_str().context("the folder's name is not text")?;
        let (answer, spent) = run(binaries, "starts", &[&count.to_string(), data, mode])?;
        let ms = |key: &str| {
            let microseconds = answer[key].as_f64().with_context(|| format!("starts says no {key}"));
            microseconds.map(|microseconds| microseconds / 1e3)
        };
        group.add(format!("{what}: start to exit, p50"), ms("p50_us")?, "ms", (goals[0], upstream[0]), spent);
        group.add(format!("{what}: start to exit, p99"), ms("p99_us")?, "ms", ("", ""), spent);
        let each = spent.cpu.as_secs_f64() * 1e3 / count as f64;
        group.add(format!("{what}: CPU each, with removal"), each, "ms", (goals[1], upstream[1]), spent);
    }
    Ok(())
}

/// The one line of JSON that an example prints, and what it cost.
fn run(binaries: &Binaries, name: &str, arguments: &[&str]) -> Result<(Value, Spent)> {
    let program = binaries.examples.join(name);
    let (cpu, pressure, start) = (processes::children_cpu(), machine::pressure_us(), Instant::now());
    let output = Command::new(&program)
        .args(arguments)
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("run {}", program.display()))?;
    let wall = start.elapsed();
    if !output.status.success() {
        bail!("{name} ended with {}", output.status);
    }
    let cpu = processes::children_cpu().saturating_sub(cpu).max(Duration::from_nanos(1));
    let pressure = machine::pressure_us().saturating_sub(pressure) as f64 / wall.as_micros().max(1) as f64 * 100.0;
    let answer = serde_json::from_slice(&output.stdout).with_context(|| format!("read what {name} says"))?;
    Ok((answer, Spent { wall, cpu, pressure }))
}
