//! `cargo xtask bench`: what a cluster costs on this machine, beside the goals and upstream's figures.
//!
//! - [`binaries`] builds what is measured; [`namespace`] gives it a network of its own; [`cluster`] starts and stops it.
//! - [`client`] talks to it as any client does; [`load`] asks many times; [`processes`] and [`machine`] say what it cost.
//! - One file is one group of figures: [`start`], [`pods`], [`idle`], [`requests`], [`fanout`], [`examples`].
//! - [`figures`] prints them; [`beside`] does the same to upstream's server and prints both.

mod beside;
mod binaries;
pub mod client;
mod cluster;
mod examples;
mod fanout;
mod figures;
mod idle;
mod load;
mod machine;
pub mod namespace;
mod pods;
mod processes;
mod requests;
mod start;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use binaries::Binaries;
use figures::Report;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The setpoint to measure [default: build it, with optimization]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fewer and shorter runs: under a minute
    #[arg(long)]
    quick: bool,
    /// Only these groups of figures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Also write all figures here
    #[arg(long)]
    json: Option<PathBuf>,
    /// The same load on Kubernetes' own server, in turn; prints a table of both
    #[arg(long, value_enum, conflicts_with = "only")]
    beside: Option<Peer>,
    /// Where clusters keep their data meanwhile [default: the system's temporary directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where the examples of the crates are, when this program need not build anything
    #[arg(long, hide = true)]
    examples: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// etcd and kube-apiserver, built from their Go modules
    Upstream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// From `up` to a Ready pod
    Start,
    /// Pods one by one and in a burst
    Pods,
    /// A cluster that has nothing to do
    Idle,
    /// Creates, gets, updates, lists
    Requests,
    /// One writer, many watchers
    Fanout,
    /// The store alone
    Store,
    /// The runtime alone
    Runtime,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    starts: usize,
    pods: usize,
    /// Of each kind of request.
    load: Duration,
    idle: Duration,
    watchers: usize,
}

impl Effort {
    fn new(quick: bool) -> Self {
        let seconds = Duration::from_secs;
        if quick {
            Self { starts: 1, pods: 10, load: seconds(1), idle: seconds(3), watchers: 50 }
        } else {
            Self { starts: 5, pods: 50, load: seconds(5), idle: seconds(10), watchers: 200 }
        }
    }
}

pub fn run(options: &Options) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("a node needs root, and so does its benchmark");
    }
    let Some(examples) = &options.examples else {
        // The load must not cost more than what it measures: all of it runs optimized.
        return binaries::build(options.binary.as_deref())?.run_again();
    };
    let binary = options.binary.clone().context("--examples comes with --binary")?;
    let binaries = Binaries { setpoint: binary, examples: examples.clone() };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .context("make a temporary directory")?;
    namespace::enter()?;
    if options.beside.is_some() {
        return beside::run(options, &binaries.setpoint, folder.path());
    }
    let mut report = Report::new(machine::describe());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        // Interrupted or failed, the clusters' guards still take everything down.
        tokio::select! {
            outcome = groups(options, &binaries, folder.path(), &mut report) => outcome,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    });
    report.print();
    if let Some(path) = &options.json {
        std::fs::write(path, report.json()?).with_context(|| format!("write {}", path.display()))?;
    }
    outcome
}

async fn groups(options: &Options, binaries: &Binaries, folder: &std::path::Path, report: &mut Report) -> Result<()> {
    let effort = Effort::new(options.quick);
    let wanted = |group: Group| options.only.is_empty() || options.only.contains(&group);
    if wanted(Group::Start) {
        start::measure(&binaries.setpoint, folder, effort, report).await.context("measure the start")?;
    }
    if [Group::Idle, Group::Pods, Group::Requests, Group::Fanout].into_iter().any(wanted) {
        let cluster = cluster::Cluster::up(&binaries.setpoint, &folder.join("cluster"), None)?;
        if wanted(Group::Idle) {
            idle::measure(&cluster, effort, report).await.context("measure a cluster at rest")?;
        }
        if wanted(Group::Pods) {
            pods::measure(&cluster, effort, report).await.context("measure pods")?;
        }
        if wanted(Group::Requests) {
            requests::measure(&cluster.server()?, effort, report).await.context("measure requests")?;
        }
        if wanted(Group::Fanout) {
            fanout::measure(&cluster.server()?, effort, report).await.context("measure watches")?;
        }
        processes::unpin()?;
        cluster.down()?;
    }
    if wanted(Group::Runtime) {
        examples::runtime(binaries, folder, effort, report).context("measure the runtime")?;
    }
    if wanted(Group::Store) {
        examples::store(binaries, folder, effort, report).context("measure the store")?;
    }
    Ok(())
}
