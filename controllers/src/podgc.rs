//! Owns:    pods that no kubelet will ever end.
//! Watches: Pods, Nodes.
//! Writes:  Pod status (Failed), deletes of Pods without grace.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, Watch, mapped};
use serde_json::{Value, json};

use crate::common::firstseen::FirstSeen;
use crate::common::{nodes, pods};

#[derive(Default)]
pub struct PodGc {
    missing: FirstSeen<()>,
}

pub enum View {
    /// Not bound to a node.
    Unbound,
    Bound(Arc<Node>),
    /// Bound to a node that is not there, since when.
    Orphaned(Timestamp),
}

/// A node that comes back within this time (upstream's quarantine) finds its pods.
const QUARANTINE: Duration = Duration::from_secs(40);

impl Controller for PodGc {
    const NAME: &'static str = "pod-garbage-collector-controller";
    const ACCOUNT: &'static str = "pod-garbage-collector";
    const QUEUE: &'static str = "orphaned_pods_nodes";
    type Root = Pod;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![nodes::pods_by_node(), mapped::<Node>(nodes::pods_on)]
    }

    fn view(&self, root: &Pod, caches: &Caches) -> View {
        let name = pods::node_name(root);
        if name.is_empty() {
            return View::Unbound;
        }
        match caches.get::<Node>().find(None, name) {
            Some(node) => {
                self.missing.forget(name);
                View::Bound(node)
            }
            None => View::Orphaned(self.missing.since(name, (), reconcile::now())),
        }
    }

    fn decide(&self, root: &Pod, view: &View, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let leaves = root.metadata.deletion_timestamp.is_some();
        match view {
            View::Unbound if leaves => end(root, None, &mut plan),
            View::Unbound => {}
            View::Bound(node) => {
                let out_of_service =
                    nodes::taints(node).iter().any(|taint| taint.key == "node.kubernetes.io/out-of-service");
                if leaves && !pods::is_terminal(root) && out_of_service && !nodes::is_ready(node) {
                    end(root, None, &mut plan);
                }
            }
            View::Orphaned(since) => {
                let waited = u64::try_from(now.as_second() - since.as_second()).unwrap_or(0);
                match QUARANTINE.as_secs().checked_sub(waited) {
                    Some(left) if left > 0 => plan.requeue_after(Duration::from_secs(left)),
                    _ => {
                        let condition = json!({
                            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                            "message": "PodGC: node no longer exists", "lastTransitionTime": Time(now),
                        });
                        end(root, Some(condition), &mut plan);
                        let node = Key::cluster(pods::node_name(root));
                        plan.actions = plan
                            .actions
                            .into_iter()
                            .map(|action| action.confirm_absent::<Node>(node.clone()))
                            .collect();
                    }
                }
            }
        }
        plan
    }
}

/// No kubelet will tell how the pod ended, so it counts as failed.
fn end(pod: &Pod, condition: Option<Value>, plan: &mut Plan) {
    if !pods::is_terminal(pod) {
        let mut status = json!({"phase": "Failed"});
        if let Some(condition) = condition {
            status["conditions"] = json!([condition]);
        }
        // Its kubelet may have told meanwhile how it ended, and that stays.
        plan.push(Action::patch_status(pod, status).unchanged(pod));
    }
    plan.push(Action::delete(pod).grace(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, ago, now, object, service_pod};

    #[test]
    fn pods_that_nobody_ends_are_ended() {
        let node = |ready: &str, taint: &str| {
            View::Bound(Arc::new(object(json!({"metadata": {"name": "n1"},
                "spec": {"taints": [{"key": format!("node.kubernetes.io/{taint}"), "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}}))))
        };
        let fail = r#"patch Pod shop/pod-1/status {"status":{"phase":"Failed"}}"#;
        let delete = "delete Pod shop/pod-1";
        let table: [(&str, &str, View, &[&str]); 7] = [
            ("not bound yet", "", View::Unbound, &[]),
            ("never bound, deleted", "deleted", View::Unbound, &[fail, delete]),
            ("on a living node", "deleted", node("True", "out-of-service"), &[]),
            ("on a node out of service", "deleted", node("Unknown", "out-of-service"), &[fail, delete]),
            ("on a silent node", "deleted", node("Unknown", "unreachable"), &[]),
            ("the node may come back", "", View::Orphaned(ago(39)), &[]),
            ("ended on a node that is gone", "failed", View::Orphaned(ago(40)), &[delete]),
        ];
        for (name, state, view, expected) in table {
            let plan = PodGc::default().decide(&object(service_pod("1", state)), &view, now());
            assert_eq!(actions(&plan), *expected, "{name}");
        }
    }

    #[test]
    fn a_missing_node_is_asked_for_first() {
        let plan = PodGc::default().decide(&object(service_pod("1", "")), &View::Orphaned(ago(41)), now());
        assert_eq!(plan.actions.len(), 2, "{plan}");
        assert!(plan.actions.iter().all(|action| action.confirm.is_some()));
        assert!(actions(&plan)[0].contains("DeletionByPodGC"));
        let waits = PodGc::default().decide(&object(service_pod("1", "")), &View::Orphaned(ago(10)), now());
        assert_eq!(waits.requeue_after, Some(Duration::from_secs(30)));
    }
}
