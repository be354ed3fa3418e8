//! The store as the simulation has it: the memory store, which outlives the API server as a disk does, with its whole history
//! beside it for the oracle, a brake on the events it tells, and writes that take their time, so that requests meet in the API server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use store::{Durability, Expect, KeyValue, Memory, Page, Range, Result, Revision, Store, WatchStream, Write};
use tokio::sync::watch;

use crate::bugs::Bug;
use crate::clock;
use crate::rng::Rng;
use crate::wire::Name;

tokio::task_local! {
    /// Whose request the API server is working on, and which.
    pub static REQUEST: (Name, String);
}

/// One write that took place.
#[derive(Clone, Debug)]
pub struct Commit {
    pub revision: u64,
    pub key: String,
    pub before: Option<Bytes>,
    pub after: Option<Bytes>,
    /// Whose request it was; empty for the API server itself.
    pub client: String,
    /// The method and the path of the request.
    pub via: String,
    pub at: u64,
}

pub struct Disk {
    memory: Memory,
    commits: Mutex<Vec<Commit>>,
    /// Events are held back while this is false.
    flows: watch::Sender<bool>,
    /// Writes that take their time wait for the next step of the world.
    steps: watch::Sender<u64>,
    waiting: AtomicUsize,
    rng: Mutex<Rng>,
    bug: Option<Bug>,
}

/// How many of a hundred writes are slow, before they are done, and before their author learns of it.
const SLOW: u64 = 12;

impl Disk {
    pub fn new(seed: u64, bug: Option<Bug>) -> Disk {
        Disk {
            memory: Memory::new(),
            commits: Mutex::default(),
            flows: watch::Sender::new(true),
            steps: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            rng: Mutex::new(Rng::new(seed, "disk")),
            bug,
        }
    }

    /// The world has gone a step on; true when somebody has waited for it.
    pub fn step(&self) -> bool {
        let waiting = self.waiting.swap(0, Ordering::Relaxed) > 0;
        if waiting {
            self.steps.send_modify(|steps| *steps += 1);
        }
        waiting
    }

    /// Lets others come between, now and then.
    async fn pause(&self) {
        let slow = self.rng.lock().unwrap_or_else(PoisonError::into_inner).chance(SLOW);
        if slow {
            let mut steps = self.steps.subscribe();
            self.waiting.fetch_add(1, Ordering::Relaxed);
            // The sender lives as long as the disk.
            let _ = steps.changed().await;
        }
    }

    fn commits(&self) -> MutexGuard<'_, Vec<Commit>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written since the last call.
    pub fn take_commits(&self) -> Vec<Commit> {
        std::mem::take(&mut *self.commits())
    }

    /// Whether the store's watchers, which are the API server's caches, hear of writes.
    pub fn let_flow(&self, flows: bool) {
        self.flows.send_replace(flows);
    }
}

/// A shared disk; each API server gets a handle.
#[derive(Clone)]
pub struct Handle(pub Arc<Disk>);

impl Store for Handle {
    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        self.0.memory.revision()
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>> {
        self.0.memory.get(key)
    }

    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>> {
        self.0.memory.range(range, at, limit)
    }

    fn write(
        &self,
        key: Bytes,
        write: Write,
        expect: Expect,
        durability: Durability,
    ) -> BoxFuture<'_, Result<Revision>> {
        async move {
            self.0.pause().await;
            let before = self.0.memory.get(key.clone()).await?;
            let revision = self.0.memory.write(key.clone(), write, expect, durability).await?;
            let after = self.0.memory.get(key.clone()).await?;
            let by = REQUEST.try_with(|(client, via)| (client.to_string(), via.clone()));
            let (client, via) = by.unwrap_or_default();
            let commit = Commit {
                revision: revision.0,
                key: String::from_utf8_lossy(&key).into_owned(),
                before: before.map(|item| item.value),
                after: after.map(|item| item.value),
                client,
                via,
                at: clock::now(),
            };
            self.0.commits().push(commit);
            self.0.pause().await;
            Ok(revision)
        }
        .boxed()
    }

    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>> {
        async move {
            let late = self.0.bug == Some(Bug::DropsFirstEvent) && after < self.0.memory.revision().await?;
            let events = self.0.memory.watch(range, after).await?.skip(usize::from(late));
            let flows = self.0.flows.subscribe();
            let held = events.then(move |event| {
                let mut flows = flows.clone();
                async move {
                    // The sender lives as long as the disk.
                    let _ = flows.wait_for(|flows| *flows).await;
                    event
                }
            });
            Ok(Box::pin(held) as WatchStream)
        }
        .boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>> {
        self.0.memory.compact(before)
    }
}
