//! What a node may change, and how a machine that is none yet asks for a certificate.

use apiserver::{Config, UserInfo};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::Server;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const MERGE: &[(&str, &str)] = &[("content-type", "application/merge-patch+json")];

fn node(name: &str) -> UserInfo {
    UserInfo::new(&format!("system:node:{name}"), &["system:nodes", "system:authenticated"])
}

fn pod(name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"nodeName": node, "serviceAccountName": "default",
        "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test]
async fn a_node_changes_what_is_its_own() {
    let server = Server::with(Config::enforce_rbac).await;
    let pods = "/api/v1/namespaces/default/pods";
    server.post("/api/v1/namespaces/default/serviceaccounts", &json!({"metadata": {"name": "default"}})).await;
    let mut uids = Vec::new();
    for (name, node) in [("own", "a"), ("foreign", "b")] {
        let made = server.post(pods, &pod(name, node)).await;
        assert_eq!(made.code, 201, "{}", made.body);
        uids.push(made.body["metadata"]["uid"].clone());
        server.post("/api/v1/nodes", &json!({"metadata": {"name": node}})).await;
    }
    // What a list shows is in force.
    server.get(pods).await;
    let status = json!({"status": {"phase": "Running"}}).to_string();
    let token = |pod: &str, uid: &Value, audiences: Value| {
        let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid});
        json!({"spec": {"audiences": audiences, "boundObjectRef": bound}}).to_string()
    };
    let (nobody, none) = (Value::Null, json!([]));
    let label = json!({"metadata": {"labels": {"node-role.kubernetes.io/x": ""}}}).to_string();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "foreign"}}).to_string();
    let taints = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}).to_string();
    let account = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let foreign = "spec.nodeName set to itself";
    type Headers = &'static [(&'static str, &'static str)];
    let table: [(&str, String, Headers, String, Option<&str>); 16] = [
        ("PATCH", format!("{pods}/own/status"), MERGE, status.clone(), None),
        ("PATCH", format!("{pods}/foreign/status"), MERGE, status, Some(foreign)),
        ("DELETE", format!("{pods}/foreign"), JSON, String::new(), Some(foreign)),
        ("DELETE", format!("{pods}/own?dryRun=All"), JSON, String::new(), None),
        ("POST", pods.to_owned(), JSON, pod("new", "a").to_string(), Some("can only create mirror pods")),
        ("POST", account.to_owned(), JSON, token("own", &nobody, none.clone()), Some("a pod binding without a uid")),
        ("POST", account.to_owned(), JSON, token("own", &uids[1], none.clone()), Some("does not match the UID")),
        ("POST", account.to_owned(), JSON, token("foreign", &uids[1], none), Some("scheduled on a different node")),
        (
            "POST",
            account.to_owned(),
            JSON,
            token("own", &uids[0], json!(["x"])),
            Some("\"x\" not found in pod spec volume"),
        ),
        ("POST", format!("{pods}/foreign/eviction"), JSON, eviction, Some("can only evict pods")),
        ("PATCH", "/api/v1/nodes/a".to_owned(), MERGE, label, Some("is not allowed to modify labels")),
        ("POST", account.to_owned(), JSON, "{}".to_owned(), Some("not bound to a pod")),
        (
            "POST",
            "/api/v1/nodes".to_owned(),
            JSON,
            json!({"metadata": {"name": "c"}}).to_string(),
            Some("is not allowed to modify node"),
        ),
        ("PATCH", "/api/v1/nodes/a".to_owned(), MERGE, taints.clone(), Some("is not allowed to modify taints")),
        ("PATCH", "/api/v1/nodes/b".to_owned(), MERGE, taints, Some("is not allowed to modify node")),
        ("PATCH", "/api/v1/nodes/a".to_owned(), MERGE, json!({"metadata": {"labels": {"x": "y"}}}).to_string(), None),
    ];
    for (method, path, headers, body, refused) in table {
        let answer = server.send_as(&node("a"), method, &path, headers, body).await;
        let message = answer.body["message"].as_str().unwrap_or_default();
        match refused {
            None => assert!(answer.code < 300, "{method} {path}: {}", answer.body),
            Some(words) => assert!(answer.code == 403 && message.contains(words), "{method} {path}: {}", answer.body),
        }
    }
}

