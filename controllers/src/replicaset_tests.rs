use serde_json::{Value, json};

use super::*;
use crate::common::testing::{actions, ago, now, object, shared, status, time_ago};

/// Names and states.
type Pods<'a> = &'a [(&'a str, &'a str)];

fn replica_set(replicas: i32) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "rs1", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
    })
}

/// `state` is any of: ready, pending, deleted, failed, orphan, other, relabeled; and cost=N, node=N, ready=SECONDS.
fn pod(name: &str, state: &str) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": "web"},
            "creationTimestamp": time_ago(1000),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs1", "controller": true}]},
        "spec": {"containers": [], "nodeName": "n1"},
        "status": {"phase": "Running"},
    });
    for word in state.split_whitespace() {
        let (word, value) = word.split_once('=').unwrap_or((word, "1000"));
        match word {
            "ready" => {
                let since = time_ago(value.parse().expect("seconds"));
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
            }
            "pending" => pod["status"]["phase"] = json!("Pending"),
            "failed" => pod["status"]["phase"] = json!("Failed"),
            "deleted" => pod["metadata"]["deletionTimestamp"] = json!(time_ago(1)),
            "orphan" => pod["metadata"]["ownerReferences"] = Value::Null,
            "other" => pod["metadata"]["ownerReferences"][0]["uid"] = json!("rs2"),
            "relabeled" => pod["metadata"]["labels"] = json!({"app": "debug"}),
            "node" => pod["spec"]["nodeName"] = json!(value),
            "unassigned" => pod["spec"]["nodeName"] = Value::Null,
            "cost" => {
                pod["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": value});
            }
            "restarts" => {
                pod["status"]["containerStatuses"] = json!([{"name": "c", "restartCount": value.parse::<i32>().expect("a number"), "ready": true, "image": "",
                        "imageID": ""}]);
            }
            other => panic!("what is {other}?"),
        }
    }
    pod
}

fn decide(root: Value, pods: Pods) -> Plan {
    let pods = shared(pods.iter().map(|(name, state)| pod(name, state)));
    let view = View { related: pods.clone(), pods };
    ReplicaSets.decide(&object(root), &view, now())
}

#[test]
fn actions_follow_from_the_pods() {
    let create = "create Pod shop/web-*";
    let adopt_b = r#"patch Pod shop/b {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"rs1"}]}}"#;
    let release_b = r#"patch Pod shop/b {"metadata":{"ownerReferences":[{"$patch":"delete","uid":"rs1"}]}}"#;
    let table: &[(&str, i32, Pods, &[&str])] = &[
        ("none yet", 2, &[], &[create, create]),
        ("enough", 2, &[("a", "ready"), ("b", "")], &[]),
        ("a failed one is replaced", 1, &[("a", "failed")], &[create]),
        ("a leaving one is replaced at once", 1, &[("a", "deleted")], &[create]),
        ("an orphan is adopted and counts", 2, &[("a", ""), ("b", "orphan")], &[adopt_b]),
        ("a leaving orphan is left alone", 1, &[("a", ""), ("b", "orphan deleted")], &[]),
        ("another one's pod is left alone", 1, &[("a", ""), ("b", "other")], &[]),
        ("a relabeled pod is let go", 1, &[("a", ""), ("b", "relabeled")], &[release_b]),
        ("to zero", 0, &[("a", "ready"), ("b", "")], &["delete Pod shop/a", "delete Pod shop/b"]),
    ];
    for (name, replicas, pods, expected) in table {
        assert_eq!(actions(&decide(replica_set(*replicas), pods)), *expected, "{name}");
    }
}

#[test]
fn the_pod_that_is_missed_least_goes_first() {
    let table: &[(&str, Pods, &str)] = &[
        ("unassigned before pending", &[("a", "pending"), ("b", "unassigned pending"), ("c", "ready")], "b"),
        ("pending before running", &[("a", ""), ("b", "pending")], "b"),
        ("not ready before ready", &[("a", "ready"), ("b", "")], "b"),
        ("cheap before dear", &[("a", "ready cost=10"), ("b", "ready cost=-5"), ("c", "ready")], "b"),
        ("crowded before alone", &[("a", "ready node=n2"), ("b", "ready"), ("c", "ready")], "b"),
        ("ready for a short time before long", &[("a", "ready=500"), ("b", "ready=10")], "b"),
        ("often restarted before seldom", &[("a", "ready"), ("b", "ready restarts=3")], "b"),
    ];
    for (name, pods, expected) in table {
        let plan = decide(replica_set(pods.len() as i32 - 1), pods);
        assert_eq!(actions(&plan), [format!("delete Pod shop/{expected}")], "{name}");
    }
}

#[test]
fn status_counts_the_pods() {
    let plan = decide(
        replica_set(4),
        &[
            ("a", "ready"),
            ("b", ""),
            ("c", "ready deleted"),
            ("d", "failed deleted"),
            ("e", "orphan deleted"),
            ("f", "relabeled deleted"),
        ],
    );
    let expected = json!({"replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1,
        "terminatingReplicas": 1});
    assert_eq!(status(&plan), expected);
    let failed = plan.status_if_failed.expect("a status for failures").0;
    assert_eq!(failed["conditions"][0]["reason"], "FailedCreate");
}

#[test]
fn a_status_that_is_right_is_not_written() {
    let mut root = replica_set(1);
    root["status"] = json!({"replicas": 1, "fullyLabeledReplicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1,
        "terminatingReplicas": 0});
    assert!(decide(root, &[("a", "ready")]).is_empty());
}

#[test]
fn availability_is_looked_at_again_in_time() {
    let mut root = replica_set(2);
    root["spec"]["minReadySeconds"] = json!(30);
    let plan = decide(root, &[("a", "ready=10"), ("b", "ready=25")]);
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(5)));
    let written = status(&plan);
    assert_eq!((&written["readyReplicas"], &written["availableReplicas"]), (&json!(2), &Value::Null));
}

#[test]
fn a_deleted_replica_set_only_counts() {
    let mut root = replica_set(3);
    root["metadata"]["deletionTimestamp"] = json!(ago(1).to_string());
    assert!(decide(root, &[("a", "ready"), ("b", "orphan")]).actions.is_empty());
}
