use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::common::testing::{actions, merge, now, object, shared, status as written, time_ago};

/// Names and states.
type Pods<'a> = &'a [(&'a str, &'a str)];

const CREATE: &str = "create Pod shop/j-*";
const TRACKED: &str = pods::FINALIZER;

fn job(edit: &Value) -> Value {
    let mut job = json!({
        "metadata": {"name": "j", "namespace": "shop", "uid": "j1"},
        "spec": {"parallelism": 2, "completions": 3, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
            "podReplacementPolicy": "TerminatingOrFailed", "selector": {"matchLabels": {"job": "j"}},
            "template": {"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}},
        "status": {"startTime": time_ago(100)},
    });
    merge(&mut job, edit);
    job
}

/// `state` is any of running, ready, succeeded=SECONDS, failed=SECONDS (ago), deleted, counted (without finalizer), orphan, index=N,
/// failures=N.
fn pod(name: &str, state: &str) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"job": "j"}, "finalizers": [TRACKED], "annotations": {},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j1", "controller": true}]},
        "status": {"phase": "Pending"},
    });
    for word in state.split_whitespace() {
        let (word, value) = word.split_once('=').unwrap_or((word, "1000"));
        let ended = || json!([{"type": "Ready", "status": "False", "lastTransitionTime": time_ago(value.parse().expect("seconds"))}]);
        match word {
            "running" => pod["status"]["phase"] = json!("Running"),
            "ready" => pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            "succeeded" => pod["status"] = json!({"phase": "Succeeded", "conditions": ended()}),
            "failed" => pod["status"] = json!({"phase": "Failed", "conditions": ended()}),
            "deleted" => pod["metadata"]["deletionTimestamp"] = json!(time_ago(1000)),
            "counted" => pod["metadata"]["finalizers"] = Value::Null,
            "orphan" => {
                pod["metadata"]["ownerReferences"] = Value::Null;
                pod["metadata"]["finalizers"] = Value::Null;
            }
            "index" => pod["metadata"]["annotations"][pods::INDEX] = json!(value),
            "failures" => pod["metadata"]["annotations"][pods::FAILURES] = json!(value),
            other => panic!("what is {other}?"),
        }
    }
    pod
}

fn decide(root: &Value, pods: Pods) -> Plan {
    let pods = shared(pods.iter().map(|(name, state)| pod(name, state)));
    Jobs.decide(&object(root.clone()), &pods, now())
}

