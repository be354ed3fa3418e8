//! The one loop of all controllers: a key from the queue, a decision, its execution, and the wait until the caches show it.

use std::any::{Any, TypeId};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info_span, warn};

use crate::controller::Controller;
use crate::events::Recorder;
use crate::execute::{Executor, Performed, Root};
use crate::expectation::Expectation;
use crate::informer::{Change, Informers, Progress, Store, all_synced};
use crate::metrics::{Counters, Metrics};
use crate::{Error, Key, Queue};

/// Makes the client with which an account (see [`Controller::ACCOUNT`]) comes to the server.
pub type Clients = Arc<dyn Fn(&'static str) -> Client + Send + Sync>;

/// What the loop calls. [`Controller`]s are wrapped in it; those that must ask the server while they decide implement it.
pub trait Reconciler: Send + Sync + 'static {
    fn reconcile<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Outcome>;
}

#[derive(Default)]
pub struct Outcome {
    /// Ask again after a wait that grows with each failure.
    pub error: Option<Error>,
    pub requeue_after: Option<Duration>,
    /// Writes that the caches must show before the key is worked on again.
    pub expectations: Vec<Expectation>,
}

impl From<Performed> for Outcome {
    fn from(performed: Performed) -> Self {
        Self { error: performed.error, requeue_after: None, expectations: performed.expectations }
    }
}

