//! Role-based access control.
//!
//! ```text
//! watch caches --each change--> index (policy: by subject) <--may this user?-- authorizer, reviews
//!                                       ^-- rules of a role, of a user -- escalation (writes of roles and bindings)
//! ```
//! - [`rule`] is one rule and its match; [`object`] reads roles and bindings; [`policy`] is all of them, pure; [`index`] keeps it
//!   true to the caches and decides.
//! - [`coverage`] compares sets of rules; `escalation` lets nobody grant by it what they do not have.
//! - [`bootstrap`] makes the roles and bindings that every cluster has.
//!
//! The order of authorizers is [`crate::front::authz`]'s.

pub mod bootstrap;
pub mod coverage;
pub(crate) mod escalation;
pub mod index;
pub mod object;
pub mod policy;
pub mod rule;
#[cfg(test)]
mod tests;

pub use index::Index;
pub use rule::Rule;
