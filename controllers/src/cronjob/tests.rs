use serde_json::{Value, json};

use super::*;
use crate::common::testing::{actions, merge, object, shared, status as written};

fn at(text: &str) -> Timestamp {
    format!("2024-01-05T{text}:00Z").parse().expect("a time")
}

fn cron(edit: &Value) -> Value {
    let mut cron = json!({
        "metadata": {"name": "c", "namespace": "shop", "uid": "c1", "creationTimestamp": "2024-01-05T10:10:00Z"},
        "spec": {"schedule": "0 * * * *", "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {"containers": []}}}}},
    });
    merge(&mut cron, edit);
    cron
}

/// `state`: running, manual, Complete or Failed, with a start in minutes past ten.
fn job(name: &str, state: &str, start: u32) -> Value {
    let time = format!("2024-01-05T10:{start:02}:00Z");
    let mut job = json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "annotations": {SCHEDULED: "x"}},
        "spec": {"template": {}}, "status": {"startTime": time}});
    match state {
        "running" => {}
        "manual" => job["metadata"]["annotations"] = Value::Null,
        ended => {
            job["status"]["conditions"] = json!([{"type": ended, "status": "True"}]);
            job["status"]["completionTime"] = if ended == "Complete" { json!(time) } else { Value::Null };
        }
    }
    job
}

fn decide(edit: &Value, jobs: Vec<Value>, now: &str) -> Plan {
    CronJobs.decide(&object(cron(edit)), &shared(jobs), at(now))
}

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.events.iter().map(|event| event.reason.as_str()).collect()
}

/// Minutes since the epoch at eleven.
const ELEVEN: &str = "c-28407540";

#[test]
fn jobs_are_made_when_they_are_due() {
    let create = format!("create Job shop/{ELEVEN}");
    let active = json!({"status": {"active": [{"name": "old", "uid": "old"}]}});
    let with = |edit: Value| {
        let mut all = active.clone();
        merge(&mut all, &edit);
        all
    };
    let old = || vec![job("old", "running", 0)];
    type Row<'a> = (&'a str, Value, Vec<Value>, &'a str, Vec<String>);
    let table: Vec<Row> = vec![
        ("not yet", json!({}), vec![], "10:50", vec![]),
        ("due", json!({}), vec![], "11:00", vec![create.clone()]),
        ("made already", json!({}), vec![job(ELEVEN, "running", 59)], "11:00", vec![]),
        ("acted on already", json!({"status": {"lastScheduleTime": "2024-01-05T11:00:00Z"}}), vec![], "11:20", vec![]),
        ("suspended", json!({"spec": {"suspend": true}}), vec![], "11:00", vec![]),
        ("too late", json!({"spec": {"startingDeadlineSeconds": 60}}), vec![], "11:30", vec![]),
        ("beside another", active.clone(), old(), "11:00", vec![create.clone()]),
        ("not beside another", with(json!({"spec": {"concurrencyPolicy": "Forbid"}})), old(), "11:00", vec![]),
        (
            "instead of another",
            with(json!({"spec": {"concurrencyPolicy": "Replace"}})),
            old(),
            "11:00",
            vec!["delete Job shop/old Background".to_owned(), create],
        ),
        ("no zone", json!({"spec": {"timeZone": "Nowhere/X"}}), vec![], "11:00", vec![]),
        ("leaving", json!({"metadata": {"deletionTimestamp": "2024-01-05T10:59:00Z"}}), vec![], "11:00", vec![]),
    ];
    for (name, edit, jobs, now, expected) in table {
        assert_eq!(actions(&decide(&edit, jobs, now)), expected, "{name}");
    }
}

#[test]
fn a_job_is_made_once_and_noted() {
    let plan = decide(&json!({}), vec![], "11:00");
    assert_eq!(written(&plan), json!({"lastScheduleTime": "2024-01-05T11:00:00Z"}));
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(3600) + PADDING));
    let reconcile::plan::Verb::Create(made) = &plan.actions[0].verb else { panic!("{plan}") };
    assert_eq!(made["metadata"]["annotations"], json!({SCHEDULED: "2024-01-05T11:00:00Z"}));
    assert_eq!(made["metadata"]["labels"], json!({"a": "b"}));
    assert!(plan.actions[0].owned);
    let noted = decide(
        &json!({"status": {"lastScheduleTime": "2024-01-05T11:00:00Z"}}),
        vec![job(ELEVEN, "running", 59)],
        "11:00",
    );
    assert_eq!(written(&noted)["active"][0]["uid"], ELEVEN);
    assert!(noted.actions.is_empty() && noted.events.is_empty(), "{noted}");
}

#[test]
fn jobs_that_ended_are_told_and_cleaned_up() {
    let edit = json!({"status": {"lastScheduleTime": "2024-01-05T11:00:00Z", "active": [{"name": "b", "uid": "b"}, {"name": "gone", "uid": "gone"}]}});
    let jobs = vec![job("a", "Complete", 1), job("b", "Complete", 2), job("f", "Failed", 3), job("m", "manual", 4)];
    let plan = decide(&edit, jobs, "11:10");
    assert_eq!(actions(&plan), ["delete Job shop/a Background"]);
    assert_eq!(reasons(&plan), ["SawCompletedJob", "UnexpectedJob", "MissingJob"]);
    assert_eq!(written(&plan), json!({"active": null, "lastSuccessfulTime": "2024-01-05T10:02:00Z"}));
}

#[test]
fn a_changed_schedule_is_for_what_comes() {
    let rest = |edit: Value, now: &str| {
        let (old, new) = (object(cron(&json!({}))), object(cron(&edit)));
        CronJobs::rest(&old, &new, at(now)).as_secs()
    };
    let table = [
        ("nothing", json!({}), 0),
        ("something else", json!({"spec": {"suspend": true}}), 0),
        ("another schedule", json!({"spec": {"schedule": "*/5 * * * *"}}), 180),
        ("another zone", json!({"spec": {"timeZone": "Asia/Kolkata"}}), 1_080),
        ("never", json!({"spec": {"schedule": "0 0 31 2 *"}}), 0),
    ];
    for (name, edit, expected) in table {
        assert_eq!(rest(edit, "11:12"), expected, "{name}");
    }
}
