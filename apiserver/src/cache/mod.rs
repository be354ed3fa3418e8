//! The watch cache: the current objects and the recent changes of every resource, at a known revision.
//!
//! [`Caches`] reads the store once and follows it with one watch over all keys. A store's revisions have no gaps, so the
//! one stream tells for every resource how far it is complete. It feeds one [`Cache`] for each resource, which answers
//! lists ([`Cache::list`]) and watches ([`Cache::watch`]).
//!
//! A watcher has no queue of its own: it holds a position and reads on in the cache's window of changes, which is the
//! queue of all. One that falls out of the window is told so and ends; nothing is ever skipped.

mod change;
mod follow;
mod resource;
mod stored;

pub use change::{Change, EventType, frame};
pub use follow::{Caches, Follower, ROOT, Unready, prefix_range};
pub use resource::{Cache, Snapshot, TooOld, Watcher};
pub use stored::{DecodeError, Stored};
