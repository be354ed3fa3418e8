//! What is so at the moment of a decision: the Job, its pods, and what was counted of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;

use super::indexes::Indexes;
use super::pods::{failures, finished_at, ignored_failures, index, is_terminating, is_tracked, uid};
use super::policies::{Verdict, judge};
use crate::common::pods;

pub(super) struct Facts<'a> {
    pub job: &'a Job,
    pub spec: &'a JobSpec,
    pub now: Timestamp,
    /// The stored status, its start filled in.
    pub status: JobStatus,
    pub uncounted: UncountedTerminatedPods,
    /// In the order of their indexes, if they have any.
    pub pods: Vec<Arc<Pod>>,
    pub active: Vec<Arc<Pod>>,
    /// Pods on their way out.
    pub terminating: i32,
    /// All that ever ended so, also those that the status does not count yet.
    pub succeeded: i32,
    pub failed: i32,
    /// Indexes that are told already, and all that are to be told.
    pub told_indexes: Indexes,
    pub succeeded_indexes: Indexes,
    /// `None`: failures of an index are not bounded.
    pub failed_indexes: Option<Indexes>,
    /// The last pod of an index that failed, kept until it has a successor, which learns from it how many had failed.
    pub predecessors: BTreeMap<i32, Arc<Pod>>,
}

impl<'a> Facts<'a> {
    pub fn new(job: &'a Job, spec: &'a JobSpec, mut pods: Vec<Arc<Pod>>, now: Timestamp) -> Self {
        pods.sort_by_key(|pod| index(pod));
        let status = job.status.clone().unwrap_or_default();
        let completions = spec.completions.unwrap_or(0);
        let told_indexes = Indexes::parse(status.completed_indexes.as_deref().unwrap_or(""), completions);
        let mut facts = Self {
            job,
            spec,
            now,
            uncounted: status.uncounted_terminated_pods.clone().unwrap_or_default(),
            active: pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect(),
            terminating: pods.iter().filter(|pod| is_terminating(pod)).count() as i32,
            pods,
            status,
            succeeded: 0,
            failed: 0,
            succeeded_indexes: told_indexes.clone(),
            told_indexes,
            failed_indexes: None,
            predecessors: BTreeMap::new(),
        };
        facts.count();
        if facts.is_indexed() {
            facts.count_indexes();
        }
        facts
    }

    fn count(&mut self) {
        let known = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len) as i32;
        let succeeded = |pod: &&Arc<Pod>| self.is_to_count(pod) && is_succeeded(pod) && !self.is_noted_succeeded(pod);
        let failed = |pod: &&Arc<Pod>| {
            let new = self.is_to_count(pod) && self.is_failed(pod) && !self.is_noted_failed(pod);
            new && judge(self.spec, pod) != Verdict::Ignored
        };
        let new_succeeded = self.pods.iter().filter(succeeded).count() as i32;
        let new_failed = self.pods.iter().filter(failed).count() as i32;
        self.succeeded = self.status.succeeded.unwrap_or(0) + new_succeeded + known(&self.uncounted.succeeded);
        self.failed = self.status.failed.unwrap_or(0) + new_failed + known(&self.uncounted.failed);
    }

    fn count_indexes(&mut self) {
        let to_count: Vec<Arc<Pod>> = self.pods.iter().filter(|pod| self.is_to_count(pod)).cloned().collect();
        let ended = to_count.iter().filter(|pod| is_succeeded(pod)).filter_map(|pod| index(pod));
        self.succeeded_indexes = ended.fold(self.succeeded_indexes.clone(), Indexes::with);
        self.succeeded = self.succeeded_indexes.len();
        let Some(limit) = self.spec.backoff_limit_per_index else { return };
        let told = self.status.failed_indexes.as_deref().unwrap_or("");
        let told = Indexes::parse(told, self.spec.completions.unwrap_or(0));
        let gives_up = |pod: &&Arc<Pod>| {
            self.is_failed(pod)
                && match judge(self.spec, pod) {
                    Verdict::FailsIndex => true,
                    Verdict::Ignored => false,
                    Verdict::Counts | Verdict::FailsJob(_) => failures(pod) >= limit,
                }
        };
        let given_up = to_count.iter().filter(gives_up).filter_map(|pod| index(pod));
        let failed = given_up.fold(told, Indexes::with);
        self.predecessors = self.predecessors(&failed);
        self.failed_indexes = Some(failed);
    }

    fn predecessors(&self, failed: &Indexes) -> BTreeMap<i32, Arc<Pod>> {
        let mut last = BTreeMap::<i32, Arc<Pod>>::new();
        let rank = |pod: &Pod| (failures(pod) + ignored_failures(pod), finished_at(pod));
        for pod in self.pods.iter().filter(|pod| self.is_to_count(pod) && self.is_failed(pod)) {
            let Some(index) = index(pod) else { continue };
            let settled = self.succeeded_indexes.has(index) || failed.has(index);
            if !settled && !self.is_active_index(index) && last.get(&index).is_none_or(|other| rank(other) <= rank(pod))
            {
                last.insert(index, pod.clone());
            }
        }
        last
    }

    fn is_active_index(&self, wanted: i32) -> bool {
        self.active.iter().any(|pod| index(pod) == Some(wanted))
    }

    pub fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    pub fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// Pods are replaced when they have ended, not already when they are deleted.
    pub fn replaces_ended_alone(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed") || self.spec.pod_failure_policy.is_some()
    }

    /// A pod that is deleted counts as failed: it may never come to tell.
    pub fn is_failed(&self, pod: &Pod) -> bool {
        let goes = pod.metadata.deletion_timestamp.is_some() && !is_succeeded(pod);
        pods::phase(pod) == "Failed" || (goes && !self.replaces_ended_alone())
    }

    /// Not counted yet, as its finalizer says, and in its place.
    pub fn is_to_count(&self, pod: &Pod) -> bool {
        is_tracked(pod) && self.is_in_place(pod)
    }

    pub fn is_in_place(&self, pod: &Pod) -> bool {
        !self.is_indexed() || index(pod).is_some_and(|index| index < self.spec.completions.unwrap_or(0))
    }

    pub fn is_noted_succeeded(&self, pod: &Pod) -> bool {
        self.uncounted.succeeded.iter().flatten().any(|noted| noted == uid(pod))
    }

    pub fn is_noted_failed(&self, pod: &Pod) -> bool {
        self.uncounted.failed.iter().flatten().any(|noted| noted == uid(pod))
    }
}

pub(super) fn is_succeeded(pod: &Pod) -> bool {
    pods::phase(pod) == "Succeeded"
}
