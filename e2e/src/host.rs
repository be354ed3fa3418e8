//! The cluster's machine as its administrator sees it: containers are processes.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::leaks::all_processes;

/// Processes with this text in their command line, in order.
pub fn processes(marker: &str) -> Result<Vec<i32>> {
    let mut found: Vec<i32> = all_processes()?
        .into_iter()
        .filter(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(marker)
        })
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// The one process with this text in its command line.
pub fn process(marker: &str) -> Result<i32> {
    let found = processes(marker)?;
    ensure!(found.len() == 1, "{} processes with {marker:?} instead of one", found.len());
    Ok(found[0])
}

pub fn kill_9(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid).context("a process id")?;
    kill_process(pid, Signal::KILL).with_context(|| format!("kill {}", pid.as_raw_nonzero()))
}
