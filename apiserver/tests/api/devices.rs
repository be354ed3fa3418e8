//! Claims for devices and classes of volumes: what asks other objects, or writes around the main one.

use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn admin_access_needs_a_namespace_for_it() {
    let server = Server::start().await;
    server.namespace("n").await;
    let requests = json!([{"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": true}}]);
    let claim = json!({"metadata": {"name": "a"}, "spec": {"devices": {"requests": requests}}});
    let template = json!({"metadata": {"name": "a"}, "spec": {"spec": claim["spec"]}});
    let (claims, templates) = ("resourceclaims", "resourceclaimtemplates");
    let path = |kind: &str| format!("/apis/resource.k8s.io/v1/namespaces/n/{kind}");
    let refused = "is invalid: spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the \
                   `resource.kubernetes.io/admin-access: true` label on the containing namespace";
    for (kind, object) in [(claims, &claim), (templates, &template)] {
        let answer = server.post(&path(kind), object).await;
        assert_eq!(answer.code, 422);
        assert!(answer.message().ends_with(refused), "{}", answer.message());
    }
    let label = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    server.patch("/api/v1/namespaces/n", "merge", &label).await.expect(200);
    for (kind, object) in [(claims, &claim), (templates, &template)] {
        server.post(&path(kind), object).await.expect(201);
    }
    // Who writes the status does not write the metadata.
    let status = json!({"metadata": {"labels": {"a": "b"}}, "status": {"reservedFor": []}});
    let answer = server.patch(&format!("{}/a/status", path(claims)), "merge", &status).await.expect(200);
    assert_eq!(answer["metadata"]["labels"], json!(null));
}

#[tokio::test]
async fn a_class_of_volumes_waits_for_its_finalizer() {
    let server = Server::start().await;
    let class = json!({"metadata": {"name": "a"}, "driverName": "d.example.com", "parameters": {"a": "1"}});
    let classes = "/apis/storage.k8s.io/v1/volumeattributesclasses";
    let made = server.post(classes, &class).await.expect(201);
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/vac-protection"]));
    let path = format!("{classes}/a");
    let deleted = server.send("DELETE", &path, &[], "").await.expect(200);
    assert!(deleted["metadata"]["deletionTimestamp"].is_string());
    let again = server.post(classes, &class).await;
    assert_eq!(again.message(), "object is being deleted: volumeattributesclasses.storage.k8s.io \"a\" already exists");
    server.patch(&path, "merge", &json!({"metadata": {"finalizers": []}})).await.expect(200);
    assert_eq!(server.get(&path).await.code, 404);
}

#[tokio::test]
async fn the_last_answer_was_never_stored() {
    let server = Server::start().await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [],
    });
    let stored = server.post(roles, &role).await.expect(201);
    assert!(stored.get("rules").is_none(), "the store takes an empty list for none");
    server.delete(&format!("{roles}/r"), &json!({"propagationPolicy": "Foreground"})).await.expect(200);
    // The update takes the finalizer, and so the object.
    let last = server.put(&format!("{roles}/r"), &role).await.expect(200);
    assert_eq!(last["rules"], json!([]));
}
