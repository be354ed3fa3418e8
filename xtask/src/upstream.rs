//! `cargo xtask upstream`: Kubernetes' own control plane, to compare with. The programs are built from the Go module in
//! `e2e/upstream` into the user's cache, each when it is first asked for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use e2e::upstream::{Options, Part, Upstream, start, stop};
use tokio::signal::unix::{SignalKind, signal};

use crate::say;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Build programs and print their paths
    Build {
        /// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, e2e.test, ginkgo [default: all]
        parts: Vec<String>,
    },
    /// Run etcd and kube-apiserver in a network namespace of their own until ^C
    Run(Arguments),
    /// Start them and leave them running
    Start(Arguments),
    /// End what `start` left running
    Stop {
        /// The folder that `start` printed
        folder: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// kube-controller-manager, too
    #[arg(long)]
    controllers: bool,
    /// kube-scheduler, too
    #[arg(long)]
    scheduler: bool,
    /// Of kube-apiserver
    #[arg(long, default_value_t = 6443)]
    port: u16,
    /// Where the data's folder is made [default: the system's temporary directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Further arguments of kube-apiserver
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Build { parts } => build(&parts),
        Command::Run(arguments) => {
            let upstream = begin(arguments)?;
            tell(&upstream);
            say(format_args!("^C stops it"));
            until_interrupted()
        }
        Command::Start(arguments) => {
            let upstream = begin(arguments)?;
            tell(&upstream);
            let kept = upstream.keep()?;
            say(format_args!("stop it: cargo xtask upstream stop {}", kept.folder.display()));
            Ok(())
        }
        Command::Stop { folder } => stop(&folder),
    }
}

fn build(names: &[String]) -> Result<()> {
    let named = names.iter().map(|name| Part::of_name(name).with_context(|| format!("there is no part {name:?}")));
    let mut parts = named.collect::<Result<Vec<_>>>()?;
    if parts.is_empty() {
        parts.extend(Part::ALL);
    }
    for part in parts {
        say(format_args!("{}", part.path()?.display()));
    }
    Ok(())
}

fn begin(arguments: Arguments) -> Result<Upstream> {
    let Arguments { controllers, scheduler, port, dir, arguments } = arguments;
    start(&Options { controllers, scheduler, port, parent: dir, arguments, ..Options::default() })
}

fn tell(upstream: &Upstream) {
    let pids = upstream.pids();
    say(format_args!("kubeconfig: {}", upstream.kubeconfig.display()));
    say(format_args!("ready after {:.1} s; processes {pids:?}", upstream.ready_after.as_secs_f64()));
    let first = pids.first().copied().unwrap_or_default();
    say(format_args!(
        "use it: nsenter --net=/proc/{first}/ns/net kubectl --kubeconfig {} get --raw /version",
        upstream.kubeconfig.display()
    ));
}

fn until_interrupted() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            Some(()) = terminate.recv() => {}
            else => bail!("signals do not come"),
        }
        Ok(())
    })
}
