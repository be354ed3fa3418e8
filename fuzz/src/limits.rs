//! What one input may cost.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::Target;

/// CPU time of the thread: a machine that is busy with something else must not look like a hang.
pub const TIME: Duration = Duration::from_secs(1);
/// Bytes that are allocated at once, beyond what was there before.
pub const MEMORY: usize = 256 << 20;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counting;

// SAFETY: everything is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: as asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as asked for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What an input cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub time: Duration,
    /// Bytes.
    pub memory: usize,
}

/// Runs a target on one input, alone in its process or nearly so.
///
/// # Panics
/// As the target does, or because it took too much.
pub fn run(target: &Target, data: &[u8]) -> Cost {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let start = cpu_time(libc::CLOCK_THREAD_CPUTIME_ID);
    (target.run)(data);
    let time = cpu_time(libc::CLOCK_THREAD_CPUTIME_ID).saturating_sub(start);
    let memory = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    assert!(time <= TIME, "{}: an input took {time:?} of CPU time", target.name);
    assert!(memory <= MEMORY, "{}: an input took {memory} bytes", target.name);
    Cost { time, memory }
}

/// The CPU time of this process.
pub fn process_time() -> Duration {
    cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists and the pointer is good.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
