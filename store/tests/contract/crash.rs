//! A writer that is killed at any moment has lost nothing that it was told is written.
//!
//! The test runs itself again as the writer, which prints the revision of each acknowledged write; then it kills it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::future::join_all;
use store::{Durability, Expect, Range, Revision, Store, Value, Write};

use crate::support::{bytes, is_quiet, next, open, text};

/// Each directory is written by so many processes in turn; all in all, 100 are killed.
const ROUNDS: u64 = 25;
const DIRECTORIES: u64 = 4;
const DIRECTORY: &str = "STORE_TEST_WRITER_DIRECTORY";
const KEYS: u64 = 40;

/// Not a test of its own: what the killed process runs.
#[tokio::test]
async fn writer() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let first = store.revision().await.unwrap().0;
    // Several writers, so that batches hold several writes; all stop only by being killed.
    let write = |writer: u64| {
        let store = &store;
        async move {
            for count in 0.. {
                let key = format!("key-{}", (first + count * 7 + writer) % KEYS);
                let durability = if writer == 0 { Durability::Relaxed } else { Durability::Synced };
                let write = if count % 9 == 8 {
                    Write::Delete
                } else {
                    Write::Put(Value { bytes: bytes(&format!("{key}@")), stamp: Some(key.len() + 1) })
                };
                match store.write(bytes(&key), write, Expect::Any, durability).await {
                    Ok(revision) => acknowledge(revision, &key),
                    Err(store::Error::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                if writer == 1 && count % 50 == 49 {
                    let newest = store.revision().await.unwrap();
                    store.compact(Revision(newest.0 - 10)).await.unwrap();
                }
            }
        }
    };
    join_all((0..4).map(write)).await;
}

/// One write call per line, or a kill could split it from another's.
fn acknowledge(revision: Revision, key: &str) {
    use std::io::Write;
    std::io::stderr().write_all(format!("wrote {revision} {key}\n").as_bytes()).unwrap();
}

fn spawn_writer(directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writer", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a writer run for `life` after its first acknowledgement, kills it, and answers with all it acknowledged.
fn kill_a_writer(directory: &Path, life: Duration) -> Vec<(u64, String)> {
    let mut child = spawn_writer(directory);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    let parse = |line: &str| {
        let mut words = line.strip_prefix("wrote ").unwrap_or_else(|| panic!("the writer said: {line}")).split(' ');
        (words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned())
    };
    let first = parse(&lines.next().expect("a first write"));
    let killer = std::thread::spawn(move || {
        std::thread::sleep(life);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let written = std::iter::once(first).chain(lines.map(|line| parse(&line))).collect();
    killer.join().unwrap();
    written
}

#[tokio::test]
async fn a_killed_writer_lost_nothing_acknowledged() {
    for _ in 0..DIRECTORIES {
        let directory = tempfile::tempdir().unwrap();
        let mut newest = 0;
        for round in 0..ROUNDS {
            let life = Duration::from_micros(400 * round);
            let written = kill_a_writer(directory.path(), life);
            let store = open(directory.path());
            let recovered = store.revision().await.unwrap().0;
            let last = written.iter().map(|(revision, _)| *revision).max().unwrap();
            assert!(recovered >= last, "round {round}: {last} was acknowledged, {recovered} was found");
            check(&store, &written, newest).await;
            newest = recovered;
        }
        assert!(newest > ROUNDS, "the writers did write");
    }
}

/// History has no gaps, agrees with what was acknowledged, and ends in the state that is read.
async fn check(store: &dyn Store, written: &[(u64, String)], newest_before: u64) {
    let newest = store.revision().await.unwrap();
    let mut after = Revision(newest_before);
    let mut watch = match store.watch(Range::all(), after).await {
        Err(store::Error::Compacted { oldest }) => {
            after = oldest;
            store.watch(Range::all(), oldest).await.unwrap()
        }
        watch => watch.unwrap(),
    };
    let mut history = Vec::new();
    while after.0 + (history.len() as u64) < newest.0 {
        let event = next(&mut watch).await.unwrap();
        assert_eq!(event.revision.0, after.0 + history.len() as u64 + 1, "a gap");
        history.push(event);
    }
    assert!(is_quiet(&mut watch));
    for (revision, key) in written.iter().filter(|(revision, _)| *revision > after.0) {
        assert_eq!(&text(&history[(revision - after.0 - 1) as usize].key), key, "revision {revision}");
    }
    for item in store.range(Range::all(), None, 0).await.unwrap().items {
        assert_eq!(text(&item.value), format!("{}@{}", text(&item.key), item.modified), "a value of its own revision");
        if let Some(last) = history.iter().rev().find(|event| event.key == item.key) {
            assert_eq!(last.current.as_ref(), Some(&item), "the state is what history made");
        }
    }
}
