//! The work queue: a key is in it once, is worked on by one worker, and comes back later when that failed.
//!
//! A pure state machine with the semantics of client-go's `workqueue` and what that counts, and a handle that waits.
//!
//! ```text
//!            add                next                 done
//!  (absent) -----> ready ------------> processing ----------> (absent)
//!     ^              ^                     | add     done
//!     |   due        |                     +--> processing and dirty ---> ready
//!  delayed ----------+
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Work;

/// First and longest wait of a key that fails again and again (client-go's default for controllers).
const BACKOFF_BASE: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1000);

/// Times are since any fixed moment.
struct Core<T> {
    ready: VecDeque<T>,
    /// Ready or to be made ready again when the worker is done, and since when.
    dirty: HashMap<T, Duration>,
    /// And since when.
    processing: HashMap<T, Duration>,
    due: BTreeSet<(Duration, T)>,
    due_of: HashMap<T, Duration>,
    failures: HashMap<T, u32>,
    work: Arc<Work>,
}

/// What is true of a queue at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    pub depth: usize,
    /// For how long what is under way has been, all together and the longest.
    pub unfinished: Duration,
    pub longest: Duration,
}

impl<T: Clone + Ord + Hash> Core<T> {
    fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            dirty: HashMap::new(),
            processing: HashMap::new(),
            due: BTreeSet::new(),
            due_of: HashMap::new(),
            failures: HashMap::new(),
            work: Arc::default(),
        }
    }

    fn add(&mut self, item: T, now: Duration) {
        if self.dirty.contains_key(&item) {
            return;
        }
        self.dirty.insert(item.clone(), now);
        Work::count(&self.work.adds);
        if !self.processing.contains_key(&item) {
            self.ready.push_back(item);
        }
    }

    /// The earlier time wins when the item waits already.
    fn add_at(&mut self, item: T, at: Duration) {
        if let Some(&earlier) = self.due_of.get(&item) {
            if earlier <= at {
                return;
            }
            self.due.remove(&(earlier, item.clone()));
        }
        self.due_of.insert(item.clone(), at);
        self.due.insert((at, item));
    }

    fn next_backoff(&mut self, item: &T) -> Duration {
        let failures = self.failures.entry(item.clone()).or_insert(0);
        let wait = BACKOFF_BASE.saturating_mul(1u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(BACKOFF_MAX);
        *failures = failures.saturating_add(1);
        wait
    }

    fn next(&mut self, now: Duration) -> Result<T, Option<Duration>> {
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && let Some((_, item)) = self.due.pop_first()
        {
            self.due_of.remove(&item);
            self.add(item, now);
        }
        match self.ready.pop_front() {
            Some(item) => {
                let since = self.dirty.remove(&item).unwrap_or(now);
                self.work.waited.observe(now.saturating_sub(since));
                self.processing.insert(item.clone(), now);
                Ok(item)
            }
            None => Err(self.due.first().map(|(at, _)| *at)),
        }
    }

    fn done(&mut self, item: &T, now: Duration) {
        if let Some(since) = self.processing.remove(item) {
            self.work.worked.observe(now.saturating_sub(since));
        }
        if self.dirty.contains_key(item) {
            self.ready.push_back(item.clone());
        }
    }

    fn standing(&self, now: Duration) -> Standing {
        let under_way = || self.processing.values().map(|since| now.saturating_sub(*since));
        Standing {
            depth: self.dirty.len(),
            unfinished: under_way().sum(),
            longest: under_way().max().unwrap_or_default(),
        }
    }
}

/// The handle; share it in an `Arc`.
pub struct Queue<T> {
    core: Mutex<Core<T>>,
    wake: Notify,
    start: Instant,
}

impl<T: Clone + Ord + Hash> Default for Queue<T> {
    fn default() -> Self {
        Self { core: Mutex::new(Core::new()), wake: Notify::new(), start: Instant::now() }
    }
}

impl<T: Clone + Ord + Hash> Queue<T> {
    pub fn add(&self, item: T) {
        self.lock().add(item, self.start.elapsed());
        self.wake.notify_one();
    }

