//! Follows the store and feeds the caches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use store::{Error, KeyValue, Page, Range, Revision, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::resource::Cache;
use super::stored::Stored;
use crate::registry::{DEFINITIONS, Held, Registry, Selectable};

/// Root of all keys. What follows is `<group or "core">/<resource>/[<namespace>/]<name>`.
pub const ROOT: &str = "/registry/";

/// Pause before the store is read anew after its watch broke.
const RETRY: Duration = Duration::from_millis(200);

/// How many revisions of the past a server that starts reads, if they are still there.
const HISTORY: u64 = 4_096;

/// Is told of every change before any reader of the caches can see it, in their order. Must be quick: all wait for it.
pub trait Follower: Send + Sync {
    /// `resource` has exactly these objects, by their key within it.
    fn loaded(&self, resource: &str, objects: &BTreeMap<Box<str>, Arc<Stored>>);
    /// `current` is `None` when the object is gone.
    fn changed(&self, resource: &str, key: &str, current: Option<&Stored>);
}

/// All resources' caches.
pub struct Caches {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    /// By the resource's part of the key: `apps/deployments`.
    built_in: BTreeMap<String, Arc<Cache>>,
    /// Of all other resources that the store has objects of, or the registry rows.
    custom: RwLock<BTreeMap<String, Arc<Cache>>>,
    /// The revision up to which changes of a resource without a cache are not known: that of the last load, or of the last
    /// cache that went.
    loaded: AtomicU64,
    /// All caches are complete up to this revision; `None` before the first load.
    complete: watch::Sender<Option<u64>>,
    followers: Vec<Arc<dyn Follower>>,
    /// The past needs a key that was taken away when the present did not need it any more: it is not read.
    past_is_sealed: AtomicBool,
}

/// The caches did not reach a revision in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reach revision {wanted}: the cache is at {reached}")]
pub struct Unready {
    pub wanted: u64,
    pub reached: u64,
}

impl Caches {
    pub fn new(store: Arc<dyn Store>, registry: Arc<Registry>) -> Self {
        let stored = registry.stored().into_iter();
        let built_in = stored.map(|(resource, selectable)| (resource, Arc::new(Cache::new(selectable)))).collect();
        Self {
            store,
            registry,
            built_in,
            custom: RwLock::default(),
            loaded: AtomicU64::new(0),
            complete: watch::Sender::new(None),
            followers: Vec::new(),
            past_is_sealed: AtomicBool::new(false),
        }
    }

    pub fn followed_by(self, followers: Vec<Arc<dyn Follower>>) -> Self {
        Self { followers, ..self }
    }

    /// Built-in resources are found without a lock.
    pub fn get(&self, resource: &str) -> Option<Arc<Cache>> {
        self.built_in.get(resource).cloned().or_else(|| self.read_custom().get(resource).cloned())
    }

    pub fn all(&self) -> Vec<Arc<Cache>> {
        self.built_in.values().chain(self.read_custom().values()).cloned().collect()
    }

