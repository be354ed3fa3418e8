//! Runs the core on a cluster: informers tell it of pods and nodes, its effects become requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Client, Resource};
use reconcile::events::{EventType, Recorder};
use reconcile::informer::{Change, Informers};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::core::{Core, Effect};
use crate::metrics::{Metrics, Outcome, Tried};
use crate::plugins::default_profile;
use crate::pod::{PodInfo, PodKey, PostedRefusal, Uid};
use crate::schedule::mix;
use crate::snapshot::NodeInfo;
use crate::writes::{self, BindError};

#[derive(Clone, Debug)]
pub struct Config {
    /// Pods of this `spec.schedulerName` are scheduled; it also speaks in events.
    pub scheduler_name: String,
    /// Decides ties between equally good nodes.
    pub seed: u64,
    /// Where is counted what it does.
    pub metrics: Arc<Metrics>,
}

impl Default for Config {
    fn default() -> Config {
        Config { scheduler_name: "default-scheduler".to_owned(), seed: 0, metrics: Arc::default() }
    }
}

/// Requests under way at once. Beyond it they wait their turn, while pods go on being assumed.
const REQUESTS: usize = 128;
/// Decisions in a row before others on the runtime's thread get theirs.
const BURST: usize = 64;

/// Schedules until cancelled.
pub async fn run(client: Client, config: Config, cancel: CancellationToken) {
    let informers = Informers::new(client, cancel.clone());
    run_with_informers(&informers, config, cancel).await;
}

/// As [`run`], for a process that has informers already.
pub async fn run_with_informers(informers: &Informers, config: Config, cancel: CancellationToken) {
    let (pods, nodes) = (informers.start::<Pod>(), informers.start::<Node>());
    tokio::select! {
        () = cancel.cancelled() => return,
        () = async { tokio::join!(pods.synced(), nodes.synced()); } => {}
    }
    let client = informers.client().clone();
    let recorder = Recorder::start(client.clone(), &config.scheduler_name, None, cancel.clone());
    let mut driver = Driver {
        core: Core::new(default_profile(&config.scheduler_name)),
        // Nodes first: a pod is not to be refused for a node that is merely not told yet.
        nodes: nodes.changes(),
        pods: pods.changes(),
        client,
        recorder,
        permits: Arc::new(Semaphore::new(REQUESTS)),
        requests: JoinSet::new(),
        last: HashMap::new(),
        serial: 0,
        tie: config.seed,
        metrics: config.metrics.clone(),
    };
    info!(scheduler = config.scheduler_name, "scheduling");
    driver.run(&cancel).await;
}

struct Driver {
    core: Core,
    nodes: UnboundedReceiver<Change<Node>>,
    pods: UnboundedReceiver<Change<Pod>>,
    client: Client,
    recorder: Recorder,
    permits: Arc<Semaphore>,
    requests: JoinSet<Done>,
    /// The last request about a pod and its number, so that the next one about it waits for it.
    last: HashMap<Uid, (u64, oneshot::Receiver<()>)>,
    serial: u64,
    tie: u64,
    metrics: Arc<Metrics>,
}

/// A request that has ended.
struct Done {
    pod: Arc<PodInfo>,
    serial: u64,
    /// Of a binding.
    bound: Option<Result<String, BindError>>,
    /// When the attempt began that it ends, and what the pod took before.
    began: Instant,
    tried: Option<Tried>,
}

