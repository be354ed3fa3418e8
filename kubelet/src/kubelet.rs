//! A node, put together: what is started in which order, and how it ends.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client};
use reconcile::events::{EventType, Recorder};
use runtime::spec::{Listing, RuntimeEvent};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::driver::{self, Manager, NEWS, ObjectCache, PodNews, ServiceCache, Shared, Sources, Tokens};
use crate::launch::hostfiles::Dns;
use crate::node::facts::Facts;
use crate::node::{self, NodeTask, object};
use crate::node_runtime::NodeRuntime;
use crate::paths::Paths;
use crate::server;
use crate::table::Table;
use crate::volumes::tmpfs;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("prepare the node's directory {path}: {source}")]
    Directory { path: std::path::PathBuf, source: std::io::Error },
    #[error("list what the runtime has: {0}")]
    Runtime(#[from] runtime::Error),
    #[error("serve the kubelet's API: {0}")]
    Serve(#[source] std::io::Error),
}

/// Changes of referenced objects that wait for the loop; a watch with a change then waits a moment.
const OBJECT_CHANGES: usize = 256;
/// A start takes milliseconds, unless a file system hangs.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(10);
/// Pod events that wait for the loop.
const POD_NEWS: usize = 256;

/// The agent of one node.
pub struct Kubelet {
    config: Config,
    client: Client,
    runtime: Arc<dyn NodeRuntime>,
    events: mpsc::Receiver<RuntimeEvent>,
}

impl Kubelet {
    /// `events` are what `runtime` reports, from before its listing on.
    pub fn new(
        config: Config,
        client: Client,
        runtime: Arc<dyn NodeRuntime>,
        events: mpsc::Receiver<RuntimeEvent>,
    ) -> Kubelet {
        Kubelet { config, client, runtime, events }
    }

    /// Runs the node until cancelled; containers then go on, and the next start takes them over. An error: it could not start.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Error> {
        // A part that ends takes the others with it.
        let cancel = cancel.child_token();
        let _stop = cancel.clone().drop_guard();
        let mut tasks = JoinSet::new();
        let config = self.config;
        prepare(&config)?;
        let clock = Clock::start();
        let facts = Facts::read(&config.data_dir);
        let recorder = Recorder::start(self.client.clone(), "kubelet", Some(&config.node_name), cancel.clone());
        let listing = settled_listing(self.runtime.as_ref()).await?;

        let (services, writer) = reflector::store::<Service>();
        tasks.spawn(follow_services(self.client.clone(), writer, cancel.clone()));
        let (object_changes, objects) = mpsc::channel(OBJECT_CHANGES);
        let shared = Arc::new(Shared {
            paths: Paths::new(config.data_dir.clone(), config.log_dir.clone()),
            objects: ObjectCache::new(self.client.clone(), object_changes),
            tokens: Tokens::new(self.client.clone()),
            client: self.client.clone(),
            runtime: self.runtime.clone(),
            recorder,
            services: ServiceCache::start(services),
            table: Table::default(),
            clock,
            node_dns: Dns::parse(&std::fs::read_to_string(&config.resolv_conf).unwrap_or_default()),
            allocatable: object::resources(&config, &facts),
            node_memory: i64::try_from(facts.memory_bytes).unwrap_or(i64::MAX),
            config: config.clone(),
        });

        // The server first: the node's object says where it is.
        let port =
            config.server.as_ref().and_then(|server| server.listener.local_addr().ok()).map(|address| address.port());
        let (failed, mut failure) = mpsc::channel(1);
        if let Some(server) = config.server.clone() {
            let (shared, cancel) = (shared.clone(), cancel.clone());
            tasks.spawn(async move {
                if let Err(error) = server::serve(shared, server, cancel).await {
                    let _ = failed.send(Error::Serve(error)).await;
                }
            });
        }
        let node_task =
            NodeTask { client: self.client.clone(), config: config.clone(), facts, runtime: self.runtime, clock, port };
        let registered = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            Some(error) = failure.recv() => return Err(error),
            node = node_task.register() => node,
        };
        shared.recorder.event(registered.as_ref(), EventType::Normal, "Starting", "Starting kubelet.");
        tasks.spawn(node::renew_lease(self.client.clone(), registered.clone(), clock, cancel.clone()));
        let (node_sender, node) = watch::channel(registered);
        tasks.spawn(node_task.run(node.clone(), cancel.clone()));
        tasks.spawn(node::follow(self.client.clone(), config.node_name.clone(), node_sender, cancel.clone()));

        let (pod_news, pods) = mpsc::channel(POD_NEWS);
        tasks.spawn(follow_pods(self.client, config.node_name, pod_news, cancel.clone()));
        let (answers, news) = mpsc::channel(NEWS);
        let images = shared.runtime.image_changes();
        let manager = Manager::new(shared, &listing, answers, node.clone());
        let sources = Sources { pods, runtime: self.events, objects, images, node, news };
        tokio::select! {
            () = manager.run(sources, cancel.clone()) => {}
            Some(error) = failure.recv() => return Err(error),
        }
        tasks.shutdown().await;
        Ok(())
    }
}

