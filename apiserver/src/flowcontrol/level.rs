//! One priority level: its seats, and who waits for them.
//!
//! While nobody waits, a request takes and gives back its seats by one atomic operation each. The lock is for those who must wait, and
//! for those who end while somebody does.
//!
//! ```text
//! enter: nobody waits and seats are free? ── yes ─▶ Seat ── dropped ─▶ seats are free ─▶ the next of the queues gets its Seat
//!              └── no ─▶ queue ── its turn ─▶ Seat
//!                          ├── too long ─▶ refused (time-out)
//!                          └── full, or there is none ─▶ refused
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::deal::flow_hash;
use super::dropped::Dropped;
use super::queues::{Next, Place, Queues, Shape};
use super::schema::SchemaSpec;
use super::seat::{Held, Seat};
use super::shares::{Limits, smooth};

/// How long a request waits for its turn (upstream: a quarter of the 60 s that a request may take).
const PATIENCE: Duration = Duration::from_secs(15);

/// A FlowSchema that is in force.
#[derive(Debug)]
pub struct Flow {
    pub spec: Arc<SchemaSpec>,
    pub level: Arc<Level>,
    pub headers: super::Headers,
    /// The most seats of one request.
    pub most: u32,
    pub counts: Arc<Counts>,
}

/// Of a schema, since the server started.
#[derive(Debug, Default)]
pub struct Counts {
    pub dispatched: AtomicU64,
    /// By [`Refusal`].
    pub refused: [AtomicU64; 3],
}

/// Why a request gets no seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    QueueFull,
    NoQueue,
    TimeOut,
}

impl Refusal {
    pub const ALL: [Self; 3] = [Self::QueueFull, Self::NoQueue, Self::TimeOut];

    /// Upstream's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::NoQueue => "concurrency-limit",
            Self::TimeOut => "time-out",
        }
    }
}

#[derive(Debug)]
pub struct Level {
    pub name: Box<str>,
    exempt: bool,
    started: Instant,
    limit: AtomicU32,
    in_use: AtomicU32,
    executing: AtomicU32,
    waiting: AtomicU32,
    /// The most seats taken and waited for since the last adjustment.
    peak: AtomicU32,
    queues: Mutex<Queues<Waiter>>,
    account: Mutex<Account>,
}

/// What changes with its configuration and every few seconds.
#[derive(Debug, Default)]
pub struct Account {
    pub limits: Limits,
    pub smoothed: f64,
    dropped: Dropped,
    /// Seats of bodies that are being sent, and when they are given back at the latest.
    overdue: VecDeque<(Instant, Weak<Held>)>,
}

#[derive(Debug)]
struct Waiter {
    flow: Arc<Flow>,
    sender: oneshot::Sender<Seat>,
}

impl Level {
    pub fn new(name: &str, exempt: bool) -> Self {
        Self {
            name: name.into(),
            exempt,
            started: Instant::now(),
            limit: AtomicU32::new(0),
            in_use: AtomicU32::new(0),
            executing: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            queues: Mutex::default(),
            account: Mutex::default(),
        }
    }

    pub fn is_exempt(&self) -> bool {
        self.exempt
    }

