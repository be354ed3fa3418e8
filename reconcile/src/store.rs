//! The informer's cache of one kind: current objects, indexes, and who wants to know of changes.
//!
//! It stands where kube's reflector store would, fed by the same kube::runtime watcher, because controllers need what that one
//! has not: lookups by namespace, owner and node that do not walk all objects, the old object of a change, and the highest
//! revision seen, by which the driver knows that its own write has come back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::Resource;
use tokio::sync::watch;

use crate::Key;

/// What happened to an object, as far as the watch tells: several writes may arrive as one `Applied`.
#[derive(Debug)]
pub enum Change<K> {
    /// `old` is `None` when the object was not in the cache before.
    Applied { old: Option<Arc<K>>, new: Arc<K> },
    /// The last state that is known; after a relist it may not be the last there was.
    Deleted(Arc<K>),
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        match self {
            Change::Applied { old, new } => Change::Applied { old: old.clone(), new: new.clone() },
            Change::Deleted(object) => Change::Deleted(object.clone()),
        }
    }
}

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;
type IndexFn<K> = fn(&K) -> Vec<String>;

/// A handle to the cache; clones share it.
pub struct Store<K: 'static> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<K: 'static> {
    state: RwLock<State<K>>,
    /// Held while a change is applied and told, so that all handlers see one order and a new one misses nothing.
    handlers: Mutex<Vec<Handler<K>>>,
    progress: watch::Sender<Progress>,
}

/// How far the cache has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The first list is in.
    pub synced: bool,
    /// Highest resourceVersion seen in an object.
    pub revision: u64,
    /// Counts lists that were begun, and the number of the last one that is completely in.
    pub lists_begun: u64,
    pub lists_done: u64,
}

struct State<K> {
    objects: BTreeMap<Key, Arc<K>>,
    indexes: BTreeMap<&'static str, Index<K>>,
}

struct Index<K> {
    values_of: IndexFn<K>,
    keys: HashMap<String, BTreeSet<Key>>,
}

/// The index every store has: the UID of the controlling owner, or the namespace of an orphan.
const BY_CONTROLLER: &str = "controller";

impl<K: Resource + 'static> Default for Store<K> {
    fn default() -> Self {
        let mut indexes = BTreeMap::new();
        indexes.insert(BY_CONTROLLER, Index { values_of: controller as IndexFn<K>, keys: HashMap::new() });
        let state = State { objects: BTreeMap::new(), indexes };
        let shared = Shared {
            state: RwLock::new(state),
            handlers: Mutex::default(),
            progress: watch::Sender::new(Progress::default()),
        };
        Self { shared: Arc::new(shared) }
    }
}

fn controller<K: Resource>(object: &K) -> Vec<String> {
    let meta = object.meta();
    let owner = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    vec![owner.map_or_else(|| orphans_of(meta.namespace.as_deref().unwrap_or("")), |owner| owner.uid.clone())]
}

/// No UID looks like this.
fn orphans_of(namespace: &str) -> String {
    format!("/{namespace}")
}

