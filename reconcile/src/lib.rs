//! Reconciling: what all control loops share.
//!
//! A [`Controller`] says which kinds it looks at, gathers a view from the caches and decides, purely, on a [`Plan`]. The
//! [`Manager`] does the rest: `informer` keeps one [`informer::Store`] per kind for the whole process, changes become keys in a
//! `queue`, `driver` takes a key and asks for a decision, `execute` performs it with preconditions and records `events`, and
//! `expectation` holds the key back until the caches show what was written. `lease` lets one of several processes do the work.

pub mod controller;
pub mod driver;
mod error;
pub mod events;
pub mod execute;
mod expectation;
pub mod informer;
mod key;
pub mod lease;
pub mod metrics;
pub mod plan;
mod queue;
mod request;
mod store;

pub use controller::{Controller, Watch, chosen, indexed, mapped, owned, owner_key, read};
pub use driver::{Clients, Manager, Outcome, Reconciler, now};
pub use error::Error;
pub use expectation::Expectation;
pub use key::Key;
pub use plan::{Action, Plan, PlanEvent};
pub use queue::Queue;