/// Runs the controllers of a process over shared informers.
pub struct Manager {
    informers: Informers,
    clients: Clients,
    recorder: Recorder,
    metrics: Metrics,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Manager {
    pub fn new(client: Client, cancel: CancellationToken) -> Self {
        Self::with_informers(Informers::new(client, cancel.clone()), cancel)
    }

    /// For a process that has informers already; all controllers come to the server as the informers do.
    pub fn with_informers(informers: Informers, cancel: CancellationToken) -> Self {
        let client = informers.client().clone();
        Self::with_clients(informers, Arc::new(move |_| client.clone()), Metrics::default(), cancel)
    }

    /// The informers are shared, what each controller asks and writes goes by a client of its own.
    pub fn with_clients(informers: Informers, clients: Clients, metrics: Metrics, cancel: CancellationToken) -> Self {
        let recorder = Recorder::start(informers.client().clone(), "setpoint", None, cancel.clone());
        Self { informers, clients, recorder, metrics, cancel, tasks: TaskTracker::new() }
    }

    /// The client of an account.
    pub fn client(&self, account: &'static str) -> Client {
        (self.clients)(account)
    }

    pub fn informers(&self) -> &Informers {
        &self.informers
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// What performs plans in the name of a controller and with the rights of its account.
    pub fn executor(&self, name: &'static str, account: &'static str) -> Executor {
        let client = self.client(account);
        Executor {
            recorder: self.recorder.named(name, client.clone()),
            client,
            caches: self.informers.caches().clone(),
            counters: self.metrics.counters(name),
        }
    }

    pub fn add<C: Controller>(&self, controller: C) {
        let queue = Arc::new(Queue::default());
        let roots = match C::ROOTS {
            None => self.informers.start::<C::Root>(),
            Some(fields) => self.informers.start_chosen(fields),
        };
        let mut kinds = vec![TypeId::of::<C::Root>()];
        for watch in C::watches() {
            kinds.push(watch.kind);
            (watch.connect)(&self.informers, queue.clone());
        }
        enqueue_roots::<C>(&roots, queue.clone());
        let workers = controller.workers();
        let adapter = Adapter { controller, roots, executor: self.executor(C::NAME, C::ACCOUNT) };
        let waits_for = self.informers.caches().progress(|kind| kinds.contains(kind));
        self.metrics.watch(C::QUEUE, &queue);
        self.start_work(C::NAME, queue, workers, Arc::new(adapter), waits_for);
    }

    /// A controller's name and that of its queue in metrics. The loop begins when the stores of `waits_for` have their first
    /// list.
    pub fn add_reconciler(
        &self,
        [name, queue_name]: [&'static str; 2],
        queue: Arc<Queue<Key>>,
        workers: usize,
        reconciler: Arc<dyn Reconciler>,
        waits_for: Vec<watch::Receiver<Progress>>,
    ) {
        self.metrics.watch(queue_name, &queue);
        self.start_work(name, queue, workers, reconciler, waits_for);
    }

    fn start_work(
        &self,
        name: &'static str,
        queue: Arc<Queue<Key>>,
        workers: usize,
        reconciler: Arc<dyn Reconciler>,
        waits_for: Vec<watch::Receiver<Progress>>,
    ) {
        let work = Work {
            name,
            queue,
            reconciler,
            counters: self.metrics.counters(name),
            informers: self.informers.clone(),
            permits: Arc::new(Semaphore::new(workers)),
            cancel: self.cancel.clone(),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn(Arc::new(work).run(waits_for));
    }

    /// A task of a controller with a loop of its own; it must end with [`Manager::cancel`].
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Wait for the cancellation and then for what is being done at that moment.
    pub async fn run(self) {
        self.cancel.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn enqueue_roots<C: Controller>(roots: &Store<C::Root>, queue: Arc<Queue<Key>>) {
    roots.on_change(move |change| {
        let (rest, root) = match change {
            Change::Applied { old: Some(old), new } => (C::rest(old, new, now()), new),
            Change::Applied { old: None, new: root } | Change::Deleted(root) => (Duration::ZERO, root),
        };
        match rest {
            Duration::ZERO => queue.add(Key::of(&**root)),
            rest => queue.add_after(Key::of(&**root), rest),
        }
    });
}

struct Work {
    name: &'static str,
    queue: Arc<Queue<Key>>,
    reconciler: Arc<dyn Reconciler>,
    counters: Arc<Counters>,
    informers: Informers,
    permits: Arc<Semaphore>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Work {
    async fn run(self: Arc<Self>, waits_for: Vec<watch::Receiver<Progress>>) {
        tokio::select! {
            () = self.cancel.cancelled() => return,
            () = all_synced(waits_for) => {}
        }
        debug!(controller = self.name, "caches are filled");
        loop {
            let next = async {
                let permit = self.permits.clone().acquire_owned().await;
                (self.queue.next().await, permit)
            };
            let (key, permit) = tokio::select! {
                () = self.cancel.cancelled() => return,
                next = next => next,
            };
            let work = self.clone();
            let span = info_span!("reconcile", controller = self.name, %key);
            let one = async move {
                let outcome = work.one(&key).await;
                // The worker is free; the key is not, until the caches have seen what was just done.
                drop(permit);
                tokio::select! {
                    () = work.cancel.cancelled() => {}
                    () = work.informers.caches().passed(&outcome) => {}
                }
                work.queue.done(&key);
            };
            self.tasks.spawn(one.instrument(span));
        }
    }

    async fn one(&self, key: &Key) -> Vec<Expectation> {
        Counters::count(&self.counters.reconciles);
        // The call is inside the future, for a panic may come before there is a future.
        let reconcile = async { self.reconciler.reconcile(key).await };
        let outcome = match AssertUnwindSafe(reconcile).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(panic) => {
                Counters::count(&self.counters.panics);
                Outcome { error: Some(Error::Panicked(panic_text(&*panic))), ..Outcome::default() }
            }
        };
        match &outcome.error {
            None => {
                self.queue.forget(key);
                if let Some(wait) = outcome.requeue_after {
                    self.queue.add_after(key.clone(), wait);
                }
            }
            Some(error) => {
                let wait = self.queue.add_rate_limited(key.clone());
                if error.is_outdated() {
                    Counters::count(&self.counters.conflicts);
                    debug!(%error, ?wait, "outdated decision refused, deciding again");
                } else {
                    Counters::count(&self.counters.errors);
                    warn!(%error, ?wait, "reconcile failed, retrying");
                }
            }
        }
        outcome.expectations
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

struct Adapter<C: Controller> {
    controller: C,
    roots: Store<C::Root>,
    executor: Executor,
}

impl<C: Controller> Adapter<C> {
    fn plan(&self, key: &Key) -> (Option<Root>, crate::Plan) {
        let caches = &self.executor.caches;
        match self.roots.get(key) {
            Some(root) => {
                let view = self.controller.view(&root, caches);
                (Some(Root::of(&*root)), self.controller.decide(&root, &view, now()))
            }
            None => (None, self.controller.absent(key, caches)),
        }
    }
}

impl<C: Controller> Reconciler for Adapter<C> {
    fn reconcile<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Outcome> {
        let (root, plan) = self.plan(key);
        Box::pin(carry_out(&self.executor, root, plan))
    }
}

async fn carry_out(executor: &Executor, root: Option<Root>, plan: crate::Plan) -> Outcome {
    if !plan.is_empty() {
        debug!(%plan, "decided");
    }
    let performed = executor.perform(root.as_ref(), &plan).await;
    Outcome { requeue_after: plan.requeue_after, ..Outcome::from(performed) }
}

/// In whole seconds, the precision of times in the API.
pub fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}
