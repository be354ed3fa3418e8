//! The log on disk: one fjall keyspace, revision -> change, in which compaction leaves what is still needed.
//!
//! | key | value |
//! |---|---|
//! | revision 0 | format version (1 byte), oldest readable revision |
//! | revision | kind (1 byte), created, length of the key (4 bytes), key, value |
//!
//! Numbers are big-endian, 8 bytes where not said otherwise. Every revision after `oldest` has its record; up to `oldest`
//! only the live state at `oldest` has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::JoinHandle;

use bytes::{Buf, BufMut, Bytes};
use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Options;
use super::sentence;
use crate::index::Index;
use crate::{Error, Event, Result, Revision};

const KEYSPACE: &str = "log";
const FORMAT: u8 = 1;
/// No write makes revision 0, so its place is free for what is true of the whole log.
const HEADER: Revision = Revision(0);
const PUT: u8 = 0;
const DELETE: u8 = 1;
/// The engine's cache of blocks read: the log is read once, at start, from end to end.
const BLOCK_CACHE: u64 = 1 << 20;
/// Small files, so that reclaiming a compacted stretch rewrites little else.
const TABLE_BYTES: u64 = 16 << 20;
/// Records erased by one batch: writers wait for it.
const FORGET_CHUNK: usize = 4096;

/// Erased bytes below which reclaiming the disk is not worth its work.
const RECLAIM_BYTES: usize = 64 << 20;

pub(super) struct Log {
    database: Database,
    records: Keyspace,
    directory: String,
    /// Bytes erased since the disk was last reclaimed.
    erased: usize,
    reclaimer: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens or makes the log, and builds the index from it.
    pub(super) fn open(directory: &Path, options: &Options) -> Result<(Log, Index)> {
        let engine = || -> fjall::Result<Log> {
            std::fs::create_dir_all(directory)?;
            let database = Database::builder(directory).cache_size(BLOCK_CACHE).worker_threads(1).open()?;
            let records = database.keyspace(KEYSPACE, || {
                let strategy = Leveled::default().with_table_target_size(TABLE_BYTES);
                KeyspaceCreateOptions::default()
                    .max_memtable_size(options.write_buffer)
                    .compaction_strategy(std::sync::Arc::new(strategy))
            })?;
            Ok(Log { database, records, directory: directory.display().to_string(), erased: 0, reclaimer: None })
        };
        // The engine asserts some things of files that a damaged directory does not hold.
        let mut log = match catch_unwind(AssertUnwindSafe(engine)) {
            Ok(Ok(log)) => log,
            Ok(Err(error)) => return Err(Error::Open(sentence::open(directory, &error))),
            Err(_) => return Err(Error::Open(sentence::damaged(directory, "its files do not fit together"))),
        };
        let (index, leftover) = log.recover().map_err(|damage| Error::Open(sentence::damaged(directory, &damage)))?;
        log.forget(index.oldest(), &leftover).map_err(Error::Open)?;
        // How much of the disk is erased is not known any more; what is more than the values is.
        let surplus = (log.records.disk_space() as usize).saturating_sub(index.value_bytes());
        log.reclaim(surplus, index.value_bytes());
        Ok((log, index))
    }

    /// The index, and the records that an interrupted compaction left behind.
    fn recover(&self) -> std::result::Result<(Index, Vec<Revision>), String> {
        let mut index = Index::default();
        for record in self.records.iter() {
            let (key, value) = record.into_inner().map_err(|error| error.to_string())?;
            let revision = Revision(key.as_ref().try_get_u64().map_err(|_| "a record without revision")?);
            if revision == HEADER {
                index = Index::restore(oldest(&value)?);
                continue;
            }
            let (key, created, value) = decode(&value).ok_or_else(|| format!("revision {revision} is unreadable"))?;
            if !index.replay(revision, key, created, value) {
                return Err(format!("revision {} is missing", index.newest().0 + 1));
            }
        }
        let leftover = index.finish_restore();
        Ok((index, leftover))
    }

