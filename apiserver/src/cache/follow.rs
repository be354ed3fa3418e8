//! Follows the store and feeds the caches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use store::{KeyValue, Range, Revision, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::resource::Cache;
use super::stored::Stored;

/// Root of all keys. What follows is `<group or "core">/<resource>/[<namespace>/]<name>`.
pub const ROOT: &str = "/registry/";

/// Pause before the store is read anew after its watch broke.
const RETRY: Duration = Duration::from_millis(200);

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
    /// By the resource's part of the key: `apps/deployments`.
    by_resource: BTreeMap<String, Arc<Cache>>,
    /// All caches are complete up to this revision; `None` before the first load.
    complete: watch::Sender<Option<u64>>,
    follower: Option<Arc<dyn Follower>>,
}

/// The caches did not reach a revision in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reach revision {wanted}: the cache is at {reached}")]
pub struct Unready {
    pub wanted: u64,
    pub reached: u64,
}

impl Caches {
    pub fn new(store: Arc<dyn Store>, by_resource: BTreeMap<String, Arc<Cache>>) -> Self {
        Self { store, by_resource, complete: watch::Sender::new(None), follower: None }
    }

    pub fn followed_by(self, follower: Option<Arc<dyn Follower>>) -> Self {
        Self { follower, ..self }
    }

    pub fn get(&self, resource: &str) -> Option<&Arc<Cache>> {
        self.by_resource.get(resource)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Cache>> {
        self.by_resource.values()
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
                Err(error) => tracing::warn!(%error, "store watch broke, reading anew"),
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn load_and_follow(&self) -> store::Result<()> {
        let page = self.store.range(prefix_range(ROOT), None, 0).await?;
        let after = page.revision;
        self.load(page.items, after);
        let everything = Range { start: Bytes::new(), end: None };
        let mut events = self.store.watch(everything, after).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            self.apply(&event.key, event.current, event.revision.0);
            self.complete.send_replace(Some(event.revision.0));
        }
        Ok(())
    }

    fn load(&self, items: Vec<KeyValue>, Revision(revision): Revision) {
        let mut loaded: BTreeMap<&str, BTreeMap<Box<str>, Arc<Stored>>> =
            self.by_resource.keys().map(|resource| (resource.as_str(), BTreeMap::new())).collect();
        for item in items {
            if let Some((cache, key)) = self.place(&item.key)
                && let Some(objects) = resource_of(&item.key).and_then(|resource| loaded.get_mut(resource))
                && let Some(stored) = decode(cache, &item)
            {
                objects.insert(key.into(), stored);
            }
        }
        for (resource, objects) in loaded {
            if let Some(follower) = &self.follower {
                follower.loaded(resource, &objects);
            }
            if let Some(cache) = self.by_resource.get(resource) {
                cache.load(objects, revision);
            }
        }
        self.complete.send_replace(Some(revision));
    }

    fn apply(&self, key: &[u8], current: Option<KeyValue>, revision: u64) {
        let Some(resource) = resource_of(key) else { return };
        let Some((cache, key)) = self.place(key) else { return };
        // An object that cannot be read is treated as absent: it must not stop the others.
        let current = current.and_then(|item| decode(cache, &item));
        if let Some(follower) = &self.follower {
            follower.changed(resource, key, current.as_deref());
        }
        cache.apply(key, current, revision);
    }

    /// The cache that a key belongs to, and the key within it.
    fn place<'k>(&self, key: &'k [u8]) -> Option<(&Arc<Cache>, &'k str)> {
        let resource = resource_of(key)?;
        let rest = std::str::from_utf8(key.get(ROOT.len() + resource.len() + 1..)?).ok()?;
        Some((self.by_resource.get(resource)?, rest))
    }
}

/// `apps/deployments` of `/registry/apps/deployments/default/web`.
fn resource_of(key: &[u8]) -> Option<&str> {
    let path = std::str::from_utf8(key).ok()?.strip_prefix(ROOT)?;
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    slashes.next()?;
    Some(&path[..slashes.next()?])
}

fn decode(cache: &Cache, item: &KeyValue) -> Option<Arc<Stored>> {
    match Stored::decode(item.value.clone(), item.modified.0, cache.selectable()) {
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
