//! Custom resources whose versions a webhook converts.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::custom::{DEFINITIONS, define, definition};
use super::harness::{PATIENCE, Server, config_map};
use super::hook::{Hook, Say};

const V1: &str = "/apis/example.com/v1/namespaces/default/widgets";
const V2: &str = "/apis/example.com/v2/namespaces/default/widgets";

/// v1 has `hostPort`, v2 has `host` and `port`. A host of `bad` cannot be converted.
fn convert(request: &Value) -> Value {
    let wanted = request["desiredAPIVersion"].as_str().unwrap();
    let mut objects = request["objects"].as_array().cloned().unwrap();
    for object in &mut objects {
        object["apiVersion"] = wanted.into();
        object["metadata"]["labels"] = json!({"shown-as": wanted.rsplit('/').next()});
        object["metadata"]["generation"] = 99.into();
        let Some(spec) = object["spec"].as_object_mut() else { continue };
        if wanted.ends_with("v2") {
            let Some(Value::String(both)) = spec.remove("hostPort") else { continue };
            let (host, port) = both.split_once(':').unwrap_or((both.as_str(), ""));
            if host == "bad" {
                return json!({"result": {"status": "Failure", "message": "a bad host"}});
            }
            spec.extend([("host".into(), host.into()), ("port".into(), port.into())]);
        } else {
            let [host, port] = ["host", "port"].map(|key| spec.remove(key).unwrap_or_default());
            let both = format!("{}:{}", host.as_str().unwrap_or_default(), port.as_str().unwrap_or_default());
            spec.insert("hostPort".into(), both.into());
        }
    }
    json!({"result": {"status": "Success"}, "convertedObjects": objects})
}

fn spec(names: &[&str]) -> Value {
    let members = names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"})));
    let spec = json!({"type": "object", "properties": members.collect::<serde_json::Map<_, _>>()});
    json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object", "properties": {"x": {"type": "string"}}}}})
}

/// v1 is stored.
fn both(hook: &Hook) -> Value {
    let mut both = definition(&spec(&["hostPort"]));
    let mut second = both["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    second["schema"]["openAPIV3Schema"] = spec(&["host", "port"]);
    second["selectableFields"] = json!([{"jsonPath": ".spec.host"}]);
    both["spec"]["versions"].as_array_mut().unwrap().push(second);
    both["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
        "clientConfig": {"url": hook.url, "caBundle": hook.bundle}}});
    both
}

async fn start(say: Say) -> (Server, Hook) {
    let hook = Hook::start(say).await;
    let server = Server::start().await;
    define(&server, &both(&hook)).await;
    (server, hook)
}

fn v1(name: &str, host_port: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"hostPort": host_port}})
}

fn v2(name: &str, host: &str, port: &str) -> Value {
    json!({"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": name}, "spec": {"host": host, "port": port}})
}

#[tokio::test]
async fn each_verb_speaks_the_version_of_its_request() {
    let (server, hook) = start(convert).await;
    let created = server.post(V2, &v2("a", "h", "1")).await.expect(201);
    assert_eq!(
        (&created["spec"], &created["apiVersion"]),
        (&json!({"host": "h", "port": "1"}), &json!("example.com/v2"))
    );
    assert_eq!(
        (&created["metadata"]["generation"], &created["metadata"]["labels"]),
        (&json!(1), &json!({"shown-as": "v2"}))
    );
    let stored = server.get(&format!("{V1}/a")).await.expect(200);
    assert_eq!(
        (&stored["spec"], &stored["metadata"]["labels"]),
        (&json!({"hostPort": "h:1"}), &json!({"shown-as": "v1"}))
    );

    let a = format!("{V2}/a");
    let merged = server.patch(&a, "merge", &json!({"spec": {"port": "2"}})).await.expect(200);
    assert_eq!((&merged["spec"]["port"], &merged["metadata"]["generation"]), (&json!("2"), &json!(2)));
    let mut new = server.get(&a).await.expect(200);
    new["spec"]["host"] = "other".into();
    assert_eq!(server.put(&a, &new).await.expect(200)["spec"], json!({"host": "other", "port": "2"}));
    let told = server.patch(&format!("{a}/status"), "merge", &json!({"status": {"x": "y"}})).await.expect(200);
    assert_eq!((&told["status"]["x"], &told["spec"]["host"]), (&json!("y"), &json!("other")));
    let dry = server.patch(&format!("{a}?dryRun=All"), "merge", &json!({"spec": {"host": "dry"}})).await.expect(200);
    assert_eq!(dry["spec"]["host"], "dry");
    assert_eq!(server.get(&format!("{V1}/a")).await.body["spec"]["hostPort"], "other:2");
    // What changes nothing is no write.
    let same = server.patch(&a, "merge", &json!({"spec": {"host": "other"}})).await;
    assert_eq!(same.version(), server.get(&a).await.version());
    server.delete(&a, &Value::Null).await.expect(200);
    assert_eq!(hook.connections.load(Ordering::Relaxed), 1, "connections are kept");
}

