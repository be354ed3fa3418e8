//! Admission: how long its phases, steps, webhooks and policies take and what they refuse (`k8s.io/apiserver/pkg/admission/metrics`,
//! `.../plugin/policy/validating/metrics`).
//!
//! Phases and steps are known before, so that a request adds to counters without a lock. Webhooks and policies are named by objects: each asks
//! for its series under a lock, beside a call or a computation that takes far longer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::family;
use crate::admission::Operation;

/// Upper ends in seconds (upstream's).
const OF_STEPS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const OF_WEBHOOKS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
const OF_POLICIES: &[f64] = &[0.000_000_5, 0.001, 0.01, 0.1, 1.0];
const OPERATIONS: [Operation; 4] = [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];
const PHASES: [Phase; 2] = [Phase::Admit, Phase::Validate];
/// Phases, operations, and whether the request was refused.
const WAYS: usize = PHASES.len() * OPERATIONS.len() * 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Admit,
    Validate,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Validate => "validate",
        }
    }
}

pub(crate) struct Admissions {
    phases: Ways,
    /// By the names of the steps, which are told once.
    steps: OnceLock<Vec<(&'static str, Ways)>>,
    webhooks: RwLock<BTreeMap<String, Histogram>>,
    requests: Counters,
    rejections: Counters,
    passed_over: Counters,
    policies: RwLock<BTreeMap<String, Histogram>>,
}

/// By what [`way`] says.
type Ways = [Histogram; WAYS];

#[derive(Debug, Default)]
struct Histogram {
    /// The last one is for what takes longer.
    buckets: [AtomicU64; 9],
    nanos: AtomicU64,
}

#[derive(Default)]
struct Counters(RwLock<BTreeMap<String, AtomicU64>>);

fn way(phase: Phase, operation: Operation, refused: bool) -> usize {
    let position = OPERATIONS.iter().position(|own| *own == operation).unwrap_or_default();
    ((phase as usize) * OPERATIONS.len() + position) * 2 + usize::from(refused)
}

/// As [`way`] numbers them.
fn ways() -> impl Iterator<Item = String> {
    PHASES.into_iter().flat_map(|phase| {
        OPERATIONS.into_iter().flat_map(move |operation| {
            [false, true].map(|refused| {
                format!("operation=\"{}\",rejected=\"{refused}\",type=\"{}\"", operation.as_str(), phase.name())
            })
        })
    })
}

fn none() -> Ways {
    std::array::from_fn(|_| Histogram::default())
}

impl Default for Admissions {
    fn default() -> Self {
        Self {
            phases: none(),
            steps: OnceLock::new(),
            webhooks: RwLock::default(),
            requests: Counters::default(),
            rejections: Counters::default(),
            passed_over: Counters::default(),
            policies: RwLock::default(),
        }
    }
}

impl Admissions {
    /// The steps, in their order.
    pub fn name(&self, steps: impl Iterator<Item = &'static str>) {
        // A second chain of the same server has the same steps.
        let _ = self.steps.set(steps.map(|name| (name, none())).collect());
    }

    pub fn begin(&self, phase: Phase, operation: Operation) -> Watch<'_> {
        let now = Instant::now();
        Watch { all: self, phase, operation, began: now, last: now }
    }

    /// A webhook was asked. `code` is 0 where it gave no answer.
    pub fn asked(&self, name: &str, phase: Phase, operation: Operation, code: u16, refused: bool, took: Duration) {
        let (operation, phase, code) = (operation.as_str(), phase.name(), code.min(600));
        let common = format!("name=\"{name}\",operation=\"{operation}\",rejected=\"{refused}\",type=\"{phase}\"");
        observe(&self.webhooks, &common, OF_WEBHOOKS, took);
        self.requests.add(&format!("code=\"{code}\",{common}"));
    }

    /// A webhook, or that it cannot be asked, refuses a request.
    pub fn refused(&self, name: &str, phase: Phase, operation: Operation, error: &str, code: u16) {
        let (operation, phase, code) = (operation.as_str(), phase.name(), code.min(600));
        self.rejections.add(&format!(
            "error_type=\"{error}\",name=\"{name}\",operation=\"{operation}\",rejection_code=\"{code}\",type=\"{phase}\""
        ));
    }

    /// A webhook cannot be asked, and the request is admitted without it.
    pub fn passed_over(&self, name: &str, phase: Phase) {
        self.passed_over.add(&format!("name=\"{name}\",type=\"{}\"", phase.name()));
    }

    /// A policy was computed. `action`: allow, deny, warn or audit.
    pub fn checked(&self, policy: &str, binding: &str, error: &str, action: &str, took: Duration) {
        let labels = format!(
            "enforcement_action=\"{action}\",error_type=\"{error}\",policy=\"{policy}\",policy_binding=\"{binding}\""
        );
        observe(&self.policies, &labels, OF_POLICIES, took);
    }

