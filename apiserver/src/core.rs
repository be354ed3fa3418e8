//! What all requests share: configuration, registry, caches, admission, allocation; and reads of single objects.

use api::Object;
use api::meta::Meta;
use api::status::{Qualified, Status};
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Reader};
use crate::aggregation::Index;
use crate::allocation::Allocator;
use crate::cache::{Caches, ROOT, Stored};
use crate::config::Config;
use crate::discovered::Discovered;
use crate::flowcontrol::{FlowControl, Size};
use crate::managed::{Managers, read_stored};
use crate::metrics::{Admissions, EtcdRequests, Requests, Watches};
use crate::openapi::Documents;
use crate::outbound::Webhooks;
use crate::registry::{Descriptor, Registry};
use crate::request::RequestInfo;
use crate::token::Lookup;

/// How long a read waits for the cache to show what the store has.
const FRESH_PATIENCE: Duration = Duration::from_secs(30);
/// How long a read waits for a resourceVersion that a client asks for and the server has not seen (upstream: 3 s).
const VERSION_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Core {
    pub config: Config,
    pub registry: Arc<Registry>,
    pub caches: Caches,
    pub admission: Vec<Box<dyn Admission>>,
    /// What `/metrics` tells of admission.
    pub admissions: Arc<Admissions>,
    /// What `/metrics` tells of requests.
    pub requests: Arc<Requests>,
    pub watches: Watches,
    /// `None`: the state is not in etcd.
    pub etcd: Option<Arc<EtcdRequests>>,
    /// `None`: requests are not limited.
    pub flow_control: Option<Arc<FlowControl>>,
    pub allocator: Allocator,
    pub discovered: Discovered,
    pub documents: Documents,
    pub webhooks: Arc<Webhooks>,
    pub aggregation: Arc<Index>,
    /// The server stops: streams end.
    pub stopping: CancellationToken,
}

/// A stored object as a tree, for writes.
#[derive(Clone, Debug)]
pub(crate) struct Existing {
    /// Without its managedFields.
    pub object: Object,
    pub managers: Managers,
    pub json: Bytes,
    pub revision: u64,
    /// It is not stored as it would be now: an update that changes nothing else writes it nevertheless.
    pub stale: bool,
}

impl Core {
    pub fn now(&self) -> Timestamp {
        (self.config.clock)()
    }

    pub fn random(&self) -> u64 {
        (self.config.random)()
    }

    /// The row of a resource. A definition that was acknowledged a moment ago may not be in the registry yet.
    pub async fn row(&self, group: &str, version: &str, plural: &str) -> Result<Option<Arc<Descriptor>>, Status> {
        let found = self.registry.lookup(group, version, plural);
        if found.is_some() || !group.contains('.') {
            return Ok(found);
        }
        self.fresh().await?;
        Ok(self.registry.lookup(group, version, plural))
    }

    /// What is stored of a request's resource.
    pub fn size(&self, info: &RequestInfo) -> Size {
        let row = self.registry.lookup(&info.group, &info.version, &info.resource);
        row.and_then(|row| self.caches.get(&row.storage)).map(|cache| cache.size()).unwrap_or_default()
    }

