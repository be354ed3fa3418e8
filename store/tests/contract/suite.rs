//! The guarantees of [`Store`], one case each, run on every backend.

use bytes::Bytes;
use futures::{StreamExt, stream};
use store::{Durability, Error, Expect, Memory, Range, Revision, Store, Value, Write};

use crate::support::{bytes, delete, is_quiet, next, put, read, take, text, value, write};

/// One test per case and backend. The cases in brackets are about buffers inside the process.
macro_rules! suite {
    ($($case:ident),*; [$($local:ident),*]) => {
        mod memory {
            $(#[tokio::test] async fn $local() { super::$local(&super::Memory::new()).await })*
            $(#[tokio::test] async fn $case() { super::$case(&super::Memory::new()).await })*
        }
        mod embedded {
            $(#[tokio::test] async fn $local() {
                let directory = tempfile::tempdir().unwrap();
                super::$local(&crate::support::open(directory.path())).await
            })*
            $(#[tokio::test] async fn $case() {
                let directory = tempfile::tempdir().unwrap();
                super::$case(&crate::support::open(directory.path())).await
            })*
        }
        mod sealed {
            $(#[tokio::test] async fn $local() { super::$local(&crate::support::sealed()).await })*
            $(#[tokio::test] async fn $case() { super::$case(&crate::support::sealed()).await })*
        }
        mod etcd {
            $(#[tokio::test] async fn $case() {
                let Some(store) = crate::etcd::store().await else { return };
                super::$case(&store).await
            })*
        }
    };
}

suite!(
    revisions_count_writes_without_gaps,
    a_read_shows_created_and_modified,
    expectations_hold_or_nothing_happens,
    deleting_what_is_absent_is_a_conflict,
    a_stamp_is_the_revision,
    a_range_is_half_open_and_in_key_order,
    a_page_counts_past_its_limit,
    old_revisions_stay_readable,
    compaction_forgets_only_the_past,
    a_watch_starts_in_the_past_and_goes_on,
    a_watch_sees_only_its_range,
    a_watch_survives_compaction,
    a_slow_watcher_misses_nothing,
    relaxed_writes_are_visible_at_once,
    concurrent_writers_of_one_key_do_not_lose_updates;
    [a_watch_has_what_compaction_took, a_slow_watcher_is_cut_off]
);

async fn revisions_count_writes_without_gaps(store: &dyn Store) {
    assert_eq!(store.revision().await.unwrap(), Revision(0));
    assert_eq!(put(store, "a", "1").await, 1);
    assert_eq!(put(store, "b", "1").await, 2);
    assert!(write(store, "a", value("2"), Expect::Absent).await.is_err());
    assert_eq!(store.revision().await.unwrap(), Revision(2), "a refused write makes no revision");
    assert_eq!(delete(store, "a").await, 3);
    assert_eq!(store.revision().await.unwrap(), Revision(3));
}

async fn a_read_shows_created_and_modified(store: &dyn Store) {
    assert_eq!(store.get(bytes("a")).await.unwrap(), None);
    put(store, "a", "1").await;
    put(store, "a", "2").await;
    assert_eq!(read(store, Range::key("a"), None, 0).await.unwrap(), "a=2@1/2 of 1 at 2");
    delete(store, "a").await;
    assert_eq!(store.get(bytes("a")).await.unwrap(), None);
    put(store, "a", "3").await;
    let found = store.get(bytes("a")).await.unwrap().unwrap();
    assert_eq!((found.created, found.modified, text(&found.value)), (Revision(4), Revision(4), "3".into()));
}

async fn expectations_hold_or_nothing_happens(store: &dyn Store) {
    let cases = [
        ("absent key, absent expected", "new", Expect::Absent, true),
        ("absent key, revision expected", "none", Expect::At(Revision(1)), false),
        ("present key, absent expected", "a", Expect::Absent, false),
        ("present key, old revision expected", "a", Expect::At(Revision(1)), false),
        ("present key, its revision expected", "a", Expect::At(Revision(2)), true),
    ];
    put(store, "a", "1").await;
    put(store, "a", "2").await;
    for (name, key, expect, holds) in cases {
        let before = store.get(bytes(key)).await.unwrap();
        match write(store, key, value("x"), expect).await {
            Ok(_) => assert!(holds, "{name}"),
            Err(Error::Conflict { actual }) => {
                assert!(!holds, "{name}");
                assert_eq!(actual, before, "{name}: a conflict tells what is there");
                assert_eq!(store.get(bytes(key)).await.unwrap(), before, "{name}: nothing changed");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

async fn deleting_what_is_absent_is_a_conflict(store: &dyn Store) {
    for expect in [Expect::Any, Expect::Absent, Expect::At(Revision(1))] {
        let refused = write(store, "a", Write::Delete, expect).await;
        assert!(matches!(refused, Err(Error::Conflict { actual: None })), "{expect:?}: {refused:?}");
    }
    put(store, "a", "1").await;
    let refused = write(store, "a", Write::Delete, Expect::Absent).await;
    assert!(matches!(refused, Err(Error::Conflict { actual: Some(_) })), "{refused:?}");
    assert_eq!(write(store, "a", Write::Delete, Expect::At(Revision(1))).await.unwrap(), Revision(2));
}

async fn a_stamp_is_the_revision(store: &dyn Store) {
    for count in 1..10 {
        put(store, "other", &count.to_string()).await;
    }
    let mut watch = store.watch(Range::key("a"), store.revision().await.unwrap()).await.unwrap();
    let cases = [("middle", 3, "ab:#:cd"), ("start", 0, "#ab::cd"), ("end", 6, "ab::cd#"), ("past", 99, "ab::cd#")];
    for (name, stamp, expected) in cases {
        let put = Write::Put(Value { bytes: bytes("ab::cd"), stamp: Some(stamp) });
        write(store, "a", put, Expect::Any).await.unwrap();
        let found = store.get(bytes("a")).await.unwrap().unwrap();
        // A stamp is what the store itself calls the revision.
        let revision = own_revision(&found.value);
        assert_eq!(text(&found.value), expected.replace('#', &revision), "{name}");
        let event = next(&mut watch).await.unwrap();
        assert_eq!(event.current.unwrap().value, found.value, "{name}");
        assert_eq!(event.revision, found.modified, "{name}");
    }
    let last: u64 = own_revision(&store.get(bytes("a")).await.unwrap().unwrap().value).parse().unwrap();
    let put = Write::Put(Value { bytes: bytes(""), stamp: Some(0) });
    write(store, "a", put, Expect::Any).await.unwrap();
    let found = store.get(bytes("a")).await.unwrap().unwrap();
    assert_eq!(text(&found.value), (last + 1).to_string(), "stamps count as revisions do");
}

fn own_revision(value: &Bytes) -> String {
    text(value).chars().filter(char::is_ascii_digit).collect()
}

async fn a_range_is_half_open_and_in_key_order(store: &dyn Store) {
    for key in ["b", "a", "ba", "c", "b/"] {
        put(store, key, "").await;
    }
    store.write(Bytes::from_static(&[0xff, 0xff]), value(""), Expect::Any, Durability::Synced).await.unwrap();
    let between = |start: &str, end: Option<&str>| Range { start: bytes(start), end: end.map(bytes) };
    let cases = [
        ("all", Range::all(), 6),
        ("open end", between("b", None), 5),
        ("half open", between("b", Some("c")), 3),
        ("prefix", Range::prefix("b"), 3),
        ("prefix of the last byte", Range::prefix(Bytes::from_static(&[0xff])), 1),
        ("one key", Range::key("b"), 1),
        ("empty", between("b", Some("b")), 0),
        ("inverted", between("c", Some("a")), 0),
    ];
    for (name, range, count) in cases {
        let page = store.range(range, None, 0).await.unwrap();
        assert_eq!((page.items.len(), page.count), (count, count), "{name}");
        assert!(page.items.is_sorted_by_key(|item| item.key.clone()), "{name}");
    }
}

async fn a_page_counts_past_its_limit(store: &dyn Store) {
    for key in ["a", "b", "c", "d"] {
        put(store, key, "").await;
    }
    delete(store, "b").await;
    assert_eq!(read(store, Range::all(), None, 2).await.unwrap(), "a=@1/1 c=@3/3 of 3 at 5");
    assert_eq!(read(store, Range { start: bytes("c\0"), end: None }, Some(5), 2).await.unwrap(), "d=@4/4 of 1 at 5");
}

async fn old_revisions_stay_readable(store: &dyn Store) {
    put(store, "a", "1").await;
    put(store, "b", "1").await;
    put(store, "a", "2").await;
    delete(store, "b").await;
    let cases = [
        (0, " of 0 at 0"),
        (1, "a=1@1/1 of 1 at 1"),
        (2, "a=1@1/1 b=1@2/2 of 2 at 2"),
        (3, "a=2@1/3 b=1@2/2 of 2 at 3"),
        (4, "a=2@1/3 of 1 at 4"),
    ];
    for (revision, expected) in cases {
        assert_eq!(read(store, Range::all(), Some(revision), 0).await.unwrap(), expected);
    }
    let future = read(store, Range::all(), Some(5), 0).await;
    assert!(matches!(future, Err(Error::Future { newest: Revision(4) })), "{future:?}");
}

async fn compaction_forgets_only_the_past(store: &dyn Store) {
    put(store, "a", "1").await;
    put(store, "b", "1").await;
    put(store, "a", "2").await;
    delete(store, "b").await;
    put(store, "a", "3").await;
    store.compact(Revision(4)).await.unwrap();
    store.compact(Revision(2)).await.expect("compacting what is compacted changes nothing");
    let gone = read(store, Range::all(), Some(3), 0).await;
    assert!(matches!(gone, Err(Error::Compacted { oldest: Revision(4) })), "{gone:?}");
    let gone = store.watch(Range::all(), Revision(3)).await.map(drop);
    assert!(matches!(gone, Err(Error::Compacted { oldest: Revision(4) })), "{gone:?}");
    assert_eq!(read(store, Range::all(), Some(4), 0).await.unwrap(), "a=2@1/3 of 1 at 4");
    assert_eq!(read(store, Range::all(), None, 0).await.unwrap(), "a=3@1/5 of 1 at 5");
    let mut watch = store.watch(Range::all(), Revision(4)).await.unwrap();
    assert_eq!(take(&mut watch, 1).await, ["5 put a: 2 -> 3"]);
    let future = store.compact(Revision(6)).await;
    assert!(matches!(future, Err(Error::Future { newest: Revision(5) })), "{future:?}");
    delete(store, "a").await;
    store.compact(Revision(6)).await.unwrap();
    assert_eq!(read(store, Range::all(), None, 0).await.unwrap(), " of 0 at 6");
    assert_eq!(put(store, "b", "1").await, 7);
}

async fn a_watch_starts_in_the_past_and_goes_on(store: &dyn Store) {
    put(store, "a", "1").await;
    put(store, "a", "2").await;
    let mut from_start = store.watch(Range::all(), Revision(0)).await.unwrap();
    let mut from_second = store.watch(Range::all(), Revision(1)).await.unwrap();
    let mut from_now = store.watch(Range::all(), Revision(2)).await.unwrap();
    delete(store, "a").await;
    put(store, "a", "3").await;
    let all = ["1 put a:  -> 1", "2 put a: 1 -> 2", "3 delete a: 2 ->", "4 put a:  -> 3"];
    assert_eq!(take(&mut from_start, 4).await, all);
    assert_eq!(take(&mut from_second, 3).await, all[1..]);
    assert_eq!(take(&mut from_now, 2).await, all[2..]);
    assert!(is_quiet(&mut from_start) && is_quiet(&mut from_second) && is_quiet(&mut from_now));
    let future = store.watch(Range::all(), Revision(5)).await.map(drop);
    assert!(matches!(future, Err(Error::Future { newest: Revision(4) })), "{future:?}");
}

async fn a_watch_sees_only_its_range(store: &dyn Store) {
    put(store, "pods/a", "1").await;
    put(store, "nodes/a", "1").await;
    let mut watch = store.watch(Range::prefix("pods/"), Revision(0)).await.unwrap();
    put(store, "nodes/b", "1").await;
    put(store, "pods/b", "1").await;
    put(store, "pods0", "1").await;
    assert_eq!(take(&mut watch, 2).await, ["1 put pods/a:  -> 1", "4 put pods/b:  -> 1"]);
    assert!(is_quiet(&mut watch));
}

async fn a_watch_survives_compaction(store: &dyn Store) {
    let mut watch = store.watch(Range::all(), Revision(0)).await.unwrap();
    put(store, "a", "1").await;
    put(store, "a", "2").await;
    assert_eq!(take(&mut watch, 2).await, ["1 put a:  -> 1", "2 put a: 1 -> 2"]);
    store.compact(Revision(2)).await.unwrap();
    put(store, "a", "3").await;
    assert_eq!(take(&mut watch, 1).await, ["3 put a: 2 -> 3"]);
}

async fn a_watch_has_what_compaction_took(store: &dyn Store) {
    let mut watch = store.watch(Range::all(), Revision(0)).await.unwrap();
    put(store, "a", "1").await;
    put(store, "a", "2").await;
    store.compact(Revision(2)).await.unwrap();
    put(store, "a", "3").await;
    assert_eq!(take(&mut watch, 3).await, ["1 put a:  -> 1", "2 put a: 1 -> 2", "3 put a: 2 -> 3"]);
}

/// More than fits into the buffers on the way to it.
async fn a_slow_watcher_misses_nothing(store: &dyn Store) {
    const EVENTS: u64 = 1_000;
    let large = "x".repeat(10_000);
    let mut slow = store.watch(Range::prefix("busy/"), Revision(0)).await.unwrap();
    let writes = (0..EVENTS).map(|_| async {
        store.write(bytes("busy/a"), value(&large), Expect::Any, Durability::Relaxed).await.unwrap();
    });
    stream::iter(writes).for_each_concurrent(16, |write| write).await;
    for expected in 1..=EVENTS {
        assert_eq!(next(&mut slow).await.unwrap().revision, Revision(expected));
    }
}

async fn a_slow_watcher_is_cut_off(store: &dyn Store) {
    let mut slow = store.watch(Range::prefix("busy/"), Revision(0)).await.unwrap();
    let mut other = store.watch(Range::prefix("quiet/"), Revision(0)).await.unwrap();
    let mut written = 0;
    while written < 20_000 {
        let key = bytes("busy/a");
        written = store.write(key, value("x"), Expect::Any, Durability::Relaxed).await.unwrap().0;
    }
    put(store, "quiet/a", "1").await;
    let mut expected = 1;
    let end = loop {
        match next(&mut slow).await {
            Ok(event) => assert_eq!(event.revision, Revision(expected), "no event is skipped"),
            Err(error) => break error,
        }
        expected += 1;
    };
    assert!(expected > 1_000, "the buffer has room for a burst");
    let Error::Lagged { after } = end else { panic!("{end}") };
    assert_eq!(after, Revision(expected - 1));
    assert_eq!(take(&mut other, 1).await, ["20001 put quiet/a:  -> 1"], "others are not disturbed");
    let mut again = store.watch(Range::prefix("busy/"), after).await.unwrap();
    assert_eq!(next(&mut again).await.unwrap().revision, Revision(expected));
}

async fn relaxed_writes_are_visible_at_once(store: &dyn Store) {
    let mut watch = store.watch(Range::all(), Revision(0)).await.unwrap();
    store.write(bytes("lease"), value("1"), Expect::Any, Durability::Relaxed).await.unwrap();
    assert_eq!(read(store, Range::all(), None, 0).await.unwrap(), "lease=1@1/1 of 1 at 1");
    assert_eq!(take(&mut watch, 1).await, ["1 put lease:  -> 1"]);
}

async fn concurrent_writers_of_one_key_do_not_lose_updates(store: &dyn Store) {
    const WRITERS: usize = 8;
    const INCREMENTS: usize = 20;
    put(store, "n", "0").await;
    let increment = |_| async {
        for _ in 0..INCREMENTS {
            loop {
                let found = store.get(bytes("n")).await.unwrap().unwrap();
                let next = (text(&found.value).parse::<usize>().unwrap() + 1).to_string();
                match write(store, "n", value(&next), Expect::At(found.modified)).await {
                    Ok(_) => break,
                    Err(Error::Conflict { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    futures::future::join_all((0..WRITERS).map(increment)).await;
    let total = WRITERS * INCREMENTS;
    assert_eq!(
        read(store, Range::all(), None, 0).await.unwrap(),
        format!("n={total}@1/{} of 1 at {}", total + 1, total + 1)
    );
}