    /// Writes the events; returns when they are with the operating system or, with `sync`, on disk.
    pub(super) fn append(&self, events: &[Event], sync: bool) -> std::result::Result<(), String> {
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for event in events {
            batch.insert(&self.records, event.revision.0.to_be_bytes(), encode(event));
        }
        batch.commit().map_err(|error| self.failure("write", &error))
    }

    pub(super) fn sync(&self) -> std::result::Result<(), String> {
        self.database.persist(PersistMode::SyncData).map_err(|error| self.failure("sync", &error))
    }

    /// Erases records. Need not be on disk when it returns: an interrupted compaction is finished by the next open.
    pub(super) fn forget(&self, oldest: Revision, revisions: &[Revision]) -> std::result::Result<(), String> {
        let mut header = vec![FORMAT];
        header.put_u64(oldest.0);
        // Before the first erasure, or a crash in between would look like a gap.
        let mut batch = self.database.batch();
        batch.insert(&self.records, HEADER.0.to_be_bytes(), header);
        for chunk in revisions.chunks(FORGET_CHUNK) {
            for revision in chunk {
                batch.remove(&self.records, revision.0.to_be_bytes());
            }
            batch.commit().map_err(|error| self.failure("compact", &error))?;
            batch = self.database.batch();
        }
        batch.commit().map_err(|error| self.failure("compact", &error))
    }

    /// Gives the disk of erased records back, in the background, once they are as much as what is kept: the engine itself
    /// would leave them lying until it happens to rewrite the files around them.
    pub(super) fn reclaim(&mut self, erased: usize, kept: usize) {
        self.erased += erased;
        if self.erased < kept.max(RECLAIM_BYTES) || self.reclaimer.as_ref().is_some_and(|thread| !thread.is_finished())
        {
            return;
        }
        self.erased = 0;
        let records = self.records.clone();
        let work = move || {
            // Only what is in files can be reclaimed. A failure shows in the next write: the engine stops.
            if let Err(error) = records.rotate_memtable_and_wait().and_then(|()| records.major_compact()) {
                tracing::error!(error = %error, "cannot reclaim the disk of compacted history");
            }
        };
        self.reclaimer = std::thread::Builder::new().name("store-reclaimer".to_owned()).spawn(work).ok();
    }

    fn failure(&self, action: &str, error: &fjall::Error) -> String {
        sentence::failure(action, &self.directory, error)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // It holds the directory's lock.
        if let Some(reclaimer) = self.reclaimer.take() {
            let _ = reclaimer.join();
        }
    }
}

fn encode(event: &Event) -> Vec<u8> {
    let value = event.current.as_ref().map(|current| &current.value);
    let mut record = Vec::with_capacity(13 + event.key.len() + value.map_or(0, Bytes::len));
    record.put_u8(if value.is_some() { PUT } else { DELETE });
    record.put_u64(event.current.as_ref().map_or(event.revision, |current| current.created).0);
    record.put_u32(event.key.len() as u32);
    record.put(&event.key[..]);
    record.put(value.map_or(&[][..], |value| &value[..]));
    record
}

/// Key, created, value. Copies, so that the index does not hold the engine's blocks.
fn decode(mut record: &[u8]) -> Option<(Bytes, Revision, Option<Bytes>)> {
    let kind = record.try_get_u8().ok()?;
    let created = Revision(record.try_get_u64().ok()?);
    let length = record.try_get_u32().ok()? as usize;
    let (key, value) = record.split_at_checked(length)?;
    let value = match kind {
        PUT => Some(Bytes::copy_from_slice(value)),
        DELETE => None,
        _ => return None,
    };
    Some((Bytes::copy_from_slice(key), created, value))
}

fn oldest(mut header: &[u8]) -> std::result::Result<Revision, String> {
    match header.try_get_u8() {
        Ok(FORMAT) => header.try_get_u64().map(Revision).map_err(|_| "its header is cut off".to_owned()),
        Ok(other) => Err(format!("its format is {other}, this program reads {FORMAT}")),
        Err(_) => Err("its header is empty".to_owned()),
    }
}
