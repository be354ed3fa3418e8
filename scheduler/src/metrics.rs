//! What is told of the scheduler, in upstream's names (`pkg/scheduler/metrics`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::exposition::{Histogram, exponential, family, histograms};

use crate::queue::Lengths;

/// How an attempt ended; the order of [`Metrics::attempts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Scheduled,
    Unschedulable,
    Error,
}

const OUTCOMES: [&str; 3] = ["scheduled", "unschedulable", "error"];
/// More attempts than this are told as so many.
const MOST_ATTEMPTS: usize = 15;

/// What it took to decide about a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// When it could be tried for the first time.
    pub first: Instant,
    pub attempts: u32,
}

#[derive(Debug)]
pub struct Metrics {
    attempts: [Histogram; OUTCOMES.len()],
    /// By attempts.
    waited: Vec<Histogram>,
    tries: Histogram,
    /// As of the last time there was nothing to decide.
    pending: [AtomicU64; 4],
}

impl Default for Metrics {
    fn default() -> Self {
        let attempt = || Histogram::new(&exponential(0.001, 2.0, 15));
        let waited = || Histogram::new(&exponential(0.01, 2.0, 20));
        Self {
            attempts: [attempt(), attempt(), attempt()],
            waited: (0..MOST_ATTEMPTS).map(|_| waited()).collect(),
            tries: Histogram::new(&exponential(1.0, 2.0, 5)),
            pending: Default::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn attempted(&self, outcome: Outcome, took: Duration) {
        self.attempts[outcome as usize].observe(took);
    }

    pub(crate) fn bound(&self, tried: Tried, now: Instant) {
        let attempts = (tried.attempts as usize).clamp(1, MOST_ATTEMPTS);
        self.waited[attempts - 1].observe(now.saturating_duration_since(tried.first));
        self.tries.observe(Duration::from_secs(tried.attempts.into()));
    }

    pub(crate) fn pending(&self, lengths: Lengths) {
        let Lengths { active, backoff, unschedulable, gated } = lengths;
        for (gauge, length) in self.pending.iter().zip([active, backoff, gated, unschedulable]) {
            gauge.store(length as u64, Ordering::Relaxed);
        }
    }

    /// `profile` is the scheduler's name.
    pub fn render(&self, profile: &str, text: &mut String) {
        let attempts = || OUTCOMES.iter().zip(&self.attempts).filter(|(_, histogram)| histogram.count() > 0);
        let labels = |outcome: &str| format!("profile=\"{profile}\",result=\"{outcome}\"");
        let queues = ["active", "backoff", "gated", "unschedulable"].iter().zip(&self.pending);
        let pending =
            queues.map(|(queue, length)| (format!("queue=\"{queue}\""), length.load(Ordering::Relaxed) as f64));
        family(text, "scheduler_pending_pods", "gauge", pending);
        if self.tries.count() > 0 {
            histograms(text, "scheduler_pod_scheduling_attempts", [(String::new(), &self.tries)]);
        }
        let waited = self.waited.iter().enumerate().filter(|(_, histogram)| histogram.count() > 0);
        let waited = waited.map(|(at, histogram)| {
            let attempts = at + 1;
            let plus = if attempts == MOST_ATTEMPTS { "+" } else { "" };
            (format!("attempts=\"{attempts}{plus}\""), histogram)
        });
        histograms(text, "scheduler_pod_scheduling_sli_duration_seconds", waited);
        let total = attempts().map(|(outcome, histogram)| (labels(outcome), histogram.count() as f64));
        family(text, "scheduler_schedule_attempts_total", "counter", total);
        let took = attempts().map(|(outcome, histogram)| (labels(outcome), histogram));
        histograms(text, "scheduler_scheduling_attempt_duration_seconds", took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_happened_is_told() {
        let metrics = Metrics::default();
        let now = Instant::now();
        metrics.attempted(Outcome::Unschedulable, Duration::from_micros(50));
        metrics.attempted(Outcome::Scheduled, Duration::from_millis(3));
        metrics.bound(Tried { first: now, attempts: 2 }, now + Duration::from_secs(1));
        metrics.bound(Tried { first: now, attempts: 99 }, now + Duration::from_secs(100));
        metrics.pending(Lengths { active: 1, backoff: 2, unschedulable: 3, gated: 4 });
        let mut text = String::new();
        metrics.render("default-scheduler", &mut text);
        for line in [
            "scheduler_pending_pods{queue=\"active\"} 1",
            "scheduler_pending_pods{queue=\"unschedulable\"} 3",
            "scheduler_pending_pods{queue=\"gated\"} 4",
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"unschedulable\"} 1",
            "scheduler_pod_scheduling_sli_duration_seconds_sum{attempts=\"2\"} 1",
            "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"15+\"} 1",
            "scheduler_pod_scheduling_attempts_bucket{le=\"2\"} 1",
            "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"default-scheduler\",result=\"scheduled\",le=\"0.004\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(!text.contains("result=\"error\""), "{text}");
    }
}
