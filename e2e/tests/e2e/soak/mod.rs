//! `kill -9` again and again of what runs a cluster, while containers start and stop: each container runs once, ends with its exit
//! code, leaves its whole log, and nothing leaks.
//!
//! What there is to kill depends on the cluster's [`Shape`]: one process that is everything ([`together`]), nodes that are processes
//! of an `up --nodes` ([`workers`]), a control plane and a node on machines of their own ([`apart`]). [`waves`] are the pods
//! that start and stop meanwhile, [`steady`] pods that nothing may touch.
//!
//! A sample runs with all tests. The whole: `SETPOINT_KILLS=200 cargo test -p e2e --test e2e soak -- --nocapture`, with
//! `SETPOINT_SEED=N` for other moments.

mod apart;
mod steady;
mod together;
mod waves;
mod workers;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::footprint::{Footprint, NodePlace};
use e2e::{Cluster, eventually, host};

pub use steady::Steady;

const SEED: u64 = 1;
/// Every so many kills, one hits a process that is just starting.
const EARLY: u64 = 4;
/// A wave of pods takes so long to start, in milliseconds: within it a kill hits.
const WAVE: u64 = 400;
/// What starts has done something by then, and not all, in milliseconds.
const START: u64 = 150;

/// A running cluster, and how it is struck.
trait Shape {
    fn cluster(&self) -> &Cluster;

    fn nodes(&self) -> Result<Vec<NodePlace>>;

    /// The nodes that pods of waves are on.
    fn targets(&self) -> Result<Vec<NodePlace>> {
        self.nodes()
    }

    fn footprint(&self) -> Result<Footprint>;

    /// Kills processes at moments of its choice, and returns when all is started again.
    fn strike(&mut self, wave: u64, random: &mut Random) -> Result<()>;
}

fn soak(shape: &mut impl Shape, sample: u64) -> Result<()> {
    let (kills, seed) = (number("SETPOINT_KILLS", sample), number("SETPOINT_SEED", SEED));
    let mut random = Random(seed);
    std::fs::create_dir(waves::marks(shape.cluster()))?;
    let steady = Steady::start(shape.cluster(), &shape.nodes()?)?;
    let targets: Vec<String> = shape.targets()?.into_iter().map(|node| node.name).collect();
    let before = shape.footprint()?;
    for wave in 0..kills {
        let made = waves::make(shape.cluster(), wave, &targets, &mut random);
        if wave > 0 {
            waves::remove_forever(shape.cluster(), wave - 1)?;
        }
        let round = || format!("kill {wave} of {kills}, seed {seed}");
        shape.strike(wave, &mut random).with_context(round)?;
        steady.goes_on(shape.cluster()).with_context(round)?;
        made.and_then(|made| waves::verify(shape.cluster(), wave, &made)).with_context(round)?;
    }
    waves::remove_forever(shape.cluster(), kills - 1)?;
    waves::only_steady_pods(shape.cluster())?;
    steady.lost_nothing(shape.cluster())?;
    eventually("nothing has leaked", || {
        let differences = shape.footprint()?.differences(&before);
        ensure!(differences.is_empty(), "{}", differences.join("\n"));
        Ok(Some(()))
    })
}

/// SplitMix64: the moments of a run can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Until the moment of a kill.
    fn pause(&mut self, limit_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(limit_ms)));
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Kills the process that has a lock, and waits until nothing of it is left.
fn kill_holder(lock: &Path) -> Result<i32> {
    let pid = host::holder(lock)?;
    host::kill_9(pid)?;
    host::holder_ends(lock)?;
    Ok(pid)
}

/// Until another process has the lock. Its id.
fn next_holder(lock: &Path, last: i32) -> Result<i32> {
    eventually("another process has the lock", || {
        let now = host::holder(lock)?;
        Ok((now != last).then_some(now))
    })
}
