//! Admission webhooks: a server over HTTPS is asked.

use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::harness::{Answer, PATIENCE, Server, config_map, pod};
use super::hook::{Hook, Say};

const MAPS: &str = "/api/v1/namespaces/n/configmaps";
const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

fn config(own: &Hook, change: Value) -> Value {
    let mut hook = json!({
        "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": own.url, "caBundle": own.bundle},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
        // The service account's certificate of the namespace is not for it.
        "matchConditions": [{"name": "mine", "expression": "request.name != 'kube-root-ca.crt'"}],
    });
    hook.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    hook
}

/// A server whose webhooks are these, in force.
async fn asking(kind: &str, hooks: Vec<Value>) -> Server {
    let server = Server::start().await;
    server.namespace("n").await;
    let marker = json!({"name": "z.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        "matchConditions": [{"name": "marker", "expression": "request.name == 'marker'"}]});
    let hooks = [vec![marker], hooks].concat();
    let path = format!("{GROUP}/{}webhookconfigurations", kind.to_lowercase());
    server.post(&path, &json!({"metadata": {"name": "w"}, "webhooks": hooks})).await.expect(201);
    let wait = async {
        while server.post(MAPS, &config_map("marker", json!({}))).await.code == 201 {
            server.delete(&format!("{MAPS}/marker"), &Value::Null).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("a webhook that is never asked");
    server
}

fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

fn refused(answer: &Answer) -> (u16, &str) {
    (answer.code, answer.message())
}

#[tokio::test]
async fn a_validating_webhook_refuses_and_warns() {
    let say: Say = |request| match request["object"]["data"]["bad"].as_str() {
        Some(_) => json!({"allowed": false, "status": {"code": 403, "message": "bad data", "reason": "Forbidden"}}),
        None => json!({"allowed": true, "warnings": ["well"]}),
    };
    let hook = Hook::start(say).await;
    let server = asking("Validating", vec![config(&hook, json!({}))]).await;
    let answer = server.post(MAPS, &config_map("a", json!({"bad": "x"}))).await;
    assert_eq!(refused(&answer), (403, "admission webhook \"a.example.com\" denied the request: bad data"));
    let answer =
        server.post(&format!("{MAPS}?fieldManager=me&dryRun=All"), &config_map("a", json!({"good": "x"}))).await;
    assert_eq!((answer.code, answer.warnings()), (201, vec!["299 - \"well\""]));
    let asked = hook.asked.lock().unwrap().last().cloned().unwrap();
    let options =
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions", "dryRun": ["All"], "fieldManager": "me"});
    let about = json!([
        asked["operation"],
        asked["name"],
        asked["namespace"],
        asked["dryRun"],
        asked["oldObject"],
        asked["options"]
    ]);
    assert_eq!(about, json!(["CREATE", "a", "n", true, null, options]));
    assert_eq!(asked["object"]["kind"], "ConfigMap");
}

#[tokio::test]
async fn a_mutating_webhook_changes_the_object() {
    // Each adds what the other one did.
    let first: Say = |request| match request["object"]["data"]["second"].as_str() {
        None => patch(&json!([{"op": "add", "path": "/data/first", "value": "1"}])),
        Some(_) => patch(
            &json!([{"op": "add", "path": "/data/again", "value": "1"}, {"op": "add", "path": "/unknown", "value": 1}]),
        ),
    };
    let second: Say = |_| patch(&json!([{"op": "add", "path": "/data/second", "value": "2"}]));
    let (first, second) = (Hook::start(first).await, Hook::start(second).await);
    let hooks = vec![
        config(&first, json!({"reinvocationPolicy": "IfNeeded"})),
        config(&second, json!({"name": "b.example.com", "admissionReviewVersions": ["v1beta1"]})),
    ];
    let server = asking("Mutating", hooks).await;
    let object = server.post(MAPS, &config_map("a", json!({"own": "x"}))).await.expect(201);
    assert_eq!(object["data"], json!({"own": "x", "first": "1", "second": "2", "again": "1"}));
    assert_eq!((first.count(), second.count()), (2, 1));
}

#[tokio::test]
async fn failures_are_for_the_policy_to_decide() {
    let never: Say = |_| json!("never");
    let hook = Hook::start(never).await;
    let url = hook.url.clone();
    let failing = |why: &str| {
        format!(
            "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: Post \"{url}?timeout=1s\": {why}"
        )
    };
    let untrusted = json!({"timeoutSeconds": 1, "clientConfig": {"url": hook.url}});
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    let nowhere =
        json!({"timeoutSeconds": 1, "clientConfig": {"service": {"name": "s", "namespace": "x", "path": "/p"}}});
    let table = [
        ("too slow", json!({"timeoutSeconds": 1}), failing("context deadline exceeded")),
        ("not trusted", untrusted, failing(unknown)),
        (
            "not there",
            nowhere,
            "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: Post \
             \"https://s.x.svc:443/p?timeout=1s\": service \"s\" not found"
                .to_owned(),
        ),
    ];
    for (name, change, expected) in table {
        let server = asking("Validating", vec![config(&hook, change.clone())]).await;
        let answer = server.post(MAPS, &config_map("a", json!({}))).await;
        assert_eq!(refused(&answer), (500, expected.as_str()), "{name}");
        let mut ignoring = change;
        ignoring["failurePolicy"] = "Ignore".into();
        let server = asking("Mutating", vec![config(&hook, ignoring)]).await;
        assert_eq!(server.post(MAPS, &config_map("a", json!({}))).await.code, 201, "{name}");
    }
}

#[tokio::test]
async fn deletions_are_asked_about() {
    let say: Say =
        |request| json!({"allowed": request["operation"] != "DELETE" || request["oldObject"]["data"]["free"] == "yes"});
    let hook = Hook::start(say).await;
    for kind in ["Validating", "Mutating"] {
        let server = asking(kind, vec![config(&hook, json!({}))]).await;
        server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
        let answer = server.delete(&format!("{MAPS}/a"), &Value::Null).await;
        assert_eq!(
            refused(&answer),
            (400, "admission webhook \"a.example.com\" denied the request without explanation")
        );
        server.patch(&format!("{MAPS}/a"), "merge", &json!({"data": {"free": "yes"}})).await.expect(200);
        server.delete(&format!("{MAPS}/a"), &Value::Null).await.expect(200);
    }
}

#[tokio::test]
async fn connections_to_a_webhook_are_kept() {
    let say: Say = |_| json!({"allowed": true});
    let hook = Hook::start(say).await;
    let server = asking("Validating", vec![config(&hook, json!({}))]).await;
    for name in ["a", "b", "c"] {
        server.post(MAPS, &config_map(name, json!({}))).await.expect(201);
    }
    assert_eq!(hook.connections.load(Ordering::Relaxed), 1);
    assert!(hook.count() >= 3);
}

#[tokio::test]
async fn what_is_below_an_object_is_changed() {
    let say: Say = |request| match request["operation"].as_str() {
        Some("CONNECT") => patch(&json!([{"op": "add", "path": "/container", "value": "other"}])),
        _ => patch(&json!([{"op": "replace", "path": "/spec/replicas", "value": 9}])),
    };
    let hook = Hook::start(say).await;
    let rule = |group: &str, operation: &str, resource: &str| json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]});
    let rules = json!([rule("", "CONNECT", "pods/exec"), rule("apps", "UPDATE", "deployments/scale")]);
    let server = asking("Mutating", vec![config(&hook, json!({"rules": rules, "matchConditions": []}))]).await;
    server.post("/api/v1/namespaces/n/pods", &pod("p")).await.expect(201);
    let answer = server.post("/api/v1/namespaces/n/pods/p/exec?command=ls", &json!({})).await;
    assert_eq!(refused(&answer), (400, "container other is not valid for pod p"));
    let asked = hook.asked.lock().unwrap().last().cloned().unwrap();
    let options =
        json!({"kind": "PodExecOptions", "apiVersion": "v1", "command": ["ls"], "stdout": true, "stderr": true});
    let about = json!([asked["operation"], asked["subResource"], asked["object"], asked["oldObject"]]);
    assert_eq!(about, json!(["CONNECT", "exec", options, null]));
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment =
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let path = "/apis/apps/v1/namespaces/n/deployments";
    server.post(path, &deployment).await.expect(201);
    let scaled = server.patch(&format!("{path}/d/scale"), "merge", &json!({"spec": {"replicas": 2}})).await.expect(200);
    assert_eq!(scaled["spec"]["replicas"], 9);
    assert_eq!(server.get(&format!("{path}/d")).await.expect(200)["spec"]["replicas"], 9);
}
