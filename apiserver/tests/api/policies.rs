//! ValidatingAdmissionPolicy, from outside.

use apiserver::UserInfo;
use serde_json::{Value, json};

use super::harness::{Answer, PATIENCE, Server, config_map, pod};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const MAPS: &str = "/api/v1/namespaces/n/configmaps";

fn policy(name: &str, spec: Value) -> Value {
    let mut all = json!({"matchConstraints": {"resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}]}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": all})
}

fn binding(name: &str, policy: &str, spec: Value) -> Value {
    let mut all = json!({"policyName": policy, "validationActions": ["Deny"]});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": all})
}

/// A server with a namespace `n` and a policy that is in force: the marker `forbidden` says so.
async fn enforcing(spec: Value, bound: Value) -> Server {
    let server = Server::start().await;
    server.namespace("n").await;
    server.post(POLICIES, &policy("p", spec)).await.expect(201);
    server.post(BINDINGS, &binding("b", "p", bound)).await.expect(201);
    let marker = json!({"matchConstraints": {"resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"],
         "resourceNames": ["marker"]}]}, "validations": [{"expression": "false"}]});
    server.post(POLICIES, &policy("z-marker", marker)).await.expect(201);
    server.post(BINDINGS, &binding("z-marker", "z-marker", json!({}))).await.expect(201);
    until(async || {
        let answer = server.post(&format!("{MAPS}?dryRun=All"), &config_map("marker", json!({}))).await;
        (answer.code != 201).then_some(())
    })
    .await;
    server
}

/// Asks until there is an answer.
async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("a condition that never came")
}

fn refused(answer: &Answer) -> (u16, &str, &str) {
    (answer.code, answer.body["reason"].as_str().unwrap_or_default(), answer.message())
}

#[tokio::test]
async fn a_refusal_says_which_policy_and_why() {
    let spec = json!({
        "variables": [{"name": "size", "expression": "has(object.data) ? size(object.data) : 0"}],
        "validations": [
            {"expression": "variables.size < 2", "messageExpression": "'has ' + string(variables.size) + ' keys'"},
            {"expression": "object.metadata.name != 'secret'", "message": "hidden", "reason": "Forbidden"},
        ],
        "matchConditions": [{"name": "not-mine", "expression": "request.operation != 'DELETE'"}],
    });
    let server = enforcing(spec, json!({})).await;
    let answer = server.post(MAPS, &config_map("many", json!({"a": "1", "b": "2"}))).await;
    let message =
        "configmaps \"many\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: has 2 keys";
    assert_eq!(refused(&answer), (422, "Invalid", message));
    let cause = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: has 2 keys";
    let details = json!({"name": "many", "kind": "configmaps", "causes": [{"message": cause}]});
    assert_eq!(answer.body["details"], details);
    let answer = server.post(MAPS, &config_map("secret", json!({}))).await;
    let message =
        "configmaps \"secret\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: hidden";
    assert_eq!(refused(&answer), (403, "Forbidden", message));
    server.post(MAPS, &config_map("few", json!({"a": "1"}))).await.expect(201);
    let answer = server.patch(&format!("{MAPS}/few"), "merge", &json!({"data": {"b": "2"}})).await;
    assert_eq!(answer.code, 422, "{}", answer.body);
    server.patch(&format!("{MAPS}/few"), "merge", &json!({"data": {"c": "2", "a": null}})).await.expect(200);
    server.delete(&format!("{MAPS}/few"), &Value::Null).await.expect(200);
    // What it is not about.
    server.post("/api/v1/namespaces/n/pods", &pod("many")).await.expect(201);
}

#[tokio::test]
async fn a_binding_says_where_and_what_follows() {
    let spec = json!({"validations": [{"expression": "oldObject == null", "message": "frozen"}]});
    let bound = json!({"validationActions": ["Warn", "Audit"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"strict": "yes"}}}});
    let server = enforcing(spec, bound).await;
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let change = |value: &str| json!({"data": {"x": value}});
    let answer = server.patch(&format!("{MAPS}/a"), "merge", &change("1")).await;
    assert_eq!((answer.code, answer.warnings()), (200, Vec::new()));
    server
        .patch("/api/v1/namespaces/n", "merge", &json!({"metadata": {"labels": {"strict": "yes"}}}))
        .await
        .expect(200);
    let warned = until(async || {
        let answer = server.patch(&format!("{MAPS}/a?dryRun=All"), "merge", &change("2")).await;
        (!answer.warnings().is_empty()).then_some(answer)
    })
    .await;
    let warning = "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': frozen\"";
    assert_eq!((warned.code, warned.warnings()), (200, vec![warning]));
}

