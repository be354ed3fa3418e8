//! Black-box tests: the real `setpoint` binary and real kubectl against real containers.
//!
//! A test is a function of a [`Cluster`] given to [`with_cluster`], which starts one in a network namespace of its own and, however
//! the test ends, stops it and checks that nothing is left:
//!
//! - [`namespace`]: the network namespace, into which everything that talks to the cluster is put.
//! - [`cluster`]: start, stop, crash; clients of it. [`binary`] and [`kubectl`] build what is run.
//! - [`command`]: programs with a deadline, to their end or line by line. [`terminal`]: programs on a terminal.
//! - [`api`]: requests to the API server without a program in between, for waiting.
//! - [`objects`]: manifests that many tests need. [`images`]: busybox as an image.
//! - [`upstream`]: Kubernetes' own server and tests, to compare with; [`go`] builds them. [`conformance`]
//!   runs its tests.
//! - [`go_client`] and [`python`]: other people's clients, installed once into a [`cache`]. [`storm`]: writes that go on while the
//!   server crashes. [`history`]: whether a client saw all that was written.
//! - [`machine`]: another machine, for nodes that join. [`host`]: containers as processes. [`leaks`]: what a cluster must not leave behind, [`footprint`]: what it holds
//!   while it runs. [`wait`]: conditions with a deadline.
//!
//! The tests need root. Without it, or without a program they drive, they say so and pass; with `CI` in the environment they fail.
#![allow(clippy::print_stderr, reason = "tests tell the person who runs them")]

pub mod api;
pub mod binary;
pub mod cache;
pub mod cluster;
pub mod command;
pub mod conformance;
pub mod footprint;
pub mod go;
pub mod go_client;
pub mod history;
pub mod host;
pub mod images;
pub mod kubectl;
pub mod leaks;
pub mod machine;
pub mod namespace;
pub mod objects;
pub mod python;
pub mod storm;
pub mod terminal;
pub mod upstream;
pub mod wait;

pub use api::Api;
pub use cluster::{Cluster, with_cluster};
pub use command::{Outcome, Program};
pub use kubectl::Kubectl;
pub use wait::{eventually, within};

/// What this machine lacks: a failure in CI, a message elsewhere.
pub fn missing(what: &str) -> anyhow::Result<()> {
    if std::env::var_os("CI").is_some_and(|value| value == "true") {
        anyhow::bail!("{what}");
    }
    eprintln!("skipped: {what}");
    Ok(())
}

/// The path of a program, if it is on PATH or where administrators' programs are.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/go/bin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|path| path.is_file())
}