    /// The newest state of one object, past the cache.
    pub async fn read_bytes(
        &self,
        row: &Descriptor,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(Bytes, u64)>, Status> {
        let found = self.config.store.get(key(row, namespace, name)).await.map_err(store_error)?;
        Ok(found.map(|found| (found.value, found.modified.0)))
    }

    pub async fn read(&self, row: &Descriptor, namespace: &str, name: &str) -> Result<Option<Existing>, Status> {
        let found = self.config.store.get(key(row, namespace, name)).await.map_err(store_error)?;
        let Some(found) = found else { return Ok(None) };
        let mut existing = self.decode(row, found.value, found.modified.0).await?;
        existing.stale |= found.created == found.modified && (row.completed_by_reads)(&existing.object);
        Ok(Some(existing))
    }

    /// The object to begin a change with: where a read of the store is a round trip, the one in the cache, which may be old.
    /// Also whether it is the newest for certain.
    pub async fn read_to_change(
        &self,
        row: &Descriptor,
        namespace: &str,
        name: &str,
    ) -> Result<(Option<Existing>, bool), Status> {
        if self.config.store.is_shared()
            && let Some(stored) =
                self.caches.get(&row.storage).and_then(|cache| cache.get(&row.object_key(namespace, name)))
        {
            return Ok((Some(self.decode(row, stored.json.clone(), stored.revision).await?), false));
        }
        Ok((self.read(row, namespace, name).await?, true))
    }

    async fn decode(&self, row: &Descriptor, json: Bytes, revision: u64) -> Result<Existing, Status> {
        if let Some(converted) = self.existing(row, &json, revision).await? {
            return Ok(converted);
        }
        let (mut object, managers) = read_stored(&json).map_err(Status::internal)?;
        let stale = row.load(&mut object, revision)?;
        Ok(Existing { object, managers, json, revision, stale })
    }

    pub async fn must_read(&self, row: &Descriptor, namespace: &str, name: &str) -> Result<Existing, Status> {
        let found = self.read(row, namespace, name).await?;
        found.ok_or_else(|| Status::not_found(qualified(row), name))
    }

    /// Waits until the caches show every write that was acknowledged before this call; answers with the revision up to
    /// which they are complete.
    pub async fn fresh(&self) -> Result<u64, Status> {
        let newest = self.config.store.revision().await.map_err(store_error)?;
        let reached = self.caches.reach(newest.0, FRESH_PATIENCE).await;
        reached.map_err(|unready| Status::timeout(&unready.to_string(), 1))
    }

    /// Waits until the caches are loaded and at least as new as a client asks.
    pub async fn at_least(&self, revision: u64) -> Result<u64, Status> {
        let patience = if self.caches.is_ready() { VERSION_PATIENCE } else { FRESH_PATIENCE };
        self.caches.reach(revision, patience).await.map_err(|unready| {
            let message = format!("Too large resource version: {revision}, current: {}", unready.reached);
            Status::timeout(&message, 1).with_cause(api::status::Cause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".into(),
                field: String::new(),
            })
        })
    }
}

impl Reader for Core {
    fn get<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Object>, Status>> {
        Box::pin(async move {
            let Some(row) = self.registry.find(group, resource) else { return Ok(None) };
            Ok(self.read(row, namespace, name).await?.map(|existing| existing.object))
        })
    }

    fn text<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Status>> {
        Box::pin(async move {
            let Some(row) = self.registry.find(group, resource) else { return Ok(None) };
            Ok(self.read_bytes(row, namespace, name).await?.map(|(text, _)| text))
        })
    }

    fn get_soon<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Option<Object>, Status>> {
        Box::pin(async move {
            // Subscribed before the first look, so that no creation falls in between.
            let row = self.registry.find(group, resource);
            let cache = row.and_then(|row| self.caches.get(&row.storage));
            let mut watcher = cache.and_then(|cache| cache.watch(self.caches.complete()).ok());
            let deadline = tokio::time::Instant::now() + patience;
            loop {
                let found = self.get(group, resource, namespace, name).await?;
                let Some(watcher) = watcher.as_mut().filter(|_| found.is_none()) else { return Ok(found) };
                if tokio::time::timeout_at(deadline, watcher.changed()).await.is_err() {
                    return Ok(None);
                }
            }
        })
    }

    fn list<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Object>, Status>> {
        Box::pin(async move {
            let row = self.registry.find(group, resource);
            let cache = row.and_then(|row| self.caches.get(&row.storage)).filter(|cache| !cache.is_empty());
            let Some(cache) = cache else { return Ok(Vec::new()) };
            let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            let objects = cache.list(&prefix, self.caches.complete()).objects;
            objects.iter().map(|stored| serde_json::from_slice(&stored.json).map_err(Status::internal)).collect()
        })
    }

    fn converted<'a>(
        &'a self,
        row: &'a Descriptor,
        objects: Vec<Object>,
    ) -> BoxFuture<'a, Result<Vec<Object>, Status>> {
        Box::pin(self.convert(row, objects))
    }

    fn cached(&self, row: &Descriptor, namespace: &str, name: &str) -> Result<Option<Object>, Status> {
        let cache = self.caches.get(&row.storage);
        let found = cache.and_then(|cache| cache.get(&row.object_key(namespace, name)));
        found.map(|stored| in_form(row, &stored)).transpose()
    }

    fn shown<'a>(
        &'a self,
        row: &'a Descriptor,
        namespace: &'a str,
        name: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Object>, Status>> {
        Box::pin(async move {
            let Some(cache) = self.caches.get(&row.storage) else { return Ok(Vec::new()) };
            let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            let stored: Vec<Arc<Stored>> = match name {
                Some(name) => cache.get(&row.object_key(namespace, name)).into_iter().collect(),
                None => cache.list(&prefix, self.caches.complete()).objects,
            };
            if row.converted().is_none() {
                return stored.iter().map(|stored| in_form(row, stored)).collect();
            }
            let objects = stored.iter().map(|stored| serde_json::from_slice(&stored.json).map_err(Status::internal));
            self.convert(row, objects.collect::<Result<_, _>>()?).await
        })
    }

    fn all_cached(&self, row: &Descriptor, namespace: &str) -> Result<Vec<Object>, Status> {
        let Some(cache) = self.caches.get(&row.storage) else { return Ok(Vec::new()) };
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let objects = cache.list(&prefix, self.caches.complete()).objects;
        objects.iter().map(|stored| in_form(row, stored)).collect()
    }
}

