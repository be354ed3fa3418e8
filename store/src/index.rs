//! The state in memory: every key's versions and the window of recent events.
//!
//! A write takes two steps, so that a backend can make it durable in between: [`Batch::stage`] checks the expectation
//! against the index and the batch so far and decides the revision; [`Index::apply`] shows the staged event to readers
//! and watchers. Versions and events share their bytes.
//!
//! Invariants: `newest` grows by one per applied event; a key's versions are in revision order and never empty; the
//! window holds every event with a revision in `oldest+1..=newest`; a version that no revision from `oldest` on can see
//! is not kept.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};

use crate::hub::{Hub, Subscription};
use crate::{Error, Event, Expect, KeyValue, Page, Range, Result, Revision, Value, Write};

/// What the window of recent events may cost in bytes before half of it is compacted away unasked: memory and disk stay
/// bounded by live data even if nobody calls `compact`.
pub(crate) const HISTORY_BYTES: usize = 256 << 20;

/// What an event of the window costs beside the value it supersedes: the event itself, its share of the maps.
const EVENT_OVERHEAD: usize = 256;

/// A key's state from `modified` on, until the next version.
#[derive(Clone, Debug)]
struct Version {
    created: Revision,
    modified: Revision,
    /// `None`: the key was deleted.
    value: Option<Bytes>,
}

impl Version {
    fn key_value(&self, key: &Bytes) -> Option<KeyValue> {
        let value = self.value.clone()?;
        Some(KeyValue { key: key.clone(), value, created: self.created, modified: self.modified })
    }
}

/// Events staged but not yet applied.
#[derive(Default)]
pub(crate) struct Batch {
    /// The staged state of each touched key; `None`: deleted.
    heads: BTreeMap<Bytes, Option<KeyValue>>,
    pub(crate) events: Vec<Event>,
}

impl Batch {
    /// Decides one write after those staged before it. On success the event is the last of `events`.
    pub(crate) fn stage(&mut self, index: &Index, key: Bytes, write: Write, expect: Expect) -> Result<Revision> {
        let (key, previous) = match self.heads.get_key_value(&key) {
            Some((key, head)) => (key.clone(), head.clone()),
            None => index.head(key),
        };
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => previous.is_none(),
            Expect::At(revision) => previous.as_ref().is_some_and(|head| head.modified == revision),
        };
        if !holds || (matches!(write, Write::Delete) && previous.is_none()) {
            return Err(Error::Conflict { actual: previous });
        }
        let revision = Revision(index.newest.0 + self.events.len() as u64 + 1);
        let current = match write {
            Write::Delete => None,
            Write::Put(value) => Some(KeyValue {
                key: key.clone(),
                value: stamped(value, revision),
                created: previous.as_ref().map_or(revision, |head| head.created),
                modified: revision,
            }),
        };
        self.heads.insert(key.clone(), current.clone());
        self.events.push(Event { revision, key, current, previous });
        Ok(revision)
    }
}

/// The value with its revision inserted.
fn stamped(value: Value, revision: Revision) -> Bytes {
    let Some(stamp) = value.stamp else { return value.bytes };
    let digits = revision.to_string();
    let (before, after) = value.bytes.split_at(stamp.min(value.bytes.len()));
    let mut out = BytesMut::with_capacity(value.bytes.len() + digits.len());
    out.put(before);
    out.put(digits.as_bytes());
    out.put(after);
    out.freeze()
}

#[derive(Default)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, Vec<Version>>,
    window: VecDeque<Event>,
    window_bytes: usize,
    /// Bytes of all values of all versions.
    value_bytes: usize,
    newest: Revision,
    oldest: Revision,
    pub(crate) hub: Hub,
}

impl Index {
    pub(crate) fn newest(&self) -> Revision {
        self.newest
    }

    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    /// Bytes of all values that can still be read, those of the past included.
    pub(crate) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// The current state of `key`, and the key as the index holds it, so that all events of a key share its bytes.
    fn head(&self, key: Bytes) -> (Bytes, Option<KeyValue>) {
        match self.keys.get_key_value(&key) {
            Some((key, versions)) => (key.clone(), versions.last().and_then(|version| version.key_value(key))),
            None => (key, None),
        }
    }

    pub(crate) fn get(&self, key: &Bytes) -> Option<KeyValue> {
        self.keys.get(key)?.last()?.key_value(key)
    }

