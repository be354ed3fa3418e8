//! metadata.managedFields, as all requests keep it.

use serde_json::{Value, json};

use crate::harness::{Server, config_map, managers, pod};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/a";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn by(path: &str, manager: &str) -> String {
    format!("{path}?fieldManager={manager}")
}

#[tokio::test]
async fn every_writer_is_remembered() {
    let server = Server::start().await;
    let agent = [("content-type", "application/json"), ("user-agent", "tool/v1.2 (linux/amd64)")];
    let created = server.send("POST", MAPS, &agent, config_map("a", json!({"k": "v", "l": "v"})).to_string()).await;
    assert_eq!(created.managers(), [r#"tool Update {"f:data":{".":{},"f:k":{},"f:l":{}}}"#]);
    let mut changed = created.body.clone();
    changed["data"]["k"] = "w".into();
    let updated = server.put(&by(MAP, "hand"), &changed).await;
    assert_eq!(
        updated.managers(),
        [r#"hand Update {"f:data":{"f:k":{}}}"#, r#"tool Update {"f:data":{".":{},"f:l":{}}}"#]
    );
    // No change, no manager.
    assert_eq!(server.put(&by(MAP, "other"), &updated.body).await.body, updated.body);
    let patched =
        server.patch(MAP, "strategic-merge", &json!({"metadata": {"labels": {"x": "y"}}, "data": {"l": null}})).await;
    assert_eq!(
        patched.managers(),
        [
            r#"hand Update {"f:data":{"f:k":{}}}"#,
            r#"tool Update {"f:data":{}}"#,
            r#"unknown Update {"f:metadata":{"f:labels":{".":{},"f:x":{}}}}"#
        ]
    );
    // A watcher and a list see the same.
    assert_eq!(server.get(MAP).await.body, patched.body);
    let listed = server.get(MAPS).await.body;
    let listed = listed["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "a").unwrap();
    assert_eq!(listed["metadata"]["managedFields"], patched.body["metadata"]["managedFields"]);
}

#[tokio::test]
async fn a_pod_is_shared_by_those_who_write_it() {
    let server = Server::start().await;
    server.namespace("n").await;
    let path = "/api/v1/namespaces/n/pods";
    let mut wanted = pod("p");
    wanted["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    wanted["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    let created = server.post(&by(path, "creator"), &wanted).await.expect(201);
    let fields = json!({"f:spec": {
        "f:containers": {"k:{\"name\":\"main\"}": {
            ".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {},
            "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                ".": {}, "f:containerPort": {}, "f:protocol": {}}},
            "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}}},
        "f:dnsPolicy": {}, "f:enableServiceLinks": {}, "f:restartPolicy": {}, "f:schedulerName": {},
        "f:securityContext": {}, "f:terminationGracePeriodSeconds": {},
        "f:volumes": {".": {}, "k:{\"name\":\"v\"}": {".": {}, "f:emptyDir": {}, "f:name": {}}}}});
    assert_eq!(created["metadata"]["managedFields"][0]["fieldsV1"], fields);
    // What admission adds is nobody's: the service account's volume, tolerations, the priority.
    assert_eq!(managers(&created).len(), 1);

    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "x"}});
    server.post(&by(&format!("{path}/p/binding"), "scheduler"), &binding).await.expect(201);
    let conditions = json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let status = json!({"status": {"phase": "Running", "conditions": conditions}});
    let patched = server.patch(&by(&format!("{path}/p/status"), "kubelet"), "strategic-merge", &status).await;
    let ready = r#"{"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}}},"f:phase":{}}}"#;
    assert_eq!(patched.managers()[1..], [format!("kubelet Update/status {ready}")]);
    assert_eq!(patched.body["spec"]["nodeName"], "x");
}

#[tokio::test]
async fn clients_may_edit_the_list_but_not_break_it() {
    let server = Server::start().await;
    let created = server.post(&by(MAPS, "one"), &config_map("a", json!({"k": "v"}))).await.expect(201);
    let list = created["metadata"]["managedFields"].clone();
    let put = async |list: Value| {
        let mut object = config_map("a", json!({"k": "v"}));
        object["metadata"]["managedFields"] = list;
        server.put(&by(MAP, "two"), &object).await
    };
    let own = [r#"one Update {"f:data":{".":{},"f:k":{}}}"#.to_owned()];
    assert_eq!(put(Value::Null).await.managers(), own);
    assert_eq!(put(list.clone()).await.managers(), own);
    // What makes no sense is as if it were not there.
    for (key, value) in [("operation", json!("Delete")), ("fieldsV1", json!({"data": {}})), ("apiVersion", json!(""))] {
        let mut wrong = list.clone();
        wrong[0][key] = value;
        assert_eq!(put(wrong).await.managers(), own, "{key}");
    }
    let mut renamed = list.clone();
    renamed[0]["manager"] = "three".into();
    assert_eq!(put(renamed.clone()).await.managers(), [r#"three Update {"f:data":{".":{},"f:k":{}}}"#]);
    renamed[0]["manager"] = "x".repeat(129).into();
    let long = put(renamed).await;
    assert_eq!(
        (long.code, long.message()),
        (
            422,
            "ConfigMap \"a\" is invalid: metadata.managedFields[0].manager: Too long: may not be more than 128 bytes"
        )
    );
    // kubectl renames a manager with a patch that tests what it has seen.
    let version = server.get(MAP).await.version();
    let upgrade = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": list},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version}]);
    assert_eq!(server.patch(MAP, "json", &upgrade).await.managers(), own);
    for reset in [json!([]), json!([{}])] {
        put(list.clone()).await.expect(200);
        assert!(put(reset).await.managers().is_empty());
        // Nobody is tracked from then on, until somebody applies.
        assert!(server.patch(MAP, "merge", &json!({"data": {"k": "x"}})).await.managers().is_empty());
    }
}

#[tokio::test]
async fn a_scale_changes_who_manages_the_count() {
    let server = Server::start().await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let path = format!("{DEPLOYMENTS}/d");
    server.apply(&path, "fieldManager=owner", &deployment).await.expect(201);
    let scale_path = format!("{path}/scale");
    let scale = server.get(&scale_path).await;
    // A Scale does not tell whose the count is (upstream); its parent does.
    assert!(scale.managers().is_empty());
    let mut wanted = scale.body.clone();
    wanted["spec"]["replicas"] = 5.into();
    let scaled = server.put(&by(&scale_path, "hand"), &wanted).await;
    assert!(scaled.managers().is_empty());
    let parent = server.get(&path).await;
    assert_eq!(parent.managers()[1..], [r#"hand Update/scale {"f:spec":{"f:replicas":{}}}"#]);
    assert!(!parent.managers()[0].contains("f:replicas"));
    let refused = server.apply(&path, "fieldManager=owner", &deployment).await;
    assert_eq!(
        refused.message(),
        "Apply failed with 1 conflict: conflict with \"hand\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    let config =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}});
    assert_eq!(server.apply(&scale_path, "fieldManager=auto", &config).await.code, 409);
    let forced = server.apply(&scale_path, "fieldManager=auto&force=true", &config).await;
    assert!(forced.managers().is_empty());
    let parent = server.get(&path).await;
    assert_eq!(parent.body["spec"]["replicas"], 3);
    assert!(parent.managers().contains(&r#"auto Apply/scale {"f:spec":{"f:replicas":{}}}"#.to_owned()));
}

#[tokio::test]
async fn managers_keep_the_version_they_speak() {
    let server = Server::start().await;
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({"metadata": {"name": "e"}, "note": "n", "reason": "r", "type": "Normal", "action": "a",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
        "regarding": {"namespace": "default"}});
    let created = server.post(&by(path, "new"), &event).await.expect(201);
    let fields = &created["metadata"]["managedFields"][0];
    assert_eq!(fields["apiVersion"], "events.k8s.io/v1");
    assert_eq!(fields["fieldsV1"]["f:note"], json!({}));
    let old = "/api/v1/namespaces/default/events/e";
    let patched = server.patch(&by(old, "old"), "merge", &json!({"message": "m", "count": 2})).await;
    let entries = &patched.body["metadata"]["managedFields"];
    assert_eq!((&entries[0]["manager"], &entries[0]["fieldsV1"].get("f:note")), (&json!("new"), &None));
    assert_eq!(entries[1]["fieldsV1"], json!({"f:count": {}, "f:message": {}}));
    assert_eq!(entries[1]["apiVersion"], "v1");
}

#[tokio::test]
async fn many_updates_are_merged() {
    let server = Server::start().await;
    server.post(&by(MAPS, "creator"), &config_map("a", json!({"k": "v"}))).await.expect(201);
    for index in 0..15 {
        let patch = json!({"data": {format!("k{index:02}"): "v"}});
        server.patch(&by(MAP, &format!("m{index:02}")), "merge", &patch).await.expect(200);
    }
    let names = server.get(MAP).await.managers();
    assert_eq!(names.len(), 10, "{names:?}");
    assert!(names.iter().any(|entry| entry.starts_with("ancient-changes Update ")), "{names:?}");
}
