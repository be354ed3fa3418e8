//! The cluster's machine as its administrator sees it: containers are processes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::leaks::all_processes;

/// Processes with this text in their command line, in order. A child that has not become its own program yet is none.
pub fn processes(marker: &str) -> Result<Vec<i32>> {
    let of = |pid: i32, file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let marked = |pid: i32| String::from_utf8_lossy(&of(pid, "cmdline")).contains(marker);
    let parent = |pid: i32| {
        let stat = String::from_utf8_lossy(&of(pid, "stat")).into_owned();
        // After the name, which may hold anything: state and parent.
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok())
    };
    let mut found: Vec<i32> = all_processes()?.into_iter().filter(|pid| marked(*pid)).collect();
    found.retain(|pid| !parent(*pid).is_some_and(marked));
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

/// The process that has, or had last, the lock of a data directory.
pub fn holder(lock: &Path) -> Result<i32> {
    let text = fs::read_to_string(lock).with_context(|| format!("read {}", lock.display()))?;
    text.trim().parse().context("the lock names no process")
}

/// Until the last thread of the lock's holder has ended: then the kernel gives the lock back.
pub fn holder_ends(lock: &Path) -> Result<()> {
    let lock = fs::File::open(lock)?;
    crate::eventually("the lock is given back", || match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(flock(&lock, FlockOperation::Unlock)?)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_found_by_its_command_line_and_its_child_is_not() {
        let marker = format!("host-test-{}", std::process::id());
        let script = format!(": {marker}; (while :; do sleep 0.01; done) & wait");
        let mut parent = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let found = crate::eventually("it runs", || process(&marker).map(Some));
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", parent.id()));
        kill_9(parent.id().cast_signed()).unwrap();
        parent.wait().unwrap();
        for child in children.unwrap_or_default().split_whitespace() {
            let _ = kill_9(child.parse().unwrap());
        }
        assert_eq!(found.unwrap(), parent.id().cast_signed());
        crate::eventually("it is gone", || Ok(processes(&marker)?.is_empty().then_some(()))).unwrap();
    }
}
