//! Owns:    nothing; collects what its owners have left behind.
//! Watches: the metadata of every resource that can be deleted, listed and watched.
//! Writes:  deletes, owner references, the finalizers `orphan` and `foregroundDeletion`.
//!
//! `monitors` fill the `graph`; a change there gives UIDs to look at, which are the keys of the queue. Nothing is deleted on
//! the graph's word: the object and each of its owners are asked of the server first, owners by UID, and then `decision` says
//! what to do.

mod bare;
mod decision;
mod graph;
mod monitors;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::core::ObjectMeta;
use reconcile::execute::Executor;
use reconcile::{Error, Key, Manager, Outcome, Plan, Queue, Reconciler};
use tracing::debug;

use crate::discovery::Resource;
use decision::Owner;
use graph::{FOREGROUND, Node, ORPHAN, State};
use monitors::Monitors;

const NAME: &str = "garbage-collector-controller";
const ACCOUNT: &str = "generic-garbage-collector";
const QUEUE: &str = "garbage_collector_attempt_to_delete";
const WORKERS: usize = 20;
/// Until an object is looked at again whose owner is there but not in the graph yet.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

struct GarbageCollector {
    monitors: Arc<Monitors>,
    queue: Arc<Queue<Key>>,
    client: Client,
    executor: Executor,
    absent: Mutex<Absent>,
}

pub fn start(manager: &Manager) {
    let queue = Arc::new(Queue::default());
    let client = manager.client(ACCOUNT);
    let monitors = Arc::new(Monitors::new(client.clone(), queue.clone(), manager.cancel().clone()));
    manager.spawn(monitors.clone().run());
    let told = monitors.clone();
    manager.informers().start::<CustomResourceDefinition>().on_change(move |_| told.kinds_changed());
    let executor = manager.executor(NAME, ACCOUNT);
    let collector = GarbageCollector { monitors, queue: queue.clone(), client, executor, absent: Mutex::default() };
    manager.add_reconciler([NAME, QUEUE], queue, WORKERS, Arc::new(collector), Vec::new());
}

impl Reconciler for GarbageCollector {
    fn reconcile<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Outcome> {
        async move {
            if !self.monitors.filled().await {
                return Outcome::default();
            }
            let plan = match self.plan(&key.name).await {
                Ok(plan) => plan,
                Err(error) => return Outcome { error: Some(error), ..Outcome::default() },
            };
            if !plan.is_empty() {
                debug!(%plan, "decided");
            }
            // What is written comes back by the monitors, and each decision reads live: there is nothing to wait for.
            let error = self.executor.perform(None, &plan).await.error;
            let requeue_after = self.has_unseen_owner(&key.name).then_some(LOOK_AGAIN);
            Outcome { error, requeue_after, ..Outcome::default() }
        }
        .boxed()
    }
}

impl GarbageCollector {
    async fn plan(&self, uid: &str) -> Result<Plan, Error> {
        let Some(node) = self.monitors.graph().get(uid).cloned() else { return Ok(Plan::default()) };
        match node.state {
            State::Leaves => Ok(Plan::default()),
            State::Lives => self.collect(&node).await,
            State::Orphans => self.orphan(&node).await,
            State::WaitsForDependents => self.wait_for_dependents(&node).await,
        }
    }

    /// An owner that goes before its monitor has seen it takes nobody with it: the graph hears of its going by nothing.
    fn has_unseen_owner(&self, uid: &str) -> bool {
        let Some(node) = self.monitors.graph().get(uid).filter(|node| node.state == State::Lives).cloned() else {
            return false;
        };
        node.owners.iter().any(|owner| {
            let resource = self.monitors.resource(&owner.api_version, &owner.kind);
            let resource = resource.filter(monitors::is_collected);
            let will_be_seen = resource.is_some_and(|owner| node.key.namespace.is_some() || !owner.namespaced);
            will_be_seen && self.monitors.graph().get(&owner.uid).is_none()
        })
    }

