//! What a cache must show before a controller may decide again: the controller's own last writes.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use tokio::sync::watch;
use tracing::warn;

use crate::Key;
use crate::store::{Progress, Store};

/// A write that has been acknowledged and has perhaps not come back by the watch yet.
#[derive(Clone)]
pub struct Expectation {
    store: Arc<dyn AnyStore>,
    write: Write,
    /// How many lists had been begun when the write was done: a later one includes it.
    lists_begun: u64,
}

#[derive(Clone, Debug)]
enum Write {
    Revision(u64),
    Deleted { key: Key, uid: String },
}

/// As upstream's `ExpectationsTimeout`: a watch that is silent for longer has other troubles.
const TIMEOUT: Duration = Duration::from_secs(300);

impl Expectation {
    pub(crate) fn revision(store: Arc<dyn AnyStore>, revision: u64) -> Self {
        let lists_begun = store.watch_progress().borrow().lists_begun;
        Self { store, write: Write::Revision(revision), lists_begun }
    }

    pub(crate) fn deleted(store: Arc<dyn AnyStore>, key: Key, uid: String) -> Self {
        let lists_begun = store.watch_progress().borrow().lists_begun;
        Self { store, write: Write::Deleted { key, uid }, lists_begun }
    }

    fn is_met(&self, progress: &Progress) -> bool {
        progress.lists_done > self.lists_begun
            || match &self.write {
                Write::Revision(revision) => progress.revision >= *revision,
                Write::Deleted { key, uid } => self.store.is_deleted(key, uid),
            }
    }

    pub async fn wait(&self) {
        let mut progress = self.store.watch_progress();
        let met = progress.wait_for(|progress| self.is_met(progress));
        if tokio::time::timeout(TIMEOUT, met).await.is_err() {
            warn!(write = ?self.write, "the watch did not show an own write in time");
        }
    }
}

/// A store without its type.
pub trait AnyStore: Send + Sync {
    fn watch_progress(&self) -> watch::Receiver<Progress>;
    /// The object with this UID is not here any more, or is on its way out.
    fn is_deleted(&self, key: &Key, uid: &str) -> bool;
}

impl<K: Resource + Send + Sync + 'static> AnyStore for Store<K> {
    fn watch_progress(&self) -> watch::Receiver<Progress> {
        self.progress()
    }

    fn is_deleted(&self, key: &Key, uid: &str) -> bool {
        self.get(key).is_none_or(|object| {
            let meta = object.meta();
            meta.uid.as_deref() != Some(uid) || meta.deletion_timestamp.is_some()
        })
    }
}
