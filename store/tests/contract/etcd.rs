//! A real etcd as a backend of the contract.
//!
//! All cases share one etcd, one after another: each begins by deleting everything, and takes the revision of that for 0. So
//! [`Shifted`] gives the numbers of a store that was empty before.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use etcd_server::Server;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use store::{
    Durability, Error, Etcd, EtcdOptions, Event, Expect, KeyValue, Page, Range, Result, Revision, Store, WatchStream,
    Write,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The running etcd while anybody uses or waits for it.
static SHARED: std::sync::Mutex<Weak<Shared>> = std::sync::Mutex::new(Weak::new());

struct Shared {
    server: Server,
    turn: Arc<Mutex<()>>,
}

/// An empty store. `None` where there is no etcd.
pub async fn store() -> Option<Shifted> {
    let shared = shared()?;
    let turn = shared.turn.clone().lock_owned().await;
    let options = EtcdOptions { endpoints: vec![shared.server.endpoint()], tls: None };
    let store = Etcd::connect(&options).await.expect("connect");
    for item in store.range(Range::all(), None, 0).await.expect("list").items {
        store.write(item.key, Write::Delete, Expect::Any, Durability::Synced).await.expect("clear");
    }
    let base = store.revision().await.expect("revision").0;
    Some(Shifted { store, base, options, _shared: shared, _turn: turn })
}

fn shared() -> Option<Arc<Shared>> {
    let mut running = SHARED.lock().expect("no test panics while it starts etcd");
    if let Some(shared) = running.upgrade() {
        return Some(shared);
    }
    let server = Server::start().expect("etcd starts")?;
    let shared = Arc::new(Shared { server, turn: Arc::default() });
    *running = Arc::downgrade(&shared);
    Some(shared)
}

pub struct Shifted {
    store: Etcd,
    /// etcd's revision that counts as 0.
    base: u64,
    options: EtcdOptions,
    _turn: OwnedMutexGuard<()>,
    _shared: Arc<Shared>,
}

impl Shifted {
    pub async fn connect_again(&mut self) {
        self.store = Etcd::connect(&self.options).await.expect("connect");
    }

    fn own(&self, revision: Revision) -> Revision {
        Revision(revision.0 + self.base)
    }
}

/// From etcd's numbers to the test's.
#[derive(Clone, Copy)]
struct Shift(u64);

impl Shift {
    fn revision(self, revision: Revision) -> Revision {
        Revision(revision.0.checked_sub(self.0).expect("nothing is from before the test"))
    }

    fn state(self, state: KeyValue) -> KeyValue {
        KeyValue { created: self.revision(state.created), modified: self.revision(state.modified), ..state }
    }

    fn event(self, event: Event) -> Event {
        Event {
            revision: self.revision(event.revision),
            key: event.key,
            current: event.current.map(|state| self.state(state)),
            previous: event.previous.map(|state| self.state(state)),
        }
    }

    fn error(self, error: Error) -> Error {
        match error {
            Error::Conflict { actual } => Error::Conflict { actual: actual.map(|state| self.state(state)) },
            Error::Compacted { oldest } => Error::Compacted { oldest: self.revision(oldest) },
            Error::Future { newest } => Error::Future { newest: self.revision(newest) },
            Error::Lagged { after } => Error::Lagged { after: self.revision(after) },
            other => other,
        }
    }
}

impl Store for Shifted {
    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        let shift = Shift(self.base);
        self.store.revision().map(move |found| found.map(|revision| shift.revision(revision))).boxed()
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>> {
        let shift = Shift(self.base);
        self.store.get(key).map(move |found| found.map(|state| state.map(|state| shift.state(state)))).boxed()
    }

    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>> {
        let shift = Shift(self.base);
        let page = self.store.range(range, at.map(|at| self.own(at)), limit);
        let shifted = move |page: Page| Page {
            revision: shift.revision(page.revision),
            items: page.items.into_iter().map(|state| shift.state(state)).collect(),
            count: page.count,
        };
        page.map(move |page| page.map(shifted).map_err(|error| shift.error(error))).boxed()
    }

    fn write(
        &self,
        key: Bytes,
        write: Write,
        expect: Expect,
        durability: Durability,
    ) -> BoxFuture<'_, Result<Revision>> {
        let shift = Shift(self.base);
        let expect = match expect {
            Expect::At(revision) => Expect::At(self.own(revision)),
            other => other,
        };
        let written = self.store.write(key, write, expect, durability);
        written.map(move |done| done.map(|at| shift.revision(at)).map_err(|error| shift.error(error))).boxed()
    }

    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>> {
        let shift = Shift(self.base);
        let shifted = move |events: WatchStream| -> WatchStream {
            events.map(move |event| event.map(|event| shift.event(event)).map_err(|error| shift.error(error))).boxed()
        };
        let watch = self.store.watch(range, self.own(after));
        watch.map(move |watch| watch.map(shifted).map_err(|error| shift.error(error))).boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>> {
        let shift = Shift(self.base);
        self.store.compact(self.own(before)).map(move |done| done.map_err(|error| shift.error(error))).boxed()
    }
}
