use serde_json::json;

use super::*;

fn answer(code: u16, body: Value) -> Answer {
    Answer { code, headers: Vec::new(), body }
}

fn places(ours: Value, theirs: Value) -> Vec<String> {
    let mut pairs = Pairs::default();
    let found = answers(&answer(200, ours), &answer(200, theirs), &mut pairs);
    found.iter().map(|difference| format!("{}: {}", difference.place, difference.what)).collect()
}

#[test]
fn differences_of_bodies() {
    let object = |uid: &str, version: &str, owner: &str| {
        json!({"metadata": {"uid": uid, "resourceVersion": version, "ownerReferences": [{"uid": owner}],
            "creationTimestamp": "2026-01-02T03:04:05Z"}})
    };
    let list = |version: &str, item: &str| {
        json!({"kind": "PodList", "metadata": {"resourceVersion": version},
            "items": [{"metadata": {"resourceVersion": item}}]})
    };
    let failure = |message: &str, cause: &str| {
        json!({"kind": "Status", "status": "Failure", "message": message,
            "details": {"causes": [{"field": "spec.a[0]", "reason": "R", "message": cause}]}})
    };
    let ending = |label: &str, finalizers: [&str; 2]| {
        json!({"metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": label}, "finalizers": finalizers,
            "deletionTimestamp": "2026-01-02T03:04:05Z"}})
    };
    let cases = [
        (object("u", "1", "u"), object("v", "7", "v"), vec![]),
        (object("u", "1", "u"), object("v", "7", "w"), vec!["metadata.uid: \"u\", upstream \"v\""]),
        (json!({"a": 1}), json!({"a": 1, "b": {}}), vec!["b: missing: {}"]),
        (json!({"labels": {"x": "1"}}), json!({"labels": {}}), vec!["labels.*: only here: \"1\""]),
        (json!({"a": [1]}), json!({"a": [1, 2]}), vec!["a: fewer elements"]),
        (json!({"t": "2026-01-02T03:04:05Z"}), json!({"t": "2026-01-02T03:04:07Z"}), vec![]),
        (
            json!({"t": "2026-01-02T03:04:05Z"}),
            json!({"t": "2026-01-02T03:04:05.000000Z"}),
            vec!["t: \"2026-01-02T03:04:05Z\", upstream \"2026-01-02T03:04:05.000000Z\""],
        ),
        (ending("n", ["a/b", "orphan"]), ending("n", ["orphan", "a/b"]), vec![]),
        (
            ending("n", ["a/b", "orphan"]),
            ending("n", ["orphan", "c"]),
            vec!["metadata.finalizers[]: \"a/b\", upstream \"c\""],
        ),
        (
            ending("other", ["a", "b"]),
            ending("other", ["b", "a"]),
            vec!["metadata.finalizers[]: \"a\", upstream \"b\"", "metadata.finalizers[]: \"b\", upstream \"a\""],
        ),
        (list("9", "8"), list("99", "88"), vec![]),
        (list("7", "8"), list("99", "88"), vec!["metadata.resourceVersion of a list: another place"]),
        (failure("m", "c"), failure("m", "c"), vec![]),
        (failure("m", "c"), failure("n", "c"), vec!["message: \"m\", upstream \"n\""]),
        (
            failure("m", "c"),
            failure("m", "d 1"),
            vec!["causes: missing: spec.a[] R: d N", "causes: only here: spec.a[] R: c"],
        ),
    ];
    for (ours, theirs, expected) in cases {
        let found = places(ours.clone(), theirs.clone());
        assert_eq!(found, expected, "{ours} {theirs}");
    }
}

#[test]
fn differences_of_events() {
    let event = |kind: &str, version: &str| json!({"type": kind, "object": {"metadata": {"name": "a", "resourceVersion": version}}});
    let mark = |annotations: Value| json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9", "annotations": annotations}}});
    let end = || mark(json!({"k8s.io/initial-events-end": "true"}));
    let cases = [
        (vec![event("ADDED", "1")], vec![event("ADDED", "5")], 0),
        (vec![event("ADDED", "1")], vec![event("ADDED", "5"), mark(json!({}))], 0),
        (vec![event("ADDED", "1")], vec![event("ADDED", "5"), end()], 1),
        (vec![event("ADDED", "1"), event("DELETED", "2")], vec![event("ADDED", "5"), event("MODIFIED", "6")], 1),
        (vec![event("ADDED", "1"), event("DELETED", "1")], vec![event("ADDED", "5"), event("DELETED", "6")], 1),
    ];
    for (ours, theirs, expected) in cases {
        let events_of = |events: &[Value]| Events { events: events.to_vec(), ended: false };
        let found = events(&events_of(&ours), &events_of(&theirs), &mut Pairs::default());
        assert_eq!(found.len(), expected, "{ours:?} {theirs:?}: {found:?}");
    }
}