#[tokio::test]
async fn lists_and_watches_convert_once_and_select_what_they_show() {
    let (server, hook) = start(convert).await;
    for (name, host) in [("a", "x:1"), ("b", "y:1"), ("c", "x:2")] {
        server.post(V1, &v1(name, host)).await.expect(201);
    }
    assert_eq!(hook.count(), 0, "nobody has to be asked about what is stored");
    let list = server.get(V2).await;
    let items = list.body["items"].as_array().unwrap().iter();
    let hosts: Vec<&str> = items.map(|item| item["spec"]["host"].as_str().unwrap()).collect();
    assert_eq!((hosts, hook.count()), (vec!["x", "y", "x"], 1), "all in one review");
    assert_eq!(server.get(&format!("{V2}?fieldSelector=spec.host%3Dx")).await.names(), ["a", "c"]);
    assert_eq!(server.get(&format!("{V2}?labelSelector=shown-as%3Dv2&limit=2")).await.names(), ["a", "b"]);
    let page = server.get(&format!("{V2}?limit=2")).await;
    let token = page.body["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = server.get(&format!("{V2}?limit=2&continue={token}")).await;
    assert_eq!((rest.names(), &rest.body["items"][0]["spec"]["host"]), (vec!["c".to_owned()], &json!("x")));
    assert_eq!(hook.count(), 1, "what was converted is kept");

    let version = list.body["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = server.watch(&format!("{V2}?watch=1&resourceVersion={version}&fieldSelector=spec.host%3Dx")).await;
    server.patch(&format!("{V1}/b"), "merge", &json!({"spec": {"hostPort": "x:3"}})).await.expect(200);
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["spec"]), (&json!("ADDED"), &json!({"host": "x", "port": "3"})));
    server.delete(&format!("{V1}/a"), &Value::Null).await.expect(200);
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["apiVersion"]), (&json!("DELETED"), &json!("example.com/v2")));
}

#[tokio::test]
async fn what_is_stored_in_another_version_is_converted_too() {
    let (server, hook) = start(convert).await;
    server.post(V1, &v1("old", "h:1")).await.expect(201);
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let mut turned = server.get(&path).await.expect(200);
    for version in turned["spec"]["versions"].as_array_mut().unwrap() {
        version["storage"] = (version["name"] == "v2").into();
    }
    server.put(&path, &turned).await.expect(200);
    let storage = |answer: Value| answer["metadata"]["labels"]["shown-as"].clone();
    server.until(&format!("{V2}/old"), |answer| answer.body["spec"]["host"] == "h").await;
    server.post(V2, &v2("new", "h", "2")).await.expect(201);
    assert_eq!(storage(server.get(&format!("{V2}/new")).await.expect(200)), Value::Null, "it is stored as it was sent");
    assert_eq!(server.get(V1).await.names(), ["new", "old"]);
    assert!(hook.count() > 0);
    // A write that changes nothing brings the object into the version of today.
    let before = server.get(&format!("{V2}/old")).await.version();
    let after = server.patch(&format!("{V2}/old"), "merge", &json!({})).await.version();
    assert_ne!(before, after);
}

#[tokio::test]
async fn managers_of_several_versions_are_compared() {
    let (server, _hook) = start(convert).await;
    server.apply(&format!("{V1}/a"), "fieldManager=first", &v1("a", "h:1")).await.expect(201);
    let conflicts = server.apply(&format!("{V2}/a"), "fieldManager=second", &v2("a", "h", "2")).await;
    assert_eq!(conflicts.code, 409, "{}", conflicts.body);
    assert!(conflicts.message().contains("conflict with \"first\": .spec.hostPort"), "{conflicts:?}");
    let agreed = server.apply(&format!("{V2}/a"), "fieldManager=second", &v2("a", "h", "1")).await;
    let owners: Vec<String> = agreed.managers();
    assert_eq!(agreed.code, 200, "{}", agreed.body);
    // What changes nothing has no time, and comes first.
    let expected =
        [r#"second Apply {"f:spec":{"f:host":{},"f:port":{}}}"#, r#"first Apply {"f:spec":{"f:hostPort":{}}}"#];
    assert_eq!(owners, expected);
    // An update takes the field from both.
    let updated = server.patch(&format!("{V2}/a?fieldManager=third"), "merge", &json!({"spec": {"port": "3"}})).await;
    let expected = [r#"second Apply {"f:spec":{"f:host":{}}}"#, r#"third Update {"f:spec":{"f:port":{}}}"#];
    assert_eq!(updated.managers(), expected);
}

#[tokio::test]
async fn what_cannot_be_converted_is_an_error_and_hides_nothing_else() {
    let (server, _hook) = start(convert).await;
    server.post(V1, &v1("bad", "bad:1")).await.expect(201);
    let failed = "conversion webhook for example.com/v1, Kind=Widget failed: a bad host";
    for path in [V2.to_owned(), format!("{V2}/bad")] {
        let answer = server.get(&path).await;
        assert_eq!((answer.code, answer.message()), (500, failed), "{path}");
    }
    assert_eq!(server.get(V1).await.names(), ["bad"]);
    let mut watch =
        server.watch(&format!("{V2}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")).await;
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["message"]), (&json!("ERROR"), &json!(failed)));
    server.delete(&format!("{V1}/bad"), &Value::Null).await.expect(200);
    assert_eq!(server.get(V2).await.names(), [""; 0]);
}

#[tokio::test]
async fn parameters_of_policies_are_converted() {
    let (server, _hook) = start(convert).await;
    server.post(V1, &v1("limits", "most:2")).await.expect(201);
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "paramKind": {"apiVersion": "example.com/v2", "kind": "Widget"},
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]},
        "validations": [{"expression": "false", "messageExpression": "params.spec.host + ' ' + params.spec.port"}]}});
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"],
        "paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}}});
    server.post(&format!("{group}/validatingadmissionpolicies"), &policy).await.expect(201);
    server.post(&format!("{group}/validatingadmissionpolicybindings"), &binding).await.expect(201);
    let path = "/api/v1/namespaces/default/configmaps?dryRun=All";
    let refused = async {
        loop {
            let answer = server.post(path, &config_map("a", json!({}))).await;
            if answer.code != 201 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, refused).await.expect("a policy that never is in force");
    assert!(answer.message().ends_with("denied request: most 2"), "{}", answer.body);
}
