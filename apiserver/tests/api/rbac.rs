//! Roles and bindings, through requests of those whom they are about.

use std::sync::Arc;

use apiserver::UserInfo;
use apiserver::front::tokens::ServiceAccountTokens;
use serde_json::{Value, json};

use crate::harness::{Answer, PATIENCE, Server, config_map, pod};

const GROUP: &str = "/apis/rbac.authorization.k8s.io/v1";
const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";
const AUTHENTICATED: &str = "system:authenticated";

async fn server() -> Server {
    Server::with(apiserver::Config::enforce_rbac).await
}

fn account(namespace: &str, name: &str) -> UserInfo {
    let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), AUTHENTICATED];
    UserInfo::new(&format!("system:serviceaccount:{namespace}:{name}"), &groups)
}

fn person(name: &str) -> UserInfo {
    UserInfo::new(name, &[AUTHENTICATED])
}

impl Server {
    /// `request` is a method and a path; the body is sent as JSON, or as a merge patch.
    async fn ask(&self, user: &UserInfo, request: &str, body: &Value) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send_as(user, method, path, &[("content-type", kind)], body).await
    }

    /// Asks until the answer has the code: a grant is in force a moment after its write.
    async fn ask_until(&self, user: &UserInfo, request: &str, body: &Value, code: u16) -> Answer {
        let wait = async {
            loop {
                let answer = self.ask(user, request, body).await;
                if answer.code == code {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{request} is never {code}"))
    }

    async fn grant(&self, namespace: &str, name: &str, rules: Value, subject: Value) {
        let path = format!("{GROUP}/namespaces/{namespace}");
        let role = json!({"metadata": {"name": name}, "rules": rules});
        self.post(&format!("{path}/roles"), &role).await.expect(201);
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
        let binding = json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]});
        self.post(&format!("{path}/rolebindings"), &binding).await.expect(201);
    }

    async fn bind(&self, role: &str, user: &str) {
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
        let subjects = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]);
        let binding = json!({"metadata": {"name": format!("{user}-{}", role["name"].as_str().unwrap())},
            "roleRef": role, "subjects": subjects});
        self.post(&format!("{GROUP}/clusterrolebindings"), &binding).await.expect(201);
    }
}

fn rule(verbs: Value, group: &str, resources: Value) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
}

