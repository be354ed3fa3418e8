//! The one thread that writes: it takes whatever waits in the queue, decides it in order, makes it durable with one
//! fsync, shows it, answers. While the disk syncs, the next batch gathers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::log::Log;
use super::{QUEUE, Request, Shared};
use crate::index::Batch;
use crate::{Durability, Result, Revision, Value, Write};

/// Bytes of values after which a batch is closed: a bigger one would make its first writer wait for its last.
const BATCH_BYTES: usize = 16 << 20;

/// How long a relaxed write may stay unsynced: well under the second that [`Durability::Relaxed`] promises.
const RELAXED_SYNC: Duration = Duration::from_millis(500);

/// The store has failed, and has been told why before whoever waits for an answer is let go.
struct Stopped;

type Outcome<T> = std::result::Result<T, Stopped>;

pub(super) struct Committer {
    shared: Arc<Shared>,
    log: Log,
    queue: Receiver<Request>,
    history_bytes: usize,
    /// When the oldest unsynced write was made.
    unsynced: Option<Instant>,
}

/// Writes being committed, and whom to answer.
#[derive(Default)]
struct Pending {
    batch: Batch,
    bytes: usize,
    synced: bool,
    replies: Vec<(oneshot::Sender<Result<Revision>>, Result<Revision>, OwnedSemaphorePermit)>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, log: Log, queue: Receiver<Request>, history_bytes: usize) -> Committer {
        Committer { shared, log, queue, history_bytes, unsynced: None }
    }

    /// Runs until the store is dropped or fails. Either way the queue closes, which answers whoever still waits.
    pub(super) fn run(mut self) {
        if self.serve().is_ok() {
            tracing::debug!("the store's committer ends");
        }
    }

    fn or_stop<T>(&self, result: std::result::Result<T, String>) -> Outcome<T> {
        result.map_err(|reason| {
            self.shared.fail(reason);
            Stopped
        })
    }

    fn serve(&mut self) -> Outcome<()> {
        while let Some(mut request) = self.next()? {
            let mut pending = Pending::default();
            // A compaction closes the batch before it: it must not run past writes that are only staged.
            let compaction = loop {
                match request {
                    Request::Compact { before, reply } => break Some((before, reply)),
                    write @ Request::Write { .. } => pending.stage(&self.shared, write)?,
                }
                if pending.is_full() {
                    break None;
                }
                match self.queue.try_recv() {
                    Ok(next) => request = next,
                    Err(_) => break None,
                }
            };
            self.commit(pending)?;
            if let Some((before, reply)) = compaction {
                let answer = self.compact(before)?;
                let _ = reply.send(answer);
            }
        }
        self.or_stop(self.log.sync())
    }

    /// The next request; `None` when the store is being dropped. Syncs relaxed writes when they have waited long enough.
    fn next(&mut self) -> Outcome<Option<Request>> {
        loop {
            let Some(since) = self.unsynced else { return Ok(self.queue.recv().ok()) };
            match self.queue.recv_timeout(RELAXED_SYNC.saturating_sub(since.elapsed())) {
                Ok(request) => return Ok(Some(request)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    self.or_stop(self.log.sync())?;
                    self.unsynced = None;
                }
            }
        }
    }

    fn commit(&mut self, pending: Pending) -> Outcome<()> {
        if !pending.batch.events.is_empty() {
            // A stream of relaxed writes must not put off its own sync for ever.
            let overdue = self.unsynced.is_some_and(|since| since.elapsed() >= RELAXED_SYNC);
            let sync = pending.synced || overdue;
            self.or_stop(self.log.append(&pending.batch.events, sync))?;
            self.unsynced = if sync { None } else { self.unsynced.or_else(|| Some(Instant::now())) };
            let mut index = self.shared.write().map_err(|_| Stopped)?;
            for event in pending.batch.events {
                index.apply(event);
            }
            let overfull = index.overfull(self.history_bytes);
            drop(index);
            if let Some(before) = overfull {
                tracing::info!(before = before.0, "history outgrew its bound and is compacted");
                // The revision is one of the window's: it cannot lie in the future.
                let _ = self.compact(before)?;
            }
        }
        for (reply, answer, permit) in pending.replies {
            drop(permit);
            let _ = reply.send(answer);
        }
        Ok(())
    }

    /// The inner error is the caller's.
    fn compact(&mut self, before: Revision) -> Outcome<Result<()>> {
        let mut index = self.shared.write().map_err(|_| Stopped)?;
        let bytes_before = index.value_bytes();
        let forgotten = match index.compact(before) {
            Ok(forgotten) => forgotten,
            Err(error) => return Ok(Err(error)),
        };
        let (oldest, bytes) = (index.oldest(), index.value_bytes());
        drop(index);
        self.or_stop(self.log.forget(oldest, &forgotten))?;
        self.log.reclaim(bytes_before - bytes, bytes);
        Ok(Ok(()))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.fail("a bug ended the committer thread".to_owned());
        }
    }
}

impl Pending {
    fn stage(&mut self, shared: &Shared, request: Request) -> Outcome<()> {
        let Request::Write { key, write, expect, durability, reply, permit } = request else { return Ok(()) };
        let bytes = match &write {
            Write::Put(Value { bytes, .. }) => bytes.len(),
            Write::Delete => 0,
        };
        let index = shared.read().map_err(|_| Stopped)?;
        let answer = self.batch.stage(&index, key, write, expect);
        if answer.is_ok() {
            self.bytes += bytes;
            self.synced |= durability == Durability::Synced;
        }
        // A refusal waits too: what it tells about the key may be staged and not yet durable.
        self.replies.push((reply, answer, permit));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.replies.len() >= QUEUE || self.bytes >= BATCH_BYTES
    }
}
