//! Periodic work: history is compacted, old Events go, claims of Services are repaired.

use std::collections::BTreeMap;

use api::Object;
use bytes::Bytes;
use jiff::Timestamp;
use store::{Durability, Expect, Revision, Store, Value, Write};
use tokio_util::sync::CancellationToken;

use crate::allocation;
use crate::cache::Stored;
use crate::core::{Core, key};

const SWEEP_INTERVAL: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) async fn run(core: &Core, cancel: CancellationToken) {
    tokio::join!(compact(core, cancel.clone()), sweep_events(core, cancel.clone()), allocation::run(core, cancel));
}

/// What was the newest revision one interval ago is the oldest that stays readable.
async fn compact(core: &Core, cancel: CancellationToken) {
    let mut before = None;
    let mut turn = Turn(Expect::Absent);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(core.config.compaction_interval) => {}
        }
        match core.config.store.revision().await {
            Ok(now) => {
                let Some(before) = before.replace(now) else { continue };
                if let Err(error) = turn.compact(&*core.config.store, before).await {
                    tracing::warn!(%error, "history is not compacted");
                }
                core.caches.all().iter().for_each(|cache| cache.compact(before.0));
            }
            Err(error) => tracing::warn!(%error, "history is not compacted"),
        }
    }
}

/// Which of several servers on one store compacts it: the first to write this key after an interval (upstream's protocol, and
/// its key). Another one takes over when it ends. Each leaves the history of one interval of its own.
const TURN: &[u8] = b"compact_rev_key";

/// What the key was when this server saw it last.
struct Turn(Expect);

impl Turn {
    async fn compact(&mut self, store: &dyn Store, before: Revision) -> store::Result<()> {
        if store.is_shared() {
            let value = Value { bytes: before.to_string().into(), stamp: None };
            let taken = store.write(Bytes::from_static(TURN), Write::Put(value), self.0, Durability::Synced).await;
            match taken {
                Ok(revision) => self.0 = Expect::At(revision),
                Err(store::Error::Conflict { actual }) => {
                    self.0 = actual.map_or(Expect::Absent, |actual| Expect::At(actual.modified));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        store.compact(before).await
    }
}

async fn sweep_events(core: &Core, cancel: CancellationToken) {
    let Some(row) = core.registry.find("", "events") else { return };
    let mut ages = Ages::default();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL.min(core.config.event_ttl)) => {}
        }
        let Some(cache) = core.caches.get(&row.storage) else { return };
        let events = cache.list("", core.caches.complete()).objects;
        let ttl = i64::try_from(core.config.event_ttl.as_secs()).unwrap_or(i64::MAX);
        for event in ages.expired(&events, core.now(), ttl) {
            let key = key(row, &event.namespace, &event.name);
            // Changed or gone in the meantime: the next sweep looks again.
            let expect = Expect::At(Revision(event.revision));
            let deleted = core.config.store.write(key, Write::Delete, expect, Durability::Relaxed).await;
            if let Err(error) = deleted {
                tracing::debug!(%error, "event is not swept");
            }
        }
    }
}

/// When each Event was last written. Read from the Event once per write of it.
#[derive(Default)]
struct Ages(BTreeMap<String, (u64, Timestamp)>);

impl Ages {
    fn expired<'e>(&mut self, events: &'e [std::sync::Arc<Stored>], now: Timestamp, ttl: i64) -> Vec<&'e Stored> {
        let mut known = BTreeMap::new();
        let mut expired = Vec::new();
        for event in events {
            let key = format!("{}/{}", event.namespace, event.name);
            let written = match self.0.get(&key) {
                Some((revision, written)) if *revision == event.revision => *written,
                // Written since the last sweep: now is late by less than one interval.
                Some(_) => now,
                None => written(&event.json).unwrap_or(now),
            };
            if now.as_second() - written.as_second() >= ttl {
                expired.push(&**event);
            }
            known.insert(key, (event.revision, written));
        }
        self.0 = known;
        expired
    }
}

/// The newest of an Event's times.
fn written(json: &[u8]) -> Option<Timestamp> {
    let event: Object = serde_json::from_slice(json).ok()?;
    let times = [
        &event["metadata"]["creationTimestamp"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["series"]["lastObservedTime"],
    ];
    times.iter().filter_map(|time| time.as_str()?.parse().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn an_event_lives_its_time_after_its_last_write() {
        let event = |revision: u64| {
            let json = format!(
                r#"{{"metadata":{{"name":"e","creationTimestamp":"2026-01-01T00:00:00Z","resourceVersion":"{revision}"}}}}"#
            );
            Arc::new(Stored::decode(json.into(), revision, &[]).unwrap())
        };
        let at = |minute: i64| "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::Span::new().minutes(minute);
        let mut ages = Ages::default();
        let table = [(59, 1, false), (59, 2, false), (100, 2, false), (119, 2, true), (120, 3, false)];
        for (minute, revision, expired) in table {
            let events = [event(revision)];
            assert_eq!(ages.expired(&events, at(minute), 3600).len(), usize::from(expired), "{minute} {revision}");
        }
    }
}
