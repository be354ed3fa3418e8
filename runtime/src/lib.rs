//! The container runtime: images, sandboxes, containers. Knows OCI, knows no Pods.
//!
//! ```text
//!  daemon (tokio)                       launcher (one thread, one per node)              container
//!  client::Runtime ── protocol ──SEQPACKET──> launcher: epoll loop ── clone3 ──> container::child ── execve
//!    images: ImageStore                        sandboxes, containers, logs, exits      mounts, cgroup, caps, seccomp
//! ```
//! - [`spec`]: what is asked and answered, plain data. [`config`]: where the runtime keeps its things.
//! - [`client`]: the asynchronous handle of the daemon. It may die; the launcher and the containers stay.
//! - [`launcher`]: the process that is the parent of all containers.
//! - [`net`]: the node's bridge.
//! - [`images`]: the image store; it lives in the daemon, the launcher sees only unpacked directories.

mod cgroup;
pub mod client;
pub mod config;
mod container;
mod descriptor;
pub mod images;
pub mod launcher;
pub mod net;
mod protocol;
mod seccomp;
pub mod spec;
mod sys;
mod wire;

pub use client::{Attach, Error, Exec, ExecExit, ExecHandle, Input, Output, Runtime, Terminal};
pub use config::Config;
pub use protocol::Failure;
