//! Custom resources: definitions, and objects of their kinds.

use serde_json::{Value, json};

use crate::harness::Server;

pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

/// A definition of `widgets.example.com` in the version v1.
pub fn definition(schema: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}}}],
        },
    })
}

pub fn schema(spec: &Value) -> Value {
    json!({"type": "object", "properties": {
        "spec": spec,
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }})
}

/// Creates a definition and says what its controller would say.
pub async fn define(server: &Server, definition: &Value) {
    let created = server.post(DEFINITIONS, definition).await;
    assert_eq!(created.code, 201, "{}", created.body);
    establish(server, definition["metadata"]["name"].as_str().unwrap()).await;
}

pub async fn establish(server: &Server, name: &str) {
    let path = format!("{DEFINITIONS}/{name}");
    let names = server.get(&path).await.body["spec"]["names"].clone();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {"acceptedNames": names, "conditions": [condition("NamesAccepted"), condition("Established")]}});
    let told = server.patch(&format!("{path}/status"), "merge", &status).await;
    assert_eq!(told.code, 200, "{}", told.body);
}

pub fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_definition_brings_a_kind() {
    let server = Server::start().await;
    let size = json!({"type": "object", "properties": {"size": {"type": "integer", "default": 3}}});
    let created = server.post(DEFINITIONS, &definition(&schema(&size))).await;
    assert_eq!(created.code, 201, "{}", created.body);
    assert_eq!(created.body["spec"]["names"]["singular"], "widget");
    assert_eq!(created.body["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(created.body["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(created.body["status"]["storedVersions"], json!(["v1"]));
    // Not before it is established.
    assert_eq!(server.get(WIDGETS).await.code, 404);
    assert_eq!(server.get("/apis/example.com/v1").await.code, 404);
    establish(&server, "widgets.example.com").await;

    let mut watch = server.watch(&format!("{WIDGETS}?watch=1")).await;
    let created = server.post(WIDGETS, &widget("a", json!({"unknown": 1}))).await;
    assert_eq!(created.code, 201, "{}", created.body);
    assert_eq!(created.body["spec"], json!({"size": 3}));
    assert_eq!(created.body["metadata"]["generation"], 1);
    let list = server.get("/apis/example.com/v1/widgets").await;
    assert_eq!(list.body["kind"], "WidgetList");
    assert_eq!(list.names(), ["a"]);
    assert_eq!(watch.say().await, "ADDED a");

    let resources = server.get("/apis/example.com/v1").await.body;
    assert_eq!(resources["resources"][0]["name"], "widgets", "{resources}");
    let open = server.get("/openapi/v3/apis/example.com/v1").await.body;
    assert_eq!(open["components"]["schemas"]["com.example.v1.Widget"]["properties"]["spec"]["type"], "object");
    assert!(server.get("/openapi/v2").await.body["definitions"]["com.example.v1.Widget"].is_object());

    let protobuf = server.send("GET", WIDGETS, &[("accept", "application/vnd.kubernetes.protobuf")], "").await;
    assert_eq!((protobuf.code, protobuf.body["reason"].as_str()), (406, Some("NotAcceptable")));
    let patched = server.patch(&format!("{WIDGETS}/a"), "merge", &json!({"spec": {"size": 5, "odd": true}})).await;
    assert_eq!((patched.code, &patched.body["spec"]), (200, &json!({"size": 5})));
    assert_eq!(patched.body["metadata"]["generation"], 2);
    assert_eq!(server.patch(&format!("{WIDGETS}/a"), "strategic-merge", &json!({})).await.code, 415);
    let applied = server.apply(&format!("{WIDGETS}/b"), "fieldManager=m", &widget("b", json!({"size": 4}))).await;
    assert_eq!(applied.code, 201, "{}", applied.body);
    assert_eq!(applied.managers(), [r#"m Apply {"f:spec":{"f:size":{}}}"#]);

    let deleted = server.delete(&format!("{DEFINITIONS}/widgets.example.com"), &Value::Null).await;
    assert_eq!(deleted.body["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    // A list shows what was acknowledged before, so the registry knows of it then.
    assert_eq!(server.get(DEFINITIONS).await.names(), ["widgets.example.com"]);
    let refused = server.post(WIDGETS, &widget("c", json!({}))).await;
    assert_eq!(refused.code, 403);
    assert!(
        refused.message().ends_with("create not allowed while custom resource definition is terminating"),
        "{refused:?}"
    );
    assert_eq!(server.send("DELETE", WIDGETS, &[], "").await.code, 200);
    let finalized = json!({"metadata": {"finalizers": []}});
    assert_eq!(server.patch(&format!("{DEFINITIONS}/widgets.example.com"), "merge", &finalized).await.code, 200);
    assert!(server.get(DEFINITIONS).await.names().is_empty());
    assert_eq!(server.get(WIDGETS).await.code, 404);
    let said: Vec<String> =
        [watch.say().await, watch.say().await, watch.say().await, watch.say().await, watch.say().await].into();
    assert_eq!(said, ["MODIFIED a", "ADDED b", "DELETED a", "DELETED b", "end"]);
}

/// The gates of built-in fields are of built-in kinds.
#[tokio::test]
async fn a_custom_kind_of_a_built_in_name_keeps_its_fields() {
    let server = Server::start().await;
    let mut leases = definition(&schema(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})));
    leases["spec"]["names"]["kind"] = "Lease".into();
    define(&server, &leases).await;
    let spec = json!({"strategy": "s", "preferredHolder": "h", "other": 1});
    let mut lease = widget("a", spec.clone());
    lease["kind"] = "Lease".into();
    server.until(WIDGETS, |answer| answer.code == 200).await;
    assert_eq!(server.post(WIDGETS, &lease).await.expect(201)["spec"], spec);
    let patched = server.patch(&format!("{WIDGETS}/a"), "merge", &json!({"spec": {"other": 2}})).await.expect(200);
    assert_eq!(patched["spec"], json!({"strategy": "s", "preferredHolder": "h", "other": 2}));
}

#[tokio::test]
async fn versions_show_the_same_objects() {
    let server = Server::start().await;
    let mut both = definition(&schema(&object_with(&["a", "b"])));
    let mut old = both["spec"]["versions"][0].clone();
    old["name"] = "v1beta1".into();
    old["storage"] = false.into();
    old["deprecated"] = true.into();
    old["schema"]["openAPIV3Schema"] = schema(&object_with(&["a", "c"]));
    both["spec"]["versions"].as_array_mut().unwrap().push(old);
    define(&server, &both).await;
    let older = WIDGETS.replace("v1", "v1beta1");
    let mut watch = server.watch(&format!("{older}?watch=1")).await;

    let mut one = widget("x", json!({"a": "1", "b": "2", "c": "3"}));
    one["apiVersion"] = "example.com/v1beta1".into();
    let created = server.post(&older, &one).await;
    assert_eq!(
        created.warnings(),
        [
            "299 - \"example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget\"",
            "299 - \"unknown field \\\"spec.b\\\"\"",
        ]
    );
    // What the storage version does not know is not stored.
    for (path, version) in [(WIDGETS, "example.com/v1"), (&older, "example.com/v1beta1")] {
        let got = server.get(&format!("{path}/x")).await;
        assert_eq!((&got.body["apiVersion"], &got.body["spec"]), (&json!(version), &json!({"a": "1"})), "{version}");
        let listed = server.get(path).await;
        assert_eq!(
            (&listed.body["apiVersion"], &listed.body["items"][0]["apiVersion"]),
            (&json!(version), &json!(version))
        );
    }
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["apiVersion"]), (&json!("ADDED"), &json!("example.com/v1beta1")));

    // A default that comes later shows at once, also in what was stored before; the watch of the former kind ends.
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let mut both = server.get(&path).await.body;
    both["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["b"]["default"] =
        "new".into();
    both["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        .as_object_mut()
        .unwrap()
        .remove("a");
    assert_eq!(server.put(&path, &both).await.code, 200);
    assert_eq!(watch.say().await, "end");
    let expected = json!({"b": "new"});
    assert_eq!(server.get(&format!("{WIDGETS}/x")).await.body["spec"], expected);
    assert_eq!(server.get(WIDGETS).await.body["items"][0]["spec"], expected);
    let mut watch = server.watch(&format!("{WIDGETS}?watch=1&resourceVersion=0")).await;
    assert_eq!(watch.next().await.unwrap()["object"]["spec"], expected);
    // An update that changes nothing stores it.
    let before = server.get(&format!("{WIDGETS}/x")).await;
    let after = server.put(&format!("{WIDGETS}/x"), &before.body).await;
    assert!(after.version() > before.version() && after.body["spec"] == expected, "{}", after.body);
    assert_eq!(watch.next().await.unwrap()["object"]["spec"], expected);
}

#[tokio::test]
async fn objects_are_checked() {
    let server = Server::start().await;
    let spec = json!({"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1}, "names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}}});
    define(&server, &definition(&schema(&spec))).await;
    let refused = server.post(WIDGETS, &widget("a", json!({"names": ["x", "x"]}))).await;
    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.message(),
        "Widget.example.com \"a\" is invalid: [spec.size: Required value, spec.names[1]: Duplicate value: \"x\"]"
    );
    let refused = server.post(WIDGETS, &widget("a", json!({"size": "big"}))).await;
    assert_eq!(
        refused.message(),
        "Widget.example.com \"a\" is invalid: spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \
         \"string\""
    );
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let mut odd = widget("a", json!({"size": 1, "colour": "red"}));
    odd["metadata"]["odd"] = 1.into();
    assert_eq!(
        server.post(&strict, &odd).await.message(),
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"metadata.odd\", \
         unknown field \"spec.colour\""
    );
    let twice = r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"size":1,"size":2}}"#;
    let json = [("content-type", "application/json")];
    let refused = server.send("POST", &strict, &json, twice).await;
    assert!(refused.message().ends_with("strict decoding error: duplicate field \"spec.size\""), "{refused:?}");
    let mut other = widget("a", json!({"size": 1}));
    other["kind"] = "Gadget".into();
    assert_eq!(
        server.post(WIDGETS, &other).await.message(),
        "Gadget.example.com \"a\" is invalid: kind: Invalid value: \"Gadget\": must be Widget"
    );
    other["apiVersion"] = "example.com/v2".into();
    assert_eq!(
        server.post(WIDGETS, &other).await.message(),
        "the API version in the data (example.com/v2) does not match the expected API version (example.com/v1)"
    );
    server.post(WIDGETS, &widget("a", json!({"size": 1}))).await.expect(201);
    let path = format!("{WIDGETS}/a");
    let refused = server.patch(&path, "merge", &json!({"spec": {"size": 0}})).await;
    assert_eq!(
        refused.message(),
        "Widget.example.com \"a\" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"
    );
    let applied = server.apply(&path, "fieldManager=m&force=true", &widget("a", json!({"colour": "red"}))).await;
    assert_eq!(
        (applied.code, applied.message()),
        (
            500,
            "failed to create typed patch object (/a; example.com/v1, Kind=Widget): .spec.colour: field not declared in schema"
        )
    );
    // Without a resourceVersion nothing is replaced.
    let refused = server.put(&path, &widget("a", json!({"size": 2}))).await;
    assert_eq!(refused.code, 422);
    assert!(refused.message().ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"));
}

