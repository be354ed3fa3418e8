//! The cache of one resource.

use std::collections::{BTreeMap, VecDeque, btree_map};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use super::change::Change;
use super::stored::Stored;
use crate::flowcontrol::Size;
use crate::registry::{Held, Selectable};

/// Changes kept for watchers to read. A watcher that is this many changes behind is cut; a client that comes back within
/// this many changes resumes. Upstream keeps up to 100,000 and at least 100.
const WINDOW_CHANGES: usize = 16_384;
/// And this many bytes of superseded objects, which the window alone keeps alive.
const WINDOW_BYTES: usize = 64 << 20;

pub struct Cache {
    state: RwLock<State>,
    /// The revision of the newest change; wakes watchers.
    newest: watch::Sender<u64>,
}

struct State {
    selectable: Held<[Selectable]>,
    /// By `namespace/name`, or `name` for cluster-scoped kinds: the order of lists.
    objects: BTreeMap<Box<str>, Arc<Stored>>,
    /// Of all objects.
    bytes: u64,
    window: VecDeque<Arc<Change>>,
    window_bytes: usize,
    /// Revision of the newest change of this resource that the window does not hold (any more). Changes after it are
    /// complete.
    forgotten: u64,
    /// Revision of the newest change applied or of the load.
    revision: u64,
    /// Grows when the state was loaded anew: watchers of an older load cannot go on.
    generation: u64,
    /// How many changes were applied, over all loads.
    applied: u64,
}

/// The objects of a list and the revision that they show exactly.
#[derive(Debug)]
pub struct Snapshot {
    pub revision: u64,
    pub objects: Vec<Arc<Stored>>,
}

/// The changes after a revision are not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    pub asked: u64,
    pub oldest: u64,
}

impl Cache {
    pub fn new(selectable: Held<[Selectable]>) -> Self {
        Self::from(selectable, 0)
    }

    /// Of a resource without objects, whose changes are known from `revision` on.
    pub(super) fn from(selectable: Held<[Selectable]>, revision: u64) -> Self {
        let state = State::new(selectable, BTreeMap::new(), revision, 0);
        Self { state: RwLock::new(state), newest: watch::Sender::new(revision) }
    }

    pub fn selectable(&self) -> Held<[Selectable]> {
        self.read().selectable.clone()
    }

