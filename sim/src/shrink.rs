//! The smallest storm: actions are dropped, halves first and then one by one, while the same rule is still broken.

use std::path::Path;
use std::process::Command;

use sim::scenario::Scenario;

use crate::Options;

/// True when there was something to shrink.
pub fn run(options: &Options, file: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    let trial = file.with_extension("trial");
    let mut first = Command::new(std::env::current_exe()?);
    first.args(["--seed", &options.seed.to_string(), "--steps", &options.steps.to_string()]).arg("--save").arg(&trial);
    let Some(rule) = broken(first, options)? else {
        println!("seed {} breaks no rule", options.seed);
        return Ok(false);
    };
    let mut best = Scenario::parse(&std::fs::read_to_string(&trial)?)?;
    let mut chunk = best.actions.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < best.actions.len() {
            let mut candidate = best.clone();
            candidate.actions.drain(at..(at + chunk).min(best.actions.len()));
            std::fs::write(&trial, candidate.to_string())?;
            let mut again = Command::new(std::env::current_exe()?);
            again.arg("--scenario").arg(&trial);
            if broken(again, options)?.as_deref() == Some(&rule) {
                best = candidate;
                println!("{} actions", best.actions.len());
            } else {
                at += chunk;
            }
        }
        if chunk == 1 {
            break;
        }
        chunk = chunk.div_ceil(2);
    }
    std::fs::remove_file(&trial)?;
    std::fs::write(file, format!("# {rule}\n{best}"))?;
    Ok(true)
}

/// The rule that a run breaks.
fn broken(mut command: Command, options: &Options) -> Result<Option<String>, Box<dyn std::error::Error>> {
    if let Some(bug) = options.bug {
        command.args(["--bug", bug.name()]);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let violation = text.lines().nth(1).filter(|_| !output.status.success());
    Ok(violation.and_then(|line| line.split(':').next()).map(str::to_owned))
}
