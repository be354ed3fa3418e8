//! What a container is launched with: from the pod's words to the runtime's specification. Pure.

pub mod qos;
pub mod signals;
