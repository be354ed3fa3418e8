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

#[tokio::test]
async fn versions_show_the_same_objects() {
    let server = Server::start().await;
    let properties = |names: &[&str]| -> Value {
        let all = names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"})));
        json!({"type": "object", "properties": all.collect::<serde_json::Map<_, _>>()})
    };
    let mut both = definition(&schema(&properties(&["a", "b"])));
    let mut old = both["spec"]["versions"][0].clone();
    old["name"] = "v1beta1".into();
    old["storage"] = false.into();
    old["deprecated"] = true.into();
    old["schema"]["openAPIV3Schema"] = schema(&properties(&["a", "c"]));
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