#[tokio::test]
async fn parameters_are_found() {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "Secret"},
        "validations": [{"expression": "params == null || object.metadata.name in params.metadata.labels"}],
    });
    let bound = json!({"paramRef": {"selector": {"matchLabels": {"names": "1"}}, "parameterNotFoundAction": "Deny"}});
    let server = enforcing(spec, bound).await;
    let answer = server.post(MAPS, &config_map("a", json!({}))).await;
    let missing = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed to \
                   configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    assert_eq!(refused(&answer), (422, "Invalid", missing));
    let names = json!({"metadata": {"name": "names", "labels": {"names": "1", "a": ""}}});
    server.post("/api/v1/namespaces/n/secrets", &names).await.expect(201);
    until(async || {
        let answer = server.post(MAPS, &config_map("a", json!({}))).await;
        (answer.code == 201).then_some(())
    })
    .await;
    let answer = server.post(MAPS, &config_map("b", json!({}))).await;
    let wrong = "configmaps \"b\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed \
                 expression: params == null || object.metadata.name in params.metadata.labels";
    assert_eq!(refused(&answer), (422, "Invalid", wrong));
}

#[tokio::test]
async fn expressions_ask_who_may_do_what() {
    let spec = json!({"validations": [{
        "expression": "authorizer.requestResource.check('approve').allowed() && \
                       authorizer.group('').resource('pods').namespace('n').check('get').allowed() && \
                       request.userInfo.username == 'system:admin' && namespaceObject.metadata.name == request.namespace && \
                       request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'"}]});
    let server = enforcing(spec, json!({})).await;
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let headers = [("content-type", "application/json")];
    let other = UserInfo::new("other", &["system:masters"]);
    let answer = server.send_as(&other, "POST", MAPS, &headers, config_map("b", json!({})).to_string()).await;
    assert_eq!(answer.code, 422, "{}", answer.body);
}

#[tokio::test]
async fn what_is_below_is_seen_as_what_it_is() {
    let rules = json!({"resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/binding", "pods/eviction"]},
        {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]},
    ]});
    let seen = "object.kind + ' ' + request.kind.kind + ' ' + request.subResource + ' ' + request.name";
    let spec = json!({"matchConstraints": rules, "validations": [{"expression": "false", "messageExpression": seen}]});
    let server = enforcing(spec, json!({})).await;
    server.post("/api/v1/namespaces/n/pods", &pod("a")).await.expect(201);
    let binding = json!({"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "x"}});
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    let deployments = "/apis/apps/v1/namespaces/n/deployments";
    let deployment = json!({"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    server.post(deployments, &deployment).await.expect(201);
    let pods = "/api/v1/namespaces/n/pods/a";
    let table = [
        (server.post(&format!("{pods}/binding"), &binding).await, "Binding Binding binding a"),
        (server.post(&format!("{pods}/eviction"), &eviction).await, "Eviction Eviction eviction a"),
        (
            server.patch(&format!("{deployments}/a/scale"), "merge", &json!({"spec": {"replicas": 2}})).await,
            "Scale Scale scale a",
        ),
    ];
    for (answer, expected) in table {
        assert!(answer.message().ends_with(&format!("denied request: {expected}")), "{}", answer.body);
    }
    server.get(pods).await.expect(200);
}

#[tokio::test]
async fn a_wrong_policy_is_refused_when_it_is_written() {
    let server = Server::start().await;
    let spec = json!({"validations": [{"expression": "object.x +"}, {"expression": "params == null"}]});
    let answer = server.post(POLICIES, &policy("p", spec)).await;
    let fields: Vec<&Value> =
        answer.body["details"]["causes"].as_array().unwrap().iter().map(|cause| &cause["field"]).collect();
    assert_eq!(
        (answer.code, fields),
        (422, vec![&json!("spec.validations[0].expression"), &json!("spec.validations[1].expression")])
    );
}
