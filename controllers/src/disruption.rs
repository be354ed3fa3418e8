//! Owns:    the status of PodDisruptionBudgets, by which evictions are allowed.
//! Watches: PodDisruptionBudgets, Pods; reads ReplicaSets, ReplicationControllers and Deployments (for their sizes).
//! Writes:  PodDisruptionBudget status, events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reconcile::informer::Caches;
use reconcile::{Controller, Key, Plan, PlanEvent, Watch, mapped, owner_key, read};

use crate::common::{pods, selector};

pub struct Disruptions;

pub struct View {
    pub pods: Vec<Arc<Pod>>,
    /// The size that the controllers of the pods want in sum, each counted once; or why that is not known.
    pub scale: Result<i32, String>,
    /// Pods without a controller.
    pub unmanaged: usize,
}

/// So long an eviction that was granted counts, until the pod is seen to go.
const DELETION_TIMEOUT: i64 = 120;

const CONDITION: &str = "DisruptionAllowed";

impl Controller for Disruptions {
    const NAME: &'static str = "disruption-controller";
    const QUEUE: &'static str = "disruption";
    type Root = PodDisruptionBudget;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![mapped::<Pod>(budgets_of), read::<ReplicaSet>(), read::<ReplicationController>(), read::<Deployment>()]
    }

    fn view(&self, root: &PodDisruptionBudget, caches: &Caches) -> View {
        let mut pods = caches.get::<Pod>().in_namespace(root.metadata.namespace.as_deref().unwrap_or(""));
        pods.retain(|pod| selects(root, pod));
        let mut sizes = BTreeMap::new();
        let (mut unmanaged, mut unknown) = (0, None);
        for pod in &pods {
            match pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)) {
                None => unmanaged += 1,
                Some(owner) => match size(pod, owner, caches) {
                    Some((uid, size)) => drop(sizes.insert(uid, size)),
                    None => unknown = pod.metadata.name.clone(),
                },
            }
        }
        let scale = match unknown {
            Some(name) => Err(format!("found no controllers for pod \"{name}\"")),
            None => Ok(sizes.values().sum()),
        };
        View { pods, scale, unmanaged }
    }

    fn decide(&self, root: &PodDisruptionBudget, view: &View, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let old = root.status.clone().unwrap_or_default();
        let (expected, desired) = match wanted(root, view) {
            Ok(wanted) => wanted,
            Err(reason) => {
                // What cannot be counted allows nothing.
                let mut status = PodDisruptionBudgetStatus { disruptions_allowed: 0, ..old.clone() };
                judge(&mut status, Some(&reason), now);
                plan.set_status(&old, &status);
                if plan.status.is_some() {
                    let text = format!("Failed to calculate the number of expected pods: {reason}");
                    plan.events.push(PlanEvent::warning("CalculateExpectedPodCountFailed", text));
                }
                return plan;
            }
        };
        let disrupted = still_disrupted(&old, &view.pods, now);
        let healthy = view.pods.iter().filter(|pod| {
            let name = pod.metadata.name.as_deref().unwrap_or("");
            pod.metadata.deletion_timestamp.is_none() && !disrupted.contains_key(name) && pods::is_ready(pod)
        });
        let healthy = healthy.count() as i32;
        // Without any pods nothing is allowed: the first ones may appear before they are counted.
        let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
        let recheck = disrupted.values().map(|time| time.0.as_second() + DELETION_TIMEOUT - now.as_second()).min();
        if let Some(wait) = recheck.and_then(|wait| u64::try_from(wait).ok()) {
            plan.requeue_after(Duration::from_secs(wait + 1));
        }
        let mut status = PodDisruptionBudgetStatus {
            current_healthy: healthy,
            desired_healthy: desired,
            expected_pods: expected,
            disruptions_allowed: allowed,
            disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
            observed_generation: root.metadata.generation,
            conditions: old.conditions.clone(),
        };
        judge(&mut status, None, now);
        plan.set_status(&old, &status);
        if plan.status.is_some() && view.unmanaged > 0 && counts_by_scale(root) {
            let text = "Pods selected by this PodDisruptionBudget have no controller, so what is wanted of them is not known. \
                To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.";
            plan.events.push(PlanEvent::warning("UnmanagedPods", text));
        }
        if plan.status.is_some() && view.pods.is_empty() {
            plan.events.push(PlanEvent::normal("NoPods", "No matching pods found"));
        }
        plan
    }
}

