//! Single objects, views of them, and paths that are no resource.

use serde_json::{Value, json};

use crate::harness::{Server, config_map};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_get_is_as_new_as_asked() {
    let server = Server::start().await;
    let created = server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let version = created["metadata"]["resourceVersion"].as_str().unwrap();
    for query in ["", "?resourceVersion=0", &format!("?resourceVersion={version}")] {
        assert_eq!(
            server.until(&format!("{MAPS}/a{query}"), |answer| answer.code == 200).await.body,
            created,
            "{query}"
        );
    }
    assert_eq!(server.get(&format!("{MAPS}/a?resourceVersion=x")).await.code, 500);
    assert_eq!(server.get(&format!("{MAPS}?resourceVersion=x")).await.code, 400);
}

#[tokio::test]
async fn a_version_of_the_future_is_not_waited_for_long() {
    let server = Server::start().await;
    let paths = [format!("{MAPS}?resourceVersion=9999"), format!("{MAPS}/a?resourceVersion=9999")];
    for answer in futures::future::join_all(paths.iter().map(|path| server.get(path))).await {
        assert_eq!(answer.code, 504, "{}", answer.body);
        assert!(answer.message().starts_with("Timeout: Too large resource version: 9999, current: "));
        assert_eq!(answer.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    }
}

#[tokio::test]
async fn objects_are_shown_as_clients_ask() {
    let server = Server::start().await;
    server.post(MAPS, &config_map("a", json!({"k": "v"}))).await.expect(201);
    let accept = |text: &'static str| [("accept", text)];
    let get = async |path: &str, accept: [(&str, &str); 1]| server.send("GET", path, &accept, "").await;

    let table = get(MAPS, accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")).await.expect(200);
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["columnDefinitions"][1]["name"], "Data");
    let none = format!("{MAPS}?labelSelector=a%3Db");
    let empty = get(&none, accept("application/json;as=Table;v=v1;g=meta.k8s.io")).await.expect(200);
    assert_eq!(empty["rows"], json!([]));
    let partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let object = get(&format!("{MAPS}/a"), accept(partial)).await.expect(200);
    assert_eq!((object["kind"].as_str(), object.get("data")), (Some("PartialObjectMetadata"), None));
    let list = get(MAPS, accept("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")).await.expect(200);
    let whole = server.get(&format!("{MAPS}/a")).await.expect(200);
    let shown = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"]});
    assert!(whole["metadata"]["managedFields"].is_array(), "{whole}");
    assert_eq!((&object, &list["items"]), (&shown, &json!([shown])));
    assert_eq!(
        (&list["kind"], &list["metadata"]["resourceVersion"]),
        (&json!("PartialObjectMetadataList"), &whole["metadata"]["resourceVersion"])
    );
    let yaml = get(&format!("{MAPS}/a"), accept("application/yaml")).await.body;
    assert!(yaml.as_str().unwrap().contains("kind: ConfigMap"), "{yaml}");
    let refused = get(MAPS, accept("text/html")).await;
    assert_eq!(refused.code, 406);
    assert_eq!(
        refused.message(),
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf, application/json;stream=watch, \
         application/vnd.kubernetes.protobuf;stream=watch"
    );
    let pretty = server.send("GET", &format!("{MAPS}/a?pretty=true"), &[], "").await;
    assert_eq!(pretty.body["kind"], "ConfigMap");
}

#[tokio::test]
async fn answers_are_protobuf_when_that_is_asked_for() {
    let server = Server::start().await;
    let created = server.post(MAPS, &config_map("a", json!({"k": "v"}))).await.expect(201);
    let accept = [("accept", "application/vnd.kubernetes.protobuf,application/json")];
    for path in [MAPS, &format!("{MAPS}/a"), &format!("{MAPS}/missing"), "/apis/apps/v1", "/apis"] {
        let (json, protobuf) = (server.get(path).await, server.send("GET", path, &accept, "").await);
        assert_eq!(protobuf.headers["content-type"], "application/vnd.kubernetes.protobuf", "{path}");
        let mut body = protobuf.body;
        // As items of a list come in JSON.
        for item in body.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            (item["apiVersion"], item["kind"]) = ("v1".into(), "ConfigMap".into());
        }
        assert_eq!((protobuf.code, body), (json.code, json.body), "{path}");
    }
    let version = server.send("GET", "/version", &accept, "").await;
    assert_eq!(version.headers["content-type"], "application/json");

    // Metadata alone, and a stream.
    let read = async |path: &str, accept: &str| {
        let request = http::Request::builder().uri(path).header("accept", accept).body(apiserver::body::empty());
        let response = server.raw(request.unwrap()).await;
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes())
    };
    let metadata = |kind: &str| format!("application/vnd.kubernetes.protobuf;as={kind};g=meta.k8s.io;v=v1");
    let (_, partial) = read(&format!("{MAPS}/a"), &metadata("PartialObjectMetadata")).await;
    let (_, list) = read(MAPS, &metadata("PartialObjectMetadataList")).await;
    let uid = created["metadata"]["uid"].as_str().unwrap();
    for (kind, bytes) in [("PartialObjectMetadata", partial), ("PartialObjectMetadataList", list)] {
        let envelope = api::protobuf::unwrap(&bytes).unwrap();
        assert_eq!((envelope.api_version.as_str(), envelope.kind.as_str()), ("meta.k8s.io/v1", kind));
        assert!(String::from_utf8_lossy(envelope.raw).contains(uid));
    }
    let watch = format!("{MAPS}?watch=true&resourceVersion=0&timeoutSeconds=1&fieldSelector=metadata.name%3Da");
    let (kind, frames) = read(&watch, "application/vnd.kubernetes.protobuf;stream=watch").await;
    assert_eq!(kind, "application/vnd.kubernetes.protobuf;stream=watch");
    let object = api::protobuf::encode_object(api::schema::SchemaSet::builtin(), &created).unwrap();
    assert_eq!(frames[..], api::protobuf::watch_event("ADDED", &object));
}