/// A stored object as the row serves it.
fn in_form(row: &Descriptor, stored: &Stored) -> Result<Object, Status> {
    let mut object = serde_json::from_slice(&stored.json).map_err(Status::internal)?;
    row.load(&mut object, stored.revision)?;
    if let Some(shape) = row.shape {
        shape.serve(&mut object);
    }
    Ok(object)
}

impl Lookup for Core {
    /// As the watch cache shows it: each request with a token asks. What it does not show (yet) is asked of the store.
    fn uid<'a>(&'a self, resource: &'static str, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let row = self.registry.find("", resource)?;
            let cached = self.caches.get(&row.storage).and_then(|cache| cache.get(&row.object_key(namespace, name)));
            match cached {
                Some(stored) => Some(stored.uid.to_string()),
                None => Some(self.read(row, namespace, name).await.ok()??.object.uid().to_owned()),
            }
        })
    }

    fn object<'a>(
        &'a self,
        resource: &'static str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Option<Object>> {
        Box::pin(async move {
            let row = self.registry.find("", resource)?;
            Some(self.read(row, namespace, name).await.ok()??.object)
        })
    }
}

pub(crate) fn key(row: &Descriptor, namespace: &str, name: &str) -> Bytes {
    format!("{ROOT}{}/{}", row.storage, row.object_key(namespace, name)).into()
}

/// What a write asks of the stored object: that it is this one, or that it is as it was then.
#[derive(Clone, Copy)]
pub(crate) enum Precondition {
    Uid,
    ResourceVersion,
}

/// 409 of upstream's store, with the key that the object has there.
pub(crate) fn precondition_failed(
    row: &Descriptor,
    (key, dry_run): (&str, bool),
    name: &str,
    what: Precondition,
    (asked, own): (&str, &str),
) -> Status {
    let (group, plural) = (row.info.group.as_str(), row.info.plural.as_str());
    let prefix = match (group, plural) {
        ("", "endpoints") => "services/endpoints".to_owned(),
        ("", "services") => "services/specs".to_owned(),
        ("", "nodes") => "minions".to_owned(),
        ("", "replicationcontrollers") => "controllers".to_owned(),
        ("networking.k8s.io", "ingresses") => "ingress".to_owned(),
        ("apiextensions.k8s.io" | "apiregistration.k8s.io", _) => format!("{group}/{plural}"),
        _ if row.custom.is_some() => format!("{group}/{plural}"),
        _ => plural.to_owned(),
    };
    let root = if dry_run { "" } else { "/registry" };
    let what = match what {
        Precondition::Uid => "UID",
        Precondition::ResourceVersion => "ResourceVersion",
    };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {root}/{prefix}/{key}, ResourceVersion: 0, AdditionalErrorMsg: \
         Precondition failed: {what} in precondition: {asked}, {what} in object meta: {own}"
    );
    Status::conflict(qualified(row), name, &why)
}

pub(crate) fn qualified(row: &Descriptor) -> Qualified<'_> {
    Qualified::new(&row.info.group, &row.info.plural)
}

/// The kind, for `Invalid` statuses.
/// Events have one internal form, whose group is the core's.
pub(crate) fn qualified_kind(row: &Descriptor) -> Qualified<'_> {
    let group = if row.info.group == "events.k8s.io" { "" } else { &row.info.group };
    Qualified::new(group, &row.info.kind)
}

pub(crate) fn store_error(error: store::Error) -> Status {
    match error {
        store::Error::Compacted { .. } => Status::expired(EXPIRED),
        store::Error::Unavailable(_) | store::Error::Open(_) | store::Error::KeyGone { .. } => {
            Status::service_unavailable(error.to_string())
        }
        store::Error::Conflict { .. } | store::Error::Future { .. } | store::Error::Lagged { .. } => {
            Status::internal(error)
        }
    }
}

pub(crate) const EXPIRED: &str = "The resourceVersion for the provided list is too old.";