fn untrack(name: &str) -> String {
    format!(r#"patch Pod shop/{name} {{"metadata":{{"$deleteFromPrimitiveList/finalizers":["{TRACKED}"]}}}}"#)
}

/// The status after the plan.
fn after(root: &Value, plan: &Plan) -> Value {
    let mut status = root["status"].clone();
    merge(&mut status, &written(plan));
    status
}

#[test]
fn pods_are_made_and_taken() {
    let delete = |name: &str| format!("delete Pod shop/{name}");
    let create = |count: usize| vec![CREATE.to_owned(); count];
    let indexed = |index: i32| format!("create Pod shop/j-{index}-*");
    let by_index = json!({"spec": {"completionMode": "Indexed", "parallelism": 3}});
    let table: Vec<(&str, Value, Pods, Vec<String>)> = vec![
        ("none yet", json!({}), &[], create(2)),
        ("one more", json!({}), &[("a", "running")], create(1)),
        ("enough", json!({}), &[("a", "running"), ("b", "")], vec![]),
        ("the last one", json!({"status": {"succeeded": 2}}), &[("a", "running")], vec![]),
        (
            "one too many",
            json!({"spec": {"parallelism": 1}}),
            &[("a", "ready"), ("b", "")],
            vec![untrack("b"), delete("b")],
        ),
        ("suspended", json!({"spec": {"suspend": true}}), &[("a", "")], vec![untrack("a"), delete("a")]),
        ("a deleted one is replaced", json!({"spec": {"parallelism": 1}}), &[("a", "running deleted")], create(1)),
        (
            "or not before it has ended",
            json!({"spec": {"parallelism": 1, "podReplacementPolicy": "Failed"}}),
            &[("a", "running deleted")],
            vec![],
        ),
        (
            "after the first success of a queue",
            json!({"spec": {"completions": null}}),
            &[("a", "succeeded"), ("b", "")],
            vec![],
        ),
        ("another's controller", json!({"spec": {"managedBy": "example.com/x"}}), &[], vec![]),
        ("it goes", json!({"metadata": {"deletionTimestamp": time_ago(1)}}), &[("a", "")], vec![untrack("a")]),
        ("each index has one", by_index.clone(), &[("b", "running index=1")], vec![indexed(0), indexed(2)]),
        (
            "one index twice, one out of place",
            by_index,
            &[("a", "index=0"), ("b", "ready index=0"), ("c", "index=7"), ("d", "index=1")],
            vec![untrack("c"), untrack("a"), delete("c"), delete("a")],
        ),
    ];
    for (name, edit, pods, expected) in table {
        assert_eq!(actions(&decide(&job(&edit), pods)), expected, "{name}");
    }
}

#[test]
fn orphans_are_adopted_with_a_finalizer() {
    let found = actions(&decide(&job(&json!({})), &[("a", "running"), ("b", "running orphan")]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(TRACKED) && found[0].contains(r#""uid":"j1""#), "{found:?}");
}

#[test]
fn a_pod_is_noted_then_let_go_then_counted() {
    let mut root = job(&json!({}));
    let pods: Pods = &[("a", "succeeded"), ("b", "running"), ("c", "running")];
    let noted = decide(&root, pods);
    assert!(noted.actions.is_empty(), "{noted}");
    root["status"] = after(&root, &noted);
    assert_eq!(root["status"]["uncountedTerminatedPods"], json!({"succeeded": ["a"]}));
    assert_eq!(root["status"]["succeeded"], Value::Null);
    let counted = decide(&root, pods);
    assert_eq!(actions(&counted), [untrack("a")]);
    root["status"] = after(&root, &counted);
    assert_eq!((&root["status"]["succeeded"], &root["status"]["active"]), (&json!(1), &json!(2)));
    let calm: Pods = &[("a", "succeeded counted"), ("b", "running"), ("c", "running")];
    assert_eq!(status_of(&decide(&root, calm)), Value::Null, "what is right stays unwritten");
    // A crash after the finalizer went and before the status was written.
    let uncounted = job(&json!({"status": {"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["gone"]}}}));
    let late = after(&uncounted, &decide(&uncounted, calm));
    assert_eq!((&late["succeeded"], &late["failed"]), (&json!(1), &json!(1)));
}

fn status_of(plan: &Plan) -> Value {
    let mut status = written(plan);
    // Null where there was nothing.
    if let Some(fields) = status.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    if status.as_object().is_some_and(serde_json::Map::is_empty) { Value::Null } else { status }
}

/// Decides again and again, with pods as they are left by what was decided, until nothing is decided any more.
fn conclude(mut root: Value, pods: Pods) -> Value {
    let mut pods: Vec<Value> = pods.iter().map(|(name, state)| pod(name, state)).collect();
    for _ in 0..10 {
        let plan = Jobs.decide(&object(root.clone()), &shared(pods.clone()), now());
        if plan.is_empty() {
            return root["status"].clone();
        }
        let done = actions(&plan);
        for pod in &mut pods {
            let name = pod["metadata"]["name"].as_str().expect("a name").to_owned();
            if done.contains(&untrack(&name)) {
                pod["metadata"]["finalizers"] = Value::Null;
            }
            if done.contains(&format!("delete Pod shop/{name}")) {
                pod["metadata"]["deletionTimestamp"] = json!(time_ago(0));
            }
        }
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null() || !pod["metadata"]["finalizers"].is_null());
        root["status"] = after(&root, &plan);
    }
    panic!("it goes on and on: {root}");
}

#[test]
fn jobs_end() {
    type Expected<'a> = (&'a str, &'a str, i64, i64);
    let limit = |limit: i32| json!({"spec": {"backoffLimit": limit}});
    let policy = json!({"spec": {"podFailurePolicy": {"rules": [{"action": "FailJob", "onPodConditions": [{"type": "Ready", "status": "False"}]}]}}});
    let indexed = |more: Value| {
        let mut edit = json!({"spec": {"completionMode": "Indexed", "parallelism": 3}});
        merge(&mut edit, &more);
        edit
    };
    let per_index = || indexed(json!({"spec": {"backoffLimitPerIndex": 0, "backoffLimit": 100}}));
    let three: Pods = &[("a", "succeeded"), ("b", "succeeded"), ("c", "succeeded")];
    let table: Vec<(&str, Value, Pods, Expected)> = vec![
        ("all succeeded", json!({}), three, ("Complete", "CompletionsReached", 3, 0)),
        ("nothing to do", json!({"spec": {"completions": 0}}), &[], ("Complete", "CompletionsReached", 0, 0)),
        ("too many failures", limit(0), &[("a", "failed"), ("b", "running")], ("Failed", "BackoffLimitExceeded", 0, 2)),
        (
            "too late",
            json!({"spec": {"activeDeadlineSeconds": 100}}),
            &[("a", "running")],
            ("Failed", "DeadlineExceeded", 0, 1),
        ),
        ("by policy", policy, &[("a", "failed"), ("b", "succeeded")], ("Failed", "PodFailurePolicy", 1, 1)),
        (
            "all indexes",
            indexed(json!({})),
            &[
                ("a", "succeeded index=0"),
                ("b", "succeeded index=1"),
                ("c", "succeeded index=2"),
                ("d", "succeeded index=2"),
            ],
            ("Complete", "CompletionsReached", 3, 0),
        ),
        (
            "enough indexes",
            indexed(json!({"spec": {"successPolicy": {"rules": [{"succeededIndexes": "1"}]}}})),
            &[("a", "running index=0"), ("b", "succeeded index=1")],
            ("Complete", "SuccessPolicy", 1, 0),
        ),
        (
            "an index gave up",
            per_index(),
            &[("a", "succeeded index=0"), ("b", "failed index=1"), ("c", "succeeded index=2")],
            ("Failed", "FailedIndexes", 2, 1),
        ),
        (
            "too many indexes gave up",
            indexed(json!({"spec": {"backoffLimitPerIndex": 0, "backoffLimit": 100, "maxFailedIndexes": 0}})),
            &[("a", "running index=0"), ("b", "failed index=1")],
            ("Failed", "MaxFailedIndexesExceeded", 0, 2),
        ),
    ];
    for (name, edit, pods, (kind, reason, succeeded, failed)) in table {
        let status = conclude(job(&edit), pods);
        let conditions = status["conditions"].as_array().unwrap_or_else(|| panic!("{name}: {status}"));
        let last = conditions.last().expect("a condition");
        assert_eq!((last["type"].as_str(), last["reason"].as_str()), (Some(kind), Some(reason)), "{name}: {status}");
        assert_eq!(conditions.len(), 2, "{name}: {status}");
        assert_eq!(status["completionTime"].is_null(), kind == "Failed", "{name}");
        let counted = (status["succeeded"].as_i64().unwrap_or(0), status["failed"].as_i64().unwrap_or(0));
        assert_eq!(counted, (succeeded, failed), "{name}: {status}");
        assert_eq!(status["uncountedTerminatedPods"]["failed"], Value::Null, "{name}");
    }
}

#[test]
fn failures_are_waited_for() {
    let seconds = |seconds: u64| Some(Duration::from_secs(seconds));
    let one = json!({"spec": {"parallelism": 1}});
    let per_index =
        json!({"spec": {"completionMode": "Indexed", "parallelism": 1, "completions": 1, "backoffLimitPerIndex": 5}});
    let table: Vec<(&str, Value, Pods, Option<Duration>)> = vec![
        ("no failure", one.clone(), &[], None),
        ("the first", one.clone(), &[("a", "failed=3")], seconds(7)),
        ("counted already", one.clone(), &[("a", "failed=3 counted")], seconds(7)),
        ("the third", one.clone(), &[("a", "failed=60"), ("b", "failed=30"), ("c", "failed=5")], seconds(35)),
        ("long ago", one.clone(), &[("a", "failed=10")], None),
        ("before a success", one, &[("a", "failed=3"), ("b", "succeeded=2")], None),
        ("of an index", per_index.clone(), &[("a", "failed=3 index=0 failures=1")], seconds(17)),
        ("of an index, over", per_index, &[("a", "failed=30 index=0 failures=1")], None),
    ];
    for (name, edit, pods, expected) in table {
        let plan = decide(&job(&edit), pods);
        assert_eq!(plan.requeue_after, expected, "{name}: {plan}");
        let creates = actions(&plan).iter().filter(|action| action.starts_with("create")).count();
        assert_eq!(creates, usize::from(expected.is_none()), "{name}: {plan}");
    }
}

#[test]
fn a_new_pod_knows_its_index() {
    let edit =
        json!({"spec": {"completionMode": "Indexed", "parallelism": 1, "completions": 1, "backoffLimitPerIndex": 5}});
    let plan = decide(&job(&edit), &[("a", "failed=30 index=0 failures=1")]);
    let reconcile::plan::Verb::Create(pod) = &plan.actions[0].verb else { panic!("{plan}") };
    assert_eq!(pod["metadata"]["annotations"], json!({pods::INDEX: "0", pods::FAILURES: "2"}));
    assert_eq!(pod["metadata"]["labels"], json!({"job": "j", pods::INDEX: "0"}));
    assert_eq!(pod["metadata"]["finalizers"], json!([TRACKED]));
    assert_eq!(pod["spec"]["hostname"], "j-0");
    assert_eq!(pod["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
    assert!(plan.actions[0].owned);
    // The one that failed is let go when its successor is there.
    let kept = decide(&job(&edit), &[("a", "failed=3 index=0 failures=1")]);
    assert_eq!(status_of(&kept)["uncountedTerminatedPods"], json!({}), "{kept}");
    let gone = decide(&job(&edit), &[("a", "failed=3 index=0 failures=1"), ("b", "running index=0 failures=2")]);
    assert_eq!(status_of(&gone)["uncountedTerminatedPods"], json!({"failed": ["a"]}), "{gone}");
}

#[test]
fn suspension_is_told_and_starts_the_clock_anew() {
    let suspended = job(&json!({"spec": {"suspend": true}}));
    let plan = decide(&suspended, &[]);
    let told = written(&plan);
    assert_eq!(
        (&told["conditions"][0]["type"], &told["conditions"][0]["status"]),
        (&json!("Suspended"), &json!("True"))
    );
    assert_eq!(plan.events[0].reason, "Suspended");
    let mut resumed = job(&json!({}));
    resumed["status"] = after(&suspended, &plan);
    let plan = decide(&resumed, &[]);
    let told = written(&plan);
    assert_eq!((&told["conditions"][0]["status"], &told["startTime"]), (&json!("False"), &json!(time_ago(0))));
    assert_eq!((plan.events[0].reason.as_str(), plan.actions.len()), ("Resumed", 2));
    assert_eq!(written(&decide(&job(&json!({"status": null})), &[]))["startTime"], json!(time_ago(0)));
}