    /// Other fields can be selected from now on: objects are read anew, watchers end.
    pub(super) fn reselect(&self, selectable: Held<[Selectable]>) {
        let (objects, revision) = {
            let state = self.read();
            let mut objects = BTreeMap::new();
            for (key, stored) in &state.objects {
                if let Ok(read) = Stored::decode(stored.json.clone(), stored.revision, &selectable) {
                    objects.insert(key.clone(), Arc::new(read));
                }
            }
            (objects, state.revision)
        };
        self.write().selectable = selectable;
        self.load(objects, revision);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // No method panics between two changes of the state, so a poisoned lock guards a whole one.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces everything. Watchers end, for what happened between the old and the new state is not known.
    pub(super) fn load(&self, objects: BTreeMap<Box<str>, Arc<Stored>>, revision: u64) {
        let mut state = self.write();
        let (generation, applied) = (state.generation + 1, state.applied);
        *state = State { applied, ..State::new(state.selectable.clone(), objects, revision, generation) };
        drop(state);
        self.newest.send_replace(revision);
    }

    /// Puts or, with `None`, removes one object.
    pub(super) fn apply(&self, key: &str, current: Option<Arc<Stored>>, revision: u64) {
        let mut state = self.write();
        let previous = match &current {
            Some(current) => state.objects.insert(key.into(), current.clone()),
            None => state.objects.remove(key),
        };
        state.bytes += current.as_ref().map_or(0, |current| current.json.len() as u64);
        state.bytes -= previous.as_ref().map_or(0, |previous| previous.json.len() as u64);
        state.revision = revision;
        state.applied += 1;
        if current.is_none() && previous.is_none() {
            return;
        }
        state.window_bytes += previous.as_ref().map_or(0, |previous| previous.json.len());
        state.window.push_back(Arc::new(Change::new(revision, current, previous)));
        while state.window.len() > WINDOW_CHANGES || state.window_bytes > WINDOW_BYTES {
            state.forget_oldest();
        }
        drop(state);
        self.newest.send_replace(revision);
    }

    /// Forgets changes up to `before`: memory of a burst is given back.
    pub fn compact(&self, before: u64) {
        let mut state = self.write();
        while state.window.front().is_some_and(|change| change.revision < before) {
            state.forget_oldest();
        }
        if state.window.is_empty() {
            state.window.shrink_to_fit();
        }
    }

    pub fn get(&self, key: &str) -> Option<Arc<Stored>> {
        self.read().objects.get(key).cloned()
    }

    /// All objects whose key starts with `prefix`. `complete` is a revision up to which the cache is known to be complete,
    /// read before this call.
    pub fn list(&self, prefix: &str, complete: u64) -> Snapshot {
        let state = self.read();
        let objects = state.range(prefix, "").map(|(_, object)| object.clone()).collect();
        Snapshot { revision: state.revision.max(complete), objects }
    }

    /// As [`Cache::list`], from the key `start` on, at most `limit` objects (0: all). Also tells how many objects are left
    /// after them; with `wanted`, only whether any is (0 or 1). What is not shown is not touched.
    pub fn page(
        &self,
        prefix: &str,
        start: &str,
        limit: usize,
        complete: u64,
        wanted: Option<&dyn Fn(&Stored) -> bool>,
    ) -> (Snapshot, usize) {
        let state = self.read();
        let mut range = state.range(prefix, start);
        let is_wanted = |object: &Stored| wanted.is_none_or(|wanted| wanted(object));
        let limit = if limit == 0 { usize::MAX } else { limit };
        let matching = range.by_ref().filter(|(_, object)| is_wanted(object));
        let objects = matching.take(limit).map(|(_, object)| object.clone()).collect();
        // As upstream, which looks at no object before it is asked for it: more may turn out to be nothing.
        let rest = match wanted {
            Some(_) => usize::from(range.next().is_some()),
            None => range.count(),
        };
        (Snapshot { revision: state.revision.max(complete), objects }, rest)
    }

    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    pub fn size(&self) -> Size {
        let state = self.read();
        Size { objects: state.objects.len() as u64, bytes: state.bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many changes were applied, and the revision of the newest one or of the load.
    pub fn progress(&self) -> (u64, u64) {
        let state = self.read();
        (state.applied, state.revision)
    }

    /// Changes after `after`, which may lie in the future.
    pub fn watch(self: &Arc<Self>, after: u64) -> Result<Watcher, TooOld> {
        // Subscribed before the state is read, so no change falls in between.
        let woken = self.newest.subscribe();
        let state = self.read();
        if after < state.forgotten {
            return Err(TooOld { asked: after, oldest: state.forgotten });
        }
        let generation = state.generation;
        drop(state);
        Ok(Watcher { cache: self.clone(), position: after, generation, woken })
    }
}

impl State {
    fn new(
        selectable: Held<[Selectable]>,
        objects: BTreeMap<Box<str>, Arc<Stored>>,
        revision: u64,
        generation: u64,
    ) -> Self {
        let window = VecDeque::new();
        let bytes = objects.values().map(|object| object.json.len() as u64).sum();
        let (window_bytes, forgotten, applied) = (0, revision, 0);
        Self { selectable, objects, bytes, window, window_bytes, forgotten, revision, generation, applied }
    }

    /// The objects whose keys begin with `prefix` and are not before `start`.
    fn range(&self, prefix: &str, start: &str) -> btree_map::Range<'_, Box<str>, Arc<Stored>> {
        let mut end = prefix.to_owned();
        // Keys are ASCII: the next character is one byte further.
        let end = end.pop().and_then(|last| char::from_u32(u32::from(last) + 1)).map(|next| format!("{end}{next}"));
        let first = prefix.max(start);
        let (first, last) = match end.as_deref() {
            Some(end) => (first.min(end), Bound::Excluded(end)),
            None => (first, Bound::Unbounded),
        };
        self.objects.range::<str, _>((Bound::Included(first), last))
    }

    fn forget_oldest(&mut self) {
        if let Some(change) = self.window.pop_front() {
            self.forgotten = change.revision;
            self.window_bytes -= change.previous.as_ref().map_or(0, |previous| previous.json.len());
        }
    }
}

/// Reads a resource's changes in order.
pub struct Watcher {
    cache: Arc<Cache>,
    /// Everything up to here was read.
    position: u64,
    generation: u64,
    woken: watch::Receiver<u64>,
}

impl Watcher {
    /// At most `limit` changes that are there now; empty when there are none. `complete` is as for [`Cache::list`]: when
    /// nothing is left, the position moves up to it.
    pub fn read(&mut self, limit: usize, complete: u64) -> Result<Vec<Arc<Change>>, TooOld> {
        self.woken.mark_unchanged();
        let state = self.cache.read();
        if self.position < state.forgotten || self.generation != state.generation {
            return Err(TooOld { asked: self.position, oldest: state.forgotten });
        }
        let start = state.window.partition_point(|change| change.revision <= self.position);
        let changes: Vec<_> = state.window.range(start..).take(limit).cloned().collect();
        match changes.last() {
            Some(last) => self.position = last.revision,
            None => self.position = self.position.max(state.revision).max(complete),
        }
        Ok(changes)
    }

    /// The revision up to which everything was read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Waits for the next change. Cancel safe.
    pub async fn changed(&mut self) {
        // The sender lives as long as the cache, which this watcher holds.
        let _ = self.woken.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn stored(name: &str, revision: u64) -> Arc<Stored> {
        let json = format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"{revision}"}}}}"#);
        Arc::new(Stored::decode(Bytes::from(json), revision, &[]).unwrap())
    }

    fn cache() -> Arc<Cache> {
        let cache = Arc::new(Cache::new(Held::Static(&[])));
        cache.load(BTreeMap::from([("a".into(), stored("a", 3))]), 5);
        cache
    }

    #[test]
    fn a_list_shows_the_revision_it_is_complete_for() {
        let cache = cache();
        assert_eq!(cache.list("", 9).revision, 9);
        cache.apply("b", Some(stored("b", 12)), 12);
        let list = cache.list("", 9);
        assert_eq!((list.revision, list.objects.len()), (12, 2));
        assert_eq!(cache.list("b", 12).objects.len(), 1);
    }

    #[test]
    fn pages_hold_what_is_in_range() {
        let cache = Arc::new(Cache::new(Held::Static(&[])));
        const NAMES: [&str; 6] = ["a/x", "b/x", "b/y", "b/z", "ba/x", "c/x"];
        cache.load(NAMES.iter().map(|name| ((*name).into(), stored(name, 3))).collect(), 5);
        // Prefix, start, limit, of which; names, rest.
        type Case = (&'static str, &'static str, usize, Option<&'static str>, &'static [&'static str], usize);
        let cases: [Case; 9] = [
            ("", "", 0, None, &NAMES, 0),
            ("b/", "", 0, None, &["b/x", "b/y", "b/z"], 0),
            ("b/", "", 2, None, &["b/x", "b/y"], 1),
            ("b/", "b/y\0", 2, None, &["b/z"], 0),
            ("b/", "a/", 1, None, &["b/x"], 2),
            ("b/", "c/", 0, None, &[], 0),
            ("", "ba", 1, None, &["ba/x"], 1),
            ("", "", 1, Some("x"), &["a/x"], 1),
            ("b/", "b/x\0", 1, Some("x"), &[], 0),
        ];
        for (prefix, start, limit, ends, expected, rest) in cases {
            let ends_so = |object: &Stored| object.name.ends_with(ends.unwrap_or_default());
            let wanted: Option<&dyn Fn(&Stored) -> bool> = if ends.is_some() { Some(&ends_so) } else { None };
            let (page, left) = cache.page(prefix, start, limit, 9, wanted);
            let names: Vec<&str> = page.objects.iter().map(|object| &*object.name).collect();
            assert_eq!((names.as_slice(), left), (expected, rest), "{prefix:?} {start:?} {limit} {ends:?}");
        }
    }

    #[test]
    fn a_watcher_reads_everything_once_and_in_order() {
        let cache = cache();
        assert_eq!(cache.watch(4).err(), Some(TooOld { asked: 4, oldest: 5 }));
        let mut watcher = cache.watch(5).unwrap();
        assert!(watcher.read(10, 7).unwrap().is_empty());
        assert_eq!(watcher.position(), 7);
        cache.apply("a", Some(stored("a", 8)), 8);
        cache.apply("a", None, 9);
        cache.apply("gone", None, 10);
        let revisions: Vec<u64> = watcher.read(10, 9).unwrap().iter().map(|change| change.revision).collect();
        assert_eq!(revisions, [8, 9]);
        assert!(watcher.read(10, 10).unwrap().is_empty());
        assert_eq!(watcher.position(), 10);
    }

    #[test]
    fn a_watcher_that_fell_out_of_the_window_is_told() {
        let cache = cache();
        let mut slow = cache.watch(5).unwrap();
        let mut idle = cache.watch(5).unwrap();
        for revision in 6..=9 {
            cache.apply("a", Some(stored("a", revision)), revision);
        }
        assert_eq!(idle.read(10, 9).unwrap().len(), 4);
        cache.compact(8);
        assert_eq!(slow.read(10, 9).err(), Some(TooOld { asked: 5, oldest: 7 }));
        assert!(idle.read(10, 9).unwrap().is_empty());
        assert_eq!(cache.watch(7).unwrap().read(10, 9).unwrap().len(), 2);
    }

    #[test]
    fn a_new_load_ends_watchers() {
        let cache = cache();
        let mut watcher = cache.watch(5).unwrap();
        cache.load(BTreeMap::new(), 5);
        assert!(watcher.read(10, 5).is_err());
    }
}
