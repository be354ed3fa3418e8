//! What a Deployment tells about itself: counts, and the conditions Available, Progressing and ReplicaFailure.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::Plan;

use super::bounds::Bounds;
use super::sets::{Rollout, Set};
use crate::common::nonzero;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";

const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
const CREATE_FAILED: &str = "ReplicaSetCreateError";

pub(super) fn has_deadline(spec: &DeploymentSpec) -> bool {
    spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
}

pub(super) fn progressing(status: &DeploymentStatus) -> Option<&DeploymentCondition> {
    find(status, PROGRESSING)
}

fn find<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

/// Every wanted pod is updated and available, and no other is left.
pub(super) fn is_complete(bounds: &Bounds, deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let counts = [status.updated_replicas, status.replicas, status.available_replicas];
    counts.iter().all(|count| count.unwrap_or(0) == bounds.replicas)
        && status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0)
}

impl Rollout<'_> {
    /// Time in a pause does not count against the deadline; a deadline that has passed is not forgotten.
    pub fn note_pause(&mut self) {
        let reason = progressing(&self.status).and_then(|condition| condition.reason.as_deref());
        if !has_deadline(self.spec) || reason == Some(DEADLINE_EXCEEDED) {
            return;
        }
        match (self.spec.paused == Some(true), reason == Some(PAUSED)) {
            (true, false) => self.set_progressing("Unknown", PAUSED, "Deployment is paused".to_owned()),
            (false, true) => self.set_progressing("Unknown", "DeploymentResumed", "Deployment is resumed".to_owned()),
            _ => {}
        }
    }

    pub fn set_progressing(&mut self, status: &str, reason: &str, message: String) {
        let condition = self.condition(PROGRESSING, status, reason, message);
        set(&mut self.status, condition);
    }

    fn condition(&self, type_: &str, status: &str, reason: &str, message: String) -> DeploymentCondition {
        DeploymentCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(self.now)),
            last_update_time: Some(Time(self.now)),
        }
    }

    /// Outside of a rollout: no estimate of progress.
    pub fn sum_up_counts(&self, plan: &mut Plan) {
        plan.set_status(&self.stored(), &self.counted());
    }

    pub fn sum_up_progress(&self, plan: &mut Plan) {
        let mut status = self.counted();
        if has_deadline(self.spec) {
            self.estimate_progress(&mut status);
            self.look_again(&status, plan);
        } else {
            remove(&mut status, PROGRESSING);
        }
        match self.replica_failure() {
            Some(failure) => set(&mut status, failure),
            None => remove(&mut status, REPLICA_FAILURE),
        }
        plan.set_status(&self.stored(), &status);
        if let (Some(new), true) = (self.new_set(), has_deadline(self.spec)) {
            // Only the creation of a ReplicaSet is told as a failure of progress.
            if new.now.metadata.uid.is_none() {
                let mut failed = self.stored();
                let message = format!("Failed to create new replica set \"{}\": {{error}}", new.name());
                set(&mut failed, self.condition(PROGRESSING, "False", CREATE_FAILED, message));
                plan.set_status_if_failed(&self.stored(), &failed);
            }
        }
    }

    pub fn count_collision(&self, plan: &mut Plan) {
        let mut status = self.stored();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        plan.set_status(&self.stored(), &status);
    }

    fn stored(&self) -> DeploymentStatus {
        self.deployment.status.clone().unwrap_or_default()
    }

    fn counted(&self) -> DeploymentStatus {
        let available = self.total(Set::available);
        let mut status = DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: nonzero(self.total(Set::actual)),
            updated_replicas: nonzero(self.new_set().map_or(0, Set::actual)),
            ready_replicas: nonzero(self.total(Set::ready)),
            available_replicas: nonzero(available),
            unavailable_replicas: nonzero((self.total(Set::replicas) - available).max(0)),
            collision_count: self.status.collision_count,
            conditions: self.status.conditions.clone(),
            terminating_replicas: self.terminating(),
        };
        let condition = if available >= self.bounds.min_available() {
            let message = "Deployment has minimum availability.".to_owned();
            self.condition(AVAILABLE, "True", "MinimumReplicasAvailable", message)
        } else {
            let message = "Deployment does not have minimum availability.".to_owned();
            self.condition(AVAILABLE, "False", "MinimumReplicasUnavailable", message)
        };
        set(&mut status, condition);
        status
    }

    /// Not known while a ReplicaSet that was looked at does not tell.
    fn terminating(&self) -> Option<i32> {
        let told = self.sets.iter().filter_map(|set| set.now.status.as_ref());
        let seen = told.filter(|status| {
            status.terminating_replicas.is_some() || status.observed_generation.is_some_and(|seen| seen > 0)
        });
        seen.map(|status| status.terminating_replicas).sum()
    }

    fn estimate_progress(&self, status: &mut DeploymentStatus) {
        let current = progressing(&self.status).cloned();
        let told_complete =
            current.as_ref().and_then(|condition| condition.reason.as_deref()) == Some(NEW_SET_AVAILABLE);
        if status.replicas == status.updated_replicas && told_complete {
            return;
        }
        let subject = match self.new_set() {
            Some(new) => format!("ReplicaSet \"{}\"", new.name()),
            None => format!("Deployment \"{}\"", self.deployment.metadata.name.as_deref().unwrap_or("")),
        };
        if is_complete(&self.bounds, self.deployment, status) {
            let message = format!("{subject} has successfully progressed.");
            set(status, self.condition(PROGRESSING, "True", NEW_SET_AVAILABLE, message));
        } else if has_progressed(&self.stored(), status) {
            let message = format!("{subject} is progressing.");
            let mut condition = self.condition(PROGRESSING, "True", "ReplicaSetUpdated", message);
            if let Some(current) = current.filter(|current| current.status == "True") {
                condition.last_transition_time = current.last_transition_time;
            }
            // Each sign of progress moves the time of the update, also when the reason stays the same.
            remove(status, PROGRESSING);
            set(status, condition);
        } else if self.is_overdue(status) {
            let message = format!("{subject} has timed out progressing.");
            set(status, self.condition(PROGRESSING, "False", DEADLINE_EXCEEDED, message));
        }
    }

    fn is_overdue(&self, status: &DeploymentStatus) -> bool {
        let Some(condition) = progressing(status) else { return false };
        match condition.reason.as_deref() {
            Some(NEW_SET_AVAILABLE) => false,
            Some(DEADLINE_EXCEEDED) => true,
            _ => self.seconds_left(condition) < 0,
        }
    }

    fn seconds_left(&self, condition: &DeploymentCondition) -> i64 {
        let since = condition.last_update_time.as_ref().map_or(self.now, |time| time.0);
        let deadline = i64::from(self.spec.progress_deadline_seconds.unwrap_or(0));
        since.as_second() + deadline - self.now.as_second()
    }

    /// Nothing may happen until the deadline passes, so somebody has to look then.
    fn look_again(&self, status: &DeploymentStatus, plan: &mut Plan) {
        let Some(condition) = progressing(status) else { return };
        let timed_out = condition.reason.as_deref() == Some(DEADLINE_EXCEEDED);
        if !timed_out && !is_complete(&self.bounds, self.deployment, status) {
            let left = u64::try_from(self.seconds_left(condition)).unwrap_or(0);
            plan.requeue_after(Duration::from_secs(left + 1));
        }
    }

    /// The failure of the new ReplicaSet, or else of any other.
    fn replica_failure(&self) -> Option<DeploymentCondition> {
        let others = self.sets.iter();
        self.new_set().into_iter().chain(others).find_map(|set| failure_of(&set.now)).map(|failure| {
            DeploymentCondition {
                type_: failure.type_.clone(),
                status: failure.status.clone(),
                reason: failure.reason.clone(),
                message: failure.message.clone(),
                last_transition_time: failure.last_transition_time.clone(),
                last_update_time: failure.last_transition_time.clone(),
            }
        })
    }
}

fn failure_of(set: &ReplicaSet) -> Option<&ReplicaSetCondition> {
    set.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == REPLICA_FAILURE)
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let outdated = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    // `None` is zero and orders below every number.
    new.updated_replicas > old.updated_replicas
        || outdated(new) < outdated(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

/// Same status and reason: stays as it is. Same status: keeps the time of its transition.
fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(current) = find(status, &condition.type_)
        && current.status == condition.status
    {
        if current.reason == condition.reason {
            return;
        }
        condition.last_transition_time.clone_from(&current.last_transition_time);
    }
    remove(status, &condition.type_);
    status.conditions.get_or_insert_default().push(condition);
}

fn remove(status: &mut DeploymentStatus, type_: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != type_);
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}
