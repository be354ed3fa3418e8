//! Runs simulations: one seed in this process, or many, each in a process of its own.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a person runs it")]

mod interpose;
mod many;
mod shrink;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sim::bugs::Bug;
use sim::scenario::Scenario;
use sim::storm::Weather;
use sim::trace::Trace;
use sim::world::{self, World};

/// Lines of the trace that are shown when a rule is broken.
const TAIL: usize = 60;

/// Simulates the whole control plane on one thread, from one seed.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// The seed to run, or the first of many.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to run, each in a process of its own.
    #[arg(long)]
    seeds: Option<u64>,
    /// How many of them at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// How many steps a storm lasts: messages that arrive, and moments at which timers are looked at.
    #[arg(long, default_value_t = 5000)]
    steps: u64,
    /// Plant a bug, and end at the first seed that finds it.
    #[arg(long)]
    bug: Option<Bug>,
    /// Replay a scenario instead.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Write what was done as a scenario.
    #[arg(long)]
    save: Option<PathBuf>,
    /// Of a seed that fails, drop actions while it still fails, and write the rest to this file.
    #[arg(long)]
    shrink: Option<PathBuf>,
    /// Say what happens, as it happens.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.verbose {
        let filter = tracing_subscriber::EnvFilter::try_from_env("SETPOINT_LOG").unwrap_or_else(|_| "sim=info".into());
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    }
    let result = match (&options.shrink, options.seeds) {
        (Some(file), _) => shrink::run(&options, file),
        (None, Some(seeds)) => many::run(&options, seeds),
        (None, None) => one(options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// True when every rule held.
fn one(options: Options) -> Result<bool, Box<dyn std::error::Error>> {
    let scenario = match &options.scenario {
        Some(file) => Some(Scenario::parse(&std::fs::read_to_string(file)?)?),
        None => None,
    };
    let save = options.save.clone();
    // A thread without a past: its first random keys are the simulation's.
    let run = move || {
        let seed = scenario.as_ref().map_or(options.seed, |scenario| scenario.seed);
        sim::clock::begin(seed);
        let mut world = World::new(seed, options.bug, Trace::new(TAIL, options.verbose));
        let done = match scenario {
            Some(scenario) => {
                world::replay(&mut world, &scenario);
                scenario
            }
            None => world::storm(&mut world, seed, options.steps, Weather::of(seed)),
        };
        tell(&world, &done, &options);
        (world.oracle.violation.is_none(), done)
    };
    let run = std::thread::Builder::new().stack_size(64 << 20).spawn(run)?;
    let (held, done) = run.join().map_err(|_| "the simulation panicked")?;
    if let Some(file) = save {
        std::fs::write(file, done.to_string())?;
    }
    Ok(held)
}

fn tell(world: &World, done: &Scenario, options: &Options) {
    let verdict = if world.oracle.violation.is_some() { "FAILED" } else { "ok" };
    println!(
        "seed {} {verdict} hash {:016x} messages {} commits {} actions {} seconds {}",
        done.seed,
        world.trace.hash(),
        world.messages,
        world.oracle.commits,
        done.actions.len(),
        sim::clock::now() / sim::clock::SECOND
    );
    let Some(violation) = &world.oracle.violation else { return };
    println!("  {violation}");
    world.trace.last().iter().for_each(|line| println!("    {line}"));
    println!("  {violation}");
    println!("  replay: {}", command(done.seed, options));
}

/// What runs a seed again.
fn command(seed: u64, options: &Options) -> String {
    let bug = options.bug.map(|bug| format!(" --bug {bug}")).unwrap_or_default();
    match &options.scenario {
        Some(file) => format!("cargo run -p sim -- --scenario {}{bug}", file.display()),
        None => format!("cargo run -p sim -- --seed {seed} --steps {}{bug}", options.steps),
    }
}
