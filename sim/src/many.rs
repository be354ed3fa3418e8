//! Many seeds, each in a process of its own: what a process has done before is no part of a simulation.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::Options;

/// True when every rule held on every seed; with a planted bug, when some seed found it.
pub fn run(options: &Options, seeds: u64) -> Result<bool, Box<dyn std::error::Error>> {
    let program = std::env::current_exe()?;
    let (next, stop) = (AtomicU64::new(options.seed), AtomicBool::new(false));
    let failures = Mutex::new(Vec::<String>::new());
    let begun = Instant::now();
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= options.seed + seeds {
                return;
            }
            let mut command = Command::new(&program);
            command.args(["--seed", &seed.to_string(), "--steps", &options.steps.to_string()]);
            if let Some(bug) = options.bug {
                command.args(["--bug", bug.name()]);
            }
            let failure = match command.output() {
                Ok(output) if output.status.success() => continue,
                Ok(output) => {
                    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                    format!("{out}{err}  replay: {}\n", crate::command(seed, options))
                }
                Err(error) => format!("seed {seed}: {error}"),
            };
            stop.fetch_or(options.bug.is_some(), Ordering::Relaxed);
            if let Ok(mut failures) = failures.lock() {
                failures.push(failure);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    failures.iter().for_each(|failure| println!("{failure}"));
    let ran = next.load(Ordering::Relaxed).min(options.seed + seeds) - options.seed;
    println!("{ran} seeds, {} failed, {:.1} s", failures.len(), begun.elapsed().as_secs_f64());
    Ok(failures.is_empty() != options.bug.is_some())
}
