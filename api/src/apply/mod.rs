//! Server-side apply: who manages which fields of an object, and what happens when somebody applies a configuration.
//! Upstream has this in `sigs.k8s.io/structured-merge-diff` and `k8s.io/apimachinery/pkg/util/managedfields`.
//!
//! From below: [`element`] is a step of a path, [`set`] a set of fields, [`wire`] its form in `fieldsV1`. [`place`] is what the
//! schema says about a spot in an object; on it stand [`owned`] (the fields of a configuration), [`compare`], [`merge`],
//! [`remove`], [`reconcile`], [`check`] and [`atomic`].
//!
//! [`managers`] is the list of managers in an object, [`update`] has the rules by which fields change hands, with [`prune`] for
//! what nobody wants any more and [`conflict`] for what somebody else has. [`tracker`] is what a server calls; [`last_applied`]
//! and [`scale`] are its special cases.

mod atomic;
mod check;
mod compare;
mod conflict;
mod element;
mod last_applied;
mod managers;
mod merge;
mod nulls;
mod owned;
mod place;
mod prune;
mod reconcile;
mod remove;
pub mod scale;
mod set;
mod tracker;
mod update;
mod wire;

#[cfg(test)]
mod tests;

pub use atomic::atomic;
pub use check::{Misfit, Misfits, check};
pub use compare::{Comparison, Nulls, compare};
pub use conflict::{Conflict, Conflicts};
pub use element::{ElementError, PathElement, path_text};
pub use managers::{EntryError, Managed, ManagedFields, ManagerId, Operation};
pub use merge::merge;
pub use owned::field_set;
pub use place::{KeyError, Place};
pub use reconcile::reconcile;
pub use remove::remove;
pub use set::{Node, Set};
pub use tracker::{Applied, ApplyError, OneVersion, Tracker, requested};
pub use update::{UpdateError, Updater, Versions};