impl Driver {
    async fn run(&mut self, cancel: &CancellationToken) {
        loop {
            self.take_news();
            for _ in 0..BURST {
                self.tie = mix(self.tie);
                let began = Instant::now();
                match self.core.step(began, self.tie) {
                    Some(effect) => self.perform(effect, began),
                    None => break,
                }
            }
            if self.core.is_idle() {
                self.metrics.pending(self.core.lengths());
                if !self.wait(cancel).await {
                    return;
                }
            } else if cancel.is_cancelled() {
                return;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// All that has been told so far, nodes before pods.
    fn take_news(&mut self) {
        while let Ok(change) = self.nodes.try_recv() {
            self.node_changed(change);
        }
        while let Ok(change) = self.pods.try_recv() {
            self.pod_changed(change);
        }
        while let Some(done) = self.requests.try_join_next() {
            self.request_done(done);
        }
    }

    /// Waits for news; false when there will be none any more.
    async fn wait(&mut self, cancel: &CancellationToken) -> bool {
        let wake_at = self.core.wake_at();
        let timer = async {
            match wake_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return false,
            change = self.nodes.recv() => match change {
                Some(change) => self.node_changed(change),
                None => return false,
            },
            change = self.pods.recv() => match change {
                Some(change) => self.pod_changed(change),
                None => return false,
            },
            Some(done) = self.requests.join_next() => self.request_done(done),
            () = timer => {}
        }
        true
    }

    fn node_changed(&mut self, change: Change<Node>) {
        match change {
            Change::Applied { new, .. } => self.core.node_applied(NodeInfo::of(&new), Instant::now()),
            Change::Deleted(node) => self.core.node_deleted(node.meta().name.as_deref().unwrap_or_default()),
        }
    }

    fn pod_changed(&mut self, change: Change<Pod>) {
        match change {
            Change::Applied { new, .. } => self.core.pod_applied(Arc::new(PodInfo::of(&new)), Instant::now()),
            Change::Deleted(pod) => {
                let meta = pod.meta();
                let text = |part: &Option<String>| part.clone().unwrap_or_default();
                let key = PodKey { namespace: text(&meta.namespace), name: text(&meta.name) };
                self.core.pod_deleted(&key, &text(&meta.uid), Instant::now());
            }
        }
    }

    fn perform(&mut self, effect: Effect, began: Instant) {
        let client = self.client.clone();
        match effect {
            Effect::Bind { pod, node, tried } => {
                debug!(pod = %pod.key, node, "assumed");
                let about = pod.clone();
                self.request(
                    about,
                    tried,
                    async move { Some(writes::bind(&client, &pod, &node).await.map(|()| node)) },
                );
            }
            Effect::Refuse { pod, refusal, posted } => {
                self.metrics.attempted(Outcome::Unschedulable, began.elapsed());
                debug!(pod = %pod.key, reason = refusal.message, "no node fits");
                self.tell_refused(&pod, &refusal.message);
                if !posted {
                    self.post(pod, refusal);
                }
            }
        }
    }

    fn post(&mut self, pod: Arc<PodInfo>, refusal: PostedRefusal) {
        let client = self.client.clone();
        self.request(pod.clone(), None, async move {
            if let Err(error) = writes::post_refusal(&client, &pod, &refusal).await {
                warn!(pod = %pod.key, %error, "condition not written");
            }
            None
        });
    }

    fn tell_refused(&self, pod: &PodInfo, message: &str) {
        let message = writes::truncated(message);
        self.recorder.event_about(&pod.reference(), EventType::Warning, "FailedScheduling", &message);
    }

    /// Starts a request that is carried out after all earlier ones about the same pod.
    fn request<F>(&mut self, pod: Arc<PodInfo>, tried: Option<Tried>, work: F)
    where
        F: Future<Output = Option<Result<String, BindError>>> + Send + 'static,
    {
        self.serial += 1;
        let (serial, began) = (self.serial, Instant::now());
        let (ended, next) = oneshot::channel();
        let before = self.last.insert(pod.uid.clone(), (serial, next));
        let permits = self.permits.clone();
        self.requests.spawn(async move {
            if let Some((_, before)) = before {
                // An error is an end too.
                let _ = before.await;
            }
            let permit = permits.acquire().await;
            let bound = work.await;
            drop((permit, ended));
            Done { pod, serial, bound, began, tried }
        });
    }

    fn request_done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let Done { pod, serial, bound, began, tried } = match done {
            Ok(done) => done,
            Err(error) => return warn!(%error, "a request panicked"),
        };
        if self.last.get(&pod.uid).is_some_and(|(last, _)| *last == serial) {
            self.last.remove(&pod.uid);
        }
        match bound {
            None => {}
            Some(Ok(node)) => {
                let now = Instant::now();
                self.metrics.attempted(Outcome::Scheduled, now.saturating_duration_since(began));
                if let Some(tried) = tried {
                    self.metrics.bound(tried, now);
                }
                let message = format!("Successfully assigned {} to {node}", pod.key);
                self.recorder.event_about(&pod.reference(), EventType::Normal, "Scheduled", &message);
                self.core.bound(&pod.uid);
            }
            Some(Err(error)) => {
                self.metrics.attempted(Outcome::Error, began.elapsed());
                self.bind_failed(pod, &error);
            }
        }
    }

    fn bind_failed(&mut self, pod: Arc<PodInfo>, error: &BindError) {
        warn!(pod = %pod.key, %error, "binding failed, retrying later");
        self.core.bind_failed(&pod.uid, Instant::now());
        // If it is gone or assigned, the informer will say so, and there is nobody to tell.
        if let BindError::Failed(_) = error {
            let message = format!("binding rejected: {error}");
            self.tell_refused(&pod, &message);
            self.post(pod, PostedRefusal { reason: "SchedulerError".to_owned(), message });
        }
    }
}
