//! A watcher that starts anywhere and sees only what it selects ends with exactly what a list shows: checked against a model
//! over random writes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Server, config_map};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Sets the label of an object (creating it) or deletes it.
#[derive(Clone, Debug)]
struct Step {
    name: u8,
    label: Option<u8>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..4_u8, proptest::option::weighted(0.75, 0..3_u8)).prop_map(|(name, label)| Step { name, label });
    proptest::collection::vec(step, 1..25)
}

/// Name to label of what matches.
type State = BTreeMap<String, String>;

async fn apply(server: &Server, step: &Step) {
    let name = format!("m{}", step.name);
    let path = format!("{MAPS}/{name}");
    match step.label {
        None => {
            server.delete(&path, &Value::Null).await;
        }
        Some(label) => {
            let labels = json!({"metadata": {"labels": {"l": label.to_string()}}});
            if server.patch(&path, "merge", &labels).await.code == 404 {
                let mut object = config_map(&name, json!({}));
                object["metadata"]["labels"] = labels["metadata"]["labels"].clone();
                server.post(MAPS, &object).await.expect(201);
            }
        }
    }
}

fn selects(selector: u8, label: &str) -> bool {
    selector == 3 || label == selector.to_string()
}

fn query(selector: u8) -> String {
    if selector == 3 { String::new() } else { format!("&labelSelector=l%3D{selector}") }
}

/// Follows a watch up to a revision, checking each event against what was known before it.
async fn follow(server: &Server, selector: u8, mut state: State, from: &str, until: u64) -> State {
    let path = format!("{MAPS}?watch=1&resourceVersion={from}&timeoutSeconds=5{}", query(selector));
    let mut watch = server.watch(&path).await;
    let mut last = from.parse::<u64>().unwrap();
    while last < until {
        let event = watch.next().await.expect("the watch ended early");
        let object = &event["object"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let revision: u64 = text(&object["metadata"]["resourceVersion"]).parse().unwrap();
        assert!(revision > last, "revision {revision} after {last}");
        last = revision;
        let (name, label) = (text(&object["metadata"]["name"]), text(&object["metadata"]["labels"]["l"]));
        if name == "end" {
            continue;
        }
        assert!(selects(selector, &label), "an event of what is not selected: {event}");
        match event["type"].as_str() {
            Some("ADDED") => assert_eq!(state.insert(name, label), None),
            Some("MODIFIED") => assert!(state.insert(name, label).is_some()),
            Some("DELETED") => assert_eq!(state.remove(&name), Some(label)),
            other => panic!("unexpected event {other:?}: {event}"),
        }
    }
    state
}

async fn list(server: &Server, selector: u8) -> (State, String) {
    let answer = server.get(&format!("{MAPS}?{}", query(selector).trim_start_matches('&'))).await;
    let version = answer.version();
    let items = answer.body["items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = items
        .map(|item| (text(&item["metadata"]["name"]), text(&item["metadata"]["labels"]["l"])))
        .filter(|(name, _)| name != "end")
        .collect();
    (state, version)
}

async fn check(steps: Vec<Step>, selector: u8, start: usize) {
    let server = Server::start().await;
    let start = start % steps.len();
    let mut model = State::new();
    for step in &steps[..start] {
        apply(&server, step).await;
    }
    let (state, version) = list(&server, selector).await;
    for (index, step) in steps.iter().enumerate() {
        if index >= start {
            apply(&server, step).await;
        }
        let name = format!("m{}", step.name);
        match step.label.map(|label| label.to_string()).filter(|label| selects(selector, label)) {
            Some(label) => model.insert(name, label),
            None => model.remove(&name),
        };
    }
    // A last object that every selector sees tells how far to read.
    let mut end = config_map("end", json!({}));
    end["metadata"]["labels"] = json!({"l": selector.to_string()});
    let end = server.post(MAPS, &end).await.expect(201);
    let until = end["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert_eq!(follow(&server, selector, state, &version, until).await, model);
    assert_eq!(list(&server, selector).await.0, model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn watchers_and_lists_agree_with_the_model(steps in steps(), selector in 0..4_u8, start in 0..25_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps, selector, start));
    }
}
