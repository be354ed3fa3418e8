//! ConfigMaps and Secrets that pods of this node refer to: one watch for each, shared, as long as a pod needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::launch::objects::{ObjectKey, ObjectKind, Objects};

/// How long a look-up waits for the API before it is called a failure.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum Found {
    ConfigMap(Arc<ConfigMap>),
    Secret(Arc<Secret>),
}

/// `None`: the API has not answered yet. `Some(None)`: it does not exist.
type State = Option<Option<Found>>;

/// Dropping it ends the watch.
struct Watched {
    state: watch::Receiver<State>,
    task: AbortHandle,
    pods: BTreeSet<String>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
pub struct ObjectCache {
    client: Client,
    watched: Arc<Mutex<BTreeMap<ObjectKey, Watched>>>,
    changes: mpsc::Sender<ObjectKey>,
}

impl ObjectCache {
    /// `changes` hears of every object that came, changed or went.
    pub fn new(client: Client, changes: mpsc::Sender<ObjectKey>) -> ObjectCache {
        ObjectCache { client, watched: Arc::default(), changes }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the pod needs exactly these; with none, it is forgotten.
    pub fn register(&self, uid: &str, keys: &BTreeSet<ObjectKey>) {
        let mut watched = self.lock();
        for key in keys {
            let entry = watched.entry(key.clone()).or_insert_with(|| self.start(key));
            entry.pods.insert(uid.to_owned());
        }
        watched.retain(|key, entry| {
            if !keys.contains(key) {
                entry.pods.remove(uid);
            }
            !entry.pods.is_empty()
        });
    }

    pub fn pods_of(&self, key: &ObjectKey) -> BTreeSet<String> {
        self.lock().get(key).map(|entry| entry.pods.clone()).unwrap_or_default()
    }

    fn start(&self, key: &ObjectKey) -> Watched {
        let (sender, state) = watch::channel(None);
        let (client, changes, key) = (self.client.clone(), self.changes.clone(), key.clone());
        let task = match key.kind {
            ObjectKind::ConfigMap => tokio::spawn(follow::<ConfigMap>(client, key, sender, changes, |object| {
                Found::ConfigMap(Arc::new(object))
            })),
            ObjectKind::Secret => {
                tokio::spawn(follow::<Secret>(client, key, sender, changes, |object| Found::Secret(Arc::new(object))))
            }
        };
        Watched { state, task: task.abort_handle(), pods: BTreeSet::new() }
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Found>, String> {
        let receiver = self.lock().get(key).map(|entry| entry.state.clone());
        let Some(mut state) = receiver else { return Ok(None) };
        let known = tokio::time::timeout(PATIENCE, state.wait_for(Option::is_some)).await;
        let unanswered = || format!("failed to sync {} cache: timed out waiting for the condition", kind(key));
        let known = known.map_err(|_| unanswered())?.map_err(|_| unanswered())?;
        Ok(known.clone().flatten())
    }

    /// What all of them hold now. An error: the API does not answer, which is not the same as missing.
    pub async fn lookup(&self, keys: &BTreeSet<ObjectKey>) -> Result<Objects, String> {
        let mut objects = Objects::default();
        for key in keys {
            match (self.get(key).await?, key.kind) {
                (Some(Found::ConfigMap(map)), _) => drop(objects.config_maps.insert(key.name.clone(), Some(map))),
                (Some(Found::Secret(secret)), _) => drop(objects.secrets.insert(key.name.clone(), Some(secret))),
                (None, ObjectKind::ConfigMap) => drop(objects.config_maps.insert(key.name.clone(), None)),
                (None, ObjectKind::Secret) => drop(objects.secrets.insert(key.name.clone(), None)),
            }
        }
        Ok(objects)
    }
}

fn kind(key: &ObjectKey) -> &'static str {
    match key.kind {
        ObjectKind::ConfigMap => "configmap",
        ObjectKind::Secret => "secret",
    }
}

async fn follow<K>(
    client: Client,
    key: ObjectKey,
    state: watch::Sender<State>,
    changes: mpsc::Sender<ObjectKey>,
    wrap: fn(K) -> Found,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let api: Api<K> = Api::namespaced(client, &key.namespace);
    let mut stream = std::pin::pin!(watch_object(api, &key.name).default_backoff());
    while let Some(seen) = stream.next().await {
        match seen {
            Ok(object) => {
                let first = state.borrow().is_none();
                state.send_replace(Some(object.map(wrap)));
                // Whoever looks it up for the first time is waiting for it already.
                if !first && changes.send(key.clone()).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, object = %key.name, "watch of an object failed, trying again"),
        }
    }
}