#[tokio::test]
async fn subresources_are_the_definitions() {
    let server = Server::start().await;
    let spec = json!({"type": "object", "properties": {"count": {"type": "integer"}, "size": {"type": "integer"}}});
    let mut scaled = definition(&schema(&spec));
    let subresources = json!({"status": {}, "scale": {"specReplicasPath": ".spec.count", "statusReplicasPath": ".status.count",
        "labelSelectorPath": ".status.selector"}});
    scaled["spec"]["versions"][0]["subresources"] = subresources;
    scaled["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] =
        json!({"type": "object", "properties": {"count": {"type": "integer"}, "selector": {"type": "string"}}});
    define(&server, &scaled).await;
    let mut one = widget("a", json!({"count": 2, "size": 1}));
    one["status"] = json!({"count": 7});
    let created = server.post(WIDGETS, &one).await.expect(201);
    assert_eq!(created.get("status"), None);
    let (path, status) = (format!("{WIDGETS}/a"), format!("{WIDGETS}/a/status"));
    let told =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"size": 9}, "status": {"count": 1, "selector": "x=y"}});
    let told = server.patch(&status, "merge", &told).await.expect(200);
    assert_eq!((&told["spec"]["size"], &told["status"]["count"]), (&json!(1), &json!(1)));
    assert_eq!((&told["metadata"]["generation"], told["metadata"].get("labels")), (&json!(1), None));
    let refused = server.patch(&status, "merge", &json!({"status": {"count": "many"}})).await;
    assert!(
        refused.message().contains("status.count: Invalid value: \"string\": count in body must be of type integer"),
        "{refused:?}"
    );

    let scale = server.get(&format!("{path}/scale")).await.expect(200);
    assert_eq!(
        (&scale["spec"], &scale["status"]),
        (&json!({"replicas": 2}), &json!({"replicas": 1, "selector": "x=y"}))
    );
    let scaled = server.patch(&format!("{path}/scale"), "merge", &json!({"spec": {"replicas": 5}})).await.expect(200);
    assert_eq!(scaled["spec"]["replicas"], 5);
    let after = server.get(&path).await.expect(200);
    assert_eq!((&after["spec"]["count"], &after["metadata"]["generation"]), (&json!(5), &json!(2)));
    let refused = server.patch(&path, "merge", &json!({"spec": {"count": -1}})).await;
    assert!(
        refused.message().ends_with(".spec.count: Invalid value: -1: should be a non-negative integer"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn objects_are_shown_and_chosen_by_their_fields() {
    let server = Server::start().await;
    let spec = object_with(&["color", "deep"]);
    let mut listed = definition(&schema(&spec));
    listed["spec"]["versions"][0]["additionalPrinterColumns"] = json!([{"name": "Color", "type": "string", "jsonPath": ".spec.color"}, {"name": "Age", "type": "date",
            "jsonPath": ".metadata.creationTimestamp"}]);
    listed["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.color"}]);
    define(&server, &listed).await;
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        server.post(WIDGETS, &widget(name, json!({"color": color}))).await.expect(201);
    }
    assert_eq!(server.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dred")).await.names(), ["a", "c"]);
    assert_eq!(server.get(&format!("{WIDGETS}?fieldSelector=spec.deep%3Dred")).await.code, 400);
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = server.send("GET", WIDGETS, &accept, "").await.expect(200);
    assert_eq!(table["columnDefinitions"][1]["name"], "Color");
    assert_eq!(table["rows"][1]["cells"], json!(["b", "blue", "0s"]));
    let accept = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")];
    let metas = server.send("GET", WIDGETS, &accept, "").await.expect(200);
    assert_eq!(
        (&metas["kind"], &metas["items"][2]["metadata"]["name"]),
        (&json!("PartialObjectMetadataList"), &json!("c"))
    );
    // Another field can be chosen by from now on, also in what is there already.
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let mut other = server.get(&path).await.body;
    other["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.deep"}]);
    server.put(&path, &other).await.expect(200);
    server.patch(&format!("{WIDGETS}/b"), "merge", &json!({"spec": {"deep": "x"}})).await.expect(200);
    assert_eq!(server.get(DEFINITIONS).await.code, 200);
    assert_eq!(server.get(&format!("{WIDGETS}?fieldSelector=spec.deep%3Dx")).await.names(), ["b"]);
}