/// What there is. What the kubelet before was starting runs or has failed by then: nothing is started twice.
async fn settled_listing(runtime: &dyn NodeRuntime) -> Result<Listing, runtime::Error> {
    match tokio::time::timeout(SETTLE, runtime.settle()).await {
        Ok(settled) => settled?,
        Err(_) => tracing::warn!("a container that was being started takes long"),
    }
    runtime.list().await
}

/// Directories, and the memory that secrets are kept in. Without the right to mount, they are kept on the disk.
fn prepare(config: &Config) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let paths = Paths::new(config.data_dir.clone(), config.log_dir.clone());
    for (path, mode) in
        [(paths.pods(), 0o750), (paths.memory(), 0o750), (paths.logs().clone(), 0o755), (paths.seccomp(), 0o755)]
    {
        let failed = |source| Error::Directory { path: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    if let Err(error) = tmpfs::mount(&paths.memory(), None, 0o750) {
        tracing::warn!(%error, "secrets are kept on the disk: no memory could be mounted for them");
    }
    Ok(())
}

/// Unmounts and deletes everything that pods have on this node's disk but their logs. For a node whose runtime has been shut
/// down; blocks.
pub fn remove_leftovers(config_data_dir: &std::path::Path) -> std::io::Result<()> {
    let paths = Paths::new(config_data_dir.to_owned(), config_data_dir.join("logs"));
    for dir in [paths.pods(), paths.memory()] {
        tmpfs::unmount_below(&dir)?;
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn follow_services(client: Client, writer: reflector::store::Writer<Service>, cancel: CancellationToken) {
    let stream = watcher::watcher(Api::<Service>::all(client), watcher::Config::default()).default_backoff();
    let mut stream = std::pin::pin!(reflector::reflector(writer, stream));
    loop {
        let seen = tokio::select! {
            () = cancel.cancelled() => return,
            seen = stream.next() => seen,
        };
        match seen {
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::debug!(%error, "watch of services failed, trying again"),
            None => return,
        }
    }
}

/// The pods that are bound to this node.
pub async fn follow_pods(client: Client, node: String, news: mpsc::Sender<PodNews>, cancel: CancellationToken) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let mut stream = std::pin::pin!(watcher::watcher(Api::<Pod>::all(client), config).default_backoff());
    let mut all = Vec::new();
    loop {
        let seen = tokio::select! {
            () = cancel.cancelled() => return,
            seen = stream.next() => seen,
        };
        let news_of_it = match seen {
            Some(Ok(Event::Init)) => {
                all.clear();
                continue;
            }
            Some(Ok(Event::InitApply(pod))) => {
                all.push(Arc::new(pod));
                continue;
            }
            Some(Ok(Event::InitDone)) => PodNews::All(std::mem::take(&mut all)),
            Some(Ok(Event::Apply(pod))) => PodNews::Changed(Arc::new(pod)),
            Some(Ok(Event::Delete(pod))) => PodNews::Deleted(Arc::new(pod)),
            Some(Err(error)) => {
                tracing::warn!(%error, "watch of pods failed, trying again");
                continue;
            }
            None => return,
        };
        if news.send(news_of_it).await.is_err() {
            return;
        }
    }
}

/// The driver's parts that a simulation puts together itself.
pub mod parts {
    pub use super::driver::{
        Manager, News, ObjectCache, PodNews, Publisher, Refusal, ServiceCache, Shared, Sources, Tokens, admit,
    };
    pub use super::follow_pods;
}
