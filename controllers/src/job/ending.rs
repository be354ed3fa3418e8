//! Whether a Job is to end, and why.
//!
//! ```text
//! runs --> SuccessCriteriaMet --> Complete
//!   \----> FailureTarget -------> Failed
//! ```
//!
//! The condition in the middle is stored before any pod is let go; the last one follows when all are counted and gone.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::Facts;
use super::pods::restarts;
use super::policies::{Verdict, is_enough, judge};

pub(super) const FAILURE_TARGET: &str = "FailureTarget";
pub(super) const CRITERIA_MET: &str = "SuccessCriteriaMet";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub fails: bool,
    pub reason: String,
    pub message: String,
    /// The first of the two conditions is stored.
    pub told: bool,
}

impl End {
    fn new(fails: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { fails, reason: reason.to_owned(), message: message.into(), told: false }
    }

    fn told(condition: &JobCondition) -> Self {
        let (reason, message) = (condition.reason.clone(), condition.message.clone());
        let (reason, message) = (reason.unwrap_or_default(), message.unwrap_or_default());
        Self { fails: condition.type_ == FAILURE_TARGET, reason, message, told: true }
    }

    pub fn first_condition(&self) -> &'static str {
        if self.fails { FAILURE_TARGET } else { CRITERIA_MET }
    }

    pub fn last_condition(&self) -> &'static str {
        if self.fails { "Failed" } else { "Complete" }
    }

    pub fn condition(&self, type_: &str, now: Timestamp) -> JobCondition {
        condition(type_, true, &self.reason, &self.message, now)
    }
}

pub(super) fn condition(type_: &str, holds: bool, reason: &str, message: &str, now: Timestamp) -> JobCondition {
    JobCondition {
        type_: type_.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

pub(super) fn find<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
}

pub(super) fn is_finished(job: &Job) -> bool {
    find(job, "Complete").is_some() || find(job, "Failed").is_some()
}

/// In upstream's order: what was decided before, failures, then success by a policy.
pub(super) fn judged(facts: &Facts<'_>) -> Option<End> {
    let told = [CRITERIA_MET, FAILURE_TARGET].into_iter().find_map(|type_| find(facts.job, type_));
    told.map(End::told).or_else(|| failed(facts)).or_else(|| {
        let enough = is_enough(facts.spec, &facts.succeeded_indexes).filter(|_| facts.is_indexed())?;
        Some(End::new(false, "SuccessPolicy", enough))
    })
}

fn failed(facts: &Facts<'_>) -> Option<End> {
    let spec = facts.spec;
    let failed = facts.pods.iter().filter(|pod| facts.is_failed(pod));
    for pod in failed {
        if let Verdict::FailsJob(why) = judge(spec, pod) {
            return Some(End::new(true, "PodFailurePolicy", why));
        }
    }
    let limit = spec.backoff_limit.unwrap_or(i32::MAX);
    if facts.failed > limit || restarted_too_often(facts, limit) {
        return Some(End::new(true, "BackoffLimitExceeded", "Job has reached the specified backoff limit"));
    }
    if deadline_in(facts).is_some_and(|left| left.is_zero()) {
        return Some(End::new(true, "DeadlineExceeded", "Job was active longer than specified deadline"));
    }
    let given_up = facts.failed_indexes.as_ref()?.len();
    if spec.max_failed_indexes.is_some_and(|most| given_up > most) {
        let text = "Job has exceeded the specified maximal number of failed indexes";
        return Some(End::new(true, "MaxFailedIndexesExceeded", text));
    }
    let all = given_up + facts.succeeded_indexes.len() >= spec.completions.unwrap_or(0);
    (given_up > 0 && all).then(|| End::new(true, "FailedIndexes", "Job has failed indexes"))
}

/// Pods that are restarted in place count by their restarts.
fn restarted_too_often(facts: &Facts<'_>, limit: i32) -> bool {
    let policy = facts.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    let restarts: i32 = facts.pods.iter().map(|pod| restarts(pod)).sum();
    policy == Some("OnFailure") && restarts >= limit.max(1)
}

/// What is left of the time that it may be active; `None` when it is not bounded.
pub(super) fn deadline_in(facts: &Facts<'_>) -> Option<Duration> {
    let most = facts.spec.active_deadline_seconds.filter(|_| !facts.is_suspended())?;
    let since = facts.status.start_time.as_ref().map_or(facts.now, |start| start.0);
    let left = most - (facts.now.as_second() - since.as_second());
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

/// Success by its pods, once none of them is active any more.
pub(super) fn completed(facts: &Facts<'_>, active: i32) -> Option<End> {
    let enough = match facts.spec.completions {
        None => facts.succeeded > 0,
        Some(completions) => facts.succeeded >= completions,
    };
    let text = "Reached expected number of succeeded pods";
    (enough && active == 0).then(|| End::new(false, "CompletionsReached", text))
}