    async fn collect(&self, node: &Node) -> Result<Plan, Error> {
        let Some(latest) = self.live(node).await? else { return Ok(Plan::default()) };
        let mut owners = Vec::new();
        for reference in latest.owner_references.iter().flatten() {
            owners.push(self.owner(node, reference).await?);
        }
        let graph = self.monitors.graph();
        let dependents: Vec<&Node> = graph.dependents(&node.uid).collect();
        Ok(decision::collect(node, &latest, &owners, &dependents))
    }

    /// All dependents let go, and only then the owner may: if one fails, the whole is tried again.
    async fn orphan(&self, node: &Node) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        let dependents: Vec<Node> = self.monitors.graph().dependents(&node.uid).cloned().collect();
        for dependent in &dependents {
            if let Some(latest) = self.live(dependent).await? {
                plan.actions.extend(decision::disown(dependent, &latest, &node.uid));
            }
        }
        if let Some(latest) = self.live(node).await? {
            plan.actions.extend(decision::lift_finalizer(node, &latest, ORPHAN));
        }
        Ok(plan)
    }

    async fn wait_for_dependents(&self, node: &Node) -> Result<Plan, Error> {
        let blocking: Vec<Node> = {
            let graph = self.monitors.graph();
            graph.dependents(&node.uid).filter(|dependent| dependent.blocks(&node.uid)).cloned().collect()
        };
        let mut plan = Plan::default();
        if blocking.is_empty()
            && let Some(latest) = self.live(node).await?
        {
            plan.actions.extend(decision::lift_finalizer(node, &latest, FOREGROUND));
        }
        for dependent in blocking.iter().filter(|dependent| dependent.state == State::Lives) {
            self.queue.add(Key::cluster(&dependent.uid));
        }
        Ok(plan)
    }

    /// `None`: gone, or replaced by a namesake.
    async fn live(&self, node: &Node) -> Result<Option<ObjectMeta>, Error> {
        let resource =
            Resource { api: node.resource.clone(), namespaced: node.key.namespace.is_some(), verbs: Vec::new() };
        let live = self.get(&resource, &node.key).await?;
        Ok(live.filter(|meta| meta.uid.as_ref() == Some(&node.uid)))
    }

    async fn get(&self, resource: &Resource, key: &Key) -> Result<Option<ObjectMeta>, Error> {
        let api = resource.metas(self.client.clone(), key.namespace.as_deref());
        let live = api.get_opt(&key.name).await;
        let live =
            live.map_err(|source| Error::Request { what: format!("get {} {key}", resource.api.kind), source })?;
        Ok(live.map(|object| object.metadata))
    }

    async fn owner(&self, node: &Node, reference: &OwnerReference) -> Result<Owner, Error> {
        let Some(resource) = self.monitors.resource(&reference.api_version, &reference.kind) else {
            // The kind may come (or come back): an unknown one is no absent one.
            let what = format!("find the resource of {} {}", reference.api_version, reference.kind);
            return Err(Error::Incomplete(what));
        };
        if resource.namespaced && node.key.namespace.is_none() {
            debug!(object = %node.key, owner = reference.name, "a cluster-scoped object names a namespaced owner, left alone");
            return Ok(Owner::Lives);
        }
        let key =
            Key { namespace: node.key.namespace.clone().filter(|_| resource.namespaced), name: reference.name.clone() };
        let id = format!("{} {} {key} {}", reference.api_version, reference.kind, reference.uid);
        if self.absent.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return Ok(Owner::Absent);
        }
        match self.get(&resource, &key).await? {
            Some(meta) if meta.uid.as_ref() == Some(&reference.uid) => {
                let foreground = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FOREGROUND);
                let waits = meta.deletion_timestamp.is_some() && foreground;
                Ok(if waits { Owner::Waits } else { Owner::Lives })
            }
            _ => {
                self.absent.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                Ok(Owner::Absent)
            }
        }
    }
}

/// Owners that are known to be gone: a UID never comes back, and a thousand dependents need not ask a thousand times.
#[derive(Default)]
struct Absent {
    known: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Absent {
    const MOST: usize = 500;

    fn contains(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    fn insert(&mut self, id: String) {
        if self.known.insert(id.clone()) {
            self.order.push_back(id);
        }
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
