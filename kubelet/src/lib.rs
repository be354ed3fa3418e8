//! The node: decides what its pods need next and drives the runtime.
//!
//! - [`pod`]: the pod machine, pure: states of one pod on its node, and its status.
//! - [`launch`]: from a container of a pod to what the runtime is asked for, pure.

pub mod launch;
pub mod pod;