    pub fn render(&self, text: &mut String) {
        let phases = ways().zip(&self.phases);
        histograms(text, "apiserver_admission_step_admission_duration_seconds", OF_STEPS, phases);
        let controllers = self.steps.get().into_iter().flatten().flat_map(|(name, series)| {
            ways().zip(series).map(move |(labels, series)| (format!("name=\"{name}\",{labels}"), series))
        });
        histograms(text, "apiserver_admission_controller_admission_duration_seconds", OF_STEPS, controllers);
        let webhooks = self.webhooks.read().unwrap_or_else(PoisonError::into_inner);
        let series = webhooks.iter().map(|(labels, series)| (labels.clone(), series));
        histograms(text, "apiserver_admission_webhook_admission_duration_seconds", OF_WEBHOOKS, series);
        self.requests.render(text, "apiserver_admission_webhook_request_total");
        self.rejections.render(text, "apiserver_admission_webhook_rejection_count");
        self.passed_over.render(text, "apiserver_admission_webhook_fail_open_count");
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        let totals = policies.iter().map(|(labels, series)| (labels.clone(), series.count() as f64));
        family(text, "apiserver_validating_admission_policy_check_total", "counter", totals);
        let series = policies.iter().map(|(labels, series)| (labels.clone(), series));
        histograms(text, "apiserver_validating_admission_policy_check_duration_seconds", OF_POLICIES, series);
    }
}

/// Tells one step from the next.
pub(crate) struct Watch<'a> {
    all: &'a Admissions,
    phase: Phase,
    operation: Operation,
    began: Instant,
    last: Instant,
}

impl Watch<'_> {
    /// A step is done.
    pub fn step(&mut self, index: usize, refused: bool) {
        let now = Instant::now();
        if let Some((_, series)) = self.all.steps.get().and_then(|steps| steps.get(index)) {
            series[way(self.phase, self.operation, refused)].observe(OF_STEPS, now - self.last);
        }
        self.last = now;
    }

    /// All are, or one has refused.
    pub fn end(self, refused: bool) {
        self.all.phases[way(self.phase, self.operation, refused)].observe(OF_STEPS, self.last - self.began);
    }
}

impl Histogram {
    fn observe(&self, ends: &[f64], took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = ends.iter().position(|end| seconds <= *end).unwrap_or(ends.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

fn observe(all: &RwLock<BTreeMap<String, Histogram>>, labels: &str, ends: &[f64], took: Duration) {
    if let Some(series) = all.read().unwrap_or_else(PoisonError::into_inner).get(labels) {
        return series.observe(ends, took);
    }
    let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
    all.entry(labels.to_owned()).or_default().observe(ends, took);
}

/// Those that have seen something.
fn histograms<'h>(text: &mut String, name: &str, ends: &[f64], series: impl Iterator<Item = (String, &'h Histogram)>) {
    let mut series = series.filter(|(_, series)| series.count() > 0).peekable();
    if series.peek().is_none() {
        return;
    }
    // A string takes everything.
    let _ = writeln!(text, "# TYPE {name} histogram");
    for (labels, series) in series {
        let mut sum = 0;
        let ends = ends.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (end, count) in ends.zip(&series.buckets) {
            sum += count.load(Ordering::Relaxed);
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{end}\"}} {sum}");
        }
        let seconds = series.nanos.load(Ordering::Relaxed) as f64 / 1e9;
        let _ = writeln!(text, "{name}_sum{{{labels}}} {seconds}");
        let _ = writeln!(text, "{name}_count{{{labels}}} {sum}");
    }
}

impl Counters {
    fn add(&self, labels: &str) {
        if let Some(count) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(labels) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(labels.to_owned()).or_default().fetch_add(1, Ordering::Relaxed);
    }

    fn render(&self, text: &mut String, name: &str) {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let lines = all.iter().map(|(labels, count)| (labels.clone(), count.load(Ordering::Relaxed) as f64));
        family(text, name, "counter", lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_told() {
        let all = Admissions::default();
        all.name(["First", "Second"].into_iter());
        let mut watch = all.begin(Phase::Validate, Operation::Update);
        watch.step(0, false);
        watch.step(1, true);
        watch.end(true);
        all.asked("w", Phase::Admit, Operation::Create, 200, false, Duration::from_secs(3));
        all.refused("w", Phase::Admit, Operation::Create, "calling_webhook_error", 0);
        all.passed_over("w", Phase::Admit);
        all.checked("p", "b", "no_error", "deny", Duration::from_millis(2));
        let mut text = String::new();
        all.render(&mut text);
        for line in [
            "apiserver_admission_step_admission_duration_seconds_count{operation=\"UPDATE\",rejected=\"true\",type=\"validate\"} 1",
            "apiserver_admission_controller_admission_duration_seconds_count{name=\"First\",operation=\"UPDATE\",rejected=\"false\",type=\"validate\"} 1",
            "apiserver_admission_controller_admission_duration_seconds_count{name=\"Second\",operation=\"UPDATE\",rejected=\"true\",type=\"validate\"} 1",
            "apiserver_admission_webhook_admission_duration_seconds_bucket{name=\"w\",operation=\"CREATE\",rejected=\"false\",type=\"admit\",le=\"2.5\"} 0",
            "apiserver_admission_webhook_admission_duration_seconds_bucket{name=\"w\",operation=\"CREATE\",rejected=\"false\",type=\"admit\",le=\"10\"} 1",
            "apiserver_admission_webhook_request_total{code=\"200\",name=\"w\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"} 1",
            "apiserver_admission_webhook_rejection_count{error_type=\"calling_webhook_error\",name=\"w\",operation=\"CREATE\",rejection_code=\"0\",type=\"admit\"} 1",
            "apiserver_admission_webhook_fail_open_count{name=\"w\",type=\"admit\"} 1",
            "apiserver_validating_admission_policy_check_total{enforcement_action=\"deny\",error_type=\"no_error\",policy=\"p\",policy_binding=\"b\"} 1",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }
}
