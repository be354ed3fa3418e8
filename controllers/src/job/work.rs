//! The pods that are made and taken, that as many run as shall.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use reconcile::{Action, PlanEvent};

use super::facts::{Facts, is_succeeded};
use super::indexes::Indexes;
use super::pods::{
    failures, finished_at, ignored_failures, index, is_terminating, is_tracked, sort_for_removal, untrack,
};
use super::policies::{Verdict, judge};
use super::template::{self, Place};
use crate::common::pods;

/// The most pods that are made or taken in one go.
const BURST: usize = 500;

/// A pod that failed is replaced after this wait, which doubles with each failure up to a limit.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The numbers are those after the actions.
#[derive(Default)]
pub(super) struct Work {
    pub active: i32,
    pub ready: i32,
    pub terminating: i32,
    pub actions: Vec<Action>,
    /// Look again then.
    pub wait: Option<Duration>,
}

impl Work {
    pub fn none(facts: &Facts<'_>) -> Self {
        Self {
            active: facts.active.len() as i32,
            ready: ready(&facts.active),
            terminating: facts.terminating,
            ..Self::default()
        }
    }

    /// The Job ends: all go, and stay until they are counted.
    pub fn stop(facts: &Facts<'_>) -> Self {
        let mut work = Self::none(facts);
        work.take(&facts.active, false);
        work
    }

    pub fn go_on(facts: &Facts<'_>) -> Self {
        let mut work = Self::none(facts);
        let active = facts.active.len();
        let wanted = if facts.is_suspended() { 0 } else { wanted(facts) };
        let mut surplus = surplus(facts, active.saturating_sub(wanted));
        surplus.truncate(BURST);
        if !surplus.is_empty() {
            work.take(&surplus, true);
            return work;
        }
        let going = if facts.replaces_ended_alone() { facts.terminating as usize } else { 0 };
        let missing = wanted.saturating_sub(going + active).min(BURST);
        if missing > 0 {
            work.make(facts, missing);
        }
        work
    }

    /// `uncounted`: they are let go at once.
    fn take(&mut self, pods: &[Arc<Pod>], uncounted: bool) {
        if uncounted {
            self.actions.extend(pods.iter().filter(|pod| is_tracked(pod)).map(|pod| untrack(pod)));
        }
        self.actions.extend(pods.iter().map(|pod| {
            Action::delete(&**pod)
                .on_success(PlanEvent::normal("SuccessfulDelete", "Deleted pod: {name}"))
                .on_failure(PlanEvent::warning("FailedDelete", "Error deleting: {error}"))
        }));
        self.active -= pods.len() as i32;
        self.terminating += pods.len() as i32;
        self.ready -= ready(pods);
    }

    fn make(&mut self, facts: &Facts<'_>, missing: usize) {
        let bounded = facts.failed_indexes.is_some();
        if let Some(wait) = backoff(facts).filter(|_| !bounded) {
            self.wait = Some(wait);
            return;
        }
        let create = |place: Option<&Place>| {
            Action::create(&template::pod(facts.job, place))
                .owned()
                .on_success(PlanEvent::normal("SuccessfulCreate", "Created pod: {name}"))
                .on_failure(PlanEvent::warning("FailedCreate", "Error creating: {error}"))
        };
        if !facts.is_indexed() {
            self.actions.extend(std::iter::repeat_n(create(None), missing));
            self.active += missing as i32;
            return;
        }
        let waits: Vec<(i32, Option<Duration>)> =
            pending(facts, missing).into_iter().map(|index| (index, index_backoff(facts, index))).collect();
        for (index, _) in waits.iter().filter(|(_, wait)| wait.is_none()) {
            let failures = bounded.then(|| failures_so_far(facts, *index));
            self.actions.push(create(Some(&Place { index: *index, failures })));
            self.active += 1;
        }
        self.wait = waits.iter().filter_map(|(_, wait)| *wait).min();
    }
}

