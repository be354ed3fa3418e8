//! When to probe a container and what the answers mean: thresholds, periods, initial delay.
//!
//! A probe's verdict changes only after as many equal results in a row as its threshold asks. Readiness starts at failure,
//! liveness at success; both are held back until the startup probe has passed. A liveness probe that has failed stays silent
//! until the container is a new one, as does a startup probe that has decided.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};

use super::backoff::{after, later};
use super::io::{ProbeKind, ProbeOutcome};

#[derive(Clone, Debug, Default)]
pub struct Probes {
    startup: Option<Worker>,
    liveness: Option<Worker>,
    readiness: Option<Worker>,
}

#[derive(Clone, Debug)]
struct Worker {
    period: Duration,
    failure_threshold: u32,
    success_threshold: u32,
    next: Timestamp,
    in_flight: bool,
    on_hold: bool,
    last: Option<bool>,
    run: u32,
    verdict: Option<bool>,
}

impl Worker {
    fn new(probe: &Probe, started_at: Timestamp) -> Worker {
        let at_least_one =
            |value: Option<i32>, default: u32| value.and_then(|v| u32::try_from(v).ok()).unwrap_or(default).max(1);
        let initial_delay = i64::from(probe.initial_delay_seconds.unwrap_or(0));
        Worker {
            period: Duration::from_secs(u64::from(at_least_one(probe.period_seconds, 10))),
            failure_threshold: at_least_one(probe.failure_threshold, 3),
            success_threshold: at_least_one(probe.success_threshold, 1),
            next: after(started_at, initial_delay),
            in_flight: false,
            on_hold: false,
            last: None,
            run: 0,
            verdict: None,
        }
    }

    /// The verdict when this result changed it.
    fn count(&mut self, success: bool) -> Option<bool> {
        self.run = if self.last == Some(success) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        if self.run < threshold || self.verdict == Some(success) {
            return None;
        }
        self.verdict = Some(success);
        Some(success)
    }
}

impl Probes {
    /// For a container that has just started.
    pub fn start(container: &Container, started_at: Timestamp) -> Probes {
        let worker = |probe: &Option<Probe>| probe.as_ref().map(|probe| Worker::new(probe, started_at));
        Probes {
            startup: worker(&container.startup_probe),
            liveness: worker(&container.liveness_probe),
            readiness: worker(&container.readiness_probe),
        }
    }

    /// For a container that ran before the kubelet did: the verdicts that the API has stay until probes say otherwise.
    pub fn resume(container: &Container, started_at: Timestamp, was_started: bool, was_ready: bool) -> Probes {
        let mut probes = Probes::start(container, started_at);
        if let Some(startup) = probes.startup.as_mut().filter(|_| was_started) {
            startup.verdict = Some(true);
            startup.on_hold = true;
        }
        if let Some(readiness) = probes.readiness.as_mut().filter(|_| was_ready) {
            readiness.verdict = Some(true);
        }
        probes
    }

    pub fn startup_passed(&self) -> bool {
        self.startup.as_ref().is_none_or(|worker| worker.verdict == Some(true))
    }

    pub fn readiness_passed(&self) -> bool {
        self.readiness.as_ref().is_none_or(|worker| worker.verdict == Some(true))
    }

    /// Ends those that could restart the container; readiness goes on while it stops.
    pub fn stopping(&mut self) {
        self.liveness = None;
        if let Some(startup) = &mut self.startup {
            startup.on_hold = true;
        }
    }

    fn worker(&mut self, kind: ProbeKind) -> Option<&mut Worker> {
        match kind {
            ProbeKind::Startup => self.startup.as_mut(),
            ProbeKind::Liveness => self.liveness.as_mut(),
            ProbeKind::Readiness => self.readiness.as_mut(),
        }
    }

    fn active(&self) -> impl Iterator<Item = (ProbeKind, &Worker)> {
        let passed = self.startup_passed();
        let workers = [
            (ProbeKind::Startup, self.startup.as_ref().filter(|_| !passed)),
            (ProbeKind::Liveness, self.liveness.as_ref().filter(|_| passed)),
            (ProbeKind::Readiness, self.readiness.as_ref().filter(|_| passed)),
        ];
        workers
            .into_iter()
            .filter_map(|(kind, worker)| worker.filter(|w| !w.on_hold && !w.in_flight).map(|w| (kind, w)))
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        self.active().map(|(_, worker)| worker.next).min()
    }

