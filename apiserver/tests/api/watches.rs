//! Watches: where they start, what a selector sees, how they end.

use serde_json::{Value, json};

use crate::harness::{Server, config_map};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn labelled(name: &str, label: &str) -> Value {
    let mut object = config_map(name, json!({}));
    object["metadata"]["labels"] = json!({"l": label});
    object
}

#[tokio::test]
async fn a_watch_starts_where_it_is_told() {
    let server = Server::start().await;
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let version = server.get(MAPS).await.version();
    let mut from_state = server.watch(&format!("{MAPS}?watch=1")).await;
    let mut from_zero = server.watch(&format!("{MAPS}?watch=1&resourceVersion=0")).await;
    let mut from_version = server.watch(&format!("{MAPS}?watch=1&resourceVersion={version}")).await;
    let mut from_start =
        server.watch(&format!("/api/v1/watch/namespaces/default/configmaps?resourceVersion={version}")).await;
    server.post(MAPS, &config_map("b", json!({}))).await.expect(201);
    server.delete(&format!("{MAPS}/a"), &Value::Null).await.expect(200);
    for watch in [&mut from_state, &mut from_zero] {
        assert_eq!(watch.say().await, "ADDED a");
    }
    for watch in [&mut from_state, &mut from_zero, &mut from_version, &mut from_start] {
        assert_eq!(watch.say().await, "ADDED b");
        let deleted = watch.next().await.unwrap();
        assert_eq!((&deleted["type"], &deleted["object"]["metadata"]["name"]), (&json!("DELETED"), &json!("a")));
        // The revision of the deletion, not of the last write.
        let revision: u64 = deleted["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(revision > version.parse().unwrap());
    }
}

#[tokio::test]
async fn a_selector_sees_objects_come_and_go() {
    let server = Server::start().await;
    let version = server.get(MAPS).await.version();
    let mut watch = server.watch(&format!("{MAPS}?watch=1&resourceVersion={version}&labelSelector=l%3Dx")).await;
    let path = format!("{MAPS}/a");
    server.post(MAPS, &labelled("a", "y")).await.expect(201);
    server.patch(&path, "merge", &json!({"metadata": {"labels": {"l": "x"}}})).await.expect(200);
    server.patch(&path, "merge", &json!({"data": {"k": "v"}})).await.expect(200);
    let left = server.patch(&path, "merge", &json!({"metadata": {"labels": {"l": "z"}}})).await.expect(200);
    server.delete(&path, &Value::Null).await.expect(200);
    server.post(MAPS, &labelled("b", "x")).await.expect(201);
    assert_eq!(watch.say().await, "ADDED a");
    assert_eq!(watch.say().await, "MODIFIED a");
    let gone = watch.next().await.unwrap();
    assert_eq!(gone["type"], "DELETED");
    // The last state that matched, at the revision of the change.
    assert_eq!(gone["object"]["metadata"]["labels"]["l"], "x");
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
    assert_eq!(watch.say().await, "ADDED b");
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let server = Server::start().await;
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = server.watch(&format!("{MAPS}?{query}")).await;
    assert_eq!(watch.say().await, "ADDED a");
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    let version = server.get(MAPS).await.version();
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], version.as_str());
    server.post(MAPS, &config_map("b", json!({}))).await.expect(201);
    assert_eq!(watch.say().await, "ADDED b");
    for query in ["watch=1&sendInitialEvents=true", "watch=1&sendInitialEvents=true&resourceVersion=5"] {
        assert_eq!(server.get(&format!("{MAPS}?{query}")).await.code, 422, "{query}");
    }
}

#[tokio::test]
async fn bookmarks_come_when_asked_for_and_the_end_in_time() {
    let server = Server::start().await;
    let version = server.get(MAPS).await.version();
    let query = format!("watch=1&resourceVersion={version}&timeoutSeconds=3&allowWatchBookmarks=true");
    let mut watch = server.watch(&format!("{MAPS}?{query}")).await;
    let mut quiet = server.watch(&format!("{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=1")).await;
    // Of another resource: the bookmark moves on all the same.
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "n"}})).await.expect(201);
    let first = watch.next().await;
    let first = first.unwrap();
    assert_eq!(first["type"], "BOOKMARK");
    let revision =
        |event: &Value| event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(revision(&first) > version.parse().unwrap());
    assert_eq!(watch.say().await, "end");
    assert_eq!(quiet.say().await, "end");
}

#[tokio::test]
async fn too_old_is_an_event() {
    let server = Server::with(|config| config.compaction_interval = std::time::Duration::from_millis(20)).await;
    let version = server.get(MAPS).await.version();
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    server.delete(&format!("{MAPS}/a"), &Value::Null).await.expect(200);
    let expired = async {
        loop {
            let mut watch = server.watch(&format!("{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=1")).await;
            let event = watch.next().await.unwrap();
            if event["type"] == "ERROR" {
                return event;
            }
            // Writes let history grow old.
            server.post("/api/v1/namespaces", &json!({"metadata": {"generateName": "n-"}})).await.expect(201);
        }
    };
    let event = tokio::time::timeout(crate::harness::PATIENCE, expired).await.unwrap();
    assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert!(event["object"]["message"].as_str().unwrap().starts_with(&format!("too old resource version: {version}")));
}

#[tokio::test]
async fn views_of_watches() {
    let server = Server::start().await;
    server.post(MAPS, &config_map("a", json!({"k": "v"}))).await.expect(201);
    let get = async |accept: &str| {
        let request = http::Request::get(format!("{MAPS}?watch=1&timeoutSeconds=1")).header("accept", accept);
        let response = server.raw(request.body(apiserver::body::empty()).unwrap()).await;
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap()
    };
    let table = get("application/json;as=Table;v=v1;g=meta.k8s.io").await;
    assert_eq!((&table["object"]["kind"], &table["object"]["rows"][0]["cells"][0]), (&json!("Table"), &json!("a")));
    let partial = get("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").await;
    let metadata = server.get(&format!("{MAPS}/a")).await.expect(200)["metadata"].clone();
    let shown = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
    assert_eq!(partial, json!({"type": "ADDED", "object": shown}));
}
