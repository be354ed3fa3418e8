//! `cargo xtask diff`: one stream of requests to our API server and to upstream's, and what differs in the answers.
//!
//! ```text
//! stories (from a seed) -> steps -> runner: the same step to both peers -> compare (with pairs) -> causes -> report
//!                                      ^------------------- shrink: again with less, while the difference stays
//! ```
//! - [`stories`] decides what is asked, of [`kinds`], with [`values`] and [`mutate`]d objects; [`step`] is one request.
//! - [`servers`] starts both, [`definitions`] gives them the custom kinds; [`peer`] talks to one of them.
//! - [`compare`] finds differences, with [`pairs`] of what servers make up and [`text`] without it, [`failures`] those of
//!   refusals; [`causes`] groups them.

mod causes;
mod compare;
mod definitions;
mod failures;
mod kinds;
mod mutate;
mod pairs;
mod peer;
mod random;
mod report;
mod runner;
#[cfg(test)]
mod sample;
pub mod servers;
mod shrink;
mod step;
mod stories;
mod text;
mod values;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use causes::Causes;
use runner::Runner;
use servers::Servers;

/// Between two lines that say how far it is.
const NEWS: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many requests, roughly
    #[arg(long, default_value_t = 2_000)]
    requests: usize,
    /// The same seed makes the same requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only scenarios whose name has this in it, such as `v1/pods` or `picked`
    #[arg(long)]
    focus: Vec<String>,
    /// Shrink the first cause whose line contains this
    #[arg(long)]
    shrink: Vec<String>,
    /// Also write all causes here
    #[arg(long)]
    output: Option<PathBuf>,
    /// Our server, built [default: build it]
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let servers = Servers::start(options.binary.as_deref(), &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let causes = runtime.block_on(async {
        tokio::select! {
            causes = compare_all(options, &servers) => causes,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })?;
    report::print(&causes, options.output.as_deref())?;
    let open = report::open(&causes).len();
    if open == 0 { Ok(()) } else { bail!("{open} causes of differences are not accepted") }
}

async fn compare_all(options: &Options, servers: &Servers) -> Result<Causes> {
    let mut runner = Runner::new(servers).await?;
    let mut causes = Causes::default();
    let scenarios = stories::scenarios(options.seed, options.requests, &options.focus);
    let mut news = Instant::now();
    for (index, scenario) in scenarios.iter().enumerate() {
        for (wire, difference) in runner.run(scenario).await? {
            causes.add(&difference, &wire, scenario);
        }
        if news.elapsed() > NEWS {
            news = Instant::now();
            let (sent, found) = (runner.sent, causes.by_key.len());
            crate::say(format_args!("{sent} requests, {} of {} scenarios, {found} causes", index + 1, scenarios.len()));
        }
    }
    crate::say(format_args!("{} requests sent to each, {} watches", runner.sent, runner.watches));
    for wanted in &options.shrink {
        let line = |key: &causes::Key| format!("{:?} {} {}", key.class, key.place, key.what);
        match causes.sorted().into_iter().find(|(key, _)| line(key).contains(wanted)) {
            Some((key, cause)) => shrink::shrink(&mut runner, key, &cause.example).await?,
            None => crate::say(format_args!("no cause has {wanted:?} in it")),
        }
    }
    Ok(causes)
}
