//! Scale, binding, eviction, tokens, reviews, and what kubelets answer.

use std::sync::{Arc, Mutex};

use api::Object;
use api::status::Status;
use apiserver::body::{self, Body};
use apiserver::node_proxy::NodeProxy;
use futures::future::BoxFuture;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::harness::{Server, pod};

const PODS: &str = "/api/v1/namespaces/n/pods";

#[tokio::test]
async fn scale_is_read_written_and_patched() {
    let server = Server::start().await;
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    server.post("/apis/apps/v1/namespaces/default/deployments", &deployment).await.expect(201);
    let path = "/apis/apps/v1/namespaces/default/deployments/d/scale";
    let mut scale = server.get(path).await.expect(200);
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    assert_eq!(scale["status"]["selector"], "a=b");
    scale["spec"]["replicas"] = 4.into();
    assert_eq!(server.put(path, &scale).await.expect(200)["spec"]["replicas"], 4);
    assert_eq!(server.put(path, &scale).await.code, 409, "the version is stale");
    let patched = server.patch(path, "merge", &json!({"spec": {"replicas": 6}})).await.expect(200);
    assert_eq!(patched["spec"]["replicas"], 6);
    let wrong = server.patch(path, "merge", &json!({"spec": {"replicas": -1}})).await;
    assert_eq!(
        (wrong.code, wrong.message()),
        (
            422,
            "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        )
    );
    let parent = server.get("/apis/apps/v1/namespaces/default/deployments/d").await.expect(200);
    assert_eq!((&parent["spec"]["replicas"], &parent["metadata"]["generation"]), (&json!(6), &json!(3)));
}

#[tokio::test]
async fn evictions_ask_the_budget() {
    let server = Server::start().await;
    server.namespace("n").await;
    let mut labelled = pod("p");
    labelled["metadata"]["labels"] = json!({"a": "b"});
    server.post(PODS, &labelled).await.expect(201);
    let phase =
        |ready: &str| json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    server.patch(&format!("{PODS}/p/status"), "merge", &phase("True")).await.expect(200);
    let budgets = "/apis/policy/v1/namespaces/n/poddisruptionbudgets";
    let budget =
        json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    server.post(budgets, &budget).await.expect(201);
    let status = |allowed: u64| {
        json!({"status": {"disruptionsAllowed": allowed, "observedGeneration": 1, "desiredHealthy": 1,
        "currentHealthy": 1, "expectedPods": 1}})
    };
    server.patch(&format!("{budgets}/b/status"), "merge", &status(0)).await.expect(200);
    let eviction = json!({"metadata": {"name": "p"}});
    let evict = format!("{PODS}/p/eviction");
    let refused = async || server.post(&evict, &eviction).await;
    let seen = server
        .until(&format!("{budgets}/b?resourceVersion=0"), |answer| answer.body["status"]["currentHealthy"] == 1)
        .await;
    assert_eq!(seen.code, 200);
    let answer = refused().await;
    assert_eq!(
        (answer.code, answer.message()),
        (429, "Cannot evict pod as it would violate the pod's disruption budget.")
    );
    server.patch(&format!("{budgets}/b/status"), "merge", &status(1)).await.expect(200);
    server.post(&evict, &eviction).await.expect(201);
    let spent = server.get(&format!("{budgets}/b")).await.expect(200);
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    assert!(spent["status"]["disruptedPods"]["p"].is_string());

    // One that is not Ready goes, and takes nothing from a budget of an application that is well.
    let mut unhealthy = labelled.clone();
    unhealthy["metadata"]["name"] = "q".into();
    server.post(PODS, &unhealthy).await.expect(201);
    server.patch(&format!("{PODS}/q/status"), "merge", &phase("False")).await.expect(200);
    server.post(&format!("{PODS}/q/eviction"), &json!({"metadata": {"name": "q"}})).await.expect(201);
    let after = server.get(&format!("{budgets}/b")).await.expect(200);
    assert_eq!(after["metadata"]["resourceVersion"], spent["metadata"]["resourceVersion"]);

    let mut second = budget.clone();
    second["metadata"]["name"] = "c".into();
    server.post(budgets, &second).await.expect(201);
    labelled["metadata"]["name"] = "r".into();
    server.post(PODS, &labelled).await.expect(201);
    server.patch(&format!("{PODS}/r/status"), "merge", &phase("True")).await.expect(200);
    server.until(&format!("{PODS}/r?resourceVersion=0"), |answer| answer.body["status"]["phase"] == "Running").await;
    let answer = server.post(&format!("{PODS}/r/eviction"), &json!({"metadata": {"name": "r"}})).await;
    let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!((answer.code, answer.message(), answer.body.get("reason")), (500, why, None));
}

#[tokio::test]
async fn nothing_is_made_below_what_is_in_a_namespace_that_goes() {
    let server = Server::start().await;
    server.namespace("n").await;
    server.post(PODS, &pod("p")).await.expect(201);
    let accounts = "/api/v1/namespaces/n/serviceaccounts";
    let request = json!({"spec": {"expirationSeconds": 600}});
    let token = async |path: &str| {
        let answer = server.post(&format!("{path}/robot/token"), &request).await;
        (answer.code, answer.message().to_owned())
    };
    assert_eq!(token(accounts).await, (404, "serviceaccounts \"robot\" not found".to_owned()));
    let nowhere = token("/api/v1/namespaces/nowhere/serviceaccounts").await;
    assert_eq!(nowhere, (404, "namespaces \"nowhere\" not found".to_owned()));
    server.delete("/api/v1/namespaces/n", &Value::Null).await.expect(200);
    server
        .until("/api/v1/namespaces/n?resourceVersion=0", |answer| answer.body["status"]["phase"] == "Terminating")
        .await;
    let why = |what: &str| {
        format!("{what} is forbidden: unable to create new content in namespace n because it is being terminated")
    };
    assert_eq!(token(accounts).await, (403, why("serviceaccounts \"robot\"")));
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "x"}});
    for (subresource, body) in [("binding", binding), ("eviction", json!({"metadata": {"name": "p"}}))] {
        let answer = server.post(&format!("{PODS}/p/{subresource}"), &body).await;
        assert_eq!((answer.code, answer.message()), (403, &*why("pods \"p\"")), "{subresource}");
    }
}