fn ready(pods: &[Arc<Pod>]) -> i32 {
    pods.iter().filter(|pod| pods::is_ready(pod)).count() as i32
}

/// How many pods shall be active.
fn wanted(facts: &Facts<'_>) -> usize {
    let parallelism = facts.spec.parallelism.unwrap_or(1);
    let wanted = match facts.spec.completions {
        // After the first success the rest may end, and none is replaced.
        None if facts.succeeded > 0 => facts.active.len() as i32,
        None => parallelism,
        Some(completions) => (completions - facts.succeeded).min(parallelism),
    };
    usize::try_from(wanted).unwrap_or(0)
}

/// The active pods that are too many: those out of place, all but one of each index, and then those that are missed least.
fn surplus(facts: &Facts<'_>, at_least: usize) -> Vec<Arc<Pod>> {
    let mut left = facts.active.clone();
    let mut surplus = Vec::new();
    if facts.is_indexed() {
        let mut by_index = BTreeMap::<i32, Vec<Arc<Pod>>>::new();
        for pod in std::mem::take(&mut left) {
            match index(&pod).filter(|_| facts.is_in_place(&pod)) {
                Some(index) => by_index.entry(index).or_default().push(pod),
                None => surplus.push(pod),
            }
        }
        for mut same in by_index.into_values() {
            sort_for_removal(&mut same);
            left.extend(same.pop());
            surplus.append(&mut same);
        }
    }
    sort_for_removal(&mut left);
    let more = at_least.saturating_sub(surplus.len()).min(left.len());
    surplus.extend(left.drain(..more));
    surplus
}

/// Indexes that have no pod and need one.
fn pending(facts: &Facts<'_>, count: usize) -> Vec<i32> {
    let waits_for = |pod: &&Arc<Pod>| facts.replaces_ended_alone() && is_terminating(pod);
    let taken = facts.active.iter().chain(facts.pods.iter().filter(waits_for)).filter_map(|pod| index(pod));
    let taken = taken.fold(facts.succeeded_indexes.clone(), Indexes::with);
    let taken = facts.failed_indexes.iter().fold(taken, Indexes::merged);
    taken.missing(count, facts.spec.completions.unwrap_or(0))
}

/// What a successor is told: failures that count, and that do not.
fn failures_so_far(facts: &Facts<'_>, index: i32) -> (i32, i32) {
    let Some(last) = facts.predecessors.get(&index) else { return (0, 0) };
    let ignored = judge(facts.spec, last) == Verdict::Ignored;
    (failures(last) + i32::from(!ignored), ignored_failures(last) + i32::from(ignored))
}

/// How long no pod is made, after failures since the last success. Upstream remembers them; here they are seen in the pods that are
/// there, so that a restart forgets none.
fn backoff(facts: &Facts<'_>) -> Option<Duration> {
    let success = facts.pods.iter().filter(|pod| is_succeeded(pod)).filter_map(|pod| finished_at(pod)).max();
    // A pod that this controller took itself did not fail.
    let taken =
        |pod: &Pod| pod.metadata.deletion_timestamp.is_some() && !is_tracked(pod) && !facts.is_noted_failed(pod);
    let failed = facts.pods.iter().filter(|pod| facts.is_failed(pod) && !taken(pod));
    let since: Vec<Timestamp> = failed.filter_map(|pod| finished_at(pod)).filter(|at| Some(*at) > success).collect();
    wait_after(since.len() as i32, since.iter().max().copied()?, facts.now)
}

fn index_backoff(facts: &Facts<'_>, index: i32) -> Option<Duration> {
    let last = facts.predecessors.get(&index)?;
    wait_after(failures(last) + ignored_failures(last) + 1, finished_at(last)?, facts.now)
}

fn wait_after(failures: i32, last: Timestamp, now: Timestamp) -> Option<Duration> {
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(16);
    let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let passed = u64::try_from(now.as_second() - last.as_second()).unwrap_or(0);
    wait.checked_sub(Duration::from_secs(passed)).filter(|left| !left.is_zero())
}
