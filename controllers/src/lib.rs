//! The controllers of the control plane, one file (or folder) each. [`run`] starts all of them over shared informers.

pub mod common;
pub mod deployment;
pub mod discovery;
pub mod endpoints;
pub mod endpointslices;
pub mod garbagecollector;
pub mod namespace;
pub mod replicaset;
pub mod rootca;
pub mod serviceaccount;
