//! Decides on which node a pod runs.
//!
//! The way through: [`schedule`] decides about one pod, purely, over a `snapshot` of nodes and the pods on them; what speaks for
//! and against a node are the [`plugins`], one file each, behind the traits of [`framework`]; `diagnosis` turns refusals into the
//! sentence users read. [`core`] adds the `queue` of pods that wait and the assumptions about pods just decided: it is told what
//! happened and answers with effects. `driver` feeds it from informers and carries the effects out (`writes`);
//! [`metrics`] is what is counted of that.

pub mod core;
mod diagnosis;
mod driver;
pub mod framework;
pub mod metrics;
mod node_selector;
pub mod plugins;
mod pod;
mod preemption;
mod queue;
mod requests;
mod schedule;
#[cfg(test)]
mod schedule_tests;
mod snapshot;
#[cfg(test)]
mod testing;
mod writes;

pub use diagnosis::{Diagnosis, Refused};
pub use driver::{Config, run, run_with_informers};
pub use pod::{HostPort, PodInfo, PodKey, Uid};
pub use schedule::{Decision, fits, schedule};
pub use snapshot::{Column, NodeInfo, Row, Snapshot};
