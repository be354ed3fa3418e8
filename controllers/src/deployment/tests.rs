use serde_json::{Value, json};

use super::*;
use crate::common::testing::{actions, merge, now, object, shared, status, time_ago};

type Names<'a> = &'a [&'a str];

fn pod_template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

/// `edits` are merge patches on a Deployment of ten replicas with surge 3 and unavailable 2, image new.
fn deployment(edits: &[Value]) -> Value {
    let mut root = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "d1", "generation": 2},
        "spec": {"replicas": 10, "selector": {"matchLabels": {"app": "web"}}, "template": pod_template("new"),
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}},
    });
    for edit in edits {
        merge(&mut root, edit);
    }
    root
}

/// `image replicas available [desired]`: a ReplicaSet named by its image, made for a Deployment of size `desired`. The age is
/// the revision's.
fn set(revision: i64, text: &str) -> Value {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |index: usize| words.get(index).map_or(10, |word: &&str| word.parse::<i32>().expect("a number"));
    let (replicas, available, desired) = (number(1), number(2), number(3));
    json!({
        "metadata": {"name": words[0], "namespace": "shop", "uid": format!("uid-{}", words[0]), "labels": {"app": "web"},
            "generation": 1, "creationTimestamp": time_ago(10_000 - revision),
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string(),
                "deployment.kubernetes.io/desired-replicas": desired.to_string(),
                "deployment.kubernetes.io/max-replicas": (desired + 3).to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d1", "controller": true}]},
        "spec": {"replicas": replicas, "selector": {}, "template": pod_template(words[0])},
        "status": {"replicas": replicas, "readyReplicas": available, "availableReplicas": available, "observedGeneration": 1},
    })
}

fn decide(root: Value, sets: &[&str]) -> Plan {
    decide_with(root, sets, &[])
}

fn decide_with(root: Value, sets: &[&str], busy: &[&str]) -> Plan {
    let sets = sets.iter().enumerate().map(|(index, text)| set(index as i64 + 1, text));
    let busy = busy.iter().map(|uid| (*uid).to_owned()).collect();
    let view = View { sets: shared(sets), namesake: None, busy };
    Deployments.decide(&object(root), &view, now())
}

/// The changes of sizes: what `kubectl describe` shows of them.
fn told(plan: &Plan) -> Vec<String> {
    let events = plan.actions.iter().filter_map(|action| action.on_success.as_ref());
    events.map(|event| event.message.replace("replica set ", "").replace("Scaled ", "")).collect()
}

#[test]
fn rolling_steps() {
    let new_name = template::set_name(&object(deployment(&[])));
    let created = format!("up {new_name} from 0 to");
    let table: &[(&str, &[&str], &[&str])] = &[
        ("first rollout", &[], &[&format!("{created} 10")]),
        ("the new set starts in the surge", &["old 10 10"], &[&format!("{created} 3")]),
        ("no room to start", &["old 13 13"], &[]),
        ("old ones go as far as allowed", &["old 10 10", "new 3 0"], &["down old from 10 to 8"]),
        ("the new one fills the room", &["old 8 8", "new 3 0"], &["up new from 3 to 5"]),
        ("nothing before the new pods are available", &["old 8 8", "new 5 0"], &[]),
        ("available new pods replace old ones", &["old 8 8", "new 5 5"], &["down old from 8 to 3"]),
        ("pods that are about to go do not count", &["old 5 8", "new 8 4"], &["down old from 5 to 4"]),
        ("unhealthy old pods go first", &["a 2 0", "b 8 8", "new 3 0"], &["down a from 2 to 0"]),
        ("the oldest goes first", &["a 4 4", "b 4 4", "new 5 5"], &["down a from 4 to 0", "down b from 4 to 3"]),
        ("a new set that is too large shrinks", &["new 12 12"], &["down new from 12 to 10"]),
        ("done", &["old 0 0", "new 10 10"], &[]),
    ];
    for (name, sets, expected) in table {
        assert_eq!(told(&decide(deployment(&[]), sets)), *expected, "{name}");
    }
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let recreate = || deployment(&[json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}})]);
    let created = format!("up {} from 0 to 10", template::set_name(&object(recreate())));
    let table: &[(&str, Names, Names, Names)] = &[
        ("old ones end", &["old 10 10"], &["uid-old"], &["down old from 10 to 0"]),
        (
            "adopted ones, of another size",
            &["older 4 4 6", "old 2 2 6"],
            &["uid-older", "uid-old"],
            &["down older from 4 to 0", "down old from 2 to 0"],
        ),
        ("a pod still runs", &["old 0 0"], &["uid-old"], &[]),
        ("all have ended", &["old 0 0"], &[], &[&created]),
        ("the new set is full at once", &["old 0 0", "new 0 0"], &["uid-new"], &["up new from 0 to 10"]),
    ];
    for (name, sets, busy, expected) in table {
        assert_eq!(told(&decide_with(recreate(), sets, busy)), *expected, "{name}");
    }
}

