//! The node: decides what its pods need next and drives the runtime.
//!
//! - [`Kubelet`]: a node, put together. [`config`]: what it is told.
//! - [`pod`]: the pod machine, pure: states of one pod on its node, and its status.
//! - [`launch`]: from a container of a pod to what the runtime is asked for, pure.
//! - [`driver`]: brings news to the machines and does their effects. [`node_runtime`]: the seam to the container runtime.
//! - [`volumes`]: directories of pods on the node's disk. [`logs`]: what containers wrote. [`actions`]: probes and hooks.
//! - [`node`]: the Node object, its conditions and its heartbeat. [`server`]: logs, exec, attach, port-forward and images
//!   over HTTPS. `spdy`: the protocol in which clients want their streams.

pub mod actions;
pub mod clock;
pub mod config;
pub mod driver;
pub mod ipam;
mod kubelet;
pub mod launch;
pub mod logs;
pub mod node;
pub mod node_runtime;
pub mod paths;
pub mod pod;
pub mod server;
mod spdy;
pub mod table;
pub mod volumes;

pub use config::Config;
pub use kubelet::{Error, Kubelet, parts, remove_leftovers};
