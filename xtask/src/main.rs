//! Repository chores that need more than a shell line. One subcommand is one module.

use clap::Parser;

mod bench;
mod facts;
mod tidy;

#[derive(Parser)]
#[command(about = "Chores of this repository")]
enum Command {
    /// Measure a cluster of this machine
    Bench(bench::Options),
    /// Write api/facts from the Go modules of Kubernetes
    Facts(facts::Options),
    /// Check what no compiler checks: dependency direction, lengths, registration, words
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Bench(options) => bench::run(&options),
        Command::Facts(options) => facts::run(&options),
        Command::Tidy => tidy::run(),
    }
}

/// A line for the person who runs this.
#[allow(clippy::print_stdout, reason = "a chore talks to a person")]
fn say(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}
