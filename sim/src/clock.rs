//! Simulated time, for a process that is a simulation.
//!
//! These are globals because the process is the machine that is simulated: the binary's `clock_gettime` and `getrandom` read
//! them, so that every clock and every random number below any component, in our code or in a library, is the simulator's.
//! Nothing here is used by a process that does not call [`begin`].

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

static SIMULATED: AtomicBool = AtomicBool::new(false);
static NOW: AtomicU64 = AtomicU64::new(0);
static SKEW: AtomicI64 = AtomicI64::new(0);
static ENTROPY: AtomicU64 = AtomicU64::new(0);

pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MILLISECOND;

/// 2026-01-01T00:00:00Z in nanoseconds.
const EPOCH: i64 = 1_767_225_600_000_000_000;
/// The steady clock is never near zero: somebody may subtract from it.
const BOOT: u64 = 1_000_000 * SECOND;

/// From here on, time stands still unless [`advance_to`] moves it.
pub fn begin(seed: u64) {
    ENTROPY.store(seed, Relaxed);
    SIMULATED.store(true, Relaxed);
}

pub fn is_simulated() -> bool {
    SIMULATED.load(Relaxed)
}

/// Nanoseconds since the simulation began.
pub fn now() -> u64 {
    NOW.load(Relaxed)
}

pub fn advance_to(time: u64) {
    NOW.fetch_max(time, Relaxed);
}

/// How much the wall clock of the machine that has its turn is fast, in nanoseconds.
pub fn set_skew(skew: i64) {
    SKEW.store(skew, Relaxed);
}

/// What the steady clock shows.
pub fn steady() -> u64 {
    BOOT + now()
}

/// What the wall clock of the machine that has its turn shows: nanoseconds since the Unix epoch.
pub fn wall() -> i64 {
    EPOCH + now() as i64 + SKEW.load(Relaxed)
}

/// The next bits of what passes for entropy.
pub fn entropy() -> u64 {
    let state = ENTROPY.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
    let mixed = (state ^ (state >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}
