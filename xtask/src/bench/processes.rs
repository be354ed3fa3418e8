//! What the processes of a cluster use, as the kernel counts it.
//!
//! A cluster's processes are those in our network namespace but this one: pods have namespaces of their own. What pods cost is
//! counted with them: running, as descendants; ended, as children that were waited for.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::machine;

/// Unit of times in /proc/PID/stat: USER_HZ is 100 on the architectures of this project.
const TICK: Duration = Duration::from_millis(10);

/// Control plane and launcher.
pub fn of_cluster() -> Vec<i32> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let own = namespace("self");
    let mut found = all();
    found.retain(|pid| *pid != std::process::id().cast_signed() && namespace(&pid.to_string()) == own);
    found
}

fn all() -> Vec<i32> {
    let names =
        fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

struct Stat {
    parent: i32,
    /// Own and waited-for children's user and system time.
    ticks: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks: (11..=14).filter_map(number).sum() })
}

/// CPU time of these processes and of all they started, ended or not.
pub fn cpu(roots: &[i32]) -> Duration {
    let stats: BTreeMap<i32, Stat> = all().into_iter().filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let descends = |mut pid: i32| loop {
        if roots.contains(&pid) {
            return true;
        }
        match stats.get(&pid) {
            Some(stat) if stat.parent > 0 => pid = stat.parent,
            _ => return false,
        }
    };
    let ticks: u64 = stats.iter().filter(|(pid, _)| descends(**pid)).map(|(_, stat)| stat.ticks).sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// CPU time of ended children of this process.
pub fn children_cpu() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Name and proportional set size in KiB of each process.
pub fn memory(pids: &[i32]) -> Vec<(String, u64)> {
    let one = |pid: &i32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let role = arguments.split('\0').nth(1).unwrap_or_default().to_owned();
        Some((role, line.split_whitespace().nth(1)?.parse().ok()?))
    };
    pids.iter().filter_map(one).collect()
}

/// Of one thread since it began.
#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    cpu: Duration,
    /// How often it went to sleep by itself, and so was woken.
    wakeups: u64,
}

/// What single threads have used: finer than [`cpu`], but without what has ended.
pub struct Threads(BTreeMap<i32, Thread>);

impl Threads {
    pub fn of(pids: &[i32]) -> Self {
        let tasks = pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten());
        let one = |entry: fs::DirEntry| {
            let read = |name: &str| fs::read_to_string(entry.path().join(name)).ok();
            let nanoseconds = read("schedstat")?.split_whitespace().next()?.parse().ok()?;
            let status = read("status")?;
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            let wakeups = line.split_whitespace().nth(1)?.parse().ok()?;
            let id = entry.file_name().to_str()?.parse().ok()?;
            Some((id, Thread { cpu: Duration::from_nanos(nanoseconds), wakeups }))
        };
        Self(tasks.filter_map(|task| one(task.ok()?)).collect())
    }

    /// CPU time and wake-ups since an earlier look.
    pub fn since(&self, earlier: &Self) -> (Duration, u64) {
        let mut sum = (Duration::ZERO, 0);
        for (id, now) in &self.0 {
            let before = earlier.0.get(id).copied().unwrap_or_default();
            sum.0 += now.cpu.saturating_sub(before.cpu);
            sum.1 += now.wakeups.saturating_sub(before.wakeups);
        }
        sum
    }
}

/// All threads of these processes on one core, this one on another: neither is in the other's way, as upstream was measured.
/// Does nothing on a single core.
pub fn pin_apart(pids: &[i32]) -> Result<()> {
    if cores() < 2 {
        return Ok(());
    }
    for task in pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten()) {
        let id = task?.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        // A thread may have ended meanwhile.
        let _ = sched_setaffinity(id, &set([0]));
    }
    sched_setaffinity(None, &set([1])).context("choose a core")
}

/// This thread, and what it starts, on all cores again.
pub fn unpin() -> Result<()> {
    sched_setaffinity(None, &set(0..cores())).context("use all cores")
}

fn cores() -> usize {
    // Of the machine: what this thread may use changes with its pinning.
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

fn set(cores: impl IntoIterator<Item = usize>) -> CpuSet {
    let mut set = CpuSet::new();
    cores.into_iter().for_each(|core| set.set(core));
    set
}

/// Ends what is left, by process id.
pub fn end(pids: &[i32]) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Time, CPU and pressure between two moments.
pub struct Meter<'a> {
    roots: &'a [i32],
    start: Instant,
    cpu: Duration,
    pressure: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub wall: Duration,
    pub cpu: Duration,
    /// Part of the time in which some task of the machine waited for a CPU, in percent.
    pub pressure: f64,
}

impl<'a> Meter<'a> {
    pub fn start(roots: &'a [i32]) -> Self {
        Self { roots, cpu: cpu(roots), pressure: machine::pressure_us(), start: Instant::now() }
    }

    pub fn stop(&self) -> Spent {
        let wall = self.start.elapsed();
        let pressure = machine::pressure_us().saturating_sub(self.pressure) as f64 / wall.as_micros().max(1) as f64;
        Spent { wall, cpu: cpu(self.roots).saturating_sub(self.cpu), pressure: pressure * 100.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_counted() {
        let own = [std::process::id().cast_signed()];
        let none = Threads(BTreeMap::new());
        let deadline = Instant::now() + Duration::from_secs(20);
        while cpu(&own) == Duration::ZERO || Threads::of(&own).since(&none).0 < TICK {
            assert!(Instant::now() < deadline, "a busy loop uses CPU");
        }
        assert!(memory(&own)[0].1 > 100, "KiB");
        assert_eq!(cpu(&[]), Duration::ZERO);
        let threads = Threads::of(&own);
        assert_eq!(none.since(&threads), (Duration::ZERO, 0), "threads that ended count nothing");
    }
}