    pub fn account(&self) -> MutexGuard<'_, Account> {
        // Nothing panics in between: a poisoned lock guards a whole account. The same is true for the queues.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queues(&self) -> MutexGuard<'_, Queues<Waiter>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn configure(&self, shape: Shape, limits: Limits) {
        self.queues().configure(shape);
        self.account().limits = limits;
    }

    pub fn set_limit(self: &Arc<Self>, limit: u32) {
        if self.limit.swap(limit, Ordering::SeqCst) < limit {
            self.dispatch(&mut self.queues());
        }
    }

    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub fn seats_in_use(&self) -> u32 {
        self.in_use.load(Ordering::Relaxed)
    }

    pub fn executing(&self) -> u32 {
        self.executing.load(Ordering::Relaxed)
    }

    /// Requests in its queues, and the seats that they want.
    pub fn waiting(&self) -> (usize, u32) {
        let queues = self.queues();
        (queues.len(), queues.seats())
    }

    /// The peak since the last call, which becomes part of the smoothed demand.
    pub fn take_peak(&self) -> (u32, f64) {
        let peak = self.peak.swap(self.in_use.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut account = self.account();
        account.smoothed = smooth(account.smoothed, peak);
        (peak, account.smoothed)
    }

    fn note_demand(&self, seats: u32) {
        if seats > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(seats, Ordering::Relaxed);
        }
    }

    /// Seats, or a reason why there are none, after some time.
    pub async fn enter(flow: &Arc<Flow>, seats: u32, name: &str) -> Result<Seat, Refusal> {
        let level = &flow.level;
        if level.waiting.load(Ordering::SeqCst) == 0 && level.take(seats) {
            return Ok(Seat::new(flow.clone(), seats, None));
        }
        let mut waits = level.clone().queue(flow, seats, flow_hash(&flow.spec.name, name))?;
        match tokio::time::timeout(PATIENCE, &mut waits.receiver).await {
            Ok(Ok(seat)) => Ok(seat),
            // Its turn came at the last moment, or did not come.
            Ok(Err(_)) | Err(_) => waits.receiver.try_recv().map_err(|_| Refusal::TimeOut),
        }
    }

    /// A request that is wider than the level runs alone.
    fn take(&self, seats: u32) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        let fits = |used: u32| (self.exempt || used == 0 && limit > 0 || used + seats <= limit).then_some(used + seats);
        let taken = self.in_use.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits);
        if let Ok(before) = taken {
            self.executing.fetch_add(1, Ordering::Relaxed);
            self.note_demand(before + seats);
        }
        taken.is_ok()
    }

    fn queue(self: Arc<Self>, flow: &Arc<Flow>, seats: u32, hash: u64) -> Result<Waits, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let mut queues = self.queues();
        if queues.shape().queues == 0 {
            return Err(Refusal::NoQueue);
        }
        let limit = self.limit.load(Ordering::SeqCst);
        let used = self.in_use.load(Ordering::SeqCst);
        queues.sync(self.started.elapsed(), limit, used);
        let waiter = Waiter { flow: flow.clone(), sender };
        let place = queues.put(hash, seats, used >= limit, waiter).map_err(|_| Refusal::QueueFull)?;
        // Before the seats are looked at: who frees some afterwards sees that somebody waits.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.note_demand(used + queues.seats());
        self.dispatch(&mut queues);
        drop(queues);
        Ok(Waits { level: self, place, receiver })
    }

    /// Gives free seats to those who are next.
    fn dispatch(&self, queues: &mut Queues<Waiter>) {
        while let Some(Next { item: Waiter { flow, sender }, seats, queue }) = queues.next(|seats| self.take(seats)) {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            if let Err(seat) = sender.send(Seat::new(flow, seats, Some(queue))) {
                // Nobody waits for it any more.
                seat.forget();
                queues.finish(queue, seats, Duration::ZERO);
                self.free(seats);
            }
        }
    }

    fn free(&self, seats: u32) {
        self.executing.fetch_sub(1, Ordering::Relaxed);
        self.in_use.fetch_sub(seats, Ordering::SeqCst);
    }

    /// Of a seat that is given back.
    pub(super) fn leave(&self, seats: u32, queue: Option<(usize, Duration)>) {
        let Some((queue, took)) = queue else {
            self.free(seats);
            if self.waiting.load(Ordering::SeqCst) > 0 {
                let mut queues = self.queues();
                self.sync(&mut queues);
                self.dispatch(&mut queues);
            }
            return;
        };
        let mut queues = self.queues();
        self.sync(&mut queues);
        queues.finish(queue, seats, took);
        self.free(seats);
        self.dispatch(&mut queues);
    }

    fn sync(&self, queues: &mut Queues<Waiter>) {
        let (limit, used) = (self.limit.load(Ordering::SeqCst), self.in_use.load(Ordering::SeqCst));
        queues.sync(self.started.elapsed(), limit, used);
    }

    /// Counts a refusal; answers with the seconds after which to try again.
    pub fn refused(&self) -> u64 {
        self.account().dropped.record(self.started.elapsed().as_secs())
    }

    /// The seats are given back at this time, whether the body was read to its end or not.
    pub(super) fn lend_until(&self, deadline: Instant, held: &Arc<Held>) {
        let mut account = self.account();
        while account.overdue.front().is_some_and(|(_, held)| held.strong_count() == 0) {
            account.overdue.pop_front();
        }
        account.overdue.push_back((deadline, Arc::downgrade(held)));
    }

    /// Takes back what is overdue.
    pub fn collect(&self, now: Instant) {
        let mut due = Vec::new();
        {
            let mut account = self.account();
            while account.overdue.front().is_some_and(|(deadline, _)| *deadline <= now) {
                due.extend(account.overdue.pop_front().and_then(|(_, held)| held.upgrade()));
            }
        }
        due.iter().for_each(|held| held.release());
    }
}

/// A request in a queue. Leaves it when it is dropped.
struct Waits {
    level: Arc<Level>,
    place: Place,
    receiver: oneshot::Receiver<Seat>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut queues = self.level.queues();
        self.level.sync(&mut queues);
        let removed = queues.remove(self.place);
        if removed.is_some() {
            self.level.waiting.fetch_sub(1, Ordering::SeqCst);
            // It may have been the one that did not fit.
            self.level.dispatch(&mut queues);
        }
    }
}
