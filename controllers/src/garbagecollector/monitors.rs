//! Watches the metadata of every resource that can be collected, and keeps to the list of resources as it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::core::ApiResource;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource as _};
use reconcile::{Key, Queue};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::bare::Bare;
use super::graph::{Graph, Node};
use crate::discovery::{Resource, discover};

/// Discovery has no watch, so it is asked now and then (upstream's `gc.Sync` period), and when a definition of a kind has changed.
const REFRESH: Duration = Duration::from_secs(30);

/// How long a new resource may hold up the rest until its first list is in.
const PATIENCE: Duration = Duration::from_secs(30);

/// The graph, and who keeps it.
pub(super) struct Monitors {
    client: Client,
    graph: Mutex<Graph>,
    queue: Arc<Queue<Key>>,
    resources: Mutex<Vec<Resource>>,
    /// Monitors whose first list is not in.
    filling: watch::Sender<BTreeSet<String>>,
    /// The kinds of the server may have changed.
    changed: Notify,
    cancel: CancellationToken,
}

impl Monitors {
    pub fn new(client: Client, queue: Arc<Queue<Key>>, cancel: CancellationToken) -> Self {
        // Until discovery has answered, all is missing.
        let filling = watch::Sender::new(BTreeSet::from(["discovery".to_owned()]));
        Self {
            client,
            graph: Mutex::default(),
            queue,
            resources: Mutex::default(),
            filling,
            changed: Notify::new(),
            cancel,
        }
    }

    /// Look at what kinds there are soon.
    pub fn kinds_changed(&self) {
        self.changed.notify_one();
    }

    pub fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resource of a kind, among all that the server has.
    pub fn resource(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let group =
            |api_version: &str| api_version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned());
        let wanted = group(api_version);
        resources.iter().find(|each| each.api.kind == kind && each.api.group == wanted).cloned()
    }

    /// Wait until every monitor has its first list: before that, "no dependents" may just be "none seen yet".
    ///
    /// Returns false when it was cancelled before.
    pub async fn filled(&self) -> bool {
        let mut filling = self.filling.subscribe();
        tokio::select! {
            () = self.cancel.cancelled() => false,
            filled = filling.wait_for(BTreeSet::is_empty) => filled.is_ok(),
        }
    }

    /// Until the cancellation.
    pub async fn run(self: Arc<Self>) {
        let mut running = BTreeMap::<String, CancellationToken>::new();
        loop {
            match discover(&self.client).await {
                Ok(resources) => self.follow(resources, &mut running),
                Err(error) => warn!(%error, "resources are not known, garbage collection goes on with those that were"),
            }
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(REFRESH) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn follow(self: &Arc<Self>, resources: Vec<Resource>, running: &mut BTreeMap<String, CancellationToken>) {
        let watched: Vec<Resource> = resources.iter().filter(|each| is_collected(each)).cloned().collect();
        *self.resources.lock().unwrap_or_else(PoisonError::into_inner) = resources;
        let names: BTreeSet<String> = watched.iter().map(id).collect();
        running.retain(|name, cancel| {
            let stays = names.contains(name);
            if !stays {
                cancel.cancel();
            }
            stays
        });
        let new: Vec<Resource> = watched.into_iter().filter(|each| !running.contains_key(&id(each))).collect();
        self.filling.send_modify(|filling| {
            filling.extend(new.iter().map(id));
            filling.remove("discovery");
        });
        for resource in new {
            let cancel = self.cancel.child_token();
            running.insert(id(&resource), cancel.clone());
            tokio::spawn(self.clone().monitor(resource, cancel));
        }
    }

    async fn monitor(self: Arc<Self>, resource: Resource, cancel: CancellationToken) {
        let name = id(&resource);
        let api = Api::<Bare>::all_with(self.client.clone(), &resource.api);
        let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
        let mut listed = BTreeSet::new();
        let mut impatient = pin!(tokio::time::sleep(PATIENCE));
        let mut filled = false;
        loop {
            let event = tokio::select! {
                () = cancel.cancelled() => break,
                () = &mut impatient, if !filled => {
                    warn!(resource = name, "cannot be listed; garbage collection goes on without it");
                    self.is_filled(&name);
                    filled = true;
                    continue;
                }
                event = events.next() => event,
            };
            match event {
                Some(Ok(watcher::Event::Init)) => listed.clear(),
                Some(Ok(watcher::Event::InitApply(object))) => {
                    listed.extend(object.metadata.uid.clone());
                    self.apply(&resource.api, &object);
                }
                Some(Ok(watcher::Event::InitDone)) => {
                    self.keep_only(&resource.api, &listed);
                    self.is_filled(&name);
                    filled = true;
                }
                Some(Ok(watcher::Event::Apply(object))) => self.apply(&resource.api, &object),
                Some(Ok(watcher::Event::Delete(object))) => self.remove(object.meta().uid.as_deref().unwrap_or("")),
                Some(Err(error)) => debug!(resource = name, %error, "watch failed, retrying"),
                None => break,
            }
        }
        self.is_filled(&name);
    }

    fn is_filled(&self, name: &str) {
        self.filling.send_if_modified(|filling| filling.remove(name));
    }

    fn apply(&self, resource: &ApiResource, object: &Bare) {
        let work = self.graph().apply(Node::new(resource, &object.metadata));
        self.enqueue(work);
    }

    fn remove(&self, uid: &str) {
        let work = self.graph().remove(uid);
        self.enqueue(work);
    }

    /// A relist tells of deletions by leaving out.
    fn keep_only(&self, resource: &ApiResource, listed: &BTreeSet<String>) {
        let known = self.graph().uids_of(resource);
        for uid in known.iter().filter(|uid| !listed.contains(*uid)) {
            self.remove(uid);
        }
    }

    fn enqueue(&self, work: Vec<String>) {
        for uid in work {
            self.queue.add(Key::cluster(&uid));
        }
    }
}

/// Events have no owners and are many.
pub(super) fn is_collected(resource: &Resource) -> bool {
    resource.can(&["delete", "list", "watch"]) && resource.api.plural != "events"
}

fn id(resource: &Resource) -> String {
    format!("{}/{}", resource.api.api_version, resource.api.plural)
}
