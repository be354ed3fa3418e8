//! Owns:    Jobs of a CronJob.
//! Watches: CronJobs, Jobs.
//! Writes:  Jobs (create, delete), CronJob status, events.
//!
//! [`schedule`] says when, [`due`] which time is to be acted on now. A Job has its time in its name, so that it is not made twice. Without
//! a time zone schedules are in UTC.
//!
//! The list of active Jobs follows from the Jobs that are there: one that was just made is in it when the cache shows it.

mod due;
mod schedule;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::core::ObjectMeta;
use reconcile::informer::Caches;
use reconcile::plan::Propagation;
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch, owned};

use crate::common::selector;
use due::Never;
use schedule::Schedule;

pub struct CronJobs;

/// The time that a Job was made for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Clocks differ a little: a time is looked at when it has surely come.
const PADDING: Duration = Duration::from_millis(100);

impl Controller for CronJobs {
    const NAME: &'static str = "cronjob-controller";
    const QUEUE: &'static str = "cronjob";
    type Root = CronJob;
    /// The CronJob's Jobs.
    type View = Vec<Arc<Job>>;

    fn watches() -> Vec<Watch> {
        vec![owned::<Job, CronJob>()]
    }

    fn view(&self, root: &CronJob, caches: &Caches) -> Vec<Arc<Job>> {
        caches.get::<Job>().controlled_by(root.metadata.uid.as_deref().unwrap_or(""))
    }

    /// A schedule that has changed is for what comes: times that it would have had are not made up for.
    fn rest(old: &CronJob, new: &CronJob, now: Timestamp) -> Duration {
        let told = |cron: &CronJob| cron.spec.as_ref().map(|spec| (spec.schedule.clone(), spec.time_zone.clone()));
        if told(old) == told(new) {
            return Duration::ZERO;
        }
        let spec = new.spec.clone().unwrap_or_default();
        let zone = zone(&spec).unwrap_or(TimeZone::UTC);
        let next = Schedule::parse(&spec.schedule, zone).and_then(|schedule| schedule.next(now));
        next.map_or(Duration::ZERO, |next| schedule::until(next, now) + PADDING)
    }

    fn decide(&self, root: &CronJob, jobs: &Vec<Arc<Job>>, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(spec) = &root.spec else { return plan };
        let old = root.status.clone().unwrap_or_default();
        let mut status = old.clone();
        follow(jobs, &mut status, &mut plan);
        clean_up(spec, jobs, &mut plan);
        if root.metadata.deletion_timestamp.is_none() && spec.suspend != Some(true) {
            act(root, spec, jobs, &mut status, now, &mut plan);
        }
        plan.set_status(&old, &status);
        plan
    }
}

/// How a Job ended, if it has.
fn ended(job: &Job) -> Option<&str> {
    let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
    let ended = conditions.find(|each| matches!(each.type_.as_str(), "Complete" | "Failed") && each.status == "True");
    ended.map(|condition| condition.type_.as_str())
}

fn name(job: &Job) -> &str {
    job.metadata.name.as_deref().unwrap_or("")
}

/// What became of the Jobs.
fn follow(jobs: &[Arc<Job>], status: &mut CronJobStatus, plan: &mut Plan) {
    let mut active = status.active.take().unwrap_or_default();
    for job in jobs {
        let place = active.iter().position(|reference| reference.uid == job.metadata.uid);
        let ours = selector::labels(&job.metadata.annotations).contains_key(SCHEDULED);
        match (ended(job), place) {
            (Some(how), Some(place)) => {
                active.remove(place);
                let text = format!("Saw completed job: {}, condition: {how}", name(job));
                plan.events.push(PlanEvent::normal("SawCompletedJob", text));
            }
            (None, None) if ours => active.push(reference(job)),
            (None, None) => {
                let text = format!("Saw a job that the controller did not create or forgot: {}", name(job));
                plan.events.push(PlanEvent::warning("UnexpectedJob", text));
            }
            _ => {}
        }
        let completed = job.status.as_ref().and_then(|status| status.completion_time.clone());
        let newer = completed.as_ref().map(|time| time.0) > status.last_successful_time.as_ref().map(|time| time.0);
        if ended(job) == Some("Complete") && newer {
            status.last_successful_time = completed;
        }
    }
    active.retain(|reference| {
        let there = jobs.iter().any(|job| job.metadata.uid == reference.uid);
        if !there {
            let text = format!("Active job went missing: {}", reference.name.as_deref().unwrap_or(""));
            plan.events.push(PlanEvent::normal("MissingJob", text));
        }
        there
    });
    status.active = (!active.is_empty()).then_some(active);
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference { resource_version: job.metadata.resource_version.clone(), ..job.object_ref(&()) }
}

