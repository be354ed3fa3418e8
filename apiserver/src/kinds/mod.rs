//! The kinds that are special: one file or folder each, with a [`Strategy`]. All others are [`Plain`].
//!
//! [`pod_template`] is what all kinds with pods in them share. The rest are tools: [`cursor`] reads a tree and reports what is
//! wrong, [`edit`] changes one, [`equality`] compares two as Go would.

mod addresses;
mod cursor;
mod diff;
mod edit;
mod equality;
mod pod;
mod pod_template;
mod quantities;
mod selectors;

use std::sync::Arc;

use crate::strategy::{Plain, Strategy};

/// What is special about a resource, in all its versions. `group` is empty for the core group, `resource` the plural.
pub fn strategy(group: &str, resource: &str) -> Arc<dyn Strategy> {
    match (group, resource) {
        ("", "pods") => Arc::new(pod::Pod),
        _ => Arc::new(Plain),
    }
}
