//! MutatingAdmissionPolicy, from outside.

use apiserver::features::Features;
use apiserver::registry::Registry;
use serde_json::{Value, json};

use super::harness::{Answer, PATIENCE, Server, config_map, pod};

const GROUP: &str = "/apis/admissionregistration.k8s.io";
const MAPS: &str = "/api/v1/namespaces/n/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/n/deployments";

async fn server(gates: &str, served: &str) -> Server {
    let features = Features::read(gates, served, &Registry::known()).unwrap();
    let server = Server::with(|config| config.features = features).await;
    server.namespace("n").await;
    server
}

fn policy(name: &str, resource: (&str, &str), spec: Value) -> Value {
    let (group, resource) = resource;
    let mut all = json!({"reinvocationPolicy": "Never", "matchConstraints": {"resourceRules": [
        {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}]}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": all})
}

fn configuration(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn patch(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

/// With policies that are in force. Each is bound by what is called as it is.
async fn enforcing(policies: &[Value]) -> Server {
    let server = server("MutatingAdmissionPolicy=true", "admissionregistration.k8s.io/v1beta1=true").await;
    let marker = policy(
        "z-marker",
        ("", "configmaps"),
        json!({"mutations": [configuration("Object{data: {'marked': 'yes'}}")],
            "matchConditions": [{"name": "marker", "expression": "object.metadata.name == 'marker'"}]}),
    );
    for policy in policies.iter().chain([&marker]) {
        server.post(&format!("{GROUP}/v1beta1/mutatingadmissionpolicies"), policy).await.expect(201);
        let name = &policy["metadata"]["name"];
        let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name}});
        server.post(&format!("{GROUP}/v1beta1/mutatingadmissionpolicybindings"), &binding).await.expect(201);
    }
    let marked = async {
        let (path, marker) = (format!("{MAPS}?dryRun=All"), config_map("marker", json!({})));
        while server.post(&path, &marker).await.body["data"]["marked"] != "yes" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, marked).await.expect("a policy that never is in force");
    server
}

fn deployment(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test]
async fn nothing_of_it_is_there_unless_it_is_switched_on() {
    let table = [
        ("", "", [404, 404]),
        ("MutatingAdmissionPolicy=true", "", [404, 404]),
        ("", "admissionregistration.k8s.io/v1beta1=true", [200, 404]),
        ("MutatingAdmissionPolicy=true", "admissionregistration.k8s.io/v1alpha1=true", [404, 200]),
        ("", "api/all=true", [200, 200]),
    ];
    for (gates, served, expected) in table {
        let server = server(gates, served).await;
        let mut codes = Vec::new();
        for version in ["v1beta1", "v1alpha1"] {
            codes.push(server.get(&format!("{GROUP}/{version}/mutatingadmissionpolicies")).await.code);
        }
        assert_eq!(codes, expected, "{gates} {served}");
    }
}

#[tokio::test]
async fn both_versions_show_one_object() {
    let server = server("", "api/all=true").await;
    let kinds = |version: &str| format!("{GROUP}/{version}/mutatingadmissionpolicybindings");
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "paramRef": {"name": "x"}}});
    let answer = server.post(&kinds("v1beta1"), &binding).await;
    assert_eq!((answer.code, answer.message().contains("parameterNotFoundAction")), (422, true));
    let made = server.post(&kinds("v1alpha1"), &binding).await.expect(201);
    assert_eq!(made["spec"]["paramRef"]["parameterNotFoundAction"], "Deny");
    let beta = server.get(&format!("{}/b", kinds("v1beta1"))).await.expect(200);
    assert_eq!(
        (&beta["apiVersion"], &beta["metadata"]["uid"]),
        (&json!("admissionregistration.k8s.io/v1beta1"), &made["metadata"]["uid"])
    );
}

#[tokio::test]
async fn objects_are_changed_as_policies_say() {
    let first = policy(
        "a",
        ("apps", "deployments"),
        json!({
            "variables": [{"name": "replicas", "expression": "object.spec.replicas + 1"}],
            "mutations": [
                configuration("Object{spec: Object.spec{replicas: int(variables.replicas), template: Object.spec.template{
                    spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'side', image: 'x'}]}}}}"),
                // It sees what the first has made, with defaults.
                patch("[JSONPatch{op: 'test', path: '/spec/replicas', value: 2},
                    JSONPatch{op: 'add', path: '/metadata/annotations', value: {'pull': object.spec.template.spec.containers[0].imagePullPolicy}}]"),
                patch("[JSONPatch{op: 'test', path: '/spec/replicas', value: 7}, JSONPatch{op: 'remove', path: '/spec'}]"),
            ],
        }),
    );
    let server = enforcing(&[first]).await;
    let made = server.post(&format!("{DEPLOYMENTS}?fieldManager=me"), &deployment("d")).await;
    assert!(!made.managers().join("").contains("side"), "what policies change is nobody's");
    let made = made.expect(201);
    assert_eq!((&made["spec"]["replicas"], &made["metadata"]["annotations"]), (&json!(2), &json!({"pull": "Always"})));
    let containers = made["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let names: Vec<&str> = containers.iter().filter_map(|container| container["name"].as_str()).collect();
    assert_eq!(names, ["c", "side"]);
    let answer = server.patch(&format!("{DEPLOYMENTS}/d"), "merge", &json!({"spec": {"replicas": 4}})).await;
    assert_eq!(answer.expect(200)["spec"]["replicas"], 5);
}