#[test]
fn scaling_keeps_the_shares() {
    let table: &[(&str, i32, &[&str], &[&str])] = &[
        ("the only one takes all", 20, &["new 10 10"], &["up new from 10 to 20"]),
        ("each by its part, growing", 20, &["old 8 8", "new 5 0"], &["up old from 8 to 14", "up new from 5 to 9"]),
        ("each by its part, shrinking", 5, &["old 8 8", "new 5 0"], &["down old from 8 to 5", "down new from 5 to 3"]),
        ("to zero", 0, &["old 8 8", "new 5 0"], &["down old from 8 to 0", "down new from 5 to 0"]),
        ("none active: the new one", 4, &["old 0 0 0", "new 0 0 0"], &["up new from 0 to 4"]),
    ];
    for (name, replicas, sets, expected) in table {
        let root = deployment(&[json!({"spec": {"replicas": replicas}})]);
        assert_eq!(told(&decide(root, sets)), *expected, "{name}");
    }
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll() {
    let paused = |replicas: i32| deployment(&[json!({"spec": {"paused": true, "replicas": replicas}})]);
    let plan = decide(paused(10), &["old 10 10"]);
    assert!(told(&plan).is_empty());
    assert_eq!(status(&plan)["conditions"][0]["reason"], "DeploymentPaused");
    assert_eq!(told(&decide(paused(12), &["old 10 10"])), ["up old from 10 to 12"]);
}

#[test]
fn the_new_set_is_made_from_the_template() {
    let counts =
        json!({"status": {"replicas": 10, "updatedReplicas": 10, "readyReplicas": 10, "availableReplicas": 10}});
    let annotations = json!({"metadata": {"annotations": {"note": "n", "deployment.kubernetes.io/revision": "7"}}});
    let root = deployment(&[annotations, counts]);
    let plan = decide(root, &["old 10 10"]);
    let reconcile::plan::Verb::Create(set) = &plan.actions[0].verb else { panic!("{plan}") };
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().expect("a hash");
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"app": "web", "pod-template-hash": hash}));
    assert_eq!(set["spec"]["template"]["metadata"]["labels"], json!({"app": "web", "pod-template-hash": hash}));
    let annotations = json!({"note": "n", "deployment.kubernetes.io/revision": "2",
        "deployment.kubernetes.io/desired-replicas": "10", "deployment.kubernetes.io/max-replicas": "13"});
    assert_eq!(set["metadata"]["annotations"], annotations);
    assert!(plan.actions[0].owned);
    let revision =
        r#"patch Deployment shop/web {"metadata":{"annotations":{"deployment.kubernetes.io/revision":"2"}}}"#;
    assert_eq!(actions(&plan)[1], revision);
    let written = status(&plan);
    let progressing =
        written["conditions"].as_array().expect("conditions").iter().find(|each| each["type"] == "Progressing");
    assert_eq!(progressing.expect("the condition")["reason"], "NewReplicaSetCreated");
    let failed = plan.status_if_failed.expect("a status for failures").0;
    assert_eq!(failed["conditions"][0]["reason"], "ReplicaSetCreateError");
}

