//! Many seeds, each in a process of its own: what a process has done before is no part of a simulation.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::Options;

/// True when every rule held on every seed; with a planted bug, when some seed found it.
pub fn run(options: &Options, seeds: u64) -> Result<bool, Box<dyn std::error::Error>> {
    let program = std::env::current_exe()?;
    let (next, stop) = (AtomicU64::new(options.seed), AtomicBool::new(false));
    let failed = AtomicU64::new(0);
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
            println!("{failure}");
            failed.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    let ran = next.load(Ordering::Relaxed).min(options.seed + seeds) - options.seed;
    println!("{ran} seeds, {failed} failed, {:.1} s", begun.elapsed().as_secs_f64());
    Ok((failed == 0) != options.bug.is_some())
}