/// So many that ended are kept, the youngest ones.
fn clean_up(spec: &CronJobSpec, jobs: &[Arc<Job>], plan: &mut Plan) {
    for (how, limit) in [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)] {
        let Some(limit) = limit else { continue };
        let mut all: Vec<&Arc<Job>> = jobs.iter().filter(|job| ended(job) == Some(how) && !is_leaving(job)).collect();
        let started = |job: &Job| job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
        all.sort_by_key(|job| (started(job).is_none(), started(job), name(job).to_owned()));
        let surplus = all.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        plan.actions.extend(all.into_iter().take(surplus).map(|job| delete(job)));
    }
}

fn is_leaving(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_some()
}

fn delete(job: &Job) -> Action {
    Action::delete(job)
        .propagation(Propagation::Background)
        .on_success(PlanEvent::normal("SuccessfulDelete", format!("Deleted job {}", name(job))))
        .on_failure(PlanEvent::warning("FailedDelete", "Deleted job: {error}"))
}

/// Makes the Job that is due, if any, and looks again when the next one is.
fn act(
    root: &CronJob,
    spec: &CronJobSpec,
    jobs: &[Arc<Job>],
    status: &mut CronJobStatus,
    now: Timestamp,
    plan: &mut Plan,
) {
    let zone = match zone(spec) {
        Ok(zone) => zone,
        Err(error) => {
            let text = format!("invalid timeZone: {:?}: {error}", spec.time_zone.as_deref().unwrap_or(""));
            return plan.events.push(PlanEvent::warning("UnknownTimeZone", text));
        }
    };
    let Some(schedule) = Schedule::parse(&spec.schedule, zone.clone()) else {
        let text = format!("unparseable schedule: {:?}", spec.schedule);
        return plan.events.push(PlanEvent::warning("UnparseableSchedule", text));
    };
    let due = match due::due(root, &schedule, now) {
        Ok(due) => due,
        Err(Never) => {
            let text = format!("invalid schedule: {} : it never comes", spec.schedule);
            return plan.events.push(PlanEvent::warning("InvalidSchedule", text));
        }
    };
    if let Some(next) = due.next {
        plan.requeue_after(schedule::until(next, now) + PADDING);
    }
    let Some(at) = due.at else { return };
    if due.missed_many {
        let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.events.push(PlanEvent::warning("TooManyMissedTimes", text));
    }
    let job = job(root, spec, at, zone);
    let there = jobs.iter().any(|other| other.metadata.name == job.metadata.name);
    let running: Vec<&Arc<Job>> = jobs.iter().filter(|job| is_active(job, status)).collect();
    match spec.concurrency_policy.as_deref() {
        // It was made, and what was to be written of it was not.
        _ if there => status.last_schedule_time = Some(Time(at)),
        Some("Forbid") if !running.is_empty() => {
            let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.events.push(PlanEvent::normal("JobAlreadyActive", text));
        }
        policy => {
            if policy == Some("Replace") {
                plan.actions.extend(running.iter().filter(|job| !is_leaving(job)).map(|job| delete(job)));
                status.active = None;
            }
            let create = Action::create(&job).owned();
            let told = PlanEvent::normal("SuccessfulCreate", "Created job {name}");
            plan.push(
                create.on_success(told).on_failure(PlanEvent::warning("FailedCreate", "Error creating job: {error}")),
            );
            status.last_schedule_time = Some(Time(at));
        }
    }
}

fn zone(spec: &CronJobSpec) -> Result<TimeZone, jiff::Error> {
    spec.time_zone.as_deref().map_or(Ok(TimeZone::UTC), TimeZone::get)
}

fn is_active(job: &Job, status: &CronJobStatus) -> bool {
    status.active.iter().flatten().any(|reference| reference.uid == job.metadata.uid)
}

fn job(root: &CronJob, spec: &CronJobSpec, at: Timestamp, zone: TimeZone) -> Job {
    let template = spec.job_template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), schedule::rfc3339(at, zone));
    let key = Key::of(root);
    let metadata = ObjectMeta {
        name: Some(format!("{}-{}", key.name, at.as_second().div_euclid(60))),
        namespace: key.namespace,
        labels: meta.labels,
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    Job { metadata, spec: template.spec, status: None }
}