/// Remembers what was asked.
#[derive(Default)]
struct Kubelet(Mutex<Vec<String>>);

impl NodeProxy for Kubelet {
    fn call<'a>(&'a self, node: &'a Object, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, Status>> {
        let line = format!("{} {} {}", node["metadata"]["name"].as_str().unwrap(), request.method(), request.uri());
        self.0.lock().unwrap().push(line);
        Box::pin(std::future::ready(Ok(Response::new(body::full("from the kubelet")))))
    }
}

#[tokio::test]
async fn the_older_form_of_a_binding_names_its_pod() {
    let server = Server::start().await;
    server.namespace("n").await;
    server.post(PODS, &pod("p")).await.expect(201);
    let bindings = "/api/v1/namespaces/n/bindings";
    let target = json!({"kind": "Node", "name": "w"});
    assert_eq!(server.post(bindings, &json!({"target": target})).await.code, 400);
    assert_eq!(server.post(bindings, &json!({"metadata": {"name": "q"}, "target": target})).await.code, 404);
    server.post(bindings, &json!({"metadata": {"name": "p"}, "target": target})).await.expect(201);
    assert_eq!(server.get(&format!("{PODS}/p")).await.body["spec"]["nodeName"], "w");
}

#[tokio::test]
async fn kubelets_are_asked_at_their_own_paths() {
    let kubelet = Arc::new(Kubelet::default());
    let server = Server::with(|config| config.node_proxy = kubelet.clone()).await;
    server.namespace("n").await;
    server.post("/api/v1/nodes", &json!({"metadata": {"name": "w"}})).await.expect(201);
    let mut two = pod("p");
    two["spec"]["containers"] = json!([{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]);
    server.post(PODS, &two).await.expect(201);
    let unscheduled = server.get(&format!("{PODS}/p/log?container=a")).await;
    assert_eq!(unscheduled.code, 204);
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "w"}});
    server.post(&format!("{PODS}/p/binding"), &binding).await.expect(201);
    let table = [
        (
            "GET",
            format!("{PODS}/p/log?container=a&follow=true&tailLines=5"),
            200,
            "GET /containerLogs/n/p/a?follow=true&tailLines=5",
        ),
        (
            "POST",
            format!("{PODS}/p/exec?container=b&command=sh&command=-c&stdin=true&stderr=false&tty=true"),
            200,
            "POST /exec/n/p/b?input=1&output=1&tty=1&command=sh&command=%2Dc",
        ),
        ("GET", format!("{PODS}/p/attach?container=a"), 200, "GET /attach/n/p/a?output=1&error=1"),
        ("GET", format!("{PODS}/p/portforward?ports=80"), 200, "GET /portForward/n/p?port=80"),
        ("GET", "/api/v1/nodes/w/proxy/stats/summary?x=1".to_owned(), 200, "GET /stats/summary?x=1"),
        ("GET", "/api/v1/nodes/w/proxy".to_owned(), 301, ""),
        ("GET", format!("{PODS}/p/log"), 400, "a container name must be specified for pod p, choose one of: [a b]"),
        ("GET", format!("{PODS}/p/log?container=c"), 400, "container c is not valid for pod p"),
        (
            "GET",
            format!("{PODS}/p/log?container=a&tailLines=-1"),
            422,
            "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1",
        ),
        ("GET", format!("{PODS}/q/log"), 404, "pods \"q\" not found"),
        ("GET", "/api/v1/nodes/x/proxy/".to_owned(), 404, "nodes \"x\" not found"),
    ];
    for (method, path, code, expected) in table {
        let answer = server.send(method, &path, &[], "").await;
        assert_eq!(answer.code, code, "{path}: {}", answer.body);
        let asked = kubelet.0.lock().unwrap().pop();
        match code {
            200 => assert_eq!(asked, Some(format!("w {expected}")), "{path}"),
            301 => assert_eq!(answer.headers["location"], "/api/v1/nodes/w/proxy/"),
            _ => assert!(answer.message().starts_with(expected), "{path}: {}", answer.message()),
        }
    }
}

