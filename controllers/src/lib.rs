//! The controllers of the control plane, one file (or folder) each. [`run`] starts all of them over shared informers.

pub mod common;
pub mod deployment;
pub mod endpoints;
pub mod endpointslices;
pub mod replicaset;
