//! `cargo xtask diff`: one stream of requests to our API server and to upstream's, and what differs in the answers.
//!
//! ```text
//! stories (from a seed) -> steps -> runner: the same step to both peers -> compare (with pairs) -> causes -> report
//!                                      ^------------------- shrink: again with less, while the difference stays
//! ```
//! - [`stories`] decides what is asked, of [`kinds`], with [`values`] and [`mutate`]d objects; [`step`] is one request.
//! - [`parts`] cuts a long stream, each part for servers of its own; [`servers`] starts both, [`definitions`] gives them the
//!   custom kinds, [`history`] lets them forget what was; [`peer`] talks to one of them.
//! - [`compare`] finds differences, with [`pairs`] of what servers make up, [`alike`] of what else is chance, [`text`] and
//!   [`documents`] without both; [`failures`] those of refusals, [`misfits`] of those without a fixed order; [`unseen`] knows the writes that
//!   only upstream makes; [`causes`] groups them.

mod alike;
mod causes;
mod compare;
mod definitions;
mod documents;
mod failures;
mod history;
pub mod kinds;
mod misfits;
pub mod mutate;
mod pairs;
mod parts;
mod peer;
pub mod random;
mod report;
mod runner;
#[cfg(test)]
mod sample;
pub mod servers;
mod shrink;
mod step;
mod stories;
mod text;
mod unseen;
mod values;

use std::path::PathBuf;

use anyhow::{Result, bail};

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
    /// Of the same stream, only scenarios whose name, as the report tells it, has this in it
    #[arg(long)]
    scenario: Option<String>,
    /// Shrink the first cause whose line contains this
    #[arg(long)]
    shrink: Vec<String>,
    /// Also write all causes here
    #[arg(long)]
    output: Option<PathBuf>,
    /// So many parts at a time, each a pair of servers
    #[arg(long, default_value_t = 1)]
    lanes: usize,
    /// Our server, built [default: build it]
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (causes, ended) = parts::compare(options)?;
    report::print(&causes, options.output.as_deref())?;
    ended?;
    let open = report::open(&causes).len();
    if open == 0 { Ok(()) } else { bail!("{open} causes of differences are not accepted") }
}