fn object_with(names: &[&str]) -> Value {
    let all = names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"})));
    json!({"type": "object", "properties": all.collect::<serde_json::Map<_, _>>()})
}

#[tokio::test]
async fn every_server_of_a_store_has_the_kind() {
    let store = std::sync::Arc::new(store::Memory::new());
    let first = Server::with(|config| config.store = store.clone()).await;
    let second = Server::with(|config| config.store = store.clone()).await;
    define(&first, &definition(&schema(&object_with(&["a"])))).await;
    second.post(WIDGETS, &widget("x", json!({"a": "1"}))).await.expect(201);
    assert_eq!(first.get(WIDGETS).await.names(), ["x"]);
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    for server in [&first, &second] {
        let groups = server.send("GET", "/apis", &accept, "").await.expect(200);
        let group = groups["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == "example.com");
        let resource = &group.unwrap()["versions"][0]["resources"][0];
        assert_eq!((&resource["resource"], &resource["shortNames"]), (&json!("widgets"), &json!(["wd"])));
    }
    // One that starts later finds both.
    let third = Server::with(|config| config.store = store.clone()).await;
    assert_eq!(third.get(WIDGETS).await.names(), ["x"]);
    // What is served no more is not discovered any more, and comes back.
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let mut unserved = first.get(&path).await.body;
    unserved["spec"]["versions"][0]["served"] = false.into();
    let mut unserved = first.put(&path, &unserved).await.expect(200);
    for server in [&first, &third] {
        assert_eq!(server.get(DEFINITIONS).await.code, 200);
        assert_eq!(server.get("/apis/example.com/v1").await.code, 404);
        assert_eq!(server.get("/openapi/v3/apis/example.com/v1").await.code, 404);
        assert!(!server.get("/openapi/v2").await.body["definitions"]["com.example.v1.Widget"].is_object());
    }
    unserved["spec"]["versions"][0]["served"] = true.into();
    third.put(&path, &unserved).await.expect(200);
    assert_eq!(first.get(DEFINITIONS).await.code, 200);
    assert_eq!(first.get(WIDGETS).await.names(), ["x"]);
}

#[tokio::test]
async fn rules_are_enforced() {
    let server = Server::start().await;
    let spec = json!({
        "type": "object",
        "properties": {
            "min": {"type": "integer"},
            "max": {"type": "integer"},
            "name": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "stays"}]},
        },
        "x-kubernetes-validations": [{"rule": "self.min <= self.max", "messageExpression": "'%d > %d'.format([self.min, self.max])"}],
    });
    let mut schema = schema(&spec);
    schema["properties"]["status"] = json!({"type": "object", "properties": {"ready": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.ready <= 3", "fieldPath": ".ready", "reason": "FieldValueForbidden"}]});
    let mut wrong = schema.clone();
    wrong["properties"]["spec"]["x-kubernetes-validations"] = json!([{"rule": "self.nothing"}]);
    let refused = server.post(DEFINITIONS, &definition(&wrong)).await;
    assert_eq!(refused.code, 422, "{}", refused.body);
    assert!(refused.body["message"].as_str().unwrap().contains("undefined field 'nothing'"), "{}", refused.body);
    define(&server, &definition(&schema)).await;

    let refused = server.post(WIDGETS, &widget("a", json!({"min": 3, "max": 2}))).await;
    assert_eq!(refused.code, 422, "{}", refused.body);
    assert_eq!(refused.body["message"], "Widget.example.com \"a\" is invalid: spec: Invalid value: 3 > 2");
    let created = server.post(WIDGETS, &widget("a", json!({"min": 1, "max": 2, "name": "n"}))).await;
    assert_eq!(created.code, 201, "{}", created.body);

    let path = format!("{WIDGETS}/a");
    let renamed = server.patch(&path, "merge", &json!({"spec": {"name": "m"}})).await;
    assert_eq!(renamed.body["message"], "Widget.example.com \"a\" is invalid: spec.name: Invalid value: \"m\": stays");
    let grown = server.patch(&path, "merge", &json!({"spec": {"max": 5}})).await;
    assert_eq!(grown.code, 200, "{}", grown.body);
    let status = server.patch(&format!("{path}/status"), "merge", &json!({"status": {"ready": 4}})).await;
    assert_eq!(status.code, 422, "{}", status.body);
    let cause = &status.body["details"]["causes"][0];
    assert_eq!((&cause["field"], &cause["reason"]), (&json!("status.ready"), &json!("FieldValueForbidden")));
    let status = server.patch(&format!("{path}/status"), "merge", &json!({"status": {"ready": 3}})).await;
    assert_eq!(status.code, 200, "{}", status.body);
}
