//! The durable store inside the process: the index in memory, one committer thread, a log on disk.
//!
//! ```text
//! write ──▶ bounded queue ──▶ committer: stage a batch ─▶ append to the log, fsync ─▶ apply to the index ─▶ answer
//! get, range, watch ──▶ index (memory only)
//! ```
//!
//! Invariants: nothing is visible that a crash of the process could take back; a synced write is on disk before it is
//! visible or acknowledged. A relaxed write is handed to the operating system before it is visible, so it survives the
//! process; a loss of power may take back those of the last moment, and their revisions with them. After an I/O error the
//! true state of the disk is unknown: the store stops, and everything afterwards is [`Error::Unavailable`].

mod committer;
mod log;
mod sentence;

use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::committer::Committer;
use self::log::Log;
use crate::index::{HISTORY_BYTES, Index};
use crate::{Durability, Error, Expect, KeyValue, Page, Range, Result, Revision, Store, WatchStream, Write};

/// Requests that wait for the committer. More would only add latency: a batch takes at most as many.
const QUEUE: usize = 1024;

/// How the store uses its resources. The default suits a control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the window of recent events may cost in bytes before half of it is compacted away unasked.
    pub history_bytes: usize,
    /// Written data that the storage engine keeps in memory before it sorts it into files, in bytes.
    pub write_buffer: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { history_bytes: HISTORY_BYTES, write_buffer: 16 << 20 }
    }
}

/// See the module doc. Dropping it syncs what is unsynced and releases the directory.
pub struct Embedded {
    shared: Arc<Shared>,
    queue: Arc<Semaphore>,
    /// `None` only while dropping.
    requests: Option<mpsc::Sender<Request>>,
    committer: Option<JoinHandle<()>>,
}

/// What readers and the committer share.
struct Shared {
    index: RwLock<Index>,
    /// Why the store stopped.
    failed: OnceLock<String>,
}

enum Request {
    Write {
        key: Bytes,
        write: Write,
        expect: Expect,
        durability: Durability,
        reply: oneshot::Sender<Result<Revision>>,
        /// The request's place in the queue.
        permit: OwnedSemaphorePermit,
    },
    Compact {
        before: Revision,
        reply: oneshot::Sender<Result<()>>,
    },
}

impl Embedded {
    /// Opens the directory, or makes it. Blocks while it reads the whole state into memory.
    pub fn open(directory: &Path, options: Options) -> Result<Embedded> {
        let (log, index) = Log::open(directory, &options)?;
        tracing::info!(revision = index.newest().0, oldest = index.oldest().0, "store opened");
        let shared = Arc::new(Shared { index: RwLock::new(index), failed: OnceLock::new() });
        let (requests, queue) = mpsc::channel();
        let committer = Committer::new(shared.clone(), log, queue, options.history_bytes);
        let committer = std::thread::Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || committer.run())
            .map_err(|error| Error::Open(format!("cannot start the committer thread ({error})")))?;
        let queue = Arc::new(Semaphore::new(QUEUE));
        Ok(Embedded { shared, queue, requests: Some(requests), committer: Some(committer) })
    }

    fn send(&self, request: Request) -> Result<()> {
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
        if sent { Ok(()) } else { Err(self.shared.stopped()) }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.requests.take());
        if self.committer.take().is_some_and(|committer| committer.join().is_err()) {
            tracing::error!("the store's committer thread had panicked");
        }
    }
}

impl Shared {
    /// The index, unless the store has stopped.
    fn read(&self) -> Result<RwLockReadGuard<'_, Index>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        if self.failed.get().is_some() { Err(self.stopped()) } else { Ok(index) }
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Index>> {
        let index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if self.failed.get().is_some() { Err(self.stopped()) } else { Ok(index) }
    }

    fn stopped(&self) -> Error {
        Error::Unavailable(self.failed.get().cloned().unwrap_or_else(|| "the store was closed".to_owned()))
    }

    /// Stops the store for good.
    fn fail(&self, reason: String) {
        tracing::error!(reason, "the store stops");
        let reason = self.failed.get_or_init(|| reason);
        // After `failed` is set: a watch that comes later is refused under this lock.
        self.index.write().unwrap_or_else(PoisonError::into_inner).hub.fail(reason);
    }
}

impl Store for Embedded {
    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        async move { Ok(self.shared.read()?.newest()) }.boxed()
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>> {
        async move { Ok(self.shared.read()?.get(&key)) }.boxed()
    }

    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>> {
        async move { self.shared.read()?.range(&range, at, limit) }.boxed()
    }

    fn write(
        &self,
        key: Bytes,
        write: Write,
        expect: Expect,
        durability: Durability,
    ) -> BoxFuture<'_, Result<Revision>> {
        async move {
            let permit = self.queue.clone().acquire_owned().await.map_err(|_| self.shared.stopped())?;
            let (reply, answer) = oneshot::channel();
            self.send(Request::Write { key, write, expect, durability, reply, permit })?;
            answer.await.unwrap_or_else(|_| Err(self.shared.stopped()))
        }
        .boxed()
    }

    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>> {
        async move { Ok(Box::pin(self.shared.write()?.watch(range, after)?) as WatchStream) }.boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>> {
        async move {
            let (reply, answer) = oneshot::channel();
            self.send(Request::Compact { before, reply })?;
            answer.await.unwrap_or_else(|_| Err(self.shared.stopped()))
        }
        .boxed()
    }
}
