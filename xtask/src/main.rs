//! Repository chores that need more than a shell line. One subcommand is one module.

use std::process::ExitCode;

use clap::Parser;

mod authz;
mod bench;
mod conformance;
mod diff;
mod facts;
mod fuzz;
mod tidy;
mod triples;
mod upstream;

#[derive(Parser)]
#[command(about = "Chores of this repository")]
enum Command {
    /// Ask our API server and upstream's who may do what, and print where they disagree
    Authz(authz::Options),
    /// Measure a cluster of this machine
    Bench(bench::Options),
    /// Run tests of the official conformance suite
    Conformance(conformance::Options),
    /// Send the same requests to our API server and to upstream's, and print what differs
    Diff(diff::Options),
    /// Write api/facts from the Go modules of Kubernetes
    Facts(facts::Options),
    /// Throw mutated inputs at what reads requests, for long
    Fuzz(fuzz::Options),
    /// Check what no compiler checks: dependency direction, lengths, registration, words
    Tidy,
    /// Compare patches of three objects with those of Kubernetes' Go libraries
    Triples(triples::Options),
    /// Kubernetes' own control plane: build it, run it
    #[command(subcommand)]
    Upstream(upstream::Command),
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Authz(options) => authz::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Conformance(options) => {
            let all_passed = conformance::run(&options)?;
            return Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Diff(options) => diff::run(&options),
        Command::Facts(options) => facts::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Tidy => tidy::run(),
        Command::Triples(options) => triples::run(&options),
        Command::Upstream(command) => upstream::run(command),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A line for the person who runs this.
#[allow(clippy::print_stdout, reason = "a chore talks to a person")]
fn say(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}
