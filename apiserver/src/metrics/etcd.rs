//! How long etcd takes to answer, by what is asked and about which resource (`apiserver/pkg/storage/etcd3/metrics`): a store
//! around the one that asks it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use api::exposition::{Histogram, family, histograms};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use store::{Durability, Error, Expect, KeyValue, Page, Range, Result, Revision, Store, WatchStream, Write};
use tokio::time::Instant;

use crate::cache::ROOT;

/// Upstream's, in seconds.
const ENDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
const OPERATIONS: [&str; 5] = ["create", "delete", "get", "list", "update"];
const CREATE: usize = 0;
const DELETE: usize = 1;
const GET: usize = 2;
const LIST: usize = 3;
const UPDATE: usize = 4;

/// By group and resource as keys have them, then by operation.
#[derive(Default)]
pub(crate) struct Requests(RwLock<BTreeMap<Box<str>, Arc<[Series; OPERATIONS.len()]>>>);

struct Series {
    took: Histogram,
    errors: AtomicU64,
}

impl Default for Series {
    fn default() -> Self {
        Self { took: Histogram::new(&ENDS), errors: AtomicU64::new(0) }
    }
}

impl Requests {
    fn count(&self, key: &[u8], operation: usize, began: Instant, failed: bool) {
        let Some(resource) = resource(key) else { return };
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner).get(resource).cloned();
        let series = found.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            all.entry(resource.into()).or_default().clone()
        });
        series[operation].took.observe(began.elapsed());
        if failed {
            series[operation].errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn render(&self, text: &mut String) {
        let all: Vec<(Box<str>, Arc<[Series; OPERATIONS.len()]>)> = {
            let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
            all.iter().map(|(resource, series)| (resource.clone(), series.clone())).collect()
        };
        let lines = || {
            all.iter().flat_map(|(resource, series)| {
                let (group, plural) = resource.split_once('/').unwrap_or(("", resource));
                let group = if group == "core" { "" } else { group };
                let used = OPERATIONS.iter().zip(series.iter()).filter(|(_, series)| series.took.count() > 0);
                used.map(move |(operation, series)| {
                    (format!("group=\"{group}\",operation=\"{operation}\",resource=\"{plural}\""), series)
                })
            })
        };
        histograms(text, "etcd_request_duration_seconds", lines().map(|(labels, series)| (labels, &series.took)));
        let errors = lines().map(|(labels, series)| (labels, series.errors.load(Ordering::Relaxed) as f64));
        family(text, "etcd_request_errors_total", "counter", errors.filter(|(_, count)| *count > 0.0));
        let total = lines().map(|(labels, series)| (labels, series.took.count() as f64));
        family(text, "etcd_requests_total", "counter", total);
    }
}

/// `apps/deployments`; `None` for what is no resource's.
fn resource(key: &[u8]) -> Option<&str> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(ROOT)?;
    let group = rest.find('/')?;
    let end = rest[group + 1..].find('/').map_or(rest.len(), |slash| group + 1 + slash);
    (end > group + 1).then_some(&rest[..end])
}

/// A store whose requests are counted.
pub(crate) struct Counted {
    inner: Arc<dyn Store>,
    requests: Arc<Requests>,
}

impl Counted {
    pub fn new(inner: Arc<dyn Store>) -> (Self, Arc<Requests>) {
        let requests: Arc<Requests> = Arc::default();
        (Self { inner, requests: requests.clone() }, requests)
    }
}

impl Store for Counted {
    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        self.inner.revision()
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>> {
        let began = Instant::now();
        let found = self.inner.get(key.clone());
        found.inspect(move |found| self.requests.count(&key, GET, began, found.is_err())).boxed()
    }

    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>> {
        let (began, start) = (Instant::now(), range.start.clone());
        let page = self.inner.range(range, at, limit);
        page.inspect(move |page| self.requests.count(&start, LIST, began, page.is_err())).boxed()
    }

    fn write(
        &self,
        key: Bytes,
        write: Write,
        expect: Expect,
        durability: Durability,
    ) -> BoxFuture<'_, Result<Revision>> {
        let operation = match (&write, expect) {
            (Write::Delete, _) => DELETE,
            (Write::Put(_), Expect::Absent) => CREATE,
            (Write::Put(_), _) => UPDATE,
        };
        let began = Instant::now();
        let written = self.inner.write(key.clone(), write, expect, durability);
        let count = move |written: &Result<Revision>| {
            // Another's write that was first is an answer like any other.
            let failed = written.as_ref().is_err_and(|error| !matches!(error, Error::Conflict { .. }));
            self.requests.count(&key, operation, began, failed);
        };
        written.inspect(count).boxed()
    }

    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>> {
        self.inner.watch(range, after)
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>> {
        self.inner.compact(before)
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Memory, Value};

    #[tokio::test]
    async fn requests_are_told_by_resource() {
        let (store, requests) = Counted::new(Arc::new(Memory::new()));
        let put = |expect: Expect| {
            let value = Value { bytes: "x".into(), stamp: None };
            store.write("/registry/apps/deployments/n/d".into(), Write::Put(value), expect, Durability::Synced)
        };
        put(Expect::Absent).await.unwrap();
        put(Expect::Any).await.unwrap();
        assert!(put(Expect::Absent).await.is_err());
        store.get("/registry/core/pods/n/p".into()).await.unwrap();
        store.get("/setpoint/cluster".into()).await.unwrap();
        store.range(Range::prefix("/registry/"), None, 0).await.unwrap();
        store.range(Range::all(), Some(Revision(99)), 0).await.unwrap_err();
        store.range(Range::prefix("/registry/core/pods/"), Some(Revision(99)), 0).await.unwrap_err();
        let mut text = String::new();
        requests.render(&mut text);
        let counters: Vec<&str> = text.lines().filter(|line| line.contains("_total{")).collect();
        let expected = [
            "etcd_request_errors_total{group=\"\",operation=\"list\",resource=\"pods\"} 1",
            "etcd_requests_total{group=\"apps\",operation=\"create\",resource=\"deployments\"} 2",
            "etcd_requests_total{group=\"apps\",operation=\"update\",resource=\"deployments\"} 1",
            "etcd_requests_total{group=\"\",operation=\"get\",resource=\"pods\"} 1",
            "etcd_requests_total{group=\"\",operation=\"list\",resource=\"pods\"} 1",
        ];
        assert_eq!(counters, expected, "{text}");
        assert!(text.contains("# TYPE etcd_request_duration_seconds histogram\n"), "{text}");
    }
}