#[tokio::test]
async fn who_asks_for_a_certificate_is_written_down() {
    let server = Server::start().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let request = json!({"metadata": {"name": "r"}, "spec": {"request": STANDARD.encode(pem), "usages": ["client auth"],
        "signerName": "example.com/any", "username": "somebody-else", "groups": ["system:masters"]}});
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let boot = UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers"]);
    let made = server.send_as(&boot, "POST", requests, JSON, request.to_string()).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.body["spec"]["username"], "system:bootstrap:abcdef");
    assert_eq!(made.body["spec"]["groups"], json!(["system:bootstrappers"]));
    let changed = server.patch(&format!("{requests}/r"), "merge", &json!({"spec": {"username": "admin"}})).await;
    assert_eq!(changed.body["spec"]["username"], "system:bootstrap:abcdef", "{}", changed.body);
    let decided =
        json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}});
    let elsewhere = server.patch(&format!("{requests}/r/status"), "merge", &decided).await;
    assert_eq!(elsewhere.code, 422, "{}", elsewhere.body);
    let approved = server.patch(&format!("{requests}/r/approval"), "merge", &decided).await;
    assert_eq!(approved.code, 200, "{}", approved.body);
    let empty = json!({"status": {"certificate": STANDARD.encode("c")}});
    let refused = server.patch(&format!("{requests}/r/status"), "merge", &empty).await;
    assert_eq!(refused.code, 422, "{}", refused.body);
    let certificate = STANDARD.encode(rcgen::CertificateParams::default().self_signed(&key).unwrap().pem());
    let signed = json!({"status": {"certificate": certificate}});
    let by_approval = server.patch(&format!("{requests}/r/approval"), "merge", &signed).await;
    assert_eq!(by_approval.body["status"]["certificate"], Value::Null, "who decides does not sign");
    let by_status = server.patch(&format!("{requests}/r/status"), "merge", &signed).await;
    assert_eq!(by_status.body["status"]["certificate"], certificate, "{}", by_status.body);
}

/// By certificates' names and by signers.
#[tokio::test]
async fn certificates_are_decided_by_those_who_may_for_the_signer() {
    let server = Server::with(Config::enforce_rbac).await;
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let key = rcgen::KeyPair::generate().unwrap();
    let asking = |name: &str, common_name: &str, signer: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        json!({"metadata": {"name": name}, "spec": {"request": STANDARD.encode(pem), "signerName": signer,
            "usages": ["client auth"]}})
    };
    let kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
    let foreign = asking("f", "system:node:b", kubelet).to_string();
    let refused = server.send_as(&node("a"), "POST", requests, JSON, foreign).await;
    let words = "can only create a node CSR with CN=system:node:a";
    assert!(refused.code == 403 && refused.body.to_string().contains(words), "{}", refused.body);
    let own =
        server.send_as(&node("a"), "POST", requests, JSON, asking("o", "system:node:a", kubelet).to_string()).await;
    assert_eq!(own.code, 201, "{}", own.body);
    server.post(requests, &asking("e", "x", "example.com/own")).await;

    let rules = json!([
        {"apiGroups": ["certificates.k8s.io"], "verbs": ["update", "patch", "get"],
            "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"]},
        {"apiGroups": ["certificates.k8s.io"], "verbs": ["approve"], "resources": ["signers"],
            "resourceNames": ["example.com/*"]},
    ]);
    let group = "/apis/rbac.authorization.k8s.io/v1";
    server.post(&format!("{group}/clusterroles"), &json!({"metadata": {"name": "approver"}, "rules": rules})).await;
    let binding = json!({"metadata": {"name": "approver"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "approver"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]});
    server.post(&format!("{group}/clusterrolebindings"), &binding).await;
    server.get(&format!("{group}/clusterrolebindings")).await;
    let ann = UserInfo::new("ann", &["system:authenticated"]);
    let approved =
        json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}});
    let failed =
        json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "r", "message": "m"}]}});
    let table = [
        ("o/approval", &approved, "user not permitted to approve requests with signerName"),
        ("e/status", &failed, "user not permitted to sign requests with signerName \\\"example.com/own\\\""),
        ("e/approval", &approved, ""),
    ];
    for (path, change, words) in table {
        let answer = server.send_as(&ann, "PATCH", &format!("{requests}/{path}"), MERGE, change.to_string()).await;
        let expected = if words.is_empty() { 200 } else { 403 };
        assert!(answer.code == expected && answer.body.to_string().contains(words), "{path}: {}", answer.body);
    }
}