#[tokio::test]
async fn everybody_may_what_the_bootstrap_roles_say() {
    let server = server().await;
    server.namespace("n").await;
    let admin = UserInfo::admin();
    let node = UserInfo::new("system:node:w", &["system:nodes", AUTHENTICATED]);
    let anonymous = UserInfo::new("system:anonymous", &["system:unauthenticated"]);
    let monitor = UserInfo::new("prometheus", &["system:monitoring", AUTHENTICATED]);
    let scheduler = person("system:kube-scheduler");
    let manager = person("system:kube-controller-manager");
    let dns = account("kube-system", "kube-dns");
    let (robot, jane) = (account("n", "default"), person("jane"));
    let own_review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let none = Value::Null;
    let access = format!("POST {AUTHORIZATION}/selfsubjectaccessreviews");
    let table: [(&UserInfo, &str, &Value, u16); 41] = [
        (&admin, "GET /metrics", &none, 200),
        (&admin, "GET /api/v1/namespaces/n/secrets", &none, 200),
        (&node, "GET /api/v1/services", &none, 200),
        (&node, "GET /api/v1/pods", &none, 403),
        (&node, "GET /apis/apps/v1/deployments", &none, 403),
        (&node, "GET /apis/apps/v1", &none, 200),
        (&anonymous, "GET /version", &none, 200),
        (&anonymous, "GET /healthz", &none, 200),
        (&anonymous, "GET /readyz", &none, 200),
        (&anonymous, "GET /api", &none, 403),
        (&anonymous, "GET /", &none, 403),
        (&anonymous, "GET /api/v1/pods", &none, 403),
        (&anonymous, &access, &own_review, 403),
        (&monitor, "GET /metrics", &none, 200),
        (&monitor, "GET /api/v1/nodes", &none, 403),
        (&jane, "GET /metrics", &none, 403),
        (&jane, "GET /api", &none, 200),
        (&jane, "GET /apis", &none, 200),
        (&jane, "GET /apis/apps/v1", &none, 200),
        (&jane, "GET /openapi/v3", &none, 200),
        (&jane, "GET /", &none, 403),
        (&jane, &access, &own_review, 201),
        (&jane, "POST /apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({}), 201),
        (&jane, "POST /apis/authentication.k8s.io/v1/tokenreviews", &json!({"spec": {"token": "t"}}), 403),
        (&jane, "GET /api/v1/namespaces/n/pods", &none, 403),
        (&jane, "GET /apis/apps/v1/namespaces/n/deployments/d/scale", &none, 403),
        (&robot, "GET /apis/apps/v1", &none, 200),
        (&robot, &access, &own_review, 201),
        (&robot, "GET /api/v1/namespaces/n/pods", &none, 403),
        (&robot, "GET /api/v1/namespaces/n/serviceaccounts/default", &none, 403),
        (&robot, "POST /api/v1/namespaces/n/serviceaccounts/default/token", &json!({"spec": {}}), 403),
        (&dns, "GET /api/v1/services", &none, 200),
        (&dns, "GET /api/v1/endpoints", &none, 200),
        (&dns, "GET /api/v1/namespaces/default/services/kubernetes", &none, 403),
        (&dns, "GET /api/v1/pods", &none, 403),
        (&scheduler, "GET /api/v1/pods", &none, 200),
        (&scheduler, "GET /api/v1/nodes", &none, 200),
        (&scheduler, "GET /apis/storage.k8s.io/v1/storageclasses", &none, 200),
        (&scheduler, "GET /api/v1/secrets", &none, 403),
        (&scheduler, "POST /api/v1/namespaces/n/pods", &pod("p"), 403),
        (&manager, "POST /api/v1/namespaces/n/pods", &pod("p"), 403),
    ];
    for (user, request, body, code) in table {
        let answer = server.ask(user, request, body).await;
        assert_eq!(answer.code, code, "{} {request}: {}", user.name, answer.body);
    }
}

#[tokio::test]
async fn an_account_may_exactly_what_its_role_says() {
    let server = server().await;
    server.namespace("n").await;
    server.namespace("m").await;
    let robot = account("n", "default");
    server.post("/api/v1/namespaces/n/pods", &pod("p")).await.expect(201);
    let refused = server.ask(&robot, "GET /api/v1/namespaces/n/pods", &Value::Null).await;
    assert_eq!(
        (refused.code, refused.message()),
        (
            403,
            concat!(
                r#"pods is forbidden: User "system:serviceaccount:n:default" cannot list resource "pods" "#,
                r#"in API group "" in the namespace "n""#,
            )
        )
    );
    let mut named = rule(json!(["get", "update"]), "", json!(["configmaps"]));
    named["resourceNames"] = json!(["own"]);
    let rules = json!([
        rule(json!(["list", "get"]), "", json!(["pods", "pods/log"])),
        rule(json!(["get", "patch"]), "*", json!(["*/scale"])),
        rule(json!(["create"]), "", json!(["configmaps"])),
        named,
    ]);
    server.grant("n", "worker", rules, json!({"kind": "ServiceAccount", "name": "default"})).await;
    server.ask_until(&robot, "GET /api/v1/namespaces/n/pods", &Value::Null, 200).await;
    let map = |name: &str| config_map(name, json!({"a": "b"}));
    let none = Value::Null;
    let table: [(&str, &Value, u16); 19] = [
        ("GET /api/v1/namespaces/n/pods/p", &none, 200),
        ("GET /api/v1/namespaces/n/pods/p/log", &none, 204),
        ("GET /api/v1/namespaces/n/pods?watch=true&timeoutSeconds=0", &none, 403),
        ("DELETE /api/v1/namespaces/n/pods/p", &none, 403),
        ("GET /api/v1/namespaces/n/pods/p/status", &none, 403),
        ("GET /api/v1/namespaces/m/pods", &none, 403),
        ("GET /api/v1/pods", &none, 403),
        ("GET /apis/apps/v1/namespaces/n/deployments/d/scale", &none, 404),
        ("GET /apis/apps/v1/namespaces/n/deployments/d", &none, 403),
        ("POST /api/v1/namespaces/n/configmaps", &map("own"), 201),
        ("POST /api/v1/namespaces/n/configmaps", &map("other"), 201),
        ("POST /api/v1/namespaces/m/configmaps", &map("own"), 403),
        ("GET /api/v1/namespaces/n/configmaps/own", &none, 200),
        ("GET /api/v1/namespaces/n/configmaps/other", &none, 403),
        ("GET /api/v1/namespaces/n/configmaps", &none, 403),
        ("PUT /api/v1/namespaces/n/configmaps/own", &map("own"), 200),
        ("PUT /api/v1/namespaces/n/configmaps/other", &map("other"), 403),
        ("PATCH /api/v1/namespaces/n/configmaps/own", &json!({"data": {"x": "y"}}), 403),
        ("GET /api/v1/namespaces/n/secrets", &none, 403),
    ];
    for (request, body, code) in table {
        let answer = server.ask(&robot, request, body).await;
        assert_eq!(answer.code, code, "{request}: {}", answer.body);
    }
    let another = account("m", "default");
    assert_eq!(server.ask(&another, "GET /api/v1/namespaces/n/pods", &Value::Null).await.code, 403);
    server.delete(&format!("{GROUP}/namespaces/n/roles/worker"), &Value::Null).await.expect(200);
    let gone = server.ask_until(&robot, "GET /api/v1/namespaces/n/pods", &Value::Null, 403).await;
    let reason = r#": RBAC: role.rbac.authorization.k8s.io "worker" not found"#;
    assert!(gone.message().ends_with(reason), "{}", gone.message());
}

#[tokio::test]
async fn refusals_read_as_upstreams() {
    let server = server().await;
    let jane = person("jane");
    let table = [
        (
            "GET /api/v1/nodes",
            r#"nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope"#,
        ),
        (
            "GET /apis/apps/v1/namespaces/n/deployments/d/scale",
            r#"deployments.apps "d" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" in the namespace "n""#,
        ),
        ("GET /metrics", r#"forbidden: User "jane" cannot get path "/metrics""#),
        (
            "DELETE /api/v1/namespaces/n/pods",
            r#"pods is forbidden: User "jane" cannot deletecollection resource "pods" in API group "" in the namespace "n""#,
        ),
        (
            "GET /api/v1/namespaces/n",
            r#"namespaces "n" is forbidden: User "jane" cannot get resource "namespaces" in API group "" in the namespace "n""#,
        ),
    ];
    for (request, message) in table {
        let answer = server.ask(&jane, request, &Value::Null).await;
        assert_eq!((answer.code, answer.message()), (403, message), "{request}");
        assert_eq!(answer.body["reason"], "Forbidden");
    }
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let server = server().await;
    server.namespace("n").await;
    let jane = person("jane");
    let manage = rule(json!(["create", "update", "patch", "get"]), "rbac.authorization.k8s.io", json!(["*"]));
    let role =
        json!({"metadata": {"name": "manager"}, "rules": [manage, rule(json!(["get", "list"]), "", json!(["pods"]))]});
    server.post(&format!("{GROUP}/clusterroles"), &role).await.expect(201);
    server.bind("manager", "jane").await;
    let roles = format!("POST {GROUP}/namespaces/n/roles");
    let cluster_roles = format!("POST {GROUP}/clusterroles");
    let bindings = format!("POST {GROUP}/namespaces/n/rolebindings");
    let role = |name: &str, rules: Value| json!({"metadata": {"name": name}, "rules": rules});
    let binding = |kind: &str, name: &str| {
        json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"kind": "User", "name": "joe"}]})
    };
    server.ask_until(&jane, &roles, &role("own", json!([rule(json!(["get"]), "", json!(["pods"]))])), 201).await;
    let mut gathering = role("gathering", json!([]));
    gathering["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let lacking = |text: &str| {
        format!(
            "user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{text}"
        )
    };
    let secrets = r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}"#;
    let more = json!([rule(json!(["get", "list"]), "", json!(["secrets", "pods"]))]);
    let table = [
        (&roles, role("more", more.clone()), 403, format!("roles.rbac.authorization.k8s.io \"more\" is forbidden: {}", lacking(secrets))),
        (&cluster_roles, role("more", more.clone()), 403, format!("clusterroles.rbac.authorization.k8s.io \"more\" is forbidden: {}", lacking(secrets))),
        (&cluster_roles, gathering, 403, "clusterroles.rbac.authorization.k8s.io \"gathering\" is forbidden: must have cluster-admin privileges to use the aggregationRule".to_owned()),
        (&bindings, binding("Role", "own"), 201, String::new()),
        (&bindings, binding("Role", "missing"), 404, "roles.rbac.authorization.k8s.io \"missing\" not found".to_owned()),
        (&bindings, binding("ClusterRole", "cluster-admin"), 403, format!(
            "rolebindings.rbac.authorization.k8s.io \"cluster-admin\" is forbidden: {}",
            lacking("{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}"),
        )),
    ];
    for (request, body, code, message) in table {
        let answer = server.ask(&jane, request, &body).await;
        assert_eq!((answer.code, answer.message()), (code, &*message), "{request} {body}");
    }
    let own = format!("PATCH {GROUP}/namespaces/n/roles/own");
    assert_eq!(server.ask(&jane, &own, &json!({"rules": more})).await.code, 403);
    assert_eq!(server.ask(&jane, &own, &json!({"metadata": {"labels": {"a": "b"}}})).await.code, 200);
    // Who may escalate or bind may grant anything.
    let mut escalate = rule(json!(["escalate"]), "rbac.authorization.k8s.io", json!(["roles"]));
    server.post(&format!("{GROUP}/clusterroles"), &role("escalator", json!([escalate]))).await.expect(201);
    server.bind("escalator", "jane").await;
    server.ask_until(&jane, &own, &json!({"rules": more}), 200).await;
    escalate["verbs"] = json!(["bind"]);
    escalate["resources"] = json!(["clusterroles"]);
    escalate["resourceNames"] = json!(["view"]);
    server.post(&format!("{GROUP}/clusterroles"), &role("binder", json!([escalate]))).await.expect(201);
    server.bind("binder", "jane").await;
    let edit = json!({"rules": [rule(json!(["get"]), "", json!(["services"]))]});
    server.patch(&format!("{GROUP}/clusterroles/view"), "merge", &edit).await.expect(200);
    server.ask_until(&jane, &bindings, &binding("ClusterRole", "view"), 201).await;
    assert_eq!(server.ask(&jane, &bindings, &binding("ClusterRole", "cluster-admin")).await.code, 403);
}

