//! The container runtime: images, sandboxes, containers. Knows OCI, knows no Pods.

pub mod images;
pub mod spec;