#[tokio::test]
async fn reviews_answer_at_once() {
    let server = Server::start().await;
    let own = server.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await.expect(201);
    assert_eq!(own["status"]["userInfo"]["username"], "system:admin");
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let question = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    assert_eq!(server.post(path, &question).await.expect(201)["status"], json!({"allowed": true}));
    assert_eq!(server.post(path, &json!({"spec": {}})).await.code, 422);
    assert_eq!(server.get(path).await.code, 405);
    let nobody = server.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &question).await;
    assert_eq!(nobody.code, 422);
}

#[tokio::test]
async fn tokens_need_an_issuer_and_a_matching_pod() {
    let server = Server::start().await;
    server.namespace("n").await;
    let path = "/api/v1/namespaces/n/serviceaccounts/default/token";
    let table: [(Value, u16, &str); 4] = [
        (json!({"spec": {}}), 503, "this API server issues no tokens"),
        (json!({"spec": {"expirationSeconds": 5}}), 422, "TokenRequest.authentication.k8s.io \"\" is invalid"),
        (
            json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"}}}),
            404,
            "pods \"x\" not found",
        ),
        (
            json!({"metadata": {"uid": "z"}, "spec": {}}),
            409,
            "Operation cannot be fulfilled on TokenRequest.authentication",
        ),
    ];
    for (request, code, message) in table {
        let answer = server.post(path, &request).await;
        assert_eq!(answer.code, code, "{request}: {}", answer.body);
        assert!(answer.message().starts_with(message), "{}", answer.message());
    }
}