#[tokio::test]
async fn reviews_tell_what_roles_say() {
    let server = server().await;
    server.namespace("n").await;
    let jane = person("jane");
    let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"});
    server.grant("n", "reader", json!([rule(json!(["get"]), "", json!(["pods"]))]), subject).await;
    server.ask_until(&jane, "GET /api/v1/namespaces/n/pods/p", &Value::Null, 404).await;
    let asks = |namespace: &str| json!({"namespace": namespace, "verb": "get", "resource": "pods"});
    let own = format!("POST {AUTHORIZATION}/selfsubjectaccessreviews");
    let reason = r#"RBAC: allowed by RoleBinding "reader/n" of Role "reader" to User "jane""#;
    let answer = server.ask(&jane, &own, &json!({"spec": {"resourceAttributes": asks("n")}})).await.expect(201);
    assert_eq!(answer["status"], json!({"allowed": true, "reason": reason}));
    let answer = server.ask(&jane, &own, &json!({"spec": {"resourceAttributes": asks("m")}})).await.expect(201);
    assert_eq!(answer["status"], json!({"allowed": false}));
    let of = |user: &str, namespace: &str| json!({"spec": {"user": user, "resourceAttributes": asks(namespace)}});
    let others = format!("{AUTHORIZATION}/subjectaccessreviews");
    let answer = server.post(&others, &of("jane", "n")).await.expect(201);
    assert_eq!(answer["status"], json!({"allowed": true, "reason": reason}));
    let answer = server.post(&others, &of("joe", "n")).await.expect(201);
    assert_eq!(answer["status"], json!({"allowed": false}));
    assert_eq!(server.ask(&jane, &format!("POST {others}"), &of("jane", "n")).await.code, 403);
    let local = format!("{AUTHORIZATION}/namespaces/n/localsubjectaccessreviews");
    assert_eq!(server.post(&local, &of("jane", "n")).await.expect(201)["status"]["allowed"], true);
    assert_eq!(server.post(&local, &of("jane", "m")).await.code, 422);
    let rules = format!("POST {AUTHORIZATION}/selfsubjectrulesreviews");
    let answer = server.ask(&jane, &rules, &json!({"spec": {"namespace": "n"}})).await.expect(201);
    let status = &answer["status"];
    let reader = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    assert_eq!(status["resourceRules"].as_array().unwrap().last(), Some(&reader), "{status}");
    assert_eq!(status["resourceRules"].as_array().map(Vec::len), Some(3), "and of system:basic-user: {status}");
    assert!(status["nonResourceRules"].to_string().contains("/openapi/*"), "{status}");
    assert_eq!(status["incomplete"], false);
    let elsewhere = server.ask(&jane, &rules, &json!({"spec": {"namespace": "m"}})).await.expect(201);
    assert_eq!(elsewhere["status"]["resourceRules"].as_array().map(Vec::len), Some(2));
    let nowhere = server.ask(&jane, &rules, &json!({"spec": {}})).await;
    assert_eq!((nowhere.code, nowhere.message()), (400, "no namespace on request"));
}

