//! Owns:    Pods of a ReplicationController.
//! Watches: ReplicationControllers, Pods.
//! Writes:  Pods (create, delete, adopt, release), ReplicationController status, events.
//!
//! What is decided is what [`crate::replicaset`] decides of a ReplicaSet that says the same. The fields of the two kinds' statuses have
//! the same names, so a status of the one is written as one of the other.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    Pod, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use reconcile::informer::Caches;
use reconcile::{Controller, Plan, Watch, mapped};

use crate::common::selector;
use crate::replicaset::{self, View};

pub struct ReplicationControllers;

impl Controller for ReplicationControllers {
    const NAME: &'static str = "replication-controller";
    const QUEUE: &'static str = "replicationmanager";
    type Root = ReplicationController;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![mapped::<Pod>(|pod, caches| replicaset::sets_of(pod, caches, selects))]
    }

    fn view(&self, root: &ReplicationController, caches: &Caches) -> View {
        replicaset::view(root, root.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1), caches)
    }

    fn decide(&self, root: &ReplicationController, view: &View, now: Timestamp) -> Plan {
        replicaset::decide(root, &as_replica_set(root), view, None, now)
    }
}

fn selects(root: &ReplicationController, labels: &selector::Labels) -> bool {
    let wanted = root.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    wanted.is_some_and(|wanted| !wanted.is_empty() && selector::is_subset(wanted, labels))
}

fn as_replica_set(root: &ReplicationController) -> ReplicaSet {
    let spec = root.spec.clone().map(|spec| ReplicaSetSpec {
        min_ready_seconds: spec.min_ready_seconds,
        replicas: spec.replicas,
        selector: LabelSelector { match_labels: spec.selector, match_expressions: None },
        template: spec.template,
    });
    ReplicaSet { metadata: root.metadata.clone(), spec, status: root.status.clone().map(status) }
}

fn status(status: ReplicationControllerStatus) -> ReplicaSetStatus {
    let condition = |condition: ReplicationControllerCondition| ReplicaSetCondition {
        last_transition_time: condition.last_transition_time,
        message: condition.message,
        reason: condition.reason,
        status: condition.status,
        type_: condition.type_,
    };
    ReplicaSetStatus {
        available_replicas: status.available_replicas,
        conditions: status.conditions.map(|conditions| conditions.into_iter().map(condition).collect()),
        fully_labeled_replicas: status.fully_labeled_replicas,
        observed_generation: status.observed_generation,
        ready_replicas: status.ready_replicas,
        replicas: status.replicas,
        terminating_replicas: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, shared, status};
    use serde_json::{Value, json};

    fn controller(status: Value) -> Value {
        json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "rc1", "generation": 1},
            "spec": {"replicas": 2, "selector": {"app": "web"},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
            "status": status,
        })
    }

    fn pod(name: &str, owner: &str, app: &str) -> Value {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": app}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        if !owner.is_empty() {
            pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ReplicationController",
                "name": "web", "uid": owner, "controller": true}]);
        }
        pod
    }

    #[test]
    fn pods_are_kept_as_a_replica_set_keeps_them() {
        let adopt = r#"patch Pod shop/b {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicationController","name":"web","uid":"rc1"}]}}"#;
        let release = r#"patch Pod shop/b {"metadata":{"ownerReferences":[{"$patch":"delete","uid":"rc1"}]}}"#;
        let create = "create Pod shop/web-*";
        let a = || pod("a", "rc1", "web");
        let table = [
            ("one is missing", vec![a()], vec![create]),
            ("enough", vec![a(), pod("b", "rc1", "web")], vec![]),
            ("an orphan is adopted", vec![a(), pod("b", "", "web")], vec![adopt]),
            ("an orphan with other labels", vec![a(), pod("b", "", "db")], vec![create]),
            ("another's", vec![a(), pod("b", "rc2", "web")], vec![create]),
            ("relabeled", vec![a(), pod("b", "rc1", "debug")], vec![release, create]),
        ];
        for (name, pods, expected) in table {
            let view = View { pods: shared(pods), related: Vec::new() };
            let plan = ReplicationControllers.decide(&object(controller(Value::Null)), &view, now());
            assert_eq!(actions(&plan), expected, "{name}");
            assert!(plan.actions.iter().filter(|action| action.to_string() == create).all(|action| action.owned));
        }
    }

    #[test]
    fn the_status_is_told_once() {
        let view = View { pods: shared([pod("a", "rc1", "web"), pod("b", "rc1", "web")]), related: Vec::new() };
        let failure = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]);
        let plan = |status: Value| ReplicationControllers.decide(&object(controller(status)), &view, now());
        let right = json!({"replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 1});
        assert_eq!(status(&plan(Value::Null)), right);
        assert!(plan(right.clone()).is_empty());
        let mut failed = right;
        failed["conditions"] = failure;
        assert_eq!(status(&plan(failed)), json!({ "conditions": null }), "the failure has passed");
    }

    #[test]
    fn an_empty_selector_selects_nothing() {
        for (selector, expected) in [(json!({"app": "web"}), true), (json!({}), false), (Value::Null, false)] {
            let mut root = controller(Value::Null);
            root["spec"]["selector"] = selector.clone();
            let labels = [("app".to_owned(), "web".to_owned())].into();
            assert_eq!(selects(&object(root), &labels), expected, "{selector}");
        }
    }
}
