//! The kinds that are special: one file or folder each, with a [`Strategy`]. All others are [`Plain`].
//!
//! [`pod_template`] and [`workload`] are what kinds with pods in them share. The rest are tools: [`cursor`] reads a tree and
//! reports what is wrong, [`edit`] changes one, [`equality`] compares two as Go would.

mod addresses;
mod controller_revision;
mod cursor;
mod deployment;
mod diff;
mod edit;
mod equality;
mod pod;
mod pod_template;
mod quantities;
mod replica_set;
mod selectors;
mod workload;

use crate::strategy::{Plain, Strategy};

/// What is special about a resource, in all its versions. `group` is empty for the core group, `resource` the plural.
pub fn strategy(group: &str, resource: &str) -> &'static dyn Strategy {
    match (group, resource) {
        ("", "pods") => &pod::Pod,
        ("apps", "controllerrevisions") => &controller_revision::ControllerRevision,
        ("apps", "deployments") => &deployment::Deployment,
        ("apps", "replicasets") => &replica_set::ReplicaSet,
        _ => &Plain,
    }
}
