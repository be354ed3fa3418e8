//! Owns:    pods on nodes with NoExecute taints.
//! Watches: Pods, Nodes.
//! Writes:  Pod condition DisruptionTarget, deletes of Pods, events.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch, mapped};
use serde_json::json;

use crate::common::firstseen::FirstSeen;
use crate::common::{nodes, pods};

#[derive(Default)]
pub struct TaintEviction {
    /// The pod's UID and its node's taints, by the pod's key.
    tainted: FirstSeen<(Option<String>, Vec<KeyAndValue>)>,
}

type KeyAndValue = (String, Option<String>);

pub struct View {
    pub node: Option<Arc<Node>>,
    /// Since when the pod has been under the taints that its node has now.
    pub since: Timestamp,
}

impl Controller for TaintEviction {
    const NAME: &'static str = "taint-eviction-controller";
    const ACCOUNT: &'static str = "node-controller";
    const QUEUE: &'static str = "noexec_taint_pod";
    type Root = Pod;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![nodes::pods_by_node(), mapped::<Node>(nodes::pods_on)]
    }

    fn view(&self, root: &Pod, caches: &Caches) -> View {
        let node = caches.get::<Node>().find(None, pods::node_name(root));
        let id = Key::of(root).to_string();
        let now = reconcile::now();
        let taints: Vec<_> = node.iter().flat_map(|node| no_execute(node)).collect();
        if taints.is_empty() {
            self.tainted.forget(&id);
            return View { node, since: now };
        }
        let taints = taints.into_iter().map(|taint| (taint.key.clone(), taint.value.clone())).collect();
        View { node, since: self.tainted.since(&id, (root.metadata.uid.clone(), taints), now) }
    }

    fn decide(&self, root: &Pod, view: &View, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(node) = view.node.as_deref().filter(|_| pods::is_active(root)) else { return plan };
        let taints: Vec<&Taint> = no_execute(node).collect();
        let tolerations = root.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or(&[]);
        match stay(&taints, tolerations) {
            Stay::ForEver => {}
            Stay::Seconds(seconds) => {
                let left = view.since.as_second().saturating_add(seconds) - now.as_second();
                match u64::try_from(left) {
                    Ok(left) if left > 0 => plan.requeue_after(Duration::from_secs(left)),
                    _ => evict(root, now, &mut plan),
                }
            }
        }
        plan
    }

    fn absent(&self, key: &Key, _: &Caches) -> Plan {
        self.tainted.forget(&key.to_string());
        Plan::default()
    }

    fn workers(&self) -> usize {
        8
    }
}

fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    nodes::taints(node).iter().filter(|taint| taint.effect == "NoExecute")
}

enum Stay {
    ForEver,
    /// From the time on when the taints were there.
    Seconds(i64),
}

/// Every taint must be tolerated; of the tolerations that do it, the shortest counts.
fn stay(taints: &[&Taint], tolerations: &[Toleration]) -> Stay {
    let mut shortest: Option<i64> = None;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else {
            return Stay::Seconds(0);
        };
        if let Some(seconds) = toleration.toleration_seconds {
            shortest = Some(shortest.map_or(seconds.max(0), |shortest| shortest.min(seconds.max(0))));
        }
    }
    shortest.map_or(Stay::ForEver, Stay::Seconds)
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or("");
    let key = toleration.key.as_deref().unwrap_or("");
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "" | "Equal" => toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or(""),
        _ => false,
    }
}

fn evict(pod: &Pod, now: Timestamp, plan: &mut Plan) {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": Time(now),
    });
    if pods::condition(pod, "DisruptionTarget").is_none_or(|told| told.status != "True") {
        plan.push(Action::patch_status(pod, json!({ "conditions": [condition] })).same_uid(pod));
    }
    plan.push(Action::delete(pod));
    plan.events.push(PlanEvent::normal("TaintManagerEviction", format!("Marking for deletion Pod {}", Key::of(pod))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{ago, now, object, service_pod};
    use serde_json::Value;

    fn decide(taints: Value, tolerations: Value, seconds: i64) -> Plan {
        let mut pod = service_pod("1", "ready");
        pod["spec"]["tolerations"] = tolerations;
        let node = Arc::new(object(json!({"metadata": {"name": "n1"}, "spec": {"taints": taints}})));
        TaintEviction::default().decide(&object(pod), &View { node: Some(node), since: ago(seconds) }, now())
    }

    #[test]
    fn pods_stay_as_long_as_they_tolerate() {
        let bad = json!([{"key": "bad", "value": "x", "effect": "NoExecute"}]);
        let two = json!([{"key": "bad", "value": "x", "effect": "NoExecute"}, {"key": "worse", "effect": "NoExecute"}]);
        let mild = json!([{"key": "bad", "value": "x", "effect": "NoSchedule"}]);
        let exists = |key: &str, seconds: Option<i64>| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let (goes, stays) = (Some(0), None);
        let table = [
            ("not tolerated", bad.clone(), json!([]), 0, goes),
            ("another effect", mild, json!([]), 100, stays),
            ("tolerated for ever", bad.clone(), json!([exists("bad", None)]), 1000, stays),
            ("by value", bad.clone(), json!([{"key": "bad", "value": "x"}]), 1000, stays),
            ("by another value", bad.clone(), json!([{"key": "bad", "value": "y"}]), 0, goes),
            ("everything is tolerated", bad.clone(), json!([{"operator": "Exists"}]), 1000, stays),
            ("for some time", bad.clone(), json!([exists("bad", Some(300))]), 100, Some(200)),
            ("the time is up", bad.clone(), json!([exists("bad", Some(300))]), 300, goes),
            ("one of two is not tolerated", two.clone(), json!([exists("bad", None)]), 0, goes),
            (
                "the shorter time counts",
                two,
                json!([exists("bad", Some(300)), exists("worse", Some(60))]),
                10,
                Some(50),
            ),
        ];
        for (name, taints, tolerations, seconds, expected) in table {
            let plan = decide(taints, tolerations, seconds);
            let verdict = match (&plan.actions[..], plan.requeue_after) {
                ([], None) => None,
                ([], Some(wait)) => Some(wait.as_secs()),
                _ => Some(0),
            };
            assert_eq!(verdict, expected, "{name}");
        }
    }

    #[test]
    fn an_eviction_is_told_before_it_is_done() {
        let plan = decide(json!([{"key": "bad", "effect": "NoExecute"}]), json!([]), 0);
        let text = plan.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("patch Pod shop/pod-1/status") && lines[0].contains("DeletionByTaintManager"),
            "{text}"
        );
        assert_eq!(lines[1], "delete Pod shop/pod-1");
        assert_eq!(lines[2], "event Normal TaintManagerEviction: Marking for deletion Pod shop/pod-1");
    }
}
