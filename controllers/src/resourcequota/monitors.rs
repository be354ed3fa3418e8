//! Watches the metadata of kinds that some quota counts, from the first such quota on.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource as _};
use reconcile::informer::Store;
use reconcile::{Key, Queue};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::kinds;
use crate::discovery::Resource;

pub(super) struct Monitors {
    client: Client,
    quotas: Store<ResourceQuota>,
    queue: Arc<Queue<Key>>,
    /// Group and plural.
    watched: Mutex<BTreeSet<(String, String)>>,
    cancel: CancellationToken,
}

impl Monitors {
    pub fn new(
        client: Client,
        quotas: Store<ResourceQuota>,
        queue: Arc<Queue<Key>>,
        cancel: CancellationToken,
    ) -> Self {
        Self { client, quotas, queue, watched: Mutex::default(), cancel }
    }

    /// From now on the quotas that count this kind are counted anew when one of it goes.
    pub fn watch(self: &Arc<Self>, resource: &Resource) {
        let id = (resource.api.group.clone(), resource.api.plural.clone());
        if self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            tokio::spawn(self.clone().follow(resource.clone()));
        }
    }

    async fn follow(self: Arc<Self>, resource: Resource) {
        let events = watcher(resource.metas(self.client.clone(), None), watcher::Config::default());
        let mut events = pin!(events.default_backoff());
        loop {
            let event = tokio::select! {
                () = self.cancel.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                Some(Ok(watcher::Event::Delete(object))) => self.wake(&resource, object.meta().namespace.as_deref()),
                // What went before is not told.
                Some(Ok(watcher::Event::InitDone)) => self.wake(&resource, None),
                Some(Ok(_)) => {}
                Some(Err(error)) => debug!(kind = resource.dotted(), %error, "watch failed, retrying"),
                None => return,
            }
        }
    }

    /// The quotas of a namespace, or of all.
    fn wake(&self, resource: &Resource, namespace: Option<&str>) {
        let quotas = namespace.map_or_else(|| self.quotas.list(), |namespace| self.quotas.in_namespace(namespace));
        let id = (resource.api.group.clone(), resource.api.plural.clone());
        for quota in quotas {
            let hard = api::quota::from_json(&super::tree(&*quota)["spec"]["hard"]);
            if kinds(&hard).contains(&id) {
                self.queue.add(Key::of(&*quota));
            }
        }
    }
}
