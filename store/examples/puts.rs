//! Durable puts per second with N writers: `puts [WRITERS] [SECONDS] [VALUE_BYTES] [DIRECTORY]`.
//!
//! Prints one line of JSON, for `cargo xtask bench`.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use store::{Durability, Embedded, Expect, Options, Revision, Store, Value, Write};

/// Keys that the writers overwrite in turn: live data stays the same size while history grows.
const KEYS: u64 = 10_000;

fn argument(index: usize, default: u64) -> u64 {
    std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (writers, seconds, size) = (argument(1, 64), argument(2, 5), argument(3, 1024));
    let temporary = tempfile::tempdir()?;
    let directory = std::env::args().nth(4).map_or(temporary.path().to_owned(), PathBuf::from);
    let store = Embedded::open(&directory, Options::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut latencies = runtime
        .block_on(join_all((0..writers).map(|writer| puts(&store, writer, writers, size as usize, end))))
        .concat();
    let elapsed = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let percentile = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_micros();
    writeln!(
        std::io::stdout(),
        r#"{{"writers":{writers},"value_bytes":{size},"puts":{},"puts_per_second":{:.0},"p50_us":{},"p99_us":{}}}"#,
        latencies.len(),
        latencies.len() as f64 / elapsed,
        percentile(0.50),
        percentile(0.99),
    )?;
    Ok(())
}

async fn puts(store: &Embedded, writer: u64, writers: u64, size: usize, end: Instant) -> Vec<Duration> {
    // Does not compress, like nothing in a cluster does as badly: the worst case for the disk.
    let mut state = writer + 1;
    let noise = Bytes::from_iter((0..size).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    }));
    let mut latencies = Vec::new();
    let mut key = writer;
    while Instant::now() < end {
        let start = Instant::now();
        let value = Value { bytes: noise.clone(), stamp: Some(0) };
        let name = Bytes::from(format!("/registry/pods/default/pod-{}", key % KEYS));
        match store.write(name, Write::Put(value), Expect::Any, Durability::Synced).await {
            Ok(revision) if revision.0 % 20_000 == 0 => {
                // A failure shows in the next write.
                let _ = store.compact(Revision(revision.0 - 10_000)).await;
            }
            Ok(_) => {}
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "failed to {error}");
                break;
            }
        }
        latencies.push(start.elapsed());
        key += writers;
    }
    latencies
}