fn budgets_of(pod: &Pod, caches: &Caches) -> Vec<Key> {
    let budgets = caches.get::<PodDisruptionBudget>().in_namespace(pod.metadata.namespace.as_deref().unwrap_or(""));
    budgets.iter().filter(|budget| selects(budget, pod)).map(|budget| Key::of(&**budget)).collect()
}

/// In policy/v1 an empty selector matches all pods of the namespace, an absent one none.
fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selector::matches(selector, selector::labels(&pod.metadata.labels)))
}

/// The UID and the size of what scales a pod; a ReplicaSet is scaled by its Deployment.
fn size(pod: &Pod, owner: &OwnerReference, caches: &Caches) -> Option<(String, i32)> {
    if let Some(key) = owner_key::<ReplicationController>(&pod.metadata) {
        let found = caches.get::<ReplicationController>().get(&key);
        let found = found.filter(|found| found.metadata.uid.as_ref() == Some(&owner.uid))?;
        return Some((owner.uid.clone(), found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)));
    }
    let key = owner_key::<ReplicaSet>(&pod.metadata)?;
    let set = caches.get::<ReplicaSet>().get(&key).filter(|set| set.metadata.uid.as_ref() == Some(&owner.uid))?;
    let deployment = owner_key::<Deployment>(&set.metadata).and_then(|key| caches.get::<Deployment>().get(&key));
    if let Some(deployment) = deployment {
        let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        return Some((deployment.metadata.uid.clone()?, replicas));
    }
    Some((owner.uid.clone(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
}

/// Expected pods and desired healthy ones. A number of available pods counts what is there, everything else what is wanted.
fn wanted(budget: &PodDisruptionBudget, view: &View) -> Result<(i32, i32), String> {
    let Some(spec) = &budget.spec else { return Ok((0, 0)) };
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(unavailable), _) => {
            let expected = view.scale.clone()?;
            Ok((expected, (expected - scaled_up(unavailable, expected)).max(0)))
        }
        (None, Some(IntOrString::Int(available))) => Ok((view.pods.len() as i32, *available)),
        (None, Some(percent)) => {
            let expected = view.scale.clone()?;
            Ok((expected, scaled_up(percent, expected)))
        }
        (None, None) => Ok((0, 0)),
    }
}

fn counts_by_scale(budget: &PodDisruptionBudget) -> bool {
    let available = budget.spec.as_ref().and_then(|spec| spec.min_available.as_ref());
    !matches!(available, Some(IntOrString::Int(_)))
}

fn scaled_up(value: &IntOrString, of: i32) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i32 = text.trim_end_matches('%').parse().unwrap_or(0);
            (f64::from(of) * f64::from(percent) / 100.0).ceil() as i32
        }
    }
}

/// The evictions granted by the API server that have not been seen to happen, and may still.
fn still_disrupted(old: &PodDisruptionBudgetStatus, pods: &[Arc<Pod>], now: Timestamp) -> BTreeMap<String, Time> {
    let mut disrupted = old.disrupted_pods.clone().unwrap_or_default();
    disrupted.retain(|name, time| {
        let stays = pods
            .iter()
            .any(|pod| pod.metadata.name.as_ref() == Some(name) && pod.metadata.deletion_timestamp.is_none());
        stays && time.0.as_second() + DELETION_TIMEOUT >= now.as_second()
    });
    disrupted
}

