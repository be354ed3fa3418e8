//! The Services of the cluster: containers get variables of them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use kube::runtime::reflector::Store;
use tokio::sync::watch;

#[derive(Clone)]
pub struct ServiceCache {
    store: Store<Service>,
    synced: watch::Receiver<bool>,
}

impl ServiceCache {
    /// One task waits for the store's first list, and tells all others: of several that wait for a store of kube's, only the last
    /// one is woken.
    pub fn start(store: Store<Service>) -> Self {
        let (sender, synced) = watch::channel(false);
        let own = store.clone();
        tokio::spawn(async move {
            if own.wait_until_ready().await.is_ok() {
                sender.send_replace(true);
            }
        });
        Self { store, synced }
    }

    /// All of them, once they are known. `None`: they will never be.
    pub async fn all(&self) -> Option<Vec<Arc<Service>>> {
        self.synced.clone().wait_for(|synced| *synced).await.ok()?;
        Some(self.store.state())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::runtime::{reflector, watcher};

    use super::*;

    #[tokio::test]
    async fn all_who_wait_are_told() {
        let (store, mut writer) = reflector::store::<Service>();
        let cache = ServiceCache::start(store);
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let cache = cache.clone();
            waiting.spawn(async move { cache.all().await });
        }
        // All of them are at it.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        writer.apply_watcher_event(&watcher::Event::Init);
        writer.apply_watcher_event(&watcher::Event::InitDone);
        let told = tokio::time::timeout(Duration::from_secs(10), waiting.join_all()).await.expect("in time");
        assert!(told.iter().all(|services| services.as_ref().is_some_and(Vec::is_empty)));
    }
}
