//! Owns:    Pods of a Job.
//! Watches: Jobs, Pods.
//! Writes:  Pods (create, delete, adopt, release, finalizer), Job status, events.
//!
//! A decision goes through these files: [`facts`] (what is so), [`ending`] (is it to end, and why), [`work`] (pods that are made and
//! taken), [`tracking`] (how those that ended are counted), and the status here. [`indexes`], [`policies`], [`pods`] and [`template`] are
//! what they build on. [`orphans`] is a controller of its own, for pods whose Job does not count them any more.
//!
//! Upstream writes the status up to three times in one pass; here each pass ends with one write, and the next pass follows from it.

mod ending;
mod facts;
mod indexes;
pub mod orphans;
mod pods;
mod policies;
mod template;
mod tracking;
mod work;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::informer::Caches;
use reconcile::{Controller, Key, Plan, PlanEvent, Watch, mapped, owner_key};

use crate::common::claim::{self, Claim};
use crate::common::{nonzero, selector};
use ending::End;
use facts::Facts;
use tracking::Tracked;
use work::Work;

pub struct Jobs;

const SUSPENDED: &str = "Suspended";

impl Controller for Jobs {
    const NAME: &'static str = "job-controller";
    const QUEUE: &'static str = "job";
    type Root = Job;
    /// The Job's pods and the orphans beside them.
    type View = Vec<Arc<Pod>>;

    fn watches() -> Vec<Watch> {
        vec![mapped::<Pod>(jobs_of)]
    }

    fn view(&self, root: &Job, caches: &Caches) -> Vec<Arc<Pod>> {
        let store = caches.get::<Pod>();
        let mut pods = store.controlled_by(root.metadata.uid.as_deref().unwrap_or(""));
        pods.extend(store.orphans_in(root.metadata.namespace.as_deref().unwrap_or("")));
        pods
    }

    fn decide(&self, root: &Job, view: &Vec<Arc<Pod>>, now: Timestamp) -> Plan {
        let Some(spec) = root.spec.as_ref().filter(|spec| is_ours(spec) && !ending::is_finished(root)) else {
            return Plan::default();
        };
        let mut plan = Plan::default();
        let mut facts = Facts::new(root, spec, claim_pods(root, view, &mut plan), now);
        if facts.status.start_time.is_none() && !facts.is_suspended() {
            facts.status.start_time = Some(Time(now));
        }
        let judged = ending::judged(&facts);
        let work = match (&judged, &root.metadata.deletion_timestamp) {
            (Some(_), _) => Work::stop(&facts),
            (None, Some(_)) => Work::none(&facts),
            (None, None) => Work::go_on(&facts),
        };
        let end = judged.or_else(|| ending::completed(&facts, work.active));
        let waits = [work.wait, ending::deadline_in(&facts).filter(|_| end.is_none())];
        waits.into_iter().flatten().for_each(|wait| plan.requeue_after(wait));
        let tracked = tracking::track(&facts, end.as_ref(), true);
        let old = root.status.clone().unwrap_or_default();
        let (new, events) = status(&facts, &work, &tracked, end.as_ref());
        plan.set_status(&old, &new);
        plan.events = events;
        // What is noted of pods that ended is so whether others can be made or not.
        let noted = tracking::track(&facts, None, false);
        plan.set_status_if_failed(&old, &counted(&facts, &Work::none(&facts), &noted));
        plan.actions.extend(tracked.actions);
        plan.actions.extend(work.actions);
        plan
    }
}

/// `managedBy` may name another controller; a completion mode of a later version is left alone.
fn is_ours(spec: &JobSpec) -> bool {
    let ours = spec.managed_by.as_deref().is_none_or(|name| name == "kubernetes.io/job-controller");
    ours && matches!(spec.completion_mode.as_deref(), None | Some("NonIndexed" | "Indexed"))
}

/// The owner, or for an orphan every Job that would have it.
fn jobs_of(pod: &Pod, caches: &Caches) -> Vec<Key> {
    if let Some(key) = owner_key::<Job>(&pod.metadata) {
        return vec![key];
    }
    let controlled = pod.metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
    let (Some(namespace), Some(labels), false) = (&pod.metadata.namespace, &pod.metadata.labels, controlled) else {
        return Vec::new();
    };
    let jobs = caches.get::<Job>().in_namespace(namespace);
    jobs.iter().filter(|job| selects(job, labels)).map(|job| Key::of(&**job)).collect()
}