fn refused(answer: &Answer) -> (u16, &str, &str) {
    (answer.code, answer.body["reason"].as_str().unwrap_or_default(), answer.message())
}

#[tokio::test]
async fn what_fails_refuses_unless_it_is_ignored() {
    let wrong = |name: &str, more: Value| {
        let mut spec = json!({
            "mutations": [configuration("Object{no: 1}"), configuration("Object{data: {'x': object.data.none}}")],
            "matchConditions": [{"name": "mine", "expression": "!has(object.data) || !('free' in object.data)"}],
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        policy(name, ("", "configmaps"), spec)
    };
    let unknown = json!({"paramKind": {"apiVersion": "no.example.com/v1", "kind": "None"},
        "matchConditions": [{"name": "n", "expression": "true"}], "failurePolicy": "Ignore"});
    let server = enforcing(&[wrong("ignored", json!({"failurePolicy": "Ignore"})), wrong("unknown", unknown)]).await;
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let server = enforcing(&[wrong(
        "w",
        json!({"matchConditions": [{"name": "mine", "expression": "object.metadata.name == 'a'"}]}),
    )])
    .await;
    server.post(MAPS, &config_map("free", json!({"free": "1"}))).await.expect(201);
    let answer = server.post(MAPS, &config_map("a", json!({}))).await;
    let first = "policy 'w' with binding 'w' denied request: error applying patch: failed to convert patch object to typed \
                 object: .no: field not declared in schema";
    let second = "policy 'w' with binding 'w' denied request: expression 'Object{data: {'x': object.data.none}}' resulted in \
                  error: no such key: data";
    assert_eq!(refused(&answer), (403, "Invalid", first));
    let causes = json!([{"message": first}, {"message": second}]);
    assert_eq!(answer.body["details"], json!({"name": "a", "kind": "configmaps", "causes": causes}));
}

#[tokio::test]
async fn those_who_want_it_see_what_others_make_of_it() {
    let counting = |name: &str, again: &str| {
        let expression = format!(
            "Object{{data: {{'{name}': has(object.data) && '{name}' in object.data ? object.data['{name}'] + '+' : 'seen'}}}}"
        );
        policy(
            name,
            ("", "configmaps"),
            json!({"mutations": [configuration(&expression)], "reinvocationPolicy": again}),
        )
    };
    let server = enforcing(&[counting("a", "IfNeeded"), counting("b", "Never"), counting("c", "IfNeeded")]).await;
    let made = server.post(MAPS, &config_map("m", json!({}))).await.expect(201);
    assert_eq!(made["data"], json!({"a": "seen+", "b": "seen", "c": "seen+"}));
}

/// What is not stored, or not as it is asked for, is changed as everything else is.
#[tokio::test]
async fn what_is_below_is_changed_too() {
    let rules = |group: &str, resource: &str| json!({"resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["*"], "resources": [resource]}]});
    let below = |name: &str, resource: (&str, &str), expression: &str| {
        let mut policy = policy(name, ("", ""), json!({"mutations": [configuration(expression)]}));
        policy["spec"]["matchConstraints"] = rules(resource.0, resource.1);
        policy
    };
    let operations = |mut policy: Value, expression: &str| {
        policy["spec"]["mutations"] = json!([patch(expression)]);
        policy
    };
    let binding = operations(
        below("binding", ("", "pods/binding"), "Object{}"),
        "[JSONPatch{op: 'replace', path: '/target/name', value: 'other'}]",
    );
    let scale = operations(
        below("scale", ("apps", "deployments/scale"), "Object{}"),
        "[JSONPatch{op: 'replace', path: '/spec/replicas', value: object.spec.replicas * 2}]",
    );
    let exec = operations(
        below("exec", ("", "pods/exec"), "Object{}"),
        "[JSONPatch{op: 'add', path: '/container', value: 'another'}]",
    );
    let wrong = policy("wrong", ("", "pods/eviction"), json!({"mutations": [configuration("Object{no: 1}")]}));
    let server = enforcing(&[scale, exec, binding, wrong]).await;
    server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d");
    let scaled = server.patch(&format!("{path}/scale"), "merge", &json!({"spec": {"replicas": 3}})).await.expect(200);
    let stored = server.get(&path).await.expect(200);
    assert_eq!((&scaled["spec"]["replicas"], &stored["spec"]["replicas"]), (&json!(6), &json!(6)));
    let answer = server.patch(&format!("{path}/scale"), "merge", &json!({"spec": {"replicas": -3}})).await;
    assert_eq!(answer.code, 422, "{}", answer.body);
    let pods = "/api/v1/namespaces/n/pods";
    server.post(pods, &pod("p")).await.expect(201);
    let wanted = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "x"}});
    server.post(&format!("{pods}/p/binding"), &wanted).await.expect(201);
    assert_eq!(server.get(&format!("{pods}/p")).await.expect(200)["spec"]["nodeName"], "other");
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let answer = server.post(&format!("{pods}/p/eviction"), &eviction).await;
    // Upstream publishes no type of what is no resource.
    let why = "typed object: no corresponding type for policy/v1, Kind=Eviction";
    assert!(answer.message().ends_with(why), "{}", answer.body);
    let answer = server.post(&format!("{pods}/p/exec?command=ls&container=main"), &json!({})).await;
    assert_eq!((answer.code, answer.message()), (400, "container another is not valid for pod p"));
}
