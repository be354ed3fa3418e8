//! The ReplicaSets of one decision: as they are, as they shall be, and the actions between.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use kube::core::ObjectMeta;
use reconcile::plan::merge_diff;
use reconcile::{Action, Plan, PlanEvent};
use serde_json::{Value, json};

use super::bounds::Bounds;
use super::template::{self, DESIRED_REPLICAS, HASH_LABEL, MAX_REPLICAS, REVISION};
use super::{View, status};
use crate::common::selector;

/// A ReplicaSet of the name that the new one would get, which is another's or has another template.
#[derive(Debug)]
pub(super) struct Collision;

pub(super) struct Set {
    /// `None`: does not exist yet.
    before: Option<Arc<ReplicaSet>>,
    pub now: ReplicaSet,
    events: Vec<PlanEvent>,
    delete: bool,
}

pub(super) struct Rollout<'a> {
    pub deployment: &'a Deployment,
    pub spec: &'a DeploymentSpec,
    pub bounds: Bounds,
    pub now: Timestamp,
    /// The stored status, with the conditions as decided so far.
    pub status: DeploymentStatus,
    /// From the oldest to the newest.
    pub sets: Vec<Set>,
    /// The one that has the Deployment's template.
    pub new: Option<usize>,
    revision: Option<String>,
}

impl Set {
    pub fn replicas(&self) -> i32 {
        self.now.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    pub fn available(&self) -> i32 {
        self.now.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    /// Of them, those that stay. A ReplicaSet that was just made smaller tells of pods that it is about to delete; upstream
    /// counts on them, and may take more than `maxUnavailable` allows.
    pub fn staying(&self) -> i32 {
        self.available().min(self.replicas())
    }

    /// Pods that are there, by the ReplicaSet's own account.
    pub fn actual(&self) -> i32 {
        self.now.status.as_ref().map_or(0, |status| status.replicas)
    }

    pub fn ready(&self) -> i32 {
        self.now.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
    }

    pub fn name(&self) -> &str {
        self.now.metadata.name.as_deref().unwrap_or("")
    }

    pub fn annotation_number(&self, key: &str) -> Option<i32> {
        let number = selector::labels(&self.now.metadata.annotations).get(key)?.parse().ok()?;
        (number >= 0).then_some(number)
    }

    fn age_order(&self) -> (Option<Timestamp>, Option<String>) {
        (self.now.metadata.creation_timestamp.as_ref().map(|time| time.0), self.now.metadata.name.clone())
    }

    fn is_settled(&self) -> bool {
        let observed = self.now.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
        self.actual() == 0 && self.replicas() == 0 && self.now.metadata.generation.unwrap_or(0) <= observed
    }
}

impl<'a> Rollout<'a> {
    pub fn new(
        deployment: &'a Deployment,
        spec: &'a DeploymentSpec,
        claimed: Vec<Arc<ReplicaSet>>,
        now: Timestamp,
    ) -> Self {
        let set =
            |set: Arc<ReplicaSet>| Set { now: (*set).clone(), before: Some(set), events: Vec::new(), delete: false };
        let mut sets: Vec<Set> = claimed.into_iter().map(set).collect();
        sets.sort_by_key(Set::age_order);
        let wanted = template::comparable(&spec.template);
        let same = |set: &Set| {
            let template = set.now.spec.as_ref().and_then(|spec| spec.template.as_ref());
            template.is_some_and(|template| template::comparable(template) == wanted)
        };
        let new = sets.iter().position(same);
        let status = deployment.status.clone().unwrap_or_default();
        Self { deployment, spec, bounds: Bounds::of(spec), now, status, sets, new, revision: None }
    }

    pub fn new_set(&self) -> Option<&Set> {
        self.new.map(|new| &self.sets[new])
    }

    /// Indexes of the old sets, from the oldest to the newest.
    pub fn old(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|index| Some(*index) != self.new).collect()
    }

    /// Indexes of all sets that ought to have pods.
    pub fn active(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|index| self.sets[*index].replicas() > 0).collect()
    }

    pub fn active_old(&self) -> Vec<usize> {
        self.active().into_iter().filter(|index| Some(*index) != self.new).collect()
    }

    pub fn total(&self, of: impl Fn(&Set) -> i32) -> i32 {
        self.sets.iter().map(of).sum()
    }

    fn next_revision(&self) -> i64 {
        self.old().into_iter().map(|index| template::revision(&self.sets[index].now)).max().unwrap_or(0) + 1
    }

    /// Bring the annotations of the new set, if it exists, and the revision of the Deployment up to date.
    pub fn annotate_new_set(&mut self) {
        let Some(new) = self.new else { return };
        let revision = self.next_revision();
        let set = &mut self.sets[new];
        let from = selector::labels(&self.deployment.metadata.annotations);
        template::annotate(set.now.metadata.annotations.get_or_insert_default(), from, revision);
        if let Some(spec) = &mut set.now.spec {
            spec.min_ready_seconds = self.spec.min_ready_seconds;
        }
        self.revision = selector::labels(&set.now.metadata.annotations).get(REVISION).cloned();
        if status::has_deadline(self.spec) && status::progressing(&self.status).is_none() {
            let message = format!("Found new replica set \"{}\"", set.name());
            self.set_progressing("True", "FoundNewReplicaSet", message);
        }
    }