impl<K: Resource + 'static> Store<K> {
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    pub fn find(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        self.get(&Key::new(namespace, name))
    }

    /// All objects in the order of their keys.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    /// The objects of one namespace in the order of their names.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let state = self.read();
        let from = Key::namespaced(namespace, "");
        let of_namespace =
            state.objects.range(from..).take_while(|(key, _)| key.namespace.as_deref() == Some(namespace));
        of_namespace.map(|(_, object)| object.clone()).collect()
    }

    /// The objects whose controlling owner has this UID.
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.by_index(BY_CONTROLLER, uid)
    }

    /// The objects of a namespace that no owner controls.
    pub fn orphans_in(&self, namespace: &str) -> Vec<Arc<K>> {
        self.by_index(BY_CONTROLLER, &orphans_of(namespace))
    }

    /// The objects for which the function of the named index gave this value; none when there is no such index.
    pub fn by_index(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        let state = self.read();
        let keys = state.indexes.get(index).and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| state.objects.get(key).cloned()).collect()
    }

    /// Add an index, also over what is here already. Adding the same name again changes nothing.
    pub fn add_index(&self, name: &'static str, values_of: IndexFn<K>) {
        let mut state = self.write();
        if state.indexes.contains_key(name) {
            return;
        }
        let mut index = Index { values_of, keys: HashMap::new() };
        for (key, object) in &state.objects {
            index.insert(key, object);
        }
        state.indexes.insert(name, index);
    }

    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// Wait until the first list is in.
    pub async fn synced(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.progress().wait_for(|progress| progress.synced).await;
    }

    /// Call `handler` for each change from now on, and before that once as `Applied` for each object that is here.
    ///
    /// It runs on the informer's task: it must be quick, and must not subscribe to the same store. Reading is fine.
    pub fn on_change(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut handlers = self.lock_handlers();
        for object in self.list() {
            handler(&Change::Applied { old: None, new: object });
        }
        handlers.push(Box::new(handler));
    }

    /// The changes as a stream of their own. It is not bounded: the one reader moves them into its own state, and a bound would
    /// either lose changes or stop the informer for everybody.
    pub fn changes(&self) -> tokio::sync::mpsc::UnboundedReceiver<Change<K>>
    where
        K: Send + Sync,
    {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        self.on_change(move |change| {
            // A reader that is gone wants nothing.
            let _ = sender.send(change.clone());
        });
        receiver
    }

    /// Take in one object, as a watch event or a test would.
    pub fn apply(&self, object: K) {
        let handlers = self.lock_handlers();
        let revision = revision_of(&object);
        let key = Key::of(&object);
        let new = Arc::new(object);
        let old = self.write().insert(key, new.clone());
        tell(&handlers, &Change::Applied { old, new });
        self.shared.progress.send_modify(|progress| progress.revision = progress.revision.max(revision));
    }

    pub fn remove(&self, object: &K) {
        let handlers = self.lock_handlers();
        let removed = self.write().remove(&Key::of(object));
        if let Some(old) = removed {
            tell(&handlers, &Change::Deleted(old));
        }
        let revision = revision_of(object);
        self.shared.progress.send_modify(|progress| progress.revision = progress.revision.max(revision));
    }

    pub(crate) fn begin_list(&self) {
        self.shared.progress.send_modify(|progress| progress.lists_begun += 1);
    }

    /// A complete list replaces what is here; only differences are told.
    pub fn replace(&self, objects: Vec<K>) {
        let handlers = self.lock_handlers();
        let mut revision = 0;
        let mut gone: BTreeSet<Key> = self.read().objects.keys().cloned().collect();
        for object in objects {
            revision = revision.max(revision_of(&object));
            let key = Key::of(&object);
            gone.remove(&key);
            let same = |old: &Arc<K>| {
                let (old, new) = (old.meta(), object.meta());
                old.resource_version.is_some() && old.resource_version == new.resource_version && old.uid == new.uid
            };
            if self.read().objects.get(&key).is_some_and(same) {
                continue;
            }
            let new = Arc::new(object);
            let old = self.write().insert(key, new.clone());
            tell(&handlers, &Change::Applied { old, new });
        }
        for key in gone {
            let removed = self.write().remove(&key);
            if let Some(old) = removed {
                tell(&handlers, &Change::Deleted(old));
            }
        }
        self.shared.progress.send_modify(|progress| {
            progress.synced = true;
            progress.revision = progress.revision.max(revision);
            progress.lists_done = progress.lists_begun;
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.shared.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_handlers(&self) -> MutexGuard<'_, Vec<Handler<K>>> {
        self.shared.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell<K>(handlers: &[Handler<K>], change: &Change<K>) {
    for handler in handlers {
        handler(change);
    }
}

fn revision_of<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|revision| revision.parse().ok()).unwrap_or(0)
}

impl<K> State<K> {
    fn insert(&mut self, key: Key, object: Arc<K>) -> Option<Arc<K>> {
        let old = self.remove(&key);
        for index in self.indexes.values_mut() {
            index.insert(&key, &object);
        }
        self.objects.insert(key, object);
        old
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<K>> {
        let old = self.objects.remove(key)?;
        for index in self.indexes.values_mut() {
            index.remove(key, &old);
        }
        Some(old)
    }
}

impl<K> Index<K> {
    fn insert(&mut self, key: &Key, object: &K) {
        for value in (self.values_of)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.values_of)(object) {
            let Some(keys) = self.keys.get_mut(&value) else { continue };
            keys.remove(key);
            if keys.is_empty() {
                self.keys.remove(&value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    fn pod(name: &str, revision: u64, owner: Option<&str>) -> Pod {
        let mut meta =
            serde_json::json!({"namespace": "default", "name": name, "resourceVersion": revision.to_string()});
        if let Some(uid) = owner {
            meta["ownerReferences"] = serde_json::json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": uid, "controller": true}]);
        }
        serde_json::from_value(serde_json::json!({"metadata": meta})).expect("a pod")
    }

    fn names(pods: Vec<Arc<Pod>>) -> Vec<String> {
        pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect()
    }

    #[test]
    fn the_owner_index_follows_the_objects() {
        let store = Store::<Pod>::default();
        store.apply(pod("a", 1, Some("u1")));
        store.apply(pod("b", 2, Some("u1")));
        store.apply(pod("c", 3, None));
        assert_eq!(names(store.controlled_by("u1")), ["a", "b"]);
        assert_eq!(names(store.orphans_in("default")), ["c"]);
        store.apply(pod("a", 4, Some("u2")));
        store.remove(&pod("b", 5, None));
        assert!(store.controlled_by("u1").is_empty());
        assert_eq!(names(store.controlled_by("u2")), ["a"]);
    }

    #[test]
    fn a_relist_tells_only_differences() {
        let store = Store::<Pod>::default();
        store.replace(vec![pod("same", 1, None), pod("changed", 2, None), pod("gone", 3, None)]);
        let mut changes = store.changes();
        for _ in 0..3 {
            assert!(matches!(changes.try_recv(), Ok(Change::Applied { old: None, .. })));
        }
        store.replace(vec![pod("same", 1, None), pod("changed", 4, None), pod("new", 5, None)]);
        let mut seen = Vec::new();
        while let Ok(change) = changes.try_recv() {
            seen.push(match change {
                Change::Applied { old, new } => format!("{} {}", Key::of(&*new), old.is_some()),
                Change::Deleted(old) => format!("{} deleted", Key::of(&*old)),
            });
        }
        assert_eq!(seen, ["default/changed true", "default/new false", "default/gone deleted"]);
        assert_eq!(store.progress().borrow().revision, 5);
    }
}
