//! The node authorizer: a node may read what the pods that are bound to it use, and write what is its own.
//!
//! ```text
//! watch caches --each change--> graph (object -> nodes) <--is it this node's?-- rules <-- authorizer, reviews
//! ```
//! - [`references`] reads what a Pod or PersistentVolume names; [`graph`] keeps which nodes that leads to, true to the caches;
//! - [`rules`] decides, in upstream's words (`kubernetes/plugin/pkg/auth/authorizer/node`).
//!
//! What a node may do to an object that only the request's body shows is [`crate::admission`]'s (NodeRestriction).

pub mod graph;
pub(crate) mod references;
mod rules;

pub use graph::Graph;
pub(crate) use rules::Rules;