    /// Whether a probe, other than one that restarts what runs, has not been answered yet.
    pub fn is_first(&self, kind: ProbeKind) -> bool {
        let worker = match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
            ProbeKind::Liveness => None,
        };
        worker.is_some_and(|worker| worker.last.is_none() && worker.verdict.is_none())
    }

    /// Marks as sent, and returns, the probes that are due.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<ProbeKind> {
        let due: Vec<ProbeKind> =
            self.active().filter(|(_, worker)| worker.next <= now).map(|(kind, _)| kind).collect();
        for kind in &due {
            if let Some(worker) = self.worker(*kind) {
                worker.in_flight = true;
                // Counted from when it was due, so that a slow answer does not stretch the period; a missed one is not made up for.
                let next = later(worker.next, worker.period);
                worker.next = if next <= now { later(now, worker.period) } else { next };
            }
        }
        due
    }

    /// The new verdict, if this result changed it.
    pub fn record(&mut self, kind: ProbeKind, outcome: &ProbeOutcome, now: Timestamp) -> Option<bool> {
        let worker = self.worker(kind)?;
        worker.in_flight = false;
        let success = match outcome {
            ProbeOutcome::Success | ProbeOutcome::Warning(_) => true,
            ProbeOutcome::Failure(_) => false,
            ProbeOutcome::Error(_) => return None,
        };
        let verdict = worker.count(success)?;
        if kind == ProbeKind::Startup || (kind == ProbeKind::Liveness && !verdict) {
            worker.on_hold = true;
        }
        if kind == ProbeKind::Startup && verdict {
            // What it held back starts now, with its own initial delay counted from the container's start.
            for held in [self.liveness.as_mut(), self.readiness.as_mut()].into_iter().flatten() {
                held.next = held.next.max(now);
            }
        }
        Some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn probes(container: serde_json::Value) -> Probes {
        let container: Container = serde_json::from_value(container).expect("a container");
        Probes::start(&container, Timestamp::UNIX_EPOCH)
    }

    /// Feeds results one by one and returns the verdict changes.
    fn verdicts(probe: serde_json::Value, kind: ProbeKind, results: &str) -> String {
        let field = match kind {
            ProbeKind::Startup => "startupProbe",
            ProbeKind::Liveness => "livenessProbe",
            ProbeKind::Readiness => "readinessProbe",
        };
        let mut probes = probes(json!({"name": "c", field: probe}));
        let mut out = String::new();
        for result in results.chars() {
            let Some(due) = probes.next_due() else {
                out.push('.');
                continue;
            };
            let now = due;
            assert_eq!(probes.take_due(now), [kind]);
            let outcome = match result {
                's' => ProbeOutcome::Success,
                'e' => ProbeOutcome::Error("no".to_owned()),
                _ => ProbeOutcome::Failure("no".to_owned()),
            };
            out.push(match probes.record(kind, &outcome, now) {
                Some(true) => 'S',
                Some(false) => 'F',
                None => '-',
            });
        }
        out
    }

    #[test]
    fn thresholds() {
        use ProbeKind::*;
        let table = [
            ("readiness succeeds at once", json!({}), Readiness, "s", "S"),
            ("readiness fails after three", json!({}), Readiness, "sfff", "S--F"),
            ("a success breaks the row", json!({}), Readiness, "sffsff", "S-----"),
            ("success threshold", json!({"successThreshold": 2}), Readiness, "sfss", "---S"),
            ("liveness is silent after it failed", json!({"failureThreshold": 2}), Liveness, "ffs", "-F."),
            ("startup is silent after it passed", json!({}), Startup, "ffs s", "--S.."),
            ("an errored probe counts for nothing", json!({"failureThreshold": 2}), Liveness, "fef", "--F"),
        ];
        for (name, probe, kind, results, expected) in table {
            assert_eq!(verdicts(probe, kind, results), expected, "{name}");
        }
    }

    #[test]
    fn startup_holds_the_others_back() {
        let mut probes = probes(
            json!({"name": "c", "startupProbe": {"periodSeconds": 1}, "livenessProbe": {"initialDelaySeconds": 5}, "readinessProbe": {}}),
        );
        let epoch = Timestamp::UNIX_EPOCH;
        assert_eq!(probes.take_due(epoch), [ProbeKind::Startup]);
        assert_eq!(probes.next_due(), None, "in flight");
        probes.record(ProbeKind::Startup, &ProbeOutcome::Success, after(epoch, 1));
        assert_eq!(probes.take_due(after(epoch, 1)), [ProbeKind::Readiness]);
        assert_eq!(probes.next_due(), Some(after(epoch, 5)), "liveness keeps its initial delay");
    }

    #[test]
    fn a_slow_probe_does_not_bunch_up() {
        let mut probes = probes(json!({"name": "c", "livenessProbe": {"periodSeconds": 10}}));
        let epoch = Timestamp::UNIX_EPOCH;
        probes.take_due(epoch);
        probes.record(ProbeKind::Liveness, &ProbeOutcome::Success, after(epoch, 35));
        probes.take_due(after(epoch, 35));
        probes.record(ProbeKind::Liveness, &ProbeOutcome::Success, after(epoch, 35));
        assert_eq!(probes.next_due(), Some(after(epoch, 45)));
    }
}
