//! Owns:    a node's conditions while its kubelet is silent, and the taints that follow from conditions.
//! Watches: Nodes, Leases; reads Pods.
//! Writes:  Node status and taints, Pod conditions, events.
//!
//! A node is silent when neither its Lease nor its Ready condition's heartbeat has changed for the grace period, by our clock.

mod taints;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::informer::Caches;
use reconcile::plan::StatusWrite;
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch, mapped};
use serde_json::json;

use crate::common::firstseen::FirstSeen;
use crate::common::nodes::{self, PODS_BY_NODE};
use crate::common::pods;

pub struct NodeLifecycle {
    pub config: Config,
    heartbeats: FirstSeen<(Option<Timestamp>, Option<Timestamp>)>,
}

/// Upstream's defaults of v1.35.
#[derive(Clone, Debug)]
pub struct Config {
    /// Silent for so long: the node's state is unknown.
    pub grace_period: Duration,
    /// The same for a node that has not told its state yet.
    pub startup_grace_period: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { grace_period: Duration::from_secs(50), startup_grace_period: Duration::from_secs(60) }
    }
}

pub struct View {
    /// The last sign of life.
    pub alive_at: Timestamp,
    pub pods: Vec<Arc<Pod>>,
    /// No node at all is ready: then it is rather us who cannot see, and no pod is driven out.
    pub all_down: bool,
}

const LEASES: &str = "kube-node-lease";

/// How often a node that is not ready is looked at: whether others are ready may have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl NodeLifecycle {
    pub fn new(config: Config) -> Self {
        Self { config, heartbeats: FirstSeen::default() }
    }

    /// In seconds; negative when the node has been silent for too long.
    fn grace_left(&self, node: &Node, alive_at: Timestamp, now: Timestamp) -> f64 {
        let told = nodes::condition(node, "Ready").is_some();
        let grace = if told { self.config.grace_period } else { self.config.startup_grace_period };
        grace.as_secs_f64() - now.duration_since(alive_at).as_secs_f64()
    }
}

impl Controller for NodeLifecycle {
    const NAME: &'static str = "node-lifecycle-controller";
    const ACCOUNT: &'static str = "node-controller";
    const QUEUE: &'static str = "node_lifecycle_controller";
    type Root = Node;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![mapped::<Lease>(node_of), nodes::pods_by_node()]
    }

    fn view(&self, root: &Node, caches: &Caches) -> View {
        let name = root.metadata.name.as_deref().unwrap_or("");
        let lease = caches.get::<Lease>().find(Some(LEASES), name);
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
        let heartbeat =
            nodes::condition(root, "Ready").and_then(|ready| ready.last_heartbeat_time.as_ref().map(|time| time.0));
        let mut alive_at = self.heartbeats.since(name, (renewed, heartbeat), reconcile::now());
        if let (None, None, Some(created)) = (renewed, heartbeat, &root.metadata.creation_timestamp) {
            alive_at = created.0;
        }
        // Only for a node in trouble is it worth looking around.
        let trouble = !nodes::is_ready(root) || self.grace_left(root, alive_at, reconcile::now()) < 0.0;
        let pods = if trouble { caches.get::<Pod>().by_index(PODS_BY_NODE, name) } else { Vec::new() };
        let all_down = trouble && !caches.get::<Node>().list().iter().any(|node| nodes::is_ready(node));
        View { alive_at, pods, all_down }
    }

    fn decide(&self, root: &Node, view: &View, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if root.metadata.deletion_timestamp.is_some() {
            return plan;
        }
        let left = self.grace_left(root, view.alive_at, now);
        let mut node = root.clone();
        if left < 0.0 {
            lose(&mut node, now);
            if nodes::is_ready(root) {
                let name = root.metadata.name.as_deref().unwrap_or("");
                plan.events.push(PlanEvent::normal("NodeNotReady", format!("Node {name} status is now: NodeNotReady")));
            }
        } else {
            plan.requeue_after(Duration::from_secs_f64(left) + Duration::from_secs(1));
        }
        let unknown = nodes::condition(&node, "Ready").is_some_and(|ready| ready.status == "Unknown");
        if unknown {
            view.pods.iter().filter(|pod| pods::is_ready(pod)).for_each(|pod| plan.push(unready(pod, now)));
        }
        let wanted = taints::wanted(&node, view.all_down, now);
        if wanted != nodes::taints(&node) {
            let body = json!({"spec": {"taints": if wanted.is_empty() { json!(null) } else { json!(wanted) }}});
            plan.push(Action::merge_patch(root, body).unchanged(root));
        }
        if !nodes::is_ready(&node) {
            plan.requeue_after(LOOK_AGAIN);
        }
        plan.status = StatusWrite::between(&root.status, &node.status);
        plan
    }

    fn absent(&self, key: &Key, _: &Caches) -> Plan {
        self.heartbeats.forget(&key.name);
        Plan::default()
    }
}

