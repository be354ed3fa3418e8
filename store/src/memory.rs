//! The store without a disk, for tests and simulation: the index behind a mutex. No threads, no time; everything is done
//! when the call returns, so a run is a function of the calls.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::index::HISTORY_BYTES;
use crate::index::{Batch, Index};
use crate::{Durability, Expect, KeyValue, Page, Range, Result, Revision, Store, WatchStream, Write};

/// See the module doc. History is bounded like that of the embedded store.
#[derive(Default)]
pub struct Memory {
    index: Mutex<Index>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory::default()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // The index has no state in which a panic could leave it half changed and readable.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, key: Bytes, write: Write, expect: Expect) -> Result<Revision> {
        let mut index = self.index();
        let mut batch = Batch::default();
        let revision = batch.stage(&index, key, write, expect)?;
        for event in batch.events {
            index.apply(event);
        }
        if let Some(before) = index.overfull(HISTORY_BYTES) {
            index.compact(before)?;
        }
        Ok(revision)
    }
}

impl Store for Memory {
    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        async move { Ok(self.index().newest()) }.boxed()
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>> {
        async move { Ok(self.index().get(&key)) }.boxed()
    }

    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>> {
        async move { self.index().range(&range, at, limit) }.boxed()
    }

    fn write(&self, key: Bytes, write: Write, expect: Expect, _: Durability) -> BoxFuture<'_, Result<Revision>> {
        async move { self.commit(key, write, expect) }.boxed()
    }

    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>> {
        async move { self.index().watch(range, after).map(|watch| Box::pin(watch) as WatchStream) }.boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>> {
        async move { self.index().compact(before).map(drop) }.boxed()
    }
}
