//! The scheduler as a client of an API server.

mod fake;

use std::time::Duration;

use fake::FakeApi;
use scheduler::Config;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

fn start(api: &FakeApi) -> DropGuard {
    let cancel = CancellationToken::new();
    tokio::spawn(scheduler::run(api.client(), Config::default(), cancel.clone()));
    cancel.drop_guard()
}

fn node(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "pods": "110"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
    })
}

/// Asks until the answer is yes.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let asking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

fn node_of(api: &FakeApi, pod: &str) -> String {
    api.get("pods", pod)["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_pod_is_bound_and_told() {
    let api = FakeApi::default();
    api.put("nodes", node("n", "2"));
    api.put("pods", pod("before", "1"));
    let _scheduler = start(&api);
    eventually("a pod from before the start", || node_of(&api, "before") == "n").await;
    api.put("pods", pod("after", "1"));
    eventually("a pod from after it", || node_of(&api, "after") == "n").await;
    let expected = "Scheduled: Successfully assigned default/after to n".to_owned();
    eventually("the event", || api.events().contains(&expected)).await;
}

#[tokio::test]
async fn a_refused_pod_says_why_and_is_bound_when_there_is_room() {
    let api = FakeApi::default();
    api.put("nodes", node("n", "1"));
    let mut running = pod("running", "1");
    running["spec"]["nodeName"] = json!("n");
    api.put("pods", running);
    api.put("pods", pod("p", "1"));
    let _scheduler = start(&api);
    let why = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    eventually("the condition", || api.get("pods", "p")["status"]["conditions"][0]["message"] == why).await;
    let condition = api.get("pods", "p")["status"]["conditions"][0].clone();
    assert_eq!((condition["status"].as_str(), condition["reason"].as_str()), (Some("False"), Some("Unschedulable")));
    assert_eq!(condition["observedGeneration"], 1);
    assert!(condition["lastTransitionTime"].is_string());
    eventually("the event", || api.events().contains(&format!("FailedScheduling: {why}"))).await;
    api.delete("pods", "running");
    eventually("the binding", || node_of(&api, "p") == "n").await;
    assert_eq!(api.get("pods", "p")["status"]["conditions"][0]["status"], "True");
}

#[tokio::test]
async fn a_failed_binding_frees_the_place_and_is_tried_again() {
    let api = FakeApi::default();
    api.put("nodes", node("n", "1"));
    api.fail_bindings(1);
    let _scheduler = start(&api);
    api.put("pods", pod("p", "1"));
    eventually("the reason", || api.get("pods", "p")["status"]["conditions"][0]["reason"] == "SchedulerError").await;
    eventually("the second try", || node_of(&api, "p") == "n").await;
}

#[tokio::test]
async fn many_pods_fill_the_nodes_and_no_more() {
    let api = FakeApi::default();
    for name in ["a", "b", "c"] {
        api.put("nodes", node(name, "10"));
    }
    let _scheduler = start(&api);
    for index in 0..40 {
        api.put("pods", pod(&format!("p{index}"), "1"));
    }
    eventually("all places are taken", || api.bindings().len() == 30).await;
    eventually("the rest is refused", || {
        (0..40).filter(|index| !api.get("pods", &format!("p{index}"))["status"]["conditions"].is_null()).count() == 40
    })
    .await;
    assert_eq!(api.bindings().len(), 30);
    for name in ["a", "b", "c"] {
        assert_eq!((0..40).filter(|index| node_of(&api, &format!("p{index}")) == name).count(), 10);
    }
}
