//! Directories that cannot be used, disks that fail, and what is on disk after compaction.

use std::fs;
use std::path::{Path, PathBuf};

use store::{Durability, Embedded, Error, Expect, Options, Range, Revision, Store, Value, Write};

use crate::support::{bytes, next, noise, open, put, read, text};

fn refusal(directory: &Path) -> String {
    match Embedded::open(directory, Options::default()) {
        Err(Error::Open(sentence)) => {
            assert!(sentence.contains(&directory.display().to_string()), "names the directory: {sentence}");
            sentence
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{} was opened", directory.display()),
    }
}

#[test]
fn a_second_opener_is_told_who_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let sentence = refusal(directory.path());
    assert!(sentence.contains("in use by another process"), "{sentence}");
    drop(store);
    drop(open(directory.path()));
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_a_sentence() {
    type Prepare = fn(&Path);
    let cases: [(&str, Prepare, &str); 5] = [
        ("a file", |path| fs::write(path, "x").unwrap(), "is a file"),
        ("below a file", |path| fs::write(path.parent().unwrap(), "x").unwrap(), "is a file"),
        ("version overwritten", |path| damage(path, "version"), "its format is unknown"),
        ("a table overwritten", |path| damage(path, "keyspaces/0/current"), "is damaged"),
        (
            "version gone",
            |path| {
                drop(open(path));
                fs::remove_file(path.join("version")).unwrap();
            },
            "is damaged",
        ),
    ];
    for (name, prepare, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("parent").join("data");
        if name != "below a file" {
            fs::create_dir(path.parent().unwrap()).unwrap();
        }
        prepare(&path);
        let sentence = refusal(&path);
        assert!(sentence.contains(expected), "{name}: {sentence}");
    }
}

fn damage(directory: &Path, file: &str) {
    drop(open(directory));
    fs::write(directory.join(file), [0xa5; 100]).unwrap();
}

#[tokio::test]
async fn a_missing_revision_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for count in 0..5 {
        put(&store, "a", &count.to_string()).await;
    }
    drop(store);
    let engine = fjall::Database::builder(directory.path()).open().unwrap();
    let records = engine.keyspace("log", fjall::KeyspaceCreateOptions::default).unwrap();
    records.remove(3u64.to_be_bytes()).unwrap();
    drop((records, engine));
    let sentence = refusal(directory.path());
    assert!(sentence.contains("revision 3 is missing"), "{sentence}");
}

/// The journal that the engine writes to.
fn journal(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).max().unwrap()
}

#[tokio::test]
async fn a_torn_tail_leaves_a_prefix_without_gaps() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for count in 1..=20 {
        put(&store, "a", &format!("{count}")).await;
    }
    drop(store);
    let path = journal(directory.path());
    let whole = fs::read(&path).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut before = 20;
    // Cuts within the last records: each leaves as many whole writes as fit.
    for cut in (end - 400..end).rev().step_by(37) {
        fs::write(&path, &whole[..cut]).unwrap();
        let store = open(directory.path());
        let newest = store.revision().await.unwrap().0;
        assert!((1..=before).contains(&newest), "cut at {cut}: {newest}");
        assert_eq!(text(&store.get(bytes("a")).await.unwrap().unwrap().value), newest.to_string());
        let mut watch = store.watch(Range::all(), Revision(0)).await.unwrap();
        for revision in 1..=newest {
            assert_eq!(next(&mut watch).await.unwrap().revision, Revision(revision));
        }
        assert_eq!(put(&store, "a", "again").await, newest + 1, "it goes on from there");
        before = newest;
    }
    assert!(before < 20, "some cut hit a record");
}

fn size(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let Ok(metadata) = entry.metadata() else { continue };
        // Blocks, not length: the journal is preallocated.
        total += if metadata.is_dir() { size(&entry.path()) } else { metadata.blocks() * 512 };
    }
    total
}

#[tokio::test]
async fn disk_and_memory_are_bounded_by_live_data() {
    const VALUE: usize = 256 << 10;
    const WRITES: u64 = 800;
    let directory = tempfile::tempdir().unwrap();
    let options = Options { history_bytes: 16 << 20, write_buffer: 4 << 20 };
    let store = Embedded::open(directory.path(), options.clone()).unwrap();
    let noise = noise(VALUE);
    for count in 0..WRITES {
        let key = bytes(&format!("key-{}", count % 8));
        let put = Write::Put(Value { bytes: noise.clone(), stamp: Some(0) });
        store.write(key, put, Expect::Any, Durability::Relaxed).await.unwrap();
    }
    let written = WRITES * VALUE as u64;
    let newest = store.revision().await.unwrap();
    assert!(matches!(read(&store, Range::all(), Some(newest.0 / 2), 0).await, Err(Error::Compacted { .. })));
    store.compact(newest).await.unwrap();
    // Reclaiming runs in the background and once more at the next start.
    drop(store);
    drop(Embedded::open(directory.path(), options.clone()).unwrap());
    let used = size(directory.path());
    assert!(used < written * 2 / 3, "{} MiB on disk of {} MiB written", used >> 20, written >> 20);
    let store = Embedded::open(directory.path(), options).unwrap();
    assert_eq!(store.range(Range::all(), None, 0).await.unwrap().count, 8);
}
