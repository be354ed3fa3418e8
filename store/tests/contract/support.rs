//! Short words for the tests: texts instead of bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use store::{
    Durability, Embedded, Error, Event, Expect, Keys, Memory, Options, Range, Result, Revision, Sealed, Store, Value,
    WatchStream, Write,
};

pub fn open(directory: &Path) -> Embedded {
    Embedded::open(directory, Options::default()).expect("open")
}

/// All values are ciphertext in memory.
pub fn sealed() -> Sealed {
    Sealed::new(Arc::new(Memory::new()), Keys::generate().expect("keys"), vec![Bytes::new()])
}

/// Bytes that do not compress.
pub fn noise(length: usize) -> Bytes {
    let mut state = 1u64;
    Bytes::from_iter((0..length).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    }))
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn value(text: &str) -> Write {
    Write::Put(Value { bytes: bytes(text), stamp: None })
}

pub async fn put(store: &dyn Store, key: &str, text: &str) -> u64 {
    write(store, key, value(text), Expect::Any).await.expect("put").0
}

pub async fn delete(store: &dyn Store, key: &str) -> u64 {
    write(store, key, Write::Delete, Expect::Any).await.expect("delete").0
}

pub async fn write(store: &dyn Store, key: &str, write: Write, expect: Expect) -> Result<Revision> {
    store.write(bytes(key), write, expect, Durability::Synced).await
}

/// The range as `key=value@created/modified`, joined by spaces.
pub async fn read(store: &dyn Store, range: Range, at: Option<u64>, limit: usize) -> Result<String> {
    let page = store.range(range, at.map(Revision), limit).await?;
    let items: Vec<String> = page
        .items
        .iter()
        .map(|item| format!("{}={}@{}/{}", text(&item.key), text(&item.value), item.created, item.modified))
        .collect();
    Ok(format!("{} of {} at {}", items.join(" "), page.count, page.revision))
}

/// `3 put a: 1 -> 2` or `4 delete a: 2 ->`.
pub fn show(event: &Event) -> String {
    let previous = event.previous.as_ref().map(|state| text(&state.value)).unwrap_or_default();
    match &event.current {
        Some(state) => {
            assert_eq!(state.modified, event.revision, "an event shows the state that its write made");
            format!("{} put {}: {previous} -> {}", event.revision, text(&event.key), text(&state.value))
        }
        None => format!("{} delete {}: {previous} ->", event.revision, text(&event.key)),
    }
}

/// The next events, which must come without any further write.
pub async fn take(watch: &mut WatchStream, count: usize) -> Vec<String> {
    let mut shown = Vec::new();
    while shown.len() < count {
        shown.push(show(&next(watch).await.expect("event")));
    }
    shown
}

pub async fn next(watch: &mut WatchStream) -> Result<Event> {
    let item = tokio::time::timeout(Duration::from_secs(10), watch.next()).await.expect("an event within the deadline");
    item.unwrap_or_else(|| Err(Error::Unavailable("the stream ended without an error".into())))
}

/// True when nothing is waiting in the stream.
pub fn is_quiet(watch: &mut WatchStream) -> bool {
    futures::FutureExt::now_or_never(watch.next()).is_none()
}
