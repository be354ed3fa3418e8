//! Too many requests: who waits, who is refused, and who never notices.

use apiserver::body::{self, Body};
use apiserver::{Config, UserInfo};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::harness::{PATIENCE, Server};

const GROUP: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const LISTS: &str = "/api/v1/namespaces/default/configmaps";

fn user(name: &str) -> UserInfo {
    UserInfo::new(name, &["system:authenticated"])
}

fn node() -> UserInfo {
    UserInfo::new("system:node:a", &["system:nodes", "system:authenticated"])
}

/// Sixty seats: five of them are those of everybody's level.
async fn server() -> Server {
    let server = Server::with(|config: &mut Config| config.max_in_flight = Some(60)).await;
    server.until(&format!("{GROUP}/flowschemas/global-default"), |answer| !dangling(&answer.body).is_null()).await;
    server
}

fn dangling(schema: &Value) -> Value {
    let conditions = schema["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .filter(|condition| condition["type"] == "Dangling")
        .map(|one| one["status"].clone())
        .next()
        .unwrap_or_default()
}

async fn ask(server: &Server, user: &UserInfo, path: &str) -> Response<Body> {
    let request = Request::builder().uri(path).body(body::empty()).unwrap();
    server.api.handle(user.clone(), request).await
}

#[tokio::test]
async fn a_flood_of_lists_is_shed_and_the_rest_goes_through() {
    let server = server().await;
    let lease = json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "a"}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(server.post(leases, &lease).await.code, 201);
    server.post(LISTS, &json!({"metadata": {"name": "c"}})).await;

    // Each list is under way until somebody has read it, which nobody does.
    let flood = (0..600).map(|_| {
        let api = server.api.clone();
        let request = Request::builder().uri(LISTS).body(body::empty()).unwrap();
        tokio::spawn(async move { api.handle(user("jane"), request).await })
    });
    let mut flood: FuturesUnordered<_> = flood.collect();
    let mut served = Vec::new();
    let refused = loop {
        let response = tokio::time::timeout(PATIENCE, flood.next()).await.unwrap().unwrap().unwrap();
        match response.status().as_u16() {
            429 => break response,
            _ => served.push(response),
        }
    };
    assert!(!served.is_empty() && served.len() < 20, "{}", served.len());
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["content-type"], "text/plain; charset=utf-8");
    let schema = server.get(&format!("{GROUP}/flowschemas/global-default")).await.body;
    assert_eq!(refused.headers()["x-kubernetes-pf-flowschema-uid"], *schema["metadata"]["uid"].as_str().unwrap());
    let text = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "Too many requests, please try again later.\n");

    let merge = [("content-type", "application/merge-patch+json")];
    let lease = format!("{leases}/a");
    let renewed = json!({"spec": {"renewTime": "2026-01-01T00:00:10.000000Z"}}).to_string();
    let others = async {
        for round in 0..20 {
            let put = server.send_as(&node(), "PATCH", &lease, &merge, renewed.clone()).await;
            assert_eq!(put.code, 200, "{round} {}", put.body);
            for user in [user("system:kube-scheduler"), user("system:kube-controller-manager"), UserInfo::admin()] {
                assert_eq!(server.send_as(&user, "GET", LISTS, &[], "").await.code, 200, "{round} {}", user.name);
            }
        }
    };
    // Waiting for a seat would take longer.
    tokio::time::timeout(PATIENCE, others).await.expect("all go through");

    let metrics = String::from_utf8(
        ask(&server, &UserInfo::admin(), "/metrics").await.into_body().collect().await.unwrap().to_bytes().to_vec(),
    )
    .unwrap();
    let line = |start: &str| {
        metrics
            .lines()
            .find(|line| line.starts_with(start))
            .and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let rejected = "apiserver_flowcontrol_rejected_requests_total{flow_schema=\"global-default\",priority_level=\"global-default\",reason=\"queue-full\"}";
    assert!(line(rejected).is_some_and(|count| count > 100), "{metrics}");
    assert!(
        line("apiserver_flowcontrol_current_inqueue_requests{priority_level=\"global-default\"}")
            .is_some_and(|count| count > 100)
    );

    // Another user of the same level waits, but not behind all of them.
    let other = tokio::spawn({
        let api = server.api.clone();
        let request = Request::builder().uri(LISTS).body(body::empty()).unwrap();
        async move { api.handle(user("joe"), request).await.status().as_u16() }
    });
    // What is dropped is as good as read: its seat is free.
    let mut count = served.len();
    drop(served);
    let mut other_after = None;
    while let Some(response) = tokio::time::timeout(PATIENCE, flood.next()).await.unwrap() {
        count += usize::from(response.unwrap().status() == 200);
        tokio::task::yield_now().await;
        if other_after.is_none() && other.is_finished() {
            other_after = Some(count);
        }
    }
    assert!(count > 100, "those that waited are served in the end: {count}");
    assert_eq!(tokio::time::timeout(PATIENCE, other).await.unwrap().unwrap(), 200);
    assert!(other_after.is_some_and(|after| after < count / 2), "{other_after:?} of {count}");
}

