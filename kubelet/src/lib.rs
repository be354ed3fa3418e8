//! The node: decides what its pods need next and drives the runtime.
//!
//! - [`pod`]: the pod machine, pure: states of one pod on its node, and its status.
//! - [`launch`]: from a container of a pod to what the runtime is asked for, pure.
//! - [`volumes`]: directories of pods on the node's disk. [`logs`]: what containers wrote.
//! - [`actions`]: probes and hooks. [`node_runtime`]: the seam to the container runtime.

pub mod actions;
pub mod clock;
pub mod config;
pub mod driver;
pub mod ipam;
pub mod launch;
pub mod logs;
pub mod node;
pub mod node_runtime;
pub mod paths;
pub mod pod;
pub mod table;
pub mod volumes;