fn selects(job: &Job, labels: &selector::Labels) -> bool {
    let wanted = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    wanted.is_some_and(|wanted| !selector::is_everything(wanted) && selector::matches(wanted, labels))
}

fn claim_pods(root: &Job, pods: &[Arc<Pod>], plan: &mut Plan) -> Vec<Arc<Pod>> {
    let mut claimed = Vec::new();
    for pod in pods {
        let matches = selects(root, selector::labels(&pod.metadata.labels));
        match claim::claim(&root.metadata, &pod.metadata, matches) {
            Claim::Keep => claimed.push(pod.clone()),
            Claim::Adopt => {
                plan.push(claim::adopt_tracked(root, &**pod, pods::FINALIZER));
                claimed.push(pod.clone());
            }
            Claim::Release => plan.push(claim::release_tracked(root, &**pod, pods::FINALIZER)),
            Claim::Ignore => {}
        }
    }
    claimed
}

/// The status after the plan, and what is to be told.
fn status(facts: &Facts<'_>, work: &Work, tracked: &Tracked, end: Option<&End>) -> (JobStatus, Vec<PlanEvent>) {
    let mut status = counted(facts, work, tracked);
    let mut events = Vec::new();
    let now = facts.now;
    match end {
        Some(end) => {
            let conditions = status.conditions.get_or_insert_default();
            if !end.told {
                conditions.push(end.condition(end.first_condition(), now));
            } else if !tracked.pending && work.terminating == 0 {
                conditions.push(end.condition(end.last_condition(), now));
                status.completion_time = (!end.fails).then_some(Time(now));
                events.extend(epilogue(facts, &status, end));
            }
        }
        None if facts.job.metadata.deletion_timestamp.is_none() => {
            events.extend(suspend_or_resume(facts, &mut status));
        }
        None => {}
    }
    (status, events)
}

fn epilogue(facts: &Facts<'_>, status: &JobStatus, end: &End) -> Vec<PlanEvent> {
    if end.fails {
        return vec![PlanEvent::warning(&end.reason, end.message.clone())];
    }
    let mut events = Vec::new();
    if facts.spec.completions.is_some_and(|wanted| status.succeeded.unwrap_or(0) > wanted) {
        let text = "Too many succeeded pods running after completion count reached";
        events.push(PlanEvent::warning("TooManySucceededPods", text));
    }
    events.push(PlanEvent::normal("Completed", "Job completed"));
    events
}

/// The counters and lists alone.
fn counted(facts: &Facts<'_>, work: &Work, tracked: &Tracked) -> JobStatus {
    let list = |uids: &Vec<String>| (!uids.is_empty()).then(|| uids.clone());
    let uncounted = UncountedTerminatedPods { succeeded: list(&tracked.succeeded), failed: list(&tracked.failed) };
    let mut status = facts.status.clone();
    status.active = nonzero(work.active);
    status.ready = Some(work.ready);
    status.terminating = Some(work.terminating);
    status.failed = nonzero(status.failed.unwrap_or(0) + tracked.newly_failed);
    status.succeeded = nonzero(status.succeeded.unwrap_or(0) + tracked.newly_succeeded);
    status.uncounted_terminated_pods = Some(uncounted);
    if facts.is_indexed() {
        status.succeeded = nonzero(facts.succeeded_indexes.len());
        status.completed_indexes = Some(facts.succeeded_indexes.to_string()).filter(|indexes| !indexes.is_empty());
        status.failed_indexes = facts.failed_indexes.as_ref().map(ToString::to_string);
    }
    status
}

/// The time that a suspended Job may be active begins anew when it is resumed.
fn suspend_or_resume(facts: &Facts<'_>, status: &mut JobStatus) -> Option<PlanEvent> {
    let (reason, message) = match facts.is_suspended() {
        true => ("JobSuspended", "Job suspended"),
        false => ("JobResumed", "Job resumed"),
    };
    let new = ending::condition(SUSPENDED, facts.is_suspended(), reason, message, facts.now);
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|condition| condition.type_ == SUSPENDED) {
        Some(told) if told.status == new.status => return None,
        Some(told) => *told = new,
        None if facts.is_suspended() => conditions.push(new),
        None => {
            status.conditions.take_if(|conditions| conditions.is_empty());
            return None;
        }
    }
    if !facts.is_suspended() {
        status.start_time = Some(Time(facts.now));
        return Some(PlanEvent::normal("Resumed", message));
    }
    Some(PlanEvent::normal("Suspended", message))
}