    pub(crate) fn range(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page> {
        let revision = at.unwrap_or(self.newest);
        self.readable(revision)?;
        let limit = if limit == 0 { usize::MAX } else { limit };
        let (mut items, mut count) = (Vec::new(), 0);
        if !range.is_empty() {
            let end = range.end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            for (key, versions) in self.keys.range::<Bytes, _>((Bound::Included(&range.start), end)) {
                let Some(version) = versions.iter().rev().find(|version| version.modified <= revision) else {
                    continue;
                };
                if version.value.is_none() {
                    continue;
                }
                count += 1;
                if items.len() < limit {
                    items.extend(version.key_value(key));
                }
            }
        }
        Ok(Page { revision, items, count })
    }

    fn readable(&self, revision: Revision) -> Result<()> {
        if revision > self.newest {
            return Err(Error::Future { newest: self.newest });
        }
        if revision < self.oldest {
            return Err(Error::Compacted { oldest: self.oldest });
        }
        Ok(())
    }

    /// Shows a staged event to readers and watchers.
    pub(crate) fn apply(&mut self, event: Event) {
        debug_assert_eq!(event.revision.0, self.newest.0 + 1, "events are applied in revision order");
        self.hub.publish(&event);
        self.push(event);
    }

    /// What [`apply`](Self::apply) does to the state, without telling watchers.
    fn push(&mut self, event: Event) {
        self.value_bytes += event.current.as_ref().map_or(0, |current| current.value.len());
        let version = Version {
            created: event.current.as_ref().map_or(event.revision, |current| current.created),
            modified: event.revision,
            value: event.current.as_ref().map(|current| current.value.clone()),
        };
        match self.keys.get_mut(&event.key) {
            Some(versions) => versions.push(version),
            None => {
                self.keys.insert(event.key.clone(), vec![version]);
            }
        }
        self.newest = event.revision;
        self.window_bytes += event_cost(&event);
        self.window.push_back(event);
    }

    /// The events of `range` after `after`, those to come included.
    pub(crate) fn watch(&mut self, range: Range, after: Revision) -> Result<Subscription> {
        self.readable(after)?;
        let skip = (after.0 - self.oldest.0) as usize;
        let past: Vec<Event> = self.window.range(skip..).filter(|event| range.contains(&event.key)).cloned().collect();
        Ok(self.hub.subscribe(range, after, past))
    }

    /// A revision that halves the window when it costs more than `limit` bytes.
    pub(crate) fn overfull(&self, limit: usize) -> Option<Revision> {
        if self.window_bytes <= limit {
            return None;
        }
        self.window.get(self.window.len() / 2).map(|event| event.revision)
    }

    /// Forgets what only revisions before `before` can see. Answers with the revisions whose events nobody needs any
    /// more, for a backend to erase.
    pub(crate) fn compact(&mut self, before: Revision) -> Result<Vec<Revision>> {
        if before > self.newest {
            return Err(Error::Future { newest: self.newest });
        }
        let mut forgotten = Vec::new();
        while self.oldest < before {
            let Some(event) = self.window.pop_front() else { break };
            self.window_bytes -= event_cost(&event);
            self.oldest = event.revision;
            // Only the last event of a key within the compacted part leaves something to keep.
            self.trim(&event.key, before, &mut forgotten);
        }
        forgotten.sort_unstable();
        Ok(forgotten)
    }

    /// Drops the versions of `key` that no revision from `before` on can see.
    fn trim(&mut self, key: &Bytes, before: Revision, forgotten: &mut Vec<Revision>) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        let Some(mut keep) = versions.iter().rposition(|version| version.modified <= before) else { return };
        if versions[keep].value.is_none() {
            keep += 1;
        }
        if keep == 0 {
            return;
        }
        for version in versions.drain(..keep) {
            self.value_bytes -= version.value.map_or(0, |value| value.len());
            forgotten.push(version.modified);
        }
        if versions.is_empty() {
            self.keys.remove(key);
        } else {
            versions.shrink_to_fit();
        }
    }

    /// Builds the index from what a log kept: `restore` once, then [`replay`](Self::replay) in revision order.
    pub(crate) fn restore(oldest: Revision) -> Index {
        Index { oldest, newest: oldest, ..Index::default() }
    }

    /// Takes one logged change. Revisions up to `oldest` may have gaps, later ones may not: false when there is one.
    pub(crate) fn replay(&mut self, revision: Revision, key: Bytes, created: Revision, value: Option<Bytes>) -> bool {
        if revision <= self.oldest {
            self.value_bytes += value.as_ref().map_or(0, Bytes::len);
            self.keys.entry(key).or_default().push(Version { created, modified: revision, value });
            return true;
        }
        if revision.0 != self.newest.0 + 1 {
            return false;
        }
        let (key, previous) = self.head(key);
        let current = value.map(|value| KeyValue { key: key.clone(), value, created, modified: revision });
        self.push(Event { revision, key, current, previous });
        true
    }

    /// After the last [`replay`](Self::replay): drops what an interrupted compaction left behind, and names it.
    pub(crate) fn finish_restore(&mut self) -> Vec<Revision> {
        let mut forgotten = Vec::new();
        let keys: Vec<Bytes> = self.keys.keys().cloned().collect();
        for key in keys {
            self.trim(&key, self.oldest, &mut forgotten);
        }
        forgotten.sort_unstable();
        forgotten
    }
}

fn event_cost(event: &Event) -> usize {
    EVENT_OVERHEAD + event.previous.as_ref().map_or(0, |previous| previous.value.len())
}
