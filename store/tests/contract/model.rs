//! The contract as a property: whatever is done to a store, it answers like an ordered map of keys for each revision.

use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt};
use proptest::prelude::*;
use store::{Durability, Embedded, Error, Expect, Memory, Range, Revision, Store, WatchStream, Write};
use tempfile::TempDir;

use crate::support::{bytes, open, show, text, value};

const KEYS: [&str; 6] = ["a", "a/1", "a/2", "b/1", "b/2", "c"];

#[derive(Clone, Debug)]
enum Step {
    Put { key: usize, expect: Guess, durability: Durability },
    Delete { key: usize, expect: Guess },
    Read { range: usize, back: u64, limit: usize },
    Watch { range: usize, back: u64 },
    Compact { back: u64 },
    Reopen,
}

/// An expectation that holds about as often as not.
#[derive(Clone, Copy, Debug)]
enum Guess {
    Any,
    Absent,
    Current,
    Stale,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let guess = || prop_oneof![Just(Guess::Any), Just(Guess::Absent), Just(Guess::Current), Just(Guess::Stale)];
    let durability = prop_oneof![Just(Durability::Synced), Just(Durability::Relaxed)];
    prop_oneof![
        8 => (key(), guess(), durability).prop_map(|(key, expect, durability)| Step::Put { key, expect, durability }),
        4 => (key(), guess()).prop_map(|(key, expect)| Step::Delete { key, expect }),
        4 => (0..RANGES, 0..12u64, 0..4usize).prop_map(|(range, back, limit)| Step::Read { range, back, limit }),
        2 => (0..RANGES, 0..12u64).prop_map(|(range, back)| Step::Watch { range, back }),
        1 => (0..12u64).prop_map(|back| Step::Compact { back }),
        1 => Just(Step::Reopen),
    ]
}

const RANGES: usize = 5;

fn range(index: usize) -> Range {
    match index {
        0 => Range::all(),
        1 => Range::prefix("a/"),
        2 => Range::prefix("b"),
        3 => Range::key("a"),
        _ => Range { start: bytes("a/2"), end: Some(bytes("c")) },
    }
}

/// Key -> value, created, modified.
type State = BTreeMap<&'static str, (String, u64, u64)>;

/// What the store must answer: the state after each revision, and each revision's event as text.
#[derive(Default)]
struct Model {
    states: Vec<State>,
    events: Vec<(&'static str, String)>,
    oldest: u64,
    /// What `oldest` was after each compaction.
    compactions: Vec<u64>,
}

impl Model {
    fn newest(&self) -> u64 {
        self.events.len() as u64
    }

    fn now(&self) -> State {
        self.states.last().cloned().unwrap_or_default()
    }

    fn at(&self, revision: u64) -> State {
        revision.checked_sub(1).map(|index| self.states[index as usize].clone()).unwrap_or_default()
    }

    /// False if the write must be refused.
    fn write(&mut self, key: &'static str, put: bool, expect: Expect) -> bool {
        let mut state = self.now();
        let revision = self.newest() + 1;
        let found = state.get(key).cloned();
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::At(revision) => found.as_ref().is_some_and(|found| found.2 == revision.0),
        };
        if !holds || (!put && found.is_none()) {
            return false;
        }
        let before = found.as_ref().map(|found| found.0.clone()).unwrap_or_default();
        let event = if put {
            let value = format!("v{revision}");
            state.insert(key, (value.clone(), found.map_or(revision, |found| found.1), revision));
            format!("{revision} put {key}: {before} -> {value}")
        } else {
            state.remove(key);
            format!("{revision} delete {key}: {before} ->")
        };
        self.states.push(state);
        self.events.push((key, event));
        true
    }

    fn resolve(&self, guess: Guess, key: &str) -> Expect {
        let modified = self.now().get(key).map_or(1, |found| found.2);
        match guess {
            Guess::Any => Expect::Any,
            Guess::Absent => Expect::Absent,
            Guess::Current => Expect::At(Revision(modified)),
            Guess::Stale => Expect::At(Revision(modified.saturating_sub(1))),
        }
    }
}

struct Follower {
    watch: WatchStream,
    range: Range,
    /// After this revision it began.
    after: u64,
    /// Revision up to which it was checked.
    seen: u64,
}

impl Follower {
    /// etcd brings a watch that begins in the past up to date by and by: a compaction may be quicker, and ends it. Another one may
    /// have come since.
    fn is_overtaken(&self, error: &Error, compactions: &[u64]) -> bool {
        matches!(error, Error::Compacted { oldest } if oldest.0 > self.after && compactions.contains(&oldest.0))
    }
}

/// A backend that can be closed and opened again.
enum Backend {
    Memory(Memory),
    Embedded(TempDir, Option<Embedded>),
    Etcd(crate::etcd::Shifted),
}

impl Backend {
    fn store(&self) -> &dyn Store {
        match self {
            Backend::Memory(store) => store,
            Backend::Embedded(_, store) => store.as_ref().expect("open"),
            Backend::Etcd(store) => store,
        }
    }

    /// True when watches ended because of it.
    async fn reopen(&mut self) -> bool {
        match self {
            Backend::Memory(_) => false,
            Backend::Embedded(directory, store) => {
                *store = None;
                *store = Some(open(directory.path()));
                true
            }
            Backend::Etcd(store) => {
                store.connect_again().await;
                true
            }
        }
    }
}

