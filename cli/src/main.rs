//! `setpoint`: the cluster, its nodes, and the command line, in one binary.
//!
//! - [`control`] is a control plane, [`node`] a node: the places that know all crates. [`up`] runs both in one process.
//! - [`verbs`]: kubectl-compatible verbs, clients of the API like any other; one file each, one row in [`verbs::Verb`].
//! - [`session`], [`resources`]: the command line's view of a server.
//! - [`demo`]: what the built-in image runs.

mod addresses;
mod control;
mod daemon;
mod demo;
mod encryption;
mod files;
mod join_token;
mod kubeconfig;
mod lock;
mod manifests;
mod node;
mod output;
mod parts;
mod preflight;
mod resources;
mod server;
mod session;
mod signals;
mod target;
mod up;
mod verbs;
mod watch;
mod yaml;

use std::cell::RefCell;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use session::Connection;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Kubernetes as one small program
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster on this machine, or start it again
    Up(up::Up),
    /// Stop the cluster and leave nothing of it running
    Down(up::Down),
    /// Print the cluster's kubeconfig
    Kubeconfig(up::PrintKubeconfig),
    /// A node on this machine of a cluster that is elsewhere
    Node(node::Node),
    /// A control plane without a node, one of several on an etcd
    Server(server::Server),
    /// Keys that encrypt Secrets on disk
    Encryption(encryption::Encryption),
    /// Serve HTTP as the demo image does
    #[command(hide = true)]
    Demo(demo::Demo),
    #[command(flatten)]
    Verb(verbs::Verb),
}

fn main() -> ExitCode {
    small_pages();
    // Before anything else: the launcher is single-threaded and stays small.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "launcher") {
        return ExitCode::from(u8::try_from(runtime::launcher::main(arguments)).unwrap_or(1));
    }
    let arguments = Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            output::note(format_args!("{}", words(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Huge pages make each corner of the heap that is touched 2 MiB of memory: three quarters of a small process.
fn small_pages() {
    // SAFETY: prctl with numbers only. A kernel that refuses leaves things as they are.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// An error as people read it: the server's words are kubectl's already, others get its prefix.
fn words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Some errors say their cause themselves.
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    const FULL: &str = "; free some space there and try again";
    if text.contains("No space left on device") && !text.ends_with(FULL) {
        text.push_str(FULL);
    }
    let prefix = if error.downcast_ref::<session::ApiError>().is_some() { "" } else { "error: " };
    format!("{prefix}{text}")
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let serves = matches!(arguments.command, Command::Up(_) | Command::Node(_) | Command::Server(_));
    init_logging(serves);
    let mut builder = if serves {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.enable_all().build()?;
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Up(up) => up.run(arguments.connection.kubeconfig).await,
            Command::Down(down) => down.run().await.map(|()| ExitCode::SUCCESS),
            Command::Node(node) => node.run().await,
            Command::Server(server) => server.run().await,
            Command::Kubeconfig(print) => print.run().map(|()| ExitCode::SUCCESS),
            Command::Encryption(encryption) => encryption.run().map(|()| ExitCode::SUCCESS),
            Command::Demo(demo) => demo.run().await.map(|()| ExitCode::SUCCESS),
            Command::Verb(verb) => verb.run(&arguments.connection).await,
        }
    });
    // A thread that waits for the next key on standard input would keep the program alive.
    runtime.shutdown_background();
    outcome
}

/// 64 bits that nobody foresees.
fn random() -> u64 {
    /// Every write wants some, and a call of the kernel costs as much for many as for few. So many never fail.
    const AT_ONCE: usize = 32;
    thread_local! {
        static FRESH: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    }
    FRESH.with_borrow_mut(|fresh| {
        if let Some(one) = fresh.pop() {
            return one;
        }
        let mut bytes = [0; 8 * AT_ONCE];
        let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        fresh.extend(bytes.as_chunks::<8>().0.iter().copied().map(u64::from_ne_bytes));
        fresh.pop().unwrap_or_default()
    })
}

/// `SETPOINT_LOG` is a filter such as `debug` or `kubelet=trace`. The cluster reports warnings, the verbs nothing.
fn init_logging(serves: bool) {
    let default = if serves { "warn" } else { "off" };
    let filter = std::env::var("SETPOINT_LOG").unwrap_or_else(|_| default.to_owned());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(output::log).with_ansi(false).init();
}
