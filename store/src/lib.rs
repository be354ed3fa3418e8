//! Revisioned keys with watch: the one place where cluster state is kept.
//!
//! The crate knows bytes and revisions and no kinds. [`Store`] writes down the guarantees of etcd v3; the backends
//! ([`Memory`], [`Embedded`], [`Etcd`]) give the same ones, and one contract suite (`tests/contract`) checks them all.
//!
//! The way through: `index` is the state in memory (every key's versions, the window of recent events) and has no locks,
//! threads or files; `hub` hands its events to watchers. `memory` is that and a mutex. `embedded` is that behind one
//! committer thread, which makes each batch durable in the log before the index shows it. `etcd` shares none of it: it asks
//! a cluster of etcd, which other servers ask, too. `sealed` wraps any of them and keeps some values as ciphertext.

mod embedded;
mod etcd;
mod hub;
mod index;
mod memory;
mod sealed;

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;

pub use embedded::{Embedded, Options};
pub use etcd::{Etcd, EtcdOptions, EtcdTls};
pub use memory::Memory;
pub use sealed::{Keys, KeysError, Scope, Sealed};

/// The store's logical clock. 0 means "before any write"; the first write makes revision 1 (etcd: 2). Each successful write
/// makes exactly one revision, one greater than the last, and there are no gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value to be stored.
///
/// `stamp` is an offset in `bytes` at which the store inserts the decimal digits of the revision that the write makes,
/// so that what is read carries its own revision and no reader ever copies an object to add it. An offset past the end
/// means the end.
#[derive(Clone, Debug)]
pub struct Value {
    pub bytes: Bytes,
    pub stamp: Option<usize>,
}

/// What one write does to its key.
#[derive(Clone, Debug)]
pub enum Write {
    Put(Value),
    /// The key must exist, else the write fails with [`Error::Conflict`] (`actual: None`).
    Delete,
}

/// What must hold of the key for the write to take place, compared in the same atomic step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    /// The key exists and its last write made this revision.
    At(Revision),
}

/// How much must be true before a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The write is on disk (fsync returned). The default; everything but heartbeats wants it.
    #[default]
    Synced,
    /// The write is visible, and on disk with the next synced write or within a second. For Leases: losing the last
    /// second of heartbeats costs nothing.
    Relaxed,
}

/// One key as of some revision. `value` has its stamp inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Bytes,
    pub value: Bytes,
    /// Revision of the write that created the key (since it was last absent).
    pub created: Revision,
    /// Revision of the last write to the key.
    pub modified: Revision,
}

/// A half-open interval of keys in byte order; `end: None` is unbounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: Bytes,
    pub end: Option<Bytes>,
}

impl Range {
    /// Every key.
    pub fn all() -> Range {
        Range { start: Bytes::new(), end: None }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Range {
        let start = prefix.into();
        let end = start.iter().rposition(|byte| *byte != u8::MAX).map(|last| {
            let mut end = start[..=last].to_vec();
            end[last] += 1;
            Bytes::from(end)
        });
        Range { start, end }
    }

    /// Exactly one key.
    pub fn key(key: impl Into<Bytes>) -> Range {
        let start = key.into();
        let mut end = start.to_vec();
        end.push(0);
        Range { start, end: Some(Bytes::from(end)) }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    /// True when no key can lie in it.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end <= &self.start)
    }
}

/// A snapshot of a range.
#[derive(Clone, Debug)]
pub struct Page {
    /// The revision that the page shows: the requested one, or the newest when none was requested.
    pub revision: Revision,
    /// In key order, at most the limit.
    pub items: Vec<KeyValue>,
    /// How many keys of the range exist at that revision, those past the limit included.
    pub count: usize,
}

/// One change. Events of one stream come in revision order, each revision at most once (a write touches one key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub revision: Revision,
    pub key: Bytes,
    /// The new state; `None` for a deletion.
    pub current: Option<KeyValue>,
    /// The state before; `None` for a creation.
    pub previous: Option<KeyValue>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// [`Expect`] did not hold. `actual` is the key as it is (`None`: absent).
    #[error("compare the key's revision: expectation does not hold")]
    Conflict { actual: Option<KeyValue> },
    /// The revision asked for was compacted away; the oldest that can still be read is `oldest`.
    #[error("read revision: compacted, oldest is {oldest}")]
    Compacted { oldest: Revision },
    /// The revision asked for is greater than the newest.
    #[error("read revision: newest is {newest}")]
    Future { newest: Revision },
    /// The watcher did not take its events in time and was cut off; it may watch again from `after`, the last revision
    /// that it was given.
    #[error("follow the watch: too slow, cut off after revision {after}")]
    Lagged { after: Revision },
    /// Not acknowledged, and it is unknown whether the write took place. After an I/O error a backend with files stays in
    /// this state.
    #[error("reach the store: {0}")]
    Unavailable(String),
    /// A value is encrypted with a key that [`Sealed`] was not given.
    #[error("decrypt {name}: none of the keys has the id {id}")]
    KeyGone { name: String, id: String },
    /// The data directory cannot be used (locked by a running process, damaged, unwritable); says what to do.
    #[error("open the store: {0}")]
    Open(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Ends with an error item when the stream cannot go on gap-free (the watcher was too slow, or was compacted past).
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<Event>> + Send>>;

/// The guarantees, which are etcd's:
/// - writes are linearizable; an acknowledged one survives a crash of the process (see [`Durability`]);
/// - a read without a revision shows every write acknowledged before it began (linearizable);
/// - a read at a revision shows exactly the keys as they were then, until that revision is compacted;
/// - a watch from `after` delivers every event of the range with a greater revision, in order, none twice, none missing,
///   or ends with an error; it starts with history when `after` lies in the past.
pub trait Store: Send + Sync + 'static {
    /// The newest revision.
    fn revision(&self) -> BoxFuture<'_, Result<Revision>>;

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>>;

    /// Keys of `range` in order, as of `at` (default: newest). `limit` 0 means no limit.
    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>>;

    /// Answers with the revision that the write made.
    fn write(
        &self,
        key: Bytes,
        write: Write,
        expect: Expect,
        durability: Durability,
    ) -> BoxFuture<'_, Result<Revision>>;

    /// Events of `range` with revisions greater than `after`; `after` greater than the newest revision is
    /// [`Error::Future`].
    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>>;

    /// Forgets history before `before`: reads at older revisions and watches from them then fail. The current state
    /// stays, and so do the watches that are running. A revision already compacted changes nothing; one greater than the
    /// newest is [`Error::Future`].
    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>>;

    /// Whether other processes write to it, too. Then a read is a round trip, and what this process saw last may be old.
    fn is_shared(&self) -> bool {
        false
    }
}
