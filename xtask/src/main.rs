//! Repository chores that need more than a shell line. One subcommand is one module.

use clap::Parser;

mod facts;

#[derive(Parser)]
#[command(about = "Chores of this repository")]
enum Command {
    /// Write api/facts from the Go modules of Kubernetes
    Facts(facts::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Facts(options) => facts::run(&options),
    }
}
