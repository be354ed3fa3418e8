//! What the drivers did, counted per controller, and their work queues in client-go's names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use api::exposition::{Histogram, exponential, family, histograms};

use crate::queue::Standing;
use crate::{Key, Queue};

#[derive(Debug, Default)]
pub struct Counters {
    pub reconciles: AtomicU64,
    pub errors: AtomicU64,
    pub conflicts: AtomicU64,
    pub panics: AtomicU64,
    pub writes: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub reconciles: u64,
    pub errors: u64,
    pub conflicts: u64,
    pub panics: u64,
    pub writes: u64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            reconciles: self.reconciles.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }
}

/// What a work queue has done (client-go's `util/workqueue/metrics.go`).
#[derive(Debug)]
pub(crate) struct Work {
    pub adds: AtomicU64,
    pub retries: AtomicU64,
    /// How long items were in it, and how long they were worked on.
    pub waited: Histogram,
    pub worked: Histogram,
}

impl Default for Work {
    fn default() -> Self {
        let histogram = || Histogram::new(&exponential(10e-9, 10.0, 10));
        Self { adds: AtomicU64::new(0), retries: AtomicU64::new(0), waited: histogram(), worked: histogram() }
    }
}

impl Work {
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

type Named = (&'static str, Weak<Queue<Key>>);

/// Of all managers of a process; clones share it.
#[derive(Clone, Default)]
pub struct Metrics {
    controllers: Arc<Mutex<BTreeMap<&'static str, Arc<Counters>>>>,
    /// By their names, those of a manager that has ended are gone.
    queues: Arc<Mutex<Vec<Named>>>,
}

impl Metrics {
    pub fn counters(&self, controller: &'static str) -> Arc<Counters> {
        self.lock().entry(controller).or_default().clone()
    }

    pub fn snapshot(&self) -> BTreeMap<&'static str, Snapshot> {
        self.lock().iter().map(|(name, counters)| (*name, counters.snapshot())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arc<Counters>>> {
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tell of this queue, too.
    pub(crate) fn watch(&self, name: &'static str, queue: &Arc<Queue<Key>>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|(_, queue)| queue.strong_count() > 0);
        queues.push((name, Arc::downgrade(queue)));
        queues.sort_by_key(|(name, _)| *name);
    }

    /// The queues in the text format of Prometheus.
    pub fn render(&self, text: &mut String) {
        let queues: Vec<(String, Arc<Work>, Standing)> = {
            let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let live = queues.iter().filter_map(|(name, queue)| Some((*name, queue.upgrade()?)));
            live.map(|(name, queue)| (format!("name=\"{name}\""), queue.work(), queue.standing())).collect()
        };
        let mut numbers = |name: &str, kind: &str, number: &dyn Fn(&Work, &Standing) -> f64| {
            let lines = queues.iter().map(|(label, work, standing)| (label.clone(), number(work, standing)));
            family(text, name, kind, lines);
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        numbers("workqueue_adds_total", "counter", &|work, _| load(&work.adds));
        numbers("workqueue_depth", "gauge", &|_, standing| standing.depth as f64);
        let longest = "workqueue_longest_running_processor_seconds";
        numbers(longest, "gauge", &|_, standing| standing.longest.as_secs_f64());
        numbers("workqueue_retries_total", "counter", &|work, _| load(&work.retries));
        numbers("workqueue_unfinished_work_seconds", "gauge", &|_, standing| standing.unfinished.as_secs_f64());
        let waited = queues.iter().map(|(label, work, _)| (label.clone(), &work.waited));
        histograms(text, "workqueue_queue_duration_seconds", waited);
        let worked = queues.iter().map(|(label, work, _)| (label.clone(), &work.worked));
        histograms(text, "workqueue_work_duration_seconds", worked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_told_while_they_are_there() {
        let metrics = Metrics::default();
        let (one, other) = (Arc::new(Queue::default()), Arc::new(Queue::default()));
        metrics.watch("job", &one);
        metrics.watch("cronjob", &other);
        one.add(Key::cluster("a"));
        one.add_rate_limited(Key::cluster("b"));
        let mut text = String::new();
        metrics.render(&mut text);
        for line in [
            "workqueue_adds_total{name=\"cronjob\"} 0",
            "workqueue_adds_total{name=\"job\"} 1",
            "workqueue_depth{name=\"job\"} 1",
            "workqueue_retries_total{name=\"job\"} 1",
            "workqueue_unfinished_work_seconds{name=\"job\"} 0",
            "workqueue_queue_duration_seconds_count{name=\"job\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        drop(other);
        let mut text = String::new();
        metrics.render(&mut text);
        assert!(!text.contains("cronjob"), "{text}");
    }
}
