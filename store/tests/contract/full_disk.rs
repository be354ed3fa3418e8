//! A store that cannot write stops, says why, and has kept what it acknowledged.
//!
//! The full disk is a limit on the size of files, set on a process of its own: this test run again through a shell.

use std::process::Command;

use store::{Durability, Embedded, Error, Expect, Options, Range, Revision, Store, Value, Write};

use crate::support::{bytes, next, noise, open};

const DIRECTORY: &str = "STORE_TEST_FULL_DISK_DIRECTORY";
const VALUE: usize = 1 << 20;

/// Not a test of its own: what runs under the limit.
#[tokio::test]
async fn filler() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    // All stays in the journal, which outgrows the limit.
    let options = Options { write_buffer: 1 << 30, ..Options::default() };
    let store = Embedded::open(directory.as_ref(), options).unwrap();
    let mut watch = store.watch(Range::all(), Revision(0)).await.unwrap();
    let mut acknowledged = 0;
    let refused = loop {
        let put = Write::Put(Value { bytes: noise(VALUE), stamp: Some(0) });
        match store.write(bytes("a"), put, Expect::Any, Durability::Synced).await {
            Ok(revision) => acknowledged = revision.0,
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, Error::Unavailable(reason) if reason.contains("is full")), "{refused}");
    for revision in 1..=acknowledged {
        assert_eq!(next(&mut watch).await.unwrap().revision, Revision(revision), "what was written is shown");
    }
    let ended = next(&mut watch).await;
    assert!(matches!(ended, Err(Error::Unavailable(_))), "{ended:?}");
    let unavailable = |what: &str, result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Unavailable(_))), "{what}: {result:?}");
    };
    unavailable("write", store.write(bytes("b"), Write::Delete, Expect::Any, Durability::Synced).await.map(drop));
    unavailable("get", store.get(bytes("a")).await.map(drop));
    unavailable("range", store.range(Range::all(), None, 0).await.map(drop));
    unavailable("watch", store.watch(Range::all(), Revision(0)).await.map(drop));
    unavailable("compact", store.compact(Revision(1)).await);
    std::fs::write(std::path::Path::new(&directory).join("acknowledged"), acknowledged.to_string()).unwrap();
}

/// Runs `filler` with files limited to so many blocks of 512 bytes.
fn fill(directory: &std::path::Path, blocks: u64) -> std::process::Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --exact full_disk::filler --test-threads=1"))
        .arg(std::env::current_exe().unwrap())
        .env(DIRECTORY, directory)
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_full_disk_stops_the_store_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = fill(directory.path(), (64 << 20) / 512);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let acknowledged = std::fs::read_to_string(directory.path().join("acknowledged")).unwrap().parse::<u64>().unwrap();
    assert!(acknowledged > 10, "{acknowledged}");
    let store = open(directory.path());
    assert_eq!(store.revision().await.unwrap(), Revision(acknowledged));
    let found = store.get(bytes("a")).await.unwrap().unwrap();
    assert_eq!(found.modified, Revision(acknowledged));
}

#[test]
fn a_disk_full_from_the_start_is_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let output = fill(directory.path(), 8);
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.contains("Open(\"the disk of"), "{output}");
    assert!(output.contains("is full: free some space"), "{output}");
}
