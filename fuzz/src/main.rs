//! A target under libFuzzer, which brings `main`. `cargo xtask fuzz` builds and runs it; the target's name is in the environment.
#![no_main]

use std::sync::Mutex;
use std::time::Duration;

use fuzz::limits::{self, Cost};
use fuzz::{Random, TARGETS, Target, mutate};

struct Run {
    target: &'static Target,
    /// CPU time after which it is over.
    until: Option<Duration>,
    inputs: u64,
    most: Cost,
}

static RUN: Mutex<Option<Run>> = Mutex::new(None);

fn start() -> Run {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name:?}"));
    let seconds = std::env::var("FUZZ_CPU_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Run { target, until: seconds.map(Duration::from_secs), inputs: 0, most: Cost::default() }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut slot = RUN.lock().expect("one thread");
    let run = slot.get_or_insert_with(start);
    let cost = limits::run(run.target, data);
    run.inputs += 1;
    run.most.time = run.most.time.max(cost.time);
    run.most.memory = run.most.memory.max(cost.memory);
    if run.inputs % 256 == 0 && run.until.is_some_and(|until| limits::process_time() >= until) {
        finish(run);
    }
});

#[allow(clippy::print_stderr, reason = "libFuzzer talks there")]
fn finish(run: &Run) -> ! {
    let Run { target, inputs, most, .. } = run;
    let minutes = limits::process_time().as_secs_f64() / 60.0;
    eprintln!(
        "done: {} {minutes:.1} CPU minutes, {inputs} inputs, at most {:?} and {} KiB for one",
        target.name,
        most.time,
        most.memory >> 10
    );
    // SAFETY: nothing is to be cleaned up, and libFuzzer takes an exit for a crash.
    unsafe { libc::_exit(0) }
}

// Half of the mutations are ours, which know the languages.
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed.into());
    if random.below(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let target = RUN.lock().expect("one thread").get_or_insert_with(start).target;
    let made = mutate::mutate(target, &data[..size], &mut random);
    if made.len() > max_size {
        // Half a tree is none.
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    data[..made.len()].copy_from_slice(&made);
    made.len()
});