    /// Make the new set if there is none.
    pub fn ensure_new_set(&mut self, view: &View) -> Result<(), Collision> {
        if self.new.is_some() {
            return Ok(());
        }
        if view.namesake.is_some() {
            return Err(Collision);
        }
        let revision = self.next_revision();
        let mut set = Set { before: None, now: self.make_set(), events: Vec::new(), delete: false };
        let annotations = set.now.metadata.annotations.get_or_insert_default();
        template::annotate(annotations, selector::labels(&self.deployment.metadata.annotations), revision);
        let name = set.name().to_owned();
        self.sets.push(set);
        self.new = Some(self.sets.len() - 1);
        self.revision = Some(revision.to_string());
        self.scale_set(self.sets.len() - 1, self.wanted_size_of_new());
        if status::has_deadline(self.spec) {
            self.set_progressing("True", "NewReplicaSetCreated", format!("Created new replica set \"{name}\""));
        }
        Ok(())
    }

    fn make_set(&self) -> ReplicaSet {
        let hash = template::hash_of(self.deployment);
        let mut pod_template = self.spec.template.clone();
        let labels = pod_template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        let labels = labels.clone();
        let mut selector = self.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash);
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(template::set_name(self.deployment)),
                namespace: self.deployment.metadata.namespace.clone(),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(0),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(pod_template),
            }),
            status: None,
        }
    }

    /// The size becomes `replicas`, and the set remembers for what size of the Deployment. Returns whether that is a change of
    /// the size.
    pub fn scale_set(&mut self, index: usize, replicas: i32) -> bool {
        let (desired, most) = (self.bounds.replicas, self.bounds.max_total());
        let set = &mut self.sets[index];
        let annotations = set.now.metadata.annotations.get_or_insert_default();
        annotations.insert(DESIRED_REPLICAS.to_owned(), desired.to_string());
        annotations.insert(MAX_REPLICAS.to_owned(), most.to_string());
        let before = set.replicas();
        if before == replicas {
            return false;
        }
        if let Some(spec) = &mut set.now.spec {
            spec.replicas = Some(replicas);
        }
        let direction = if before < replicas { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {before} to {replicas}", set.name());
        set.events.push(PlanEvent::normal("ScalingReplicaSet", message));
        true
    }

    /// As [`Self::scale_set`], which leaves all as it is when the size is right.
    pub fn resize(&mut self, index: usize, replicas: i32) -> bool {
        self.sets[index].replicas() != replicas && self.scale_set(index, replicas)
    }

    /// Drop the oldest revisions beyond the limit; never one that has or awaits pods.
    pub fn clean_up(&mut self) {
        let Some(limit) = self.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else { return };
        let mut old = self.old();
        old.retain(|index| self.sets[*index].now.metadata.deletion_timestamp.is_none());
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by_key(|index| (template::revision(&self.sets[*index].now), *index));
        for index in old.into_iter().take(excess) {
            self.sets[index].delete = self.sets[index].is_settled();
        }
    }

    /// The actions that make the sets what they shall be.
    pub fn perform(self, plan: &mut Plan) {
        for set in &self.sets {
            match &set.before {
                None => plan.push(create(set)),
                Some(before) if set.delete => plan.push(Action::delete(&**before)),
                Some(before) => plan.actions.extend(change(set, before)),
            }
        }
        let annotations = selector::labels(&self.deployment.metadata.annotations);
        if let Some(revision) = self.revision.filter(|revision| annotations.get(REVISION) != Some(revision)) {
            let body = json!({"metadata": {"annotations": {REVISION: revision}}});
            plan.push(Action::merge_patch(self.deployment, body).unchanged(self.deployment));
        }
    }
}

fn create(set: &Set) -> Action {
    let failure = format!("Failed to create new replica set \"{}\": {{error}}", set.name());
    let action = Action::create(&set.now).owned().on_failure(PlanEvent::warning("ReplicaSetCreateError", failure));
    set.events.iter().cloned().fold(action, Action::on_success)
}

fn change(set: &Set, before: &ReplicaSet) -> Option<Action> {
    let patch = merge_diff(&scalable(before), &scalable(&set.now))?;
    let action = Action::merge_patch(before, patch).unchanged(before);
    Some(set.events.iter().cloned().fold(action, Action::on_success))
}

/// The part of a ReplicaSet that its Deployment changes.
fn scalable(set: &ReplicaSet) -> Value {
    let spec = set.spec.as_ref();
    json!({
        "metadata": {"annotations": set.metadata.annotations},
        "spec": {
            "replicas": spec.and_then(|spec| spec.replicas),
            "minReadySeconds": spec.and_then(|spec| spec.min_ready_seconds),
        },
    })
}