#[test]
fn a_rollback_raises_the_revision_of_the_old_set() {
    // The Deployment's template is that of the first set again.
    let plan = decide(deployment(&[]), &["new 0 0", "other 10 10"]);
    let actions = actions(&plan);
    assert!(actions[0].contains(r#""deployment.kubernetes.io/revision":"3""#), "{actions:?}");
    assert!(actions[0].contains(r#""deployment.kubernetes.io/revision-history":"1""#), "{actions:?}");
    assert_eq!(told(&plan), ["up new from 0 to 3"]);
}

#[test]
fn a_taken_name_is_counted_as_a_collision() {
    let namesake = shared([set(1, "foreign 1 1")]).pop();
    let view = View { sets: Vec::new(), namesake, busy: Vec::new() };
    let plan = Deployments.decide(&object(deployment(&[])), &view, now());
    assert!(plan.actions.is_empty());
    assert_eq!(status(&plan), json!({"collisionCount": 1}));
}

#[test]
fn old_revisions_beyond_the_limit_are_deleted_when_the_rollout_is_complete() {
    let complete =
        json!({"status": {"replicas": 10, "updatedReplicas": 10, "availableReplicas": 10, "observedGeneration": 2}});
    let root =
        deployment(&[complete, json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "4"}}})]);
    let plan = decide(root.clone(), &["a 0 0", "b 0 0", "c 0 0", "new 10 10"]);
    assert_eq!(actions(&plan), ["delete ReplicaSet shop/a", "delete ReplicaSet shop/b"]);
}

#[test]
fn conditions_tell_the_progress() {
    let progressing = |reason: &str, status: &str, age: i64| {
        json!({"status": {"replicas": 13, "updatedReplicas": 5, "readyReplicas": 8, "availableReplicas": 8,
            "observedGeneration": 2, "conditions": [{"type": "Progressing", "status": status, "reason": reason,
            "lastUpdateTime": time_ago(age), "lastTransitionTime": time_ago(age)}]}})
    };
    let table: &[(&str, Value, &[&str], &str)] = &[
        (
            "new pods are ready",
            progressing("NewReplicaSetCreated", "True", 5),
            &["old 8 8", "new 5 2"],
            "ReplicaSetUpdated",
        ),
        (
            "all is done",
            progressing("ReplicaSetUpdated", "True", 5),
            &["old 0 0", "new 10 10"],
            "NewReplicaSetAvailable",
        ),
        (
            "too long without",
            progressing("ReplicaSetUpdated", "True", 601),
            &["old 8 8", "new 5 0"],
            "ProgressDeadlineExceeded",
        ),
        (
            "late success",
            progressing("ProgressDeadlineExceeded", "False", 900),
            &["old 0 0", "new 10 10"],
            "NewReplicaSetAvailable",
        ),
    ];
    for (name, stored, sets, reason) in table {
        let written = status(&decide(deployment(std::slice::from_ref(stored)), sets));
        let conditions = written["conditions"].as_array().unwrap_or_else(|| panic!("{name}: {written}"));
        let condition = conditions.iter().find(|each| each["type"] == "Progressing").expect(name);
        assert_eq!(condition["reason"], *reason, "{name}");
    }
}

#[test]
fn the_deadline_is_looked_at_in_time() {
    let plan = decide(deployment(&[]), &[]);
    assert_eq!(plan.requeue_after, Some(std::time::Duration::from_secs(601)));
}

#[test]
fn counts_are_sums_and_stay_unwritten_when_right() {
    let plan = decide(deployment(&[]), &["old 8 7", "new 5 1"]);
    let written = status(&plan);
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    assert_eq!(counts.map(|count| written[count].as_i64()), [Some(13), Some(5), Some(8), Some(8), Some(2)]);
    let mut root = deployment(&[json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "2"}}})]);
    root["status"] = written;
    let again = decide(root, &["old 8 7", "new 5 1"]);
    assert_eq!(status(&again), Value::Null, "{again}");
}