    fn read_custom(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Cache>>> {
        // Each change is one insertion or removal.
        self.custom.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision up to which all caches are complete, 0 before the first load.
    pub fn complete(&self) -> u64 {
        self.complete.borrow().unwrap_or_default()
    }

    pub fn is_ready(&self) -> bool {
        self.complete.borrow().is_some()
    }

    /// Waits until the caches show everything up to `revision`, and are loaded.
    pub async fn reach(&self, revision: u64, patience: Duration) -> Result<u64, Unready> {
        let reached = |complete: &Option<u64>| complete.is_some_and(|complete| complete >= revision);
        let mut complete = self.complete.subscribe();
        let waited = tokio::time::timeout(patience, complete.wait_for(reached)).await;
        match waited {
            Ok(Ok(now)) => Ok(now.unwrap_or_default()),
            Ok(Err(_)) | Err(_) => Err(Unready { wanted: revision, reached: self.complete() }),
        }
    }

    /// Until cancelled: load, follow, and again after a break.
    pub async fn run(&self, cancel: CancellationToken) {
        loop {
            let broken = tokio::select! {
                () = cancel.cancelled() => return,
                broken = self.load_and_follow() => broken,
            };
            match broken {
                Ok(()) => tracing::warn!("store watch ended, reading anew"),
                Err(error) => {
                    if let Error::KeyGone { .. } = error {
                        self.past_is_sealed.store(true, Ordering::Release);
                    }
                    tracing::warn!(%error, "store watch broke, reading anew");
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn load_and_follow(&self) -> store::Result<()> {
        let newest = self.store.revision().await?;
        let page = self.page_before(newest).await?;
        let after = page.revision;
        self.load(page.items, after);
        if after >= newest {
            self.complete.send_replace(Some(after.0));
        }
        let everything = Range { start: Bytes::new(), end: None };
        let mut events = self.store.watch(everything, after).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            self.apply(&event.key, event.current, event.revision.0);
            if event.revision >= newest {
                self.complete.send_replace(Some(event.revision.0));
            }
        }
        Ok(())
    }

    /// Everything, as it was a while before `newest` when this server starts: the changes since then are followed, so that
    /// clients of the server that was here before, or of another one, resume at this one.
    async fn page_before(&self, newest: Revision) -> store::Result<Page> {
        if self.is_ready() || self.past_is_sealed.load(Ordering::Acquire) {
            return self.store.range(prefix_range(ROOT), None, 0).await;
        }
        let before = Revision(newest.0.saturating_sub(HISTORY));
        match self.store.range(prefix_range(ROOT), Some(before), 0).await {
            Err(Error::Compacted { oldest }) => self.store.range(prefix_range(ROOT), Some(oldest), 0).await,
            other => other,
        }
    }

    fn load(&self, items: Vec<KeyValue>, Revision(revision): Revision) {
        self.loaded.store(revision, Ordering::Release);
        let known: Vec<String> = self.built_in.keys().chain(self.read_custom().keys()).cloned().collect();
        let mut items_of: BTreeMap<String, Vec<KeyValue>> =
            known.into_iter().map(|resource| (resource, Vec::new())).collect();
        for item in items {
            if let Some(resource) = resource_of(&item.key) {
                items_of.entry(resource.to_owned()).or_default().push(item);
            }
        }
        // What the definitions say is known before their objects are read.
        if let Some(items) = items_of.remove(DEFINITIONS) {
            self.load_resource(DEFINITIONS, items, revision);
        }
        for (resource, items) in items_of {
            self.load_resource(&resource, items, revision);
        }
    }

    fn load_resource(&self, resource: &str, items: Vec<KeyValue>, revision: u64) {
        let cache = self.cache(resource);
        let selectable = cache.selectable();
        let mut objects = BTreeMap::new();
        for item in items {
            if let Some(key) = key_in(resource, &item.key)
                && let Some(stored) = decode(&selectable, &item)
            {
                objects.insert(Box::from(key), stored);
            }
        }
        self.followers.iter().for_each(|follower| follower.loaded(resource, &objects));
        if resource == DEFINITIONS {
            self.registry.custom().load(objects.values().map(|stored| &**stored));
            self.adopt(revision);
        }
        cache.load(objects, revision);
    }

    fn apply(&self, key: &[u8], current: Option<KeyValue>, revision: u64) {
        let Some(resource) = resource_of(key) else { return };
        let Some(key) = key_in(resource, key) else { return };
        let cache = self.cache(resource);
        // An object that cannot be read is treated as absent: it must not stop the others.
        let current = current.and_then(|item| decode(&cache.selectable(), &item));
        self.followers.iter().for_each(|follower| follower.changed(resource, key, current.as_deref()));
        if resource == DEFINITIONS {
            self.registry.custom().change(key, current.as_deref());
            self.adopt(revision);
        }
        cache.apply(key, current, revision);
    }

    /// The cache of a resource, made where there is none.
    fn cache(&self, resource: &str) -> Arc<Cache> {
        if let Some(cache) = self.get(resource) {
            return cache;
        }
        let mut custom = self.custom.write().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Cache::from(Held::Static(&[]), self.loaded.load(Ordering::Acquire)));
        custom.entry(resource.to_owned()).or_insert_with(made).clone()
    }

    /// Each custom resource has a cache with the fields that it can be selected by; one without rows and objects has none.
    fn adopt(&self, revision: u64) {
        let rows = self.registry.custom().snapshot();
        let stored = rows.stored();
        for (resource, selectable) in &stored {
            let cache = self.cache(resource);
            if *cache.selectable() != **selectable {
                cache.reselect(selectable.clone());
            }
        }
        let mut custom = self.custom.write().unwrap_or_else(PoisonError::into_inner);
        let before = custom.len();
        custom.retain(|resource, cache| stored.contains_key(resource) || !cache.is_empty());
        if custom.len() < before {
            // The changes that it knew are forgotten, also when the resource comes back.
            self.loaded.fetch_max(revision, Ordering::AcqRel);
        }
    }
}

/// `apps/deployments` of `/registry/apps/deployments/default/web`.
fn resource_of(key: &[u8]) -> Option<&str> {
    let path = std::str::from_utf8(key).ok()?.strip_prefix(ROOT)?;
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    slashes.next()?;
    Some(&path[..slashes.next()?])
}

/// `default/web` of the same.
fn key_in<'k>(resource: &str, key: &'k [u8]) -> Option<&'k str> {
    std::str::from_utf8(key.get(ROOT.len() + resource.len() + 1..)?).ok()
}

fn decode(selectable: &[Selectable], item: &KeyValue) -> Option<Arc<Stored>> {
    match Stored::decode(item.value.clone(), item.modified.0, selectable) {
        Ok(stored) => Some(Arc::new(stored)),
        Err(error) => {
            tracing::error!(%error, key = %String::from_utf8_lossy(&item.key), "stored object is unreadable");
            None
        }
    }
}

/// All keys that start with `prefix`, which must not be empty.
pub fn prefix_range(prefix: &str) -> Range {
    let mut end = prefix.as_bytes().to_vec();
    // Keys are ASCII up to their last byte, so the last byte is never 0xff.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    Range { start: Bytes::copy_from_slice(prefix.as_bytes()), end: Some(end.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_their_resource() {
        let table = [
            ("/registry/core/pods/default/a", Some("core/pods")),
            ("/registry/core/nodes/a", Some("core/nodes")),
            ("/registry/core/nodes", None),
            ("/other/core/nodes/a", None),
        ];
        for (key, resource) in table {
            assert_eq!(resource_of(key.as_bytes()), resource, "{key}");
        }
        let range = prefix_range("/registry/core/pods/a/");
        assert_eq!(range.end.as_deref(), Some(&b"/registry/core/pods/a0"[..]));
    }
}
