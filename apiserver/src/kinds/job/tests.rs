//! Tables of Jobs and of changes to them.

use serde_json::{Value, json};

use super::policies::parse_indexes;
use super::{Job, has_generated_labels};
use crate::strategy::Strategy;

fn job(more: Value) -> Value {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]});
    let mut object = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": pod}}});
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        object["spec"][name] = value;
    }
    Job.defaults(&mut object, None);
    Job.prepare_for_create(&mut object);
    object
}

fn texts(errors: Vec<api::field::FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_job_is_filled_in_and_selects_its_pods() {
    let object = job(json!({}));
    let spec = &object["spec"];
    assert_eq!((&spec["completions"], &spec["parallelism"], &spec["backoffLimit"]), (&json!(1), &json!(1), &json!(6)));
    assert_eq!(spec["podReplacementPolicy"], "TerminatingOrFailed");
    assert_eq!(spec["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    let labels = json!({
        "batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j", "controller-uid": "u", "job-name": "j",
    });
    assert_eq!(spec["template"]["metadata"]["labels"], labels);
    assert_eq!(texts(Job.validate(&object)), Vec::<String>::new());
    assert!(job(json!({"parallelism": 3}))["spec"]["completions"].is_null());
}

#[test]
fn jobs_are_checked() {
    let always = json!({"restartPolicy": "Always", "containers": [{"name": "a", "image": "b"}]});
    let rule = |more: Value| json!({"podFailurePolicy": {"rules": [more]}});
    let table: &[(&str, Value, &[&str])] = &[
        (
            "forever",
            json!({"template": {"spec": always}}),
            &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
        ),
        (
            "indexes of nothing",
            json!({"completionMode": "Indexed", "parallelism": 1}),
            &["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            "per index without indexes",
            json!({"backoffLimitPerIndex": 1}),
            &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
        (
            "no such container",
            rule(
                json!({"action": "FailJob", "onExitCodes": {"containerName": "x", "operator": "In", "values": [2, 1]}}),
            ),
            &[
                "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or \
                 initContainer names in the pod template",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: must be ordered",
            ],
        ),
        (
            "no action",
            rule(json!({"onExitCodes": {"operator": "In", "values": [1]}})),
            &[
                "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \
               \"Ignore\"]",
            ],
        ),
        (
            "success",
            json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "0-5"}]}}),
            &[
                "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"0-5\": error parsing succeededIndexes: too large \
               index: \"5\"",
            ],
        ),
    ];
    for (name, more, expected) in table {
        assert_eq!(texts(Job.validate(&job(more.clone()))), *expected, "{name}");
    }
}

#[test]
fn templates_change_only_before_the_start() {
    let old = job(json!({}));
    let mut new = old.clone();
    new["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
    let errors = texts(Job.validate_update(&new, &old));
    assert!(errors.len() == 1 && errors[0].starts_with("spec.template: Invalid value: "), "{errors:?}");
    let (mut suspended, mut moved) = (old, new);
    suspended["spec"]["suspend"] = json!(true);
    moved["spec"]["suspend"] = json!(true);
    assert_eq!(texts(Job.validate_update(&moved, &suspended)), Vec::<String>::new());
    suspended["status"] = json!({"startTime": "2024-01-01T00:00:00Z"});
    assert_eq!(Job.validate_update(&moved, &suspended).len(), 1);
}

#[test]
fn a_zero_is_another_limit_than_none() {
    let old = job(json!({"completionMode": "Indexed", "completions": 3}));
    let mut new = old.clone();
    new["spec"]["backoffLimitPerIndex"] = json!(0);
    let expected = "spec.backoffLimitPerIndex: Invalid value: 0: field is immutable";
    assert_eq!(texts(Job.validate_update(&new, &old)), [expected]);
}

#[test]
fn a_job_ends_once() {
    let with = |status: Value| {
        let mut object = job(json!({}));
        object["status"] = status;
        object
    };
    let end = |kinds: &[&str]| -> Value { kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect() };
    let running = with(json!({"startTime": "2024-01-01T00:00:00Z", "active": 1, "failed": 1}));
    let done = with(json!({
        "startTime": "2024-01-01T00:00:00Z", "completionTime": "2024-01-01T00:00:05Z", "succeeded": 1, "failed": 1,
        "conditions": end(&["SuccessCriteriaMet", "Complete"]),
    }));
    assert_eq!(texts(Job.validate_subresource("status", &done, &running)), Vec::<String>::new());
    let back = texts(Job.validate_subresource("status", &running, &done));
    assert!(
        back.contains(
            &"status.conditions: Invalid value: cannot disable the terminal Complete=True condition".to_owned()
        ),
        "{back:?}"
    );
    let early = with(json!({"startTime": "2024-01-01T00:00:00Z", "active": 1, "conditions": end(&["Failed"])}));
    let errors = texts(Job.validate_subresource("status", &early, &running));
    let expected = [
        "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
        "status.active: Invalid value: 1: active>0 is invalid for finished job",
        "status.failed: Invalid value: 0: cannot decrease the failed counter",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn indexes_are_rising_intervals() {
    let table = [
        ("", Ok(0)),
        ("0-2,4", Ok(4)),
        ("0,1", Ok(2)),
        ("1,0", Err("non-increasing order, previous: 1, current: 0")),
        ("2-1", Err("non-increasing order, previous: 2, current: 1")),
        ("a", Err("cannot convert string to integer for index: \"a\"")),
        ("9", Err("too large index: \"9\"")),
    ];
    for (text, expected) in table {
        assert_eq!(parse_indexes(text, 5), expected.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn generated_labels_are_those_that_nobody_gave() {
    let job = |labels: Value, template: Value| json!({"metadata": {"labels": labels}, "spec": {"template": {"metadata": {"labels": template}}}});
    let generated = json!({"job-name": "j", "batch.kubernetes.io/controller-uid": "u"});
    let given = json!({"job-name": "j", "app": "x"});
    let cases = [
        (job(generated.clone(), generated.clone()), true),
        (job(given.clone(), given), false),
        (job(json!({"app": "x"}), generated.clone()), false),
        (job(json!({}), json!({})), false),
        (json!({"metadata": {}, "spec": {}}), false),
    ];
    for (job, expected) in cases {
        assert_eq!(has_generated_labels(&job), expected, "{job}");
    }
}