async fn run(mut backend: Backend, steps: &[Step]) {
    let mut model = Model::default();
    let mut followers: Vec<Follower> = Vec::new();
    let may_be_overtaken = matches!(backend, Backend::Etcd(_));
    for step in steps {
        match *step {
            Step::Put { key, expect, durability } => {
                write(&backend, &mut model, KEYS[key], true, expect, durability).await;
            }
            Step::Delete { key, expect } => {
                write(&backend, &mut model, KEYS[key], false, expect, Durability::Synced).await;
            }
            Step::Read { range: index, back, limit } => read(&backend, &model, range(index), back, limit).await,
            Step::Watch { range: index, back } => {
                let after = model.newest().saturating_sub(back);
                match backend.store().watch(range(index), Revision(after)).await {
                    Ok(watch) => followers.push(Follower { watch, range: range(index), after, seen: after }),
                    Err(error) => {
                        assert!(after < model.oldest, "{error}");
                        assert!(matches!(error, Error::Compacted { oldest } if oldest.0 == model.oldest), "{error}");
                    }
                }
            }
            Step::Compact { back } => {
                let before = model.newest().saturating_sub(back);
                backend.store().compact(Revision(before)).await.unwrap();
                model.oldest = model.oldest.max(before);
                model.compactions.push(model.oldest);
            }
            Step::Reopen => {
                check_followers(&mut followers, &model, may_be_overtaken).await;
                if backend.reopen().await {
                    followers.clear();
                }
            }
        }
        assert_eq!(backend.store().revision().await.unwrap().0, model.newest());
    }
    check_followers(&mut followers, &model, may_be_overtaken).await;
    read(&backend, &model, Range::all(), 0, 0).await;
}

async fn write(
    backend: &Backend,
    model: &mut Model,
    key: &'static str,
    put: bool,
    guess: Guess,
    durability: Durability,
) {
    let expect = model.resolve(guess, key);
    let before = model.now();
    let action = if put { value(&format!("v{}", model.newest() + 1)) } else { Write::Delete };
    let accepted = model.write(key, put, expect);
    match backend.store().write(bytes(key), action, expect, durability).await {
        Ok(revision) => assert!(accepted && revision.0 == model.newest(), "{key} {expect:?} made {revision}"),
        Err(Error::Conflict { actual }) => {
            assert!(!accepted, "{key} {expect:?} was refused");
            let actual = actual.map(|found| (text(&found.value), found.created.0, found.modified.0));
            assert_eq!(actual.as_ref(), before.get(key));
        }
        Err(error) => panic!("{error}"),
    }
}

async fn read(backend: &Backend, model: &Model, range: Range, back: u64, limit: usize) {
    let at = model.newest().saturating_sub(back);
    let found = match backend.store().range(range.clone(), Some(Revision(at)), limit).await {
        Ok(page) => page,
        Err(error) => {
            assert!(matches!(error, Error::Compacted { oldest } if oldest.0 == model.oldest), "{error}");
            return assert!(at < model.oldest);
        }
    };
    assert!(at >= model.oldest, "revision {at} was compacted away");
    let expected: Vec<_> = model.at(at).into_iter().filter(|(key, _)| range.contains(key.as_bytes())).collect();
    assert_eq!((found.count, found.revision.0), (expected.len(), at));
    let shown = if limit == 0 { expected.len() } else { limit.min(expected.len()) };
    let found: Vec<_> = found
        .items
        .iter()
        .map(|item| (text(&item.key), (text(&item.value), item.created.0, item.modified.0)))
        .collect();
    let expected: Vec<_> = expected.into_iter().take(shown).map(|(key, state)| (key.to_owned(), state)).collect();
    assert_eq!(found, expected);
}

/// Each follower has got exactly the events of its range since it was last looked at.
async fn check_followers(followers: &mut Vec<Follower>, model: &Model, may_be_overtaken: bool) {
    let mut alive = Vec::new();
    for mut follower in followers.drain(..) {
        let new = model.events[follower.seen as usize..].iter();
        let mut expected = new.filter(|(key, _)| follower.range.contains(key.as_bytes()));
        let end = loop {
            let Some((_, event)) = expected.next() else { break follower.watch.next().now_or_never().flatten() };
            match follower.watch.next().await.unwrap() {
                Ok(found) => assert_eq!(&show(&found), event),
                Err(error) => break Some(Err(error)),
            }
        };
        match end {
            None => {
                follower.seen = model.newest();
                alive.push(follower);
            }
            Some(Ok(event)) => panic!("an event that nothing made: {event:?}"),
            Some(Err(error)) => {
                assert!(may_be_overtaken && follower.is_overtaken(&error, &model.compactions), "{error}")
            }
        }
    }
    *followers = alive;
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn memory_is_an_ordered_map_per_revision(steps in prop::collection::vec(step(), 1..80)) {
        block_on(run(Backend::Memory(Memory::new()), &steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn embedded_is_an_ordered_map_per_revision(steps in prop::collection::vec(step(), 1..80)) {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        block_on(run(Backend::Embedded(directory, Some(store)), &steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn etcd_is_an_ordered_map_per_revision(steps in prop::collection::vec(step(), 1..80)) {
        block_on(async {
            if let Some(store) = crate::etcd::store().await {
                run(Backend::Etcd(store), &steps).await;
            }
        });
    }
}

/// Found by the property: etcd sends the deletion at 3 when the state at 2 has gone already.
#[test]
fn a_watch_of_etcd_that_a_compaction_overtakes_tells_nothing_wrong() {
    let put = |key| Step::Put { key, expect: Guess::Any, durability: Durability::Synced };
    let delete = Step::Delete { key: 1, expect: Guess::Current };
    let steps = [put(0), put(1), delete, Step::Watch { range: 1, back: 1 }, put(4), put(5), Step::Compact { back: 2 }];
    block_on(async {
        for _ in 0..40 {
            let Some(store) = crate::etcd::store().await else { return };
            run(Backend::Etcd(store), &steps).await;
        }
    });
}