fn judge(status: &mut PodDisruptionBudgetStatus, failure: Option<&str>, now: Timestamp) {
    let (verdict, reason, message) = match failure {
        Some(failure) => ("False", "SyncFailed", failure),
        None if status.disruptions_allowed > 0 => ("True", "SufficientPods", ""),
        None => ("False", "InsufficientPods", ""),
    };
    let mut condition = Condition {
        type_: CONDITION.to_owned(),
        status: verdict.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: status.observed_generation,
        last_transition_time: Time(now),
    };
    let conditions = status.conditions.get_or_insert_default();
    if let Some(known) = conditions.iter().find(|known| known.type_ == CONDITION && known.status == verdict) {
        condition.last_transition_time = known.last_transition_time.clone();
    }
    conditions.retain(|known| known.type_ != CONDITION);
    conditions.push(condition);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{now, object, service_pod, shared, status, time_ago};
    use serde_json::{Value, json};

    fn decide(spec: Value, old: Value, pods: &[&str], scale: Result<i32, String>) -> Plan {
        let budget =
            json!({"metadata": {"name": "web", "namespace": "shop", "generation": 1}, "spec": spec, "status": old});
        let pods = pods.iter().enumerate().map(|(index, state)| service_pod(&index.to_string(), state));
        Disruptions.decide(&object(budget), &View { pods: shared(pods), scale, unmanaged: 0 }, now())
    }

    fn counts(plan: &Plan) -> [i64; 4] {
        let written = status(plan);
        ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"]
            .map(|name| written[name].as_i64().unwrap_or(0))
    }

    #[test]
    fn budgets_count_pods() {
        let zero = json!({"expectedPods": -1, "desiredHealthy": -1, "currentHealthy": -1, "disruptionsAllowed": -1});
        let three = &["ready", "ready", "ready"][..];
        let table = [
            ("a number available", json!({"minAvailable": 2}), three, [3, 2, 3, 1]),
            ("a part available", json!({"minAvailable": "50%"}), three, [4, 2, 3, 1]),
            ("a number unavailable", json!({"maxUnavailable": 1}), three, [4, 3, 3, 0]),
            ("a part unavailable", json!({"maxUnavailable": "50%"}), three, [4, 2, 3, 1]),
            ("a leaving pod is not healthy", json!({"minAvailable": 1}), &["ready", "ready deleted", ""], [3, 1, 1, 0]),
            ("no pods", json!({"minAvailable": 0}), &[], [0, 0, 0, 0]),
        ];
        for (name, spec, pods, expected) in table {
            let plan = decide(spec, zero.clone(), pods, Ok(4));
            assert_eq!(counts(&plan), expected, "{name}");
            let verdict = if expected[3] > 0 { "SufficientPods" } else { "InsufficientPods" };
            assert_eq!(status(&plan)["conditions"][0]["reason"], verdict, "{name}");
        }
    }

    #[test]
    fn a_granted_eviction_counts_until_it_happens_or_is_late() {
        let old = |seconds: i64| {
            json!({"expectedPods": 0, "desiredHealthy": 0, "currentHealthy": 0, "disruptionsAllowed": 0,
                "disruptedPods": {"pod-0": time_ago(seconds), "gone": time_ago(1)}})
        };
        let spec = json!({"minAvailable": 1});
        let recent = decide(spec.clone(), old(10), &["ready", "ready"], Ok(2));
        assert_eq!(
            (status(&recent)["currentHealthy"].as_i64(), recent.requeue_after),
            (Some(1), Some(Duration::from_secs(111)))
        );
        assert_eq!(status(&recent)["disruptedPods"], json!({"gone": null}));
        let late = decide(spec, old(121), &["ready", "ready"], Ok(2));
        assert_eq!(status(&late)["currentHealthy"], 2);
    }

    #[test]
    fn what_cannot_be_counted_allows_nothing() {
        let old = json!({"expectedPods": 2, "desiredHealthy": 1, "currentHealthy": 2, "disruptionsAllowed": 1});
        let plan = decide(json!({"maxUnavailable": 1}), old, &["ready"], Err("no scale".to_owned()));
        let written = status(&plan);
        assert_eq!(
            (&written["disruptionsAllowed"], &written["conditions"][0]["message"]),
            (&json!(0), &json!("no scale"))
        );
    }
}
