//! A long stream in parts: each has its own seed and a new pair of servers, so that the hundredth is as quick as the first, and
//! can be repeated alone.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::causes::Causes;
use super::runner::Runner;
use super::servers::{self, Servers};
use super::{Options, report, shrink, stories};

/// Requests of a part. More objects than these leave behind make lists slow that nobody learns from.
const PART: usize = 20_000;
/// Between two lines that say how far it is.
const NEWS: Duration = Duration::from_secs(20);

/// One after the other in each lane. What was found before a part that could not be compared, and what became of that part.
pub fn compare(options: &Options) -> Result<(Causes, Result<()>)> {
    let binary = servers::binary(options.binary.as_deref())?;
    let count = options.requests.div_ceil(PART).max(1);
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut causes = Causes::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return (causes, Ok(()));
            }
            let part = Part { index, seed: options.seed + index as u64, requests: of_part(options.requests, index) };
            // The servers' network is the thread's from then on, and they end with it.
            let found = thread::scope(|scope| scope.spawn(|| part.run(options, &binary)).join());
            let (found, ended) = found.unwrap_or_else(|_| (Causes::default(), Err(anyhow!("it panicked"))));
            causes.absorb(found);
            if let Err(error) = ended {
                next.store(count, Ordering::Relaxed);
                return (causes, Err(error.context(format!("compare part {index}, seed {}", part.seed))));
            }
        }
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..options.lanes.clamp(1, count)).map(|_| scope.spawn(lane)).collect();
        let (mut all, mut ended) = (Causes::default(), Ok(()));
        for lane in lanes {
            let (causes, end) = lane.join().map_err(|_| anyhow!("a lane panicked"))?;
            all.absorb(causes);
            ended = ended.and(end);
        }
        Ok((all, ended))
    })
}

fn of_part(requests: usize, index: usize) -> usize {
    requests.saturating_sub(index * PART).min(PART)
}

struct Part {
    index: usize,
    /// Of a run that is this part alone.
    seed: u64,
    requests: usize,
}

impl Part {
    /// What was found until it ended, and how it did.
    fn run(&self, options: &Options, binary: &Path) -> (Causes, Result<()>) {
        let mut causes = Causes::default();
        let ended = self.run_into(&mut causes, options, binary);
        (causes, ended)
    }

    fn run_into(&self, causes: &mut Causes, options: &Options, binary: &Path) -> Result<()> {
        let servers = Servers::start(binary, &[])?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::select! {
                ended = self.compare(causes, options, &servers) => ended,
                _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            }
        })
    }

    async fn compare(&self, causes: &mut Causes, options: &Options, servers: &Servers) -> Result<()> {
        let mut runner = Runner::new(servers).await?;
        let mut scenarios = stories::scenarios(self.seed, self.requests, &options.focus);
        if let Some(name) = &options.scenario {
            scenarios.retain(|scenario| scenario.name.contains(name.as_str()));
        }
        let mut news = Instant::now();
        for (index, scenario) in scenarios.iter().enumerate() {
            for (wire, difference) in runner.run(scenario).await? {
                if let Some(line) = causes.add(&difference, &wire, scenario).as_ref().and_then(report::open_line) {
                    crate::say(format_args!("{}: {line}", scenario.name));
                }
            }
            if news.elapsed() > NEWS {
                news = Instant::now();
                let (of, found) = (scenarios.len(), causes.by_key.len());
                self.tell(&runner, format_args!("{} of {of} scenarios, {found} causes", index + 1));
            }
        }
        self.tell(&runner, format_args!("{} watches, {} causes", runner.watches, causes.by_key.len()));
        for wanted in &options.shrink {
            match report::wanted(causes, wanted) {
                Some((key, cause)) => shrink::shrink(&mut runner, key, &cause.example).await?,
                None => crate::say(format_args!("no cause that is not accepted has {wanted:?} in it")),
            }
        }
        Ok(())
    }

    fn tell(&self, runner: &Runner, rest: std::fmt::Arguments<'_>) {
        let Self { index, seed, .. } = self;
        crate::say(format_args!("part {index}, seed {seed}: {} requests sent to each, {rest}", runner.sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_many_requests_as_asked_for() {
        for (requests, expected) in
            [(300_usize, vec![300]), (20_000, vec![20_000]), (45_000, vec![20_000, 20_000, 5_000])]
        {
            let parts: Vec<_> = (0..requests.div_ceil(PART)).map(|index| of_part(requests, index)).collect();
            assert_eq!(parts, expected);
        }
    }
}