fn node_of(lease: &Lease, _: &Caches) -> Vec<Key> {
    let name = lease.metadata.name.as_deref().filter(|_| lease.metadata.namespace.as_deref() == Some(LEASES));
    name.map(Key::cluster).into_iter().collect()
}

/// What the kubelet used to tell is not known any more. NetworkUnavailable is not the kubelet's.
fn lose(node: &mut Node, now: Timestamp) {
    let created = node.metadata.creation_timestamp.clone();
    let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
    for type_ in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        let unknown = |reason: &str, message: &str| NodeCondition {
            type_: type_.to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: created.clone(),
            last_transition_time: Some(Time(now)),
        };
        match conditions.iter_mut().find(|condition| condition.type_ == type_) {
            None => conditions.push(unknown("NodeStatusNeverUpdated", "Kubelet never posted node status.")),
            Some(condition) if condition.status != "Unknown" => {
                let last_heartbeat_time = condition.last_heartbeat_time.take();
                let lost = unknown("NodeStatusUnknown", "Kubelet stopped posting node status.");
                *condition = NodeCondition { last_heartbeat_time, ..lost };
            }
            Some(_) => {}
        }
    }
}

/// Nobody else takes a silent node's pods out of their Services.
fn unready(pod: &Pod, now: Timestamp) -> Action {
    let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": Time(now)});
    Action::patch_status(pod, json!({ "conditions": [condition] }))
        .unchanged(pod)
        .on_success(PlanEvent::warning("NodeNotReady", "Node is not ready").about(pod))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, ago, now, object, service_pod, shared, status, time_ago};
    use serde_json::Value;

    fn node(ready: &str) -> Value {
        let mut node = json!({"metadata": {"name": "n1", "uid": "n", "creationTimestamp": time_ago(1000)}, "spec": {}, "status": {}});
        if !ready.is_empty() {
            let condition = |type_: &str, status: &str| json!({"type": type_, "status": status, "lastHeartbeatTime": time_ago(100), "lastTransitionTime": time_ago(100)});
            node["status"]["conditions"] = json!([condition("Ready", ready), condition("MemoryPressure", "False")]);
        }
        node
    }

    fn decide(root: Value, alive: i64, all_down: bool) -> Plan {
        let view =
            View { alive_at: ago(alive), pods: shared([service_pod("1", "ready"), service_pod("2", "")]), all_down };
        NodeLifecycle::new(Config::default()).decide(&object(root), &view, now())
    }

    #[test]
    fn silence_is_noticed_after_the_grace_period() {
        let table = [
            ("talks", "True", 10, None),
            ("at the end of the grace", "True", 50, None),
            ("silent", "True", 51, Some("NodeStatusUnknown")),
            ("new", "", 59, None),
            ("never talked", "", 61, Some("NodeStatusNeverUpdated")),
        ];
        for (name, ready, alive, reason) in table {
            let written = status(&decide(node(ready), alive, false));
            assert_eq!(written["conditions"][0]["reason"].as_str(), reason, "{name}");
            if reason.is_some() {
                assert_eq!(written["conditions"].as_array().map(Vec::len), Some(4), "{name}");
            }
        }
    }

    #[test]
    fn a_silent_node_is_tainted_and_its_pods_are_not_ready() {
        let plan = decide(node("True"), 100, false);
        let [pod, taints] = &actions(&plan)[..] else { panic!("{plan}") };
        assert!(pod.starts_with(r#"patch Pod shop/pod-1/status {"status":{"conditions":[{"#), "{pod}");
        for effect in ["NoSchedule", "NoExecute"] {
            assert!(
                taints.contains(&format!(r#""effect":"{effect}","key":"node.kubernetes.io/unreachable""#)),
                "{taints}"
            );
        }
        assert_eq!(plan.events[0].message, "Node n1 status is now: NodeNotReady");
    }

    #[test]
    fn what_is_known_already_is_not_written_again() {
        let mut silent = node("Unknown");
        silent["status"]["conditions"][1]["status"] = json!("Unknown");
        for type_ in ["DiskPressure", "PIDPressure"] {
            silent["status"]["conditions"]
                .as_array_mut()
                .expect("a list")
                .push(json!({"type": type_, "status": "Unknown"}));
        }
        let plan = decide(silent, 100, true);
        assert_eq!(status(&plan), Value::Null);
        assert!(plan.events.is_empty());
        assert_eq!(plan.requeue_after, Some(LOOK_AGAIN));
    }

    #[test]
    fn the_grace_is_looked_at_in_time() {
        assert_eq!(decide(node("True"), 20, false).requeue_after, Some(Duration::from_secs(31)));
    }
}
