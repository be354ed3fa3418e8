//! LimitRanges, ResourceQuotas and Pod Security: what a namespace lets its pods ask for.

use serde_json::{Value, json};

use crate::harness::{Server, pod};

const NAMESPACE: &str = "/api/v1/namespaces/n";

async fn server() -> Server {
    let server = Server::start().await;
    server.namespace("n").await;
    server
}

async fn quota(server: &Server, name: &str, hard: Value, used: Value) {
    let quotas = format!("{NAMESPACE}/resourcequotas");
    let quota = json!({"metadata": {"name": name}, "spec": {"hard": hard}});
    server.post(&quotas, &quota).await.expect(201);
    // As the controller does.
    let status = json!({"status": {"hard": hard, "used": used}});
    server.patch(&format!("{quotas}/{name}/status"), "merge", &status).await.expect(200);
    // Admission sees what the watch cache has.
    server.until(&format!("{quotas}?resourceVersion=0"), |found| found.body.to_string().contains(name)).await;
}

async fn used(server: &Server, name: &str) -> Value {
    server.get(&format!("{NAMESPACE}/resourcequotas/{name}")).await.expect(200)["status"]["used"].clone()
}

#[tokio::test]
async fn a_limit_range_fills_in_and_refuses() {
    let server = server().await;
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]}});
    let ranges = format!("{NAMESPACE}/limitranges");
    server.post(&ranges, &range).await.expect(201);
    server.until(&format!("{ranges}?resourceVersion=0"), |found| !found.names().is_empty()).await;
    let pods = format!("{NAMESPACE}/pods");
    let made = server.post(&pods, &pod("a")).await.expect(201);
    let resources = json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}});
    assert_eq!(made["spec"]["containers"][0]["resources"], resources);
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let mut greedy = pod("b");
    greedy["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "2"}});
    let refused = server.post(&pods, &greedy).await;
    let words = "pods \"b\" is forbidden: maximum cpu usage per Container is 1, but limit is 2";
    assert_eq!((refused.code, refused.message()), (403, words));
}

#[tokio::test]
async fn a_quota_is_charged_once_and_then_refuses() {
    let server = server().await;
    let none = json!({"pods": "0", "configmaps": "0"});
    quota(&server, "q", json!({"pods": "1", "configmaps": "1"}), none.clone()).await;
    let (pods, maps) = (format!("{NAMESPACE}/pods"), format!("{NAMESPACE}/configmaps"));
    server.post(&format!("{pods}?dryRun=All"), &pod("a")).await.expect(201);
    assert_eq!(used(&server, "q").await, none, "a dry run uses nothing");
    server.post(&pods, &pod("a")).await.expect(201);
    server.post(&maps, &json!({"metadata": {"name": "m"}})).await.expect(201);
    assert_eq!(used(&server, "q").await, json!({"pods": "1", "configmaps": "1"}));
    // What was used is known at once to those who ask for a change; a stale cache cannot let the second pod in.
    let refused = server.post(&pods, &pod("b")).await;
    let words = "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    assert_eq!((refused.code, refused.message()), (403, words));
    assert_eq!(server.get(&format!("{pods}/b")).await.code, 404);
    server.patch(&format!("{maps}/m"), "merge", &json!({"data": {"a": "b"}})).await.expect(200);
    server.delete(&format!("{pods}/a"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(used(&server, "q").await["pods"], "1", "the controller counts back");
}

#[tokio::test]
async fn pods_at_once_do_not_share_what_is_left() {
    let server = server().await;
    quota(&server, "q", json!({"pods": "5"}), json!({"pods": "0"})).await;
    let path = format!("{NAMESPACE}/pods");
    let create = |number: usize| {
        let (server, path) = (&server, &path);
        async move { server.post(path, &pod(&format!("p{number}"))).await.code }
    };
    let codes = futures::future::join_all((0..12).map(create)).await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 5, "{codes:?}");
    assert_eq!(used(&server, "q").await, json!({"pods": "5"}));
}

#[tokio::test]
async fn a_namespace_says_how_free_its_pods_are() {
    let server = server().await;
    let label =
        |key: &str, level: &str| json!({"metadata": {"labels": {format!("pod-security.kubernetes.io/{key}"): level}}});
    let mut free = pod("free");
    free["spec"]["hostPID"] = true.into();
    let pods = format!("{NAMESPACE}/pods");
    server.post(&pods, &free).await.expect(201);
    server.until(&format!("{pods}?resourceVersion=0"), |found| !found.names().is_empty()).await;
    let wrong = server.patch(NAMESPACE, "merge", &label("enforce", "strict")).await;
    let words = "Namespace \"n\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \
                 \"strict\": must be one of privileged, baseline, restricted";
    assert_eq!((wrong.code, wrong.message()), (422, words));
    let raised = server.patch(NAMESPACE, "merge", &label("enforce", "baseline")).await;
    let told = [
        "existing pods in namespace \\\"n\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"",
        "free: host namespaces",
    ];
    assert_eq!((raised.code, raised.warnings().len()), (200, 2), "{:?}", raised.headers);
    assert!(raised.warnings().iter().zip(told).all(|(found, told)| found.contains(told)), "{:?}", raised.warnings());
    free["metadata"]["name"] = "other".into();
    let refused = server.post(&pods, &free).await;
    let why = "host namespaces (hostPID=true)";
    let words = format!("pods \"other\" is forbidden: violates PodSecurity \"baseline:latest\": {why}");
    assert_eq!((refused.code, refused.message()), (403, words.as_str()));
    let template = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": free["spec"]}}});
    let made = server.post("/apis/apps/v1/namespaces/n/deployments", &template).await;
    assert_eq!(made.code, 201);
    assert!(
        made.warnings().iter().any(|warning| warning.contains("would violate PodSecurity")),
        "{:?}",
        made.warnings()
    );
    server.patch(&format!("{pods}/free"), "merge", &json!({"metadata": {"labels": {"x": "y"}}})).await.expect(200);
}
