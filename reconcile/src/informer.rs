//! Shared informers: one list and watch for everybody in the process who asks for the same objects, which are all of a kind or
//! those that selectors choose. Who asks for all never gets a part.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::expectation::{AnyStore, Expectation};
pub use crate::store::{Change, Progress, Store};

/// A typed kind that an informer can hold.
pub trait Kind: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Kind for K {}

/// Starts informers; [`Informers::caches`] is what readers get.
#[derive(Clone)]
pub struct Informers {
    client: Client,
    caches: Caches,
    cancel: CancellationToken,
}

impl Informers {
    pub fn new(client: Client, cancel: CancellationToken) -> Self {
        Self { client, caches: Caches::default(), cancel }
    }

    /// The store of a kind, started at the first call. It fills in the background: see [`Store::synced`].
    pub fn start<K: Kind>(&self) -> Store<K> {
        self.start_with(None)
    }

    /// As [`Informers::start`], for the objects that the field selector chooses: a store beside that of all of the kind.
    pub fn start_chosen<K: Kind>(&self, fields: &'static str) -> Store<K> {
        self.start_with(Some(fields))
    }

    fn start_with<K: Kind>(&self, fields: Option<&'static str>) -> Store<K> {
        let (store, new) = self.caches.get_or_insert::<K>(fields);
        if new {
            let api = Api::<K>::all(self.client.clone());
            let config = watcher::Config { field_selector: fields.map(str::to_owned), ..watcher::Config::default() };
            tokio::spawn(follow(api, config, store.clone(), self.cancel.clone()));
        }
        store
    }

    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// Read access to the stores of all kinds that are informed about.
#[derive(Clone, Default)]
pub struct Caches {
    stores: Arc<RwLock<HashMap<Held, Entry>>>,
}

/// What a store holds: a kind, and the field selector that chooses of it; `None` is all.
type Held = (TypeId, Option<&'static str>);

struct Entry {
    typed: Arc<dyn Any + Send + Sync>,
    erased: Arc<dyn AnyStore>,
    api_version: String,
    kind: String,
}

impl Caches {
    /// The store of all objects of a kind.
    ///
    /// # Panics
    /// When no informer of the kind was started: a controller must name in `watches()` every kind its view reads.
    pub fn get<K: Kind>(&self) -> Store<K> {
        match self.find::<K>(None) {
            Some(store) => store,
            None => panic!("no informer was started for {}", K::kind(&())),
        }
    }

    /// The store of those objects of a kind that the field selector chooses.
    ///
    /// # Panics
    /// As [`Caches::get`].
    pub fn chosen<K: Kind>(&self, fields: &'static str) -> Store<K> {
        match self.find::<K>(Some(fields)) {
            Some(store) => store,
            None => panic!("no informer was started for {} of {fields}", K::kind(&())),
        }
    }

    fn find<K: Kind>(&self, fields: Option<&'static str>) -> Option<Store<K>> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let entry = stores.get(&(TypeId::of::<K>(), fields))?;
        entry.typed.downcast_ref::<Store<K>>().cloned()
    }

    /// A store that nobody feeds but the caller: how tests make a world for a `view`.
    pub fn insert<K: Kind>(&self, objects: Vec<K>) -> Store<K> {
        let (store, _) = self.get_or_insert::<K>(None);
        store.replace(objects);
        store
    }

    fn get_or_insert<K: Kind>(&self, fields: Option<&'static str>) -> (Store<K>, bool) {
        let mut stores = self.stores.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = false;
        let entry = stores.entry((TypeId::of::<K>(), fields)).or_insert_with(|| {
            new = true;
            let store = Store::<K>::default();
            Entry {
                typed: Arc::new(store.clone()),
                erased: Arc::new(store),
                api_version: K::api_version(&()).into_owned(),
                kind: K::kind(&()).into_owned(),
            }
        });
        (entry.typed.downcast_ref::<Store<K>>().cloned().unwrap_or_default(), new)
    }

    /// Wait until every store that exists now has its first list.
    pub async fn synced(&self) {
        all_synced(self.progress(|_| true)).await;
    }

    /// The progress of the stores of these types.
    pub(crate) fn progress(&self, of: impl Fn(&TypeId) -> bool) -> Vec<watch::Receiver<Progress>> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores.iter().filter(|((kind, _), _)| of(kind)).map(|(_, entry)| entry.erased.watch_progress()).collect()
    }

    /// The store of all objects of a kind by its names, for those who have no type in hand. In a part of them the absence of one
    /// would say nothing.
    pub(crate) fn erased(&self, api_version: &str, kind: &str) -> Option<Arc<dyn AnyStore>> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let mut whole = stores.iter().filter(|((_, fields), _)| fields.is_none()).map(|(_, entry)| entry);
        whole.find(|entry| entry.kind == kind && entry.api_version == api_version).map(|entry| entry.erased.clone())
    }

    /// Wait until the caches show each of these writes, or something newer.
    pub async fn passed(&self, expectations: &[Expectation]) {
        for expectation in expectations {
            expectation.wait().await;
        }
    }
}

pub(crate) async fn all_synced(waiting: Vec<watch::Receiver<Progress>>) {
    for mut progress in waiting {
        // An error means that the store is gone, and so is the wish to wait for it.
        let _ = progress.wait_for(|progress| progress.synced).await;
    }
}

async fn follow<K: Kind>(api: Api<K>, config: watcher::Config, store: Store<K>, cancel: CancellationToken) {
    // The watcher tries again at its next poll, so waiting is up to this loop. Beginning a list is no success yet.
    let mut events = pin!(watcher(api, config));
    let mut retry = Retry::default();
    let mut list = Vec::new();
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => {
                list.clear();
                store.begin_list();
            }
            Some(Ok(watcher::Event::InitApply(object))) => list.push(trimmed(object)),
            Some(Ok(watcher::Event::InitDone)) => {
                retry = Retry::default();
                store.replace(std::mem::take(&mut list));
                debug!(kind = %K::kind(&()), objects = store.len(), "informer has a full list");
            }
            Some(Ok(watcher::Event::Apply(object))) => store.apply(trimmed(object)),
            Some(Ok(watcher::Event::Delete(object))) => store.remove(&object),
            Some(Err(error)) => {
                warn!(kind = %K::kind(&()), %error, "watch failed, retrying");
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(retry.next()) => {}
                }
            }
            None => return,
        }
    }
}

/// managedFields are a third of an object's memory and no controller reads them; a PUT without them keeps the stored ones.
fn trimmed<K: Kind>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

/// Waits between failed watches: quick at first, because in one process the server is there a moment later.
struct Retry {
    next: Duration,
}

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

impl Default for Retry {
    fn default() -> Self {
        Self { next: FIRST_RETRY }
    }
}

impl Retry {
    fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(LONGEST_RETRY);
        now
    }
}