    pub fn add_after(&self, item: T, wait: Duration) {
        let mut core = self.lock();
        Work::count(&core.work.retries);
        core.add_at(item, self.start.elapsed() + wait);
        drop(core);
        self.wake.notify_one();
    }

    /// Add after a wait that doubles with each call, until [`Queue::forget`]. Returns the wait.
    pub fn add_rate_limited(&self, item: T) -> Duration {
        let wait = self.lock().next_backoff(&item);
        self.add_after(item, wait);
        wait
    }

    pub fn forget(&self, item: &T) {
        self.lock().failures.remove(item);
    }

    /// How many items could be worked on now.
    pub fn len(&self) -> usize {
        self.lock().ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wait for an item; whoever takes it must call [`Queue::done`]. For one caller at a time.
    pub async fn next(&self) -> T {
        loop {
            let due = match self.lock().next(self.start.elapsed()) {
                Ok(item) => return item,
                Err(due) => due,
            };
            match due {
                Some(at) => {
                    // Both ends mean the same: look again.
                    let _ = tokio::time::timeout_at(self.start + at, self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
    }

    pub fn done(&self, item: &T) {
        self.lock().done(item, self.start.elapsed());
        self.wake.notify_one();
    }

    pub(crate) fn work(&self) -> Arc<Work> {
        self.lock().work.clone()
    }

    pub(crate) fn standing(&self) -> Standing {
        self.lock().standing(self.start.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Core<T>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_item_is_worked_on_once_at_a_time() {
        let mut queue = Core::new();
        queue.add("a", seconds(0));
        queue.add("a", seconds(0));
        assert_eq!(queue.next(seconds(0)), Ok("a"));
        queue.add("a", seconds(0));
        assert_eq!(queue.next(seconds(0)), Err(None), "it is being worked on");
        queue.done(&"a", seconds(0));
        assert_eq!(queue.next(seconds(0)), Ok("a"), "it was added meanwhile");
        queue.done(&"a", seconds(0));
        assert_eq!(queue.next(seconds(0)), Err(None));
    }

    #[test]
    fn the_earliest_wait_counts() {
        let mut queue = Core::new();
        queue.add_at("a", seconds(10));
        queue.add_at("a", seconds(5));
        queue.add_at("a", seconds(20));
        assert_eq!(queue.next(seconds(4)), Err(Some(seconds(5))));
        assert_eq!(queue.next(seconds(5)), Ok("a"));
        queue.done(&"a", seconds(5));
        assert_eq!(queue.next(seconds(30)), Err(None));
    }

    #[test]
    fn what_is_done_is_counted_as_client_go_counts_it() {
        let mut queue = Core::new();
        queue.add("a", seconds(0));
        queue.add("a", seconds(1));
        queue.add("b", seconds(2));
        assert_eq!(queue.standing(seconds(2)).depth, 2);
        assert_eq!((queue.next(seconds(4)), queue.next(seconds(4))), (Ok("a"), Ok("b")));
        queue.add("a", seconds(5));
        let standing = Standing { depth: 1, unfinished: seconds(4), longest: seconds(2) };
        assert_eq!(queue.standing(seconds(6)), standing);
        queue.done(&"a", seconds(6));
        queue.done(&"b", seconds(7));
        let counted = [queue.work.waited.count(), queue.work.worked.count(), queue.work.adds.load(Ordering::Relaxed)];
        assert_eq!(counted, [2, 2, 3]);
        assert_eq!(queue.standing(seconds(9)), Standing { depth: 1, ..Standing::default() });
    }

    #[test]
    fn failures_double_the_wait_up_to_a_limit() {
        let mut queue = Core::new();
        let waits: Vec<u128> = (0..40).map(|_| queue.next_backoff(&"a").as_millis()).collect();
        assert_eq!(waits[..4], [5, 10, 20, 40]);
        assert_eq!(waits[18..], [1_000_000; 22]);
    }

    #[tokio::test]
    async fn the_handle_wakes_when_an_item_is_due() {
        let wait = Duration::from_millis(5);
        let queue = Queue::default();
        queue.add_after("late", wait);
        let start = Instant::now();
        assert_eq!(queue.next().await, "late");
        assert!(start.elapsed() >= wait);
    }
}