#[tokio::test]
async fn a_watch_takes_a_seat_only_while_it_begins() {
    let server = server().await;
    let mut watches = Vec::new();
    for index in 0..40 {
        let path = format!("{LISTS}?watch=1&resourceVersion={}", if index % 2 == 0 { "" } else { "1" });
        let response = tokio::time::timeout(PATIENCE, ask(&server, &user("jane"), &path)).await.unwrap();
        assert_eq!(response.status(), 200, "{index}");
        watches.push(response);
    }
    let got = tokio::time::timeout(PATIENCE, ask(&server, &user("jane"), LISTS)).await.unwrap();
    assert_eq!(got.status(), 200);
}

#[tokio::test]
async fn schemas_and_levels_are_there_and_followed() {
    let server = server().await;
    let levels = server.get(&format!("{GROUP}/prioritylevelconfigurations")).await.body;
    assert_eq!(levels["items"].as_array().unwrap().len(), 8);
    let schemas = server
        .until(&format!("{GROUP}/flowschemas"), |answer| {
            answer.body["items"].as_array().unwrap().iter().filter(|schema| dangling(schema) == "False").count() == 11
        })
        .await
        .body;
    let managers: Vec<&Value> = schemas["items"][0]["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["manager"])
        .collect();
    assert_eq!(
        managers,
        ["api-priority-and-fairness-config-consumer-v1", "api-priority-and-fairness-config-producer-v1"]
    );

    let uid_of =
        |response: &Response<Body>| response.headers()["x-kubernetes-pf-flowschema-uid"].to_str().unwrap().to_owned();
    let schema_of = async |user: &UserInfo, path: &str| {
        let uid = uid_of(&ask(&server, user, path).await);
        let all = server.get(&format!("{GROUP}/flowschemas")).await.body;
        let found = all["items"].as_array().unwrap().iter().find(|schema| schema["metadata"]["uid"] == *uid);
        found.map_or_else(|| format!("none: {uid:?}"), |schema| schema["metadata"]["name"].as_str().unwrap().to_owned())
    };
    let account =
        UserInfo::new("system:serviceaccount:kube-system:x", &["system:serviceaccounts", "system:authenticated"]);
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a";
    let table = [
        (user("jane"), LISTS, "global-default"),
        (user("jane"), "/readyz", "probes"),
        (UserInfo::admin(), LISTS, "exempt"),
        (node(), LISTS, "system-nodes"),
        (node(), lease, "system-node-high"),
        (node(), "/api/v1/nodes/a", "system-node-high"),
        (user("system:kube-scheduler"), LISTS, "kube-scheduler"),
        (user("system:kube-scheduler"), lease, "system-leader-election"),
        (account, LISTS, "kube-system-service-accounts"),
        (UserInfo::new("x", &[]), LISTS, "catch-all"),
    ];
    for (user, path, expected) in table {
        assert_eq!(schema_of(&user, path).await, expected, "{} {path}", user.name);
    }
    let log = ask(&server, &user("jane"), "/api/v1/namespaces/default/pods/p/log").await;
    assert!(!log.headers().contains_key("x-kubernetes-pf-flowschema-uid"), "what lasts is not classified");

    // A schema of one's own: without its level it does not count.
    let subject = json!({"kind": "User", "user": {"name": "jane"}});
    let rule =
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true});
    let own = json!({"metadata": {"name": "own"}, "spec": {"priorityLevelConfiguration": {"name": "own"},
        "matchingPrecedence": 10, "rules": [{"subjects": [subject], "resourceRules": [rule]}]}});
    let made = server.post(&format!("{GROUP}/flowschemas"), &own).await;
    assert_eq!((made.code, made.headers.get("warning")), (201, None));
    let told = server.until(&format!("{GROUP}/flowschemas/own"), |answer| dangling(&answer.body) == "True").await.body;
    let message =
        "This FlowSchema references the PriorityLevelConfiguration object named \"own\" but there is no such object";
    assert_eq!(told["status"]["conditions"][0]["message"], message);
    assert_eq!(schema_of(&user("jane"), LISTS).await, "global-default");
    let level = json!({"metadata": {"name": "own"}, "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}});
    assert_eq!(server.post(&format!("{GROUP}/prioritylevelconfigurations"), &level).await.code, 201);
    server.until(&format!("{GROUP}/flowschemas/own"), |answer| dangling(&answer.body) == "False").await;
    assert_eq!(schema_of(&user("jane"), LISTS).await, "own");
}
