//! What the drivers did, counted per controller.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Default)]
pub struct Counters {
    pub reconciles: AtomicU64,
    pub errors: AtomicU64,
    pub conflicts: AtomicU64,
    pub panics: AtomicU64,
    pub writes: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub reconciles: u64,
    pub errors: u64,
    pub conflicts: u64,
    pub panics: u64,
    pub writes: u64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            reconciles: self.reconciles.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Metrics {
    controllers: Arc<Mutex<BTreeMap<&'static str, Arc<Counters>>>>,
}

impl Metrics {
    pub fn counters(&self, controller: &'static str) -> Arc<Counters> {
        let mut controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        controllers.entry(controller).or_default().clone()
    }

    pub fn snapshot(&self) -> BTreeMap<&'static str, Snapshot> {
        let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        controllers.iter().map(|(name, counters)| (*name, counters.snapshot())).collect()
    }
}