#[tokio::test]
async fn large_answers_are_compressed_when_that_is_accepted() {
    let server = Server::start().await;
    for index in 0..20 {
        let data = json!({"k": "x".repeat(20_000)});
        server.post(MAPS, &config_map(&format!("m{index}"), data)).await.expect(201);
    }
    let plain = server.get(MAPS).await;
    assert_eq!((plain.names().len(), plain.headers.get("content-encoding")), (20, None));
    let packed = server.send("GET", MAPS, &[("accept-encoding", "deflate, gzip")], "").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn events_have_two_forms() {
    let server = Server::start().await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "hello", "reason": "Test", "type": "Normal"});
    server.post("/api/v1/namespaces/default/events", &event).await.expect(201);
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let served = server.get(&format!("{path}/e")).await.expect(200);
    assert_eq!(served["apiVersion"], "events.k8s.io/v1");
    assert_eq!((&served["note"], &served["regarding"]["name"]), (&json!("hello"), &json!("p")));
    let listed = server.get(&format!("{path}?fieldSelector=regarding.name%3Dp")).await;
    assert_eq!(listed.names(), ["e"]);
    assert_eq!((&listed.body["kind"], &listed.body["items"][0]["note"]), (&json!("EventList"), &json!("hello")));
    let patched =
        server.patch(&format!("{path}/e"), "merge", &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    assert_eq!(patched["note"], "hello");
    let stored = server.get("/api/v1/namespaces/default/events/e").await.expect(200);
    assert_eq!((&stored["message"], &stored["metadata"]["labels"]["a"]), (&json!("hello"), &json!("b")));
}

#[tokio::test]
async fn other_paths_answer() {
    let server = Server::start().await;
    let version = server.get("/version").await.expect(200);
    assert_eq!((version["major"].as_str(), version["minor"].as_str()), (Some("1"), Some("35")));
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(server.get(path).await.expect(200), Value::from("ok"), "{path}");
    }
    assert_eq!(server.get("/api").await.expect(200)["kind"], "APIVersions");
    assert_eq!(server.get("/apis/apps").await.expect(200)["kind"], "APIGroup");
    let resources = server.get("/apis/apps/v1").await.expect(200);
    assert_eq!(resources["kind"], "APIResourceList");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let groups = server.send("GET", "/apis", &[("accept", accept)], "").await;
    assert_eq!(groups.body["kind"], "APIGroupDiscoveryList");
    assert!(groups.headers["content-type"].to_str().unwrap().contains("as=APIGroupDiscoveryList"));
    let index = server.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = server.get(url).await;
    assert_eq!(document.body["openapi"], "3.0.0");
    assert!(document.body["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"].is_object());
    let etag = document.headers["etag"].to_str().unwrap();
    assert_eq!(server.send("GET", url, &[("if-none-match", etag)], "").await.code, 304);
    assert_eq!(server.get("/openapi/v3/apis/apps/v1?hash=old").await.code, 301);
    assert_eq!(server.get("/openapi/v2").await.body["swagger"], "2.0");
    let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let protobuf = server.send("GET", "/openapi/v2", &[("accept", accept)], "").await;
    assert_eq!(protobuf.headers["content-type"], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert_eq!(server.get("/nonsense").await.code, 404);
    assert_eq!(server.get("/apis/nonsense/v1").await.code, 404);
}