#[tokio::test]
async fn who_may_impersonate_may_be_another() {
    let server = server().await;
    let jane = person("jane");
    let mut joe = rule(json!(["impersonate"]), "", json!(["users"]));
    joe["resourceNames"] = json!(["joe"]);
    let role = json!({"metadata": {"name": "stand-in"}, "rules": [joe]});
    server.post(&format!("{GROUP}/clusterroles"), &role).await.expect(201);
    server.bind("stand-in", "jane").await;
    let ask = |user: &str| json!({"spec": {"resourceAttributes": {"verb": "impersonate", "resource": "users", "name": user}}});
    let own = format!("POST {AUTHORIZATION}/selfsubjectaccessreviews");
    let wait = async || {
        while server.ask(&jane, &own, &ask("joe")).await.body["status"]["allowed"] != true {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait()).await.expect("the right to be joe");
    let be = async |headers: &[(&'static str, &str)]| {
        let pairs = headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let mut headers: http::HeaderMap = pairs.collect();
        let user = apiserver::front::impersonate::impersonate(&server.api, jane.clone(), &mut headers).await;
        assert!(user.is_err() || headers.is_empty(), "the headers go no further");
        user.map(|user| user.name).map_err(|status| status.message)
    };
    assert_eq!(be(&[]).await, Ok("jane".to_owned()));
    assert_eq!(be(&[("impersonate-user", "joe")]).await, Ok("joe".to_owned()));
    let refused = r#"users "ann" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope"#;
    assert_eq!(be(&[("impersonate-user", "ann")]).await, Err(refused.to_owned()));
    let groups = be(&[("impersonate-user", "joe"), ("impersonate-group", "system:masters")]).await;
    assert!(groups.is_err_and(|message| message.starts_with("groups \"system:masters\" is forbidden")));
}

#[tokio::test]
async fn tokens_are_reviewed() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let issuer = Arc::new(ServiceAccountTokens::new(&key, "https://here").unwrap());
    let server = Server::with(|config| {
        config.enforce_rbac();
        config.token_issuer = issuer;
    })
    .await;
    server.namespace("n").await;
    let issue = async |audiences: Value| {
        let request = json!({"spec": {"audiences": audiences}});
        let path = "/api/v1/namespaces/n/serviceaccounts/default/token";
        server.post(path, &request).await.expect(201)["status"]["token"].clone()
    };
    let review = async |token: &Value, audiences: Value| {
        let request = json!({"spec": {"token": token, "audiences": audiences}});
        server.post("/apis/authentication.k8s.io/v1/tokenreviews", &request).await.expect(201)["status"].clone()
    };
    let token = issue(json!([])).await;
    let status = review(&token, json!([])).await;
    assert_eq!((&status["authenticated"], &status["audiences"]), (&json!(true), &json!(["https://here"])));
    assert_eq!(status["user"]["username"], "system:serviceaccount:n:default");
    let vault = issue(json!(["vault", "safe"])).await;
    assert_eq!(review(&vault, json!([])).await["error"], "invalid bearer token");
    assert_eq!(review(&vault, json!(["x", "vault"])).await["audiences"], json!(["vault"]));
    assert_eq!(review(&json!("abc"), json!([])).await, json!({"user": {}, "error": "invalid bearer token"}));
    server.delete("/api/v1/namespaces/n/serviceaccounts/default", &Value::Null).await.expect(200);
    assert_eq!(review(&token, json!([])).await["error"], "invalid bearer token");
    let empty = server.post("/apis/authentication.k8s.io/v1/tokenreviews", &json!({"spec": {}})).await;
    assert_eq!(empty.code, 400);
}

#[tokio::test]
async fn a_start_restores_what_the_bootstrap_roles_grant() {
    let store = Arc::new(store::Memory::new());
    let start = async || {
        let store = store.clone();
        Server::with(|config| {
            config.store = store;
            config.enforce_rbac();
        })
        .await
    };
    let path = |what: &str| format!("{GROUP}/{what}");
    let first = start().await;
    let roles = first.get(&path("clusterroles")).await.expect(200);
    assert!(roles["items"].as_array().unwrap().len() > 60);
    let extra = json!({"rules": [rule(json!(["get"]), "", json!(["nodes"]))]});
    first.patch(&path("clusterroles/system:basic-user"), "merge", &extra).await.expect(200);
    let alone =
        json!({"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, "rules": []});
    first.patch(&path("clusterroles/system:kube-dns"), "merge", &alone).await.expect(200);
    first.delete(&path("clusterroles/view"), &Value::Null).await.expect(200);
    first.patch(&path("clusterrolebindings/system:discovery"), "merge", &json!({"subjects": []})).await.expect(200);
    let namespaced = path("namespaces/kube-system/rolebindings/system:controller:token-cleaner");
    first.delete(&namespaced, &Value::Null).await.expect(200);
    let wrong = json!({"metadata": {"name": "system:controller:token-cleaner"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}});
    first.post(&path("namespaces/kube-system/rolebindings"), &wrong).await.expect(201);
    let jane = person("jane");
    first.ask_until(&jane, "GET /apis", &Value::Null, 403).await;
    drop(first);

    let second = start().await;
    assert_eq!(second.ask(&jane, "GET /apis", &Value::Null).await.code, 200);
    let basic = second.get(&path("clusterroles/system:basic-user")).await.expect(200);
    assert_eq!(
        basic["rules"].as_array().map(Vec::len),
        Some(4),
        "the added rule and the three that were missing: {basic}"
    );
    let dns = second.get(&path("clusterroles/system:kube-dns")).await.expect(200);
    assert!(dns["rules"].is_null(), "{dns}");
    second.get(&path("clusterroles/view")).await.expect(200);
    assert_eq!(second.get(&namespaced).await.expect(200)["roleRef"]["name"], "system:controller:token-cleaner");
    let before = second.get(&path("clusterroles?limit=1")).await.version();
    drop(second);
    let third = start().await;
    assert_eq!(
        third.get(&path("clusterroles?limit=1")).await.version(),
        before,
        "nothing to restore is nothing to write"
    );
}

#[tokio::test]
async fn who_writes_a_policy_must_be_able_to_read_its_parameters() {
    const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    let server = server().await;
    let jane = person("jane");
    let role = |name: &str, rule: Value| json!({"metadata": {"name": name}, "rules": [rule]});
    let roles = format!("{GROUP}/clusterroles");
    let all = rule(json!(["*"]), "admissionregistration.k8s.io", json!(["*"]));
    server.post(&roles, &role("policies", all)).await.expect(201);
    server.bind("policies", "jane").await;
    let policy = |name: &str, kind: &str| {
        json!({"metadata": {"name": name}, "spec": {
            "paramKind": {"apiVersion": "v1", "kind": kind}, "validations": [{"expression": "true"}],
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}}})
    };
    let binding = |name: &str, policy: &str, mut reference: Value| {
        reference["parameterNotFoundAction"] = "Deny".into();
        json!({"metadata": {"name": name}, "spec": {
            "policyName": policy, "validationActions": ["Deny"], "paramRef": reference}})
    };
    let (post_policy, post_binding) = (format!("POST {POLICIES}"), format!("POST {BINDINGS}"));
    let refused = server.ask_until(&jane, &post_policy, &policy("p", "ConfigMap"), 422).await;
    assert_eq!(
        refused.body["details"]["causes"][0],
        json!({"field": "spec.paramKind", "reason": "FieldValueForbidden", "message": "Forbidden: user &{jane  \
            [system:authenticated] map[]} must have \"get\" permission on all objects of the referenced paramKind \
            (kind=ConfigMap, apiVersion=v1)"})
    );
    let reads = rule(json!(["get"]), "", json!(["configmaps"]));
    server.post(&roles, &role("maps", reads)).await.expect(201);
    server.bind("maps", "jane").await;
    server.ask_until(&jane, &post_policy, &policy("p", "ConfigMap"), 201).await;
    server.ask(&jane, &post_policy, &policy("q", "Secret")).await.expect(422);
    let by_name = json!({"name": "x", "namespace": "n"});
    server.ask(&jane, &post_binding, &binding("b", "p", by_name.clone())).await.expect(201);
    let by_label = binding("c", "p", json!({"selector": {"matchLabels": {"a": "b"}}}));
    let cases = [
        (by_label, "does not have \"list\" permission on the object referenced by paramRef"),
        (binding("c", "absent", by_name), "unable to get policy absent to determine minimum required permissions"),
    ];
    for (binding, why) in cases {
        let refused = server.ask(&jane, &post_binding, &binding).await;
        let cause = &refused.body["details"]["causes"][0];
        assert!(cause["field"] == "spec.paramRef" && cause["message"].as_str().unwrap().contains(why), "{cause}");
        server.ask(&UserInfo::admin(), &format!("{post_binding}?dryRun=All"), &binding).await.expect(201);
    }
    server.post(POLICIES, &policy("q", "Secret")).await.expect(201);
    let unchanged = json!({"metadata": {"labels": {"a": "b"}}});
    server.ask(&jane, &format!("PATCH {POLICIES}/q"), &unchanged).await.expect(200);
}
