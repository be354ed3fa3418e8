//! Create, update, patch, delete.

use serde_json::{Value, json};

use crate::harness::{Answer, Server, config_map, pod};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn an_object_lives_its_life() {
    let server = Server::start().await;
    let created = server.post(MAPS, &config_map("a", json!({"k": "v"}))).await.expect(201);
    assert_eq!(created["metadata"]["namespace"], "default");
    assert_eq!(created["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(created["metadata"]["uid"].as_str().map(str::len), Some(36));
    let path = format!("{MAPS}/a");
    assert_eq!(server.get(&path).await.expect(200), created);

    let mut changed = created.clone();
    changed["data"] = json!({"k": "w"});
    let updated = server.put(&path, &changed).await.expect(200);
    assert_ne!(updated["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
    // Written again with what it is, nothing happens.
    assert_eq!(server.put(&path, &updated).await.expect(200), updated);
    // The first version is stale now.
    let stale = server.put(&path, &changed).await;
    assert_eq!(
        stale.message(),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the \
         latest version and try again"
    );
    assert_eq!(stale.code, 409);

    let deleted = server.delete(&path, &Value::Null).await.expect(200);
    assert_eq!((&deleted["kind"], &deleted["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(deleted["details"]["uid"], created["metadata"]["uid"]);
    assert_eq!(server.get(&path).await.message(), "configmaps \"a\" not found");
}

#[tokio::test]
async fn wrong_requests_are_refused_in_upstreams_words() {
    let server = Server::start().await;
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let with = |pointer: &str, value: Value| {
        let mut object = config_map("a", json!({}));
        *object.pointer_mut(pointer).unwrap() = value;
        object
    };
    let body = |name: &str| config_map(name, json!({}));
    let table = [
        ("POST", MAPS, body("a"), 409, "configmaps \"a\" already exists"),
        (
            "POST",
            "/api/v1/namespaces/other/configmaps",
            with("/metadata", json!({"name": "a", "namespace": "default"})),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ("POST", "/api/v1/namespaces/other/configmaps", body("a"), 404, "namespaces \"other\" not found"),
        (
            "POST",
            MAPS,
            with("/metadata", json!({})),
            422,
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            "POST",
            MAPS,
            with("/data", json!({"k": 1})),
            400,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct \
             field ConfigMap.data of type string",
        ),
    ];
    refused(&server, &table).await;
}

#[tokio::test]
async fn wrong_updates_and_deletions_are_refused_too() {
    let server = Server::start().await;
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let body = |name: &str| config_map(name, json!({}));
    let table = [
        ("PUT", "/api/v1/namespaces/default/configmaps/b", body("b"), 404, "configmaps \"b\" not found"),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps/a",
            body("b"),
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps/a",
            json!({"metadata": {"name": "a", "uid": "x", "resourceVersion": "1"}}),
            409,
            "Operation cannot be fulfilled on configmaps \"a\": StorageError: invalid object, Code: 4, Key: \
             /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in \
             precondition: x, UID in object meta",
        ),
        (
            "POST",
            "/api/v1/configmaps",
            body("c"),
            405,
            "the server does not allow this method on the requested resource",
        ),
        ("POST", "/api/v1/nonsense", body("c"), 404, "the server could not find the requested resource"),
        ("DELETE", "/api/v1/namespaces/default/configmaps/zz", Value::Null, 404, "configmaps \"zz\" not found"),
        (
            "DELETE",
            "/api/v1/namespaces",
            Value::Null,
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default",
            Value::Null,
            403,
            "namespaces \"default\" is forbidden: this namespace may not be deleted",
        ),
    ];
    refused(&server, &table).await;
}

async fn refused(server: &Server, table: &[(&str, &str, Value, u16, &str)]) {
    for (method, path, object, code, message) in table {
        let body = if object.is_null() { String::new() } else { object.to_string() };
        let answer = server.send(method, path, &[], body).await;
        assert_eq!(answer.code, *code, "{method} {path}: {}", answer.body);
        assert!(answer.message().starts_with(message), "{method} {path}: {}", answer.message());
        assert_eq!(answer.body["kind"], "Status");
    }
}

#[tokio::test]
async fn names_are_generated_for_every_kind() {
    let server = Server::start().await;
    for (path, object) in [
        (MAPS, json!({"metadata": {"generateName": "x-"}})),
        ("/api/v1/namespaces", json!({"metadata": {"generateName": "x-"}})),
    ] {
        let created = server.post(path, &object).await.expect(201);
        let name = created["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("x-") && name.len() == 7, "{name}");
    }
}

#[tokio::test]
async fn what_is_created_has_no_revision_yet() {
    let server = Server::start().await;
    let map = |version: &str| json!({"metadata": {"name": "a", "resourceVersion": version}});
    let refused = server.post(MAPS, &map("5")).await;
    assert_eq!(refused.code, 500);
    assert_eq!(refused.message(), "resourceVersion should not be set on objects to be created");
    server.post(&format!("{MAPS}?dryRun=All"), &map("5")).await.expect(201);
    server.post(MAPS, &map("0")).await.expect(201);
    assert_eq!(server.post(MAPS, &map("5")).await.code, 500);
}

#[tokio::test]
async fn a_create_on_update_is_for_some_kinds() {
    let server = Server::start().await;
    let lease = json!({"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 10}});
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    server.put(path, &lease).await.expect(201);
    // A Lease may not be updated blindly.
    let blind = server.put(path, &lease).await;
    assert_eq!(blind.code, 422);
    assert!(blind.message().ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"));
}

#[tokio::test]
async fn patches_apply() {
    let server = Server::start().await;
    server.post(MAPS, &config_map("a", json!({"k": "v", "l": "w"}))).await.expect(201);
    let path = format!("{MAPS}/a");
    let merged = server.patch(&path, "merge", &json!({"data": {"k": null, "m": "x"}})).await.expect(200);
    assert_eq!(merged["data"], json!({"l": "w", "m": "x"}));
    let patch = json!([{"op": "test", "path": "/data/l", "value": "w"}, {"op": "remove", "path": "/data/l"}]);
    let patched = server.patch(&path, "json", &patch).await.expect(200);
    assert_eq!(patched["data"], json!({"m": "x"}));
    assert_eq!(server.patch(&path, "json", &patch).await.code, 422);
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let patched = server.patch(&path, "strategic-merge", &patch).await.expect(200);
    assert_eq!(patched["metadata"]["labels"]["a"], "b");
    let same = server.patch(&path, "strategic-merge", &json!({})).await.expect(200);
    assert_eq!(same, patched);
    let other = server.patch(&path, "strategic-merge", &json!({"apiVersion": "any", "kind": null})).await.expect(200);
    assert_eq!(other, patched, "a header that does not matter");
    let wrong = server.patch(&path, "strategic-merge", &json!({"apiVersion": 7})).await;
    assert!(wrong.message().ends_with(": cannot convert int64 to string"), "{}", wrong.message());
    let stale = server.patch(&path, "merge", &json!({"metadata": {"resourceVersion": "1"}})).await;
    assert_eq!(stale.code, 409);
    let renamed = server.patch(&path, "merge", &json!({"metadata": {"name": "b"}})).await;
    assert_eq!(renamed.code, 400);
    let unsupported = server.send("PATCH", &path, &[("content-type", "application/x-patch")], "{}").await;
    assert_eq!(unsupported.code, 415);
    assert_eq!(unsupported.message(), "415: Unsupported Media Type");
}

#[tokio::test]
async fn concurrent_patches_all_arrive() {
    let server = std::sync::Arc::new(Server::start().await);
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let path = format!("{MAPS}/a");
    let tasks: Vec<_> = (0..20)
        .map(|index| {
            let (server, path) = (server.clone(), path.clone());
            tokio::spawn(async move {
                server.patch(&path, "merge", &json!({"data": {format!("k{index}"): "v"}})).await.expect(200);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let data = server.get(&path).await.expect(200)["data"].as_object().unwrap().len();
    assert_eq!(data, 20);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let server = Server::start().await;
    let path = format!("{MAPS}/a");
    let created = server.post(&format!("{MAPS}?dryRun=All"), &config_map("a", json!({}))).await.expect(201);
    assert_eq!(created["metadata"].get("resourceVersion"), None);
    assert_eq!(server.get(&path).await.code, 404);
    let real = server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    assert_eq!(server.post(&format!("{MAPS}?dryRun=All"), &config_map("a", json!({}))).await.code, 409);
    let patched = server.patch(&format!("{path}?dryRun=All"), "merge", &json!({"data": {"k": "v"}})).await.expect(200);
    assert_eq!(patched["metadata"]["resourceVersion"], real["metadata"]["resourceVersion"]);
    server.delete(&format!("{path}?dryRun=All"), &Value::Null).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200), real);
}

#[tokio::test]
async fn field_validation_reports_or_warns() {
    let server = Server::start().await;
    let mut object = config_map("a", json!({}));
    object["dta"] = json!({});
    let strict = server.post(&format!("{MAPS}?fieldValidation=Strict"), &object).await;
    assert_eq!(strict.code, 400);
    assert!(strict.message().ends_with("strict decoding error: unknown field \"dta\""), "{}", strict.message());
    let warned = server.post(MAPS, &object).await;
    assert_eq!(warned.warnings(), [r#"299 - "unknown field \"dta\"""#]);
    assert_eq!(warned.expect(201).get("dta"), None);
    let patched = server.patch(&format!("{MAPS}/a?fieldValidation=Strict"), "merge", &json!({"dta": 1})).await;
    assert_eq!(patched.code, 422);
    assert!(patched.message().ends_with("strict decoding error: unknown field \"dta\""), "{}", patched.message());
}

#[tokio::test]
async fn bodies_come_as_yaml_and_protobuf_too() {
    let server = Server::start().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: from-yaml\ndata: {mode: \"0644\"}\n";
    let created = server.send("POST", MAPS, &[("content-type", "application/yaml")], yaml).await.expect(201);
    assert_eq!(created["data"]["mode"], "0644");
    let set = api::schema::SchemaSet::builtin();
    let object = config_map("p", json!({"k": "v"}));
    let bytes = api::protobuf::encode_object(set, &object).unwrap();
    let headers = [
        ("content-type", "application/vnd.kubernetes.protobuf"),
        ("accept", "application/vnd.kubernetes.protobuf,application/json"),
    ];
    let created = server.send("POST", MAPS, &headers, bytes).await;
    assert_eq!(created.headers["content-type"], "application/vnd.kubernetes.protobuf");
    assert_eq!(created.expect(201)["data"], json!({"k": "v"}));
    let too_large = server.send("POST", MAPS, &[], vec![b' '; 3 * 1024 * 1024 + 1]).await;
    assert_eq!((too_large.code, too_large.message()), (413, "Request entity too large: limit is 3145728"));
    let unknown = server.send("POST", MAPS, &[("content-type", "text/plain")], "x").await;
    assert_eq!(unknown.code, 415);
}

#[tokio::test]
async fn finalizers_and_propagation_keep_objects() {
    let server = Server::start().await;
    let path = format!("{MAPS}/a");
    server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
    let options = json!({"propagationPolicy": "Foreground"});
    let kept = server.delete(&path, &options).await.expect(200);
    assert_eq!(kept["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert_eq!(kept["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = server.post(MAPS, &config_map("a", json!({}))).await;
    assert_eq!(again.message(), "object is being deleted: configmaps \"a\" already exists");
    let more = server.patch(&path, "merge", &json!({"metadata": {"finalizers": ["a/b", "foregroundDeletion"]}})).await;
    assert_eq!(more.code, 422);
    // Without the last finalizer it goes, and the update is answered.
    server.patch(&path, "merge", &json!({"metadata": {"finalizers": null}})).await.expect(200);
    assert_eq!(server.get(&path).await.code, 404);

    server.post(MAPS, &config_map("b", json!({}))).await.expect(201);
    let wrong = server.delete(&format!("{MAPS}/b"), &json!({"preconditions": {"uid": "x"}})).await;
    assert_eq!(wrong.code, 409);
    assert!(wrong.message().contains("the UID in the precondition (x) does not match"), "{}", wrong.message());
}

#[tokio::test]
async fn pods_get_what_admission_gives_and_a_grace_period() {
    let server = Server::start().await;
    server.namespace("n").await;
    let pods = "/api/v1/namespaces/n/pods";
    let created = server.post(pods, &pod("p")).await.expect(201);
    let spec = &created["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(0), &json!("PreemptLowerPriority")));
    assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(2));
    assert!(spec["volumes"][0]["name"].as_str().unwrap().starts_with("kube-api-access-"));
    assert_eq!(created["metadata"]["generation"], 1);
    assert_eq!(created["status"]["phase"], "Pending");

    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "w"}});
    server.post(&format!("{pods}/p/binding"), &binding).await.expect(201);
    let bound = server.get(&format!("{pods}/p")).await.expect(200);
    assert_eq!((&bound["spec"]["nodeName"], &bound["metadata"]["generation"]), (&json!("w"), &json!(1)));
    let deleted = server.delete(&format!("{pods}/p"), &Value::Null).await.expect(200);
    assert_eq!(deleted["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
    let deleted = server.delete(&format!("{pods}/p"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(deleted["kind"], "Pod");
    assert_eq!(server.get(&format!("{pods}/p")).await.code, 404);
}

#[tokio::test]
async fn admission_gives_and_refuses_priorities_and_accounts() {
    let server = Server::start().await;
    server.namespace("n").await;
    let with = |spec: Value| {
        let mut pod = json!({"metadata": {"generateName": "p-"}, "spec": spec});
        pod["spec"]["containers"] = json!([{"name": "main", "image": "busybox"}]);
        pod
    };
    let table = [
        (json!({"priorityClassName": "system-node-critical"}), 201, ""),
        (
            json!({"priorityClassName": "none"}),
            403,
            "pods \"p-\" is forbidden: no PriorityClass with name none was found",
        ),
        (
            json!({"priority": 7}),
            403,
            "pods \"p-\" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission \
             controller computed 0 from the given PriorityClass name",
        ),
        (
            json!({"serviceAccountName": "x"}),
            403,
            "pods \"p-\" is forbidden: error looking up service account n/x: serviceaccount \"x\" not found",
        ),
    ];
    for (spec, code, message) in table {
        let answer = server.post("/api/v1/namespaces/n/pods", &with(spec)).await;
        assert_eq!((answer.code, answer.message()), (code, message), "{}", answer.body);
    }
    let pods = server.get("/api/v1/namespaces/n/pods").await;
    assert_eq!(pods.body["items"][0]["spec"]["priority"], 2_000_001_000);
}

#[tokio::test]
async fn who_may_update_may_not_create() {
    let server = Server::with(|config| config.authorizer = std::sync::Arc::new(NoCreation)).await;
    let lease = json!({"metadata": {"name": "l"}, "spec": {}});
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    for answer in [server.post(path, &lease).await, server.put(&format!("{path}/l"), &lease).await] {
        assert_eq!(answer.code, 403);
        assert!(
            answer.message().contains(
                "User \"system:admin\" cannot create resource \"leases\" in API group \"coordination.k8s.io\" in the \
                 namespace \"default\": because"
            ),
            "{}",
            answer.message()
        );
    }
}

/// Allows everything else.
struct NoCreation;

impl apiserver::authorizer::Authorizer for NoCreation {
    fn authorize<'a>(
        &'a self,
        _user: &'a apiserver::UserInfo,
        request: &'a apiserver::request::RequestInfo,
    ) -> futures::future::BoxFuture<'a, apiserver::authorizer::Decision> {
        use apiserver::authorizer::Decision;
        let decision = match request.verb.as_str() {
            "create" => Decision::NoOpinion("because".to_owned()),
            _ => Decision::Allow,
        };
        Box::pin(std::future::ready(decision))
    }
}

#[tokio::test]
async fn a_namespace_ends_in_two_steps() {
    let server = Server::start().await;
    server.namespace("n").await;
    let path = "/api/v1/namespaces/n";
    let terminating = server.delete(path, &Value::Null).await.expect(200);
    assert_eq!(terminating["status"]["phase"], "Terminating");
    let refused = server.post("/api/v1/namespaces/n/configmaps", &config_map("a", json!({}))).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message(),
        "configmaps \"a\" is forbidden: unable to create new content in namespace n because it is being terminated"
    );
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut finalized = terminating.clone();
    finalized["spec"]["finalizers"] = json!([]);
    server.put(&format!("{path}/finalize"), &finalized).await.expect(200);
    assert_eq!(server.get(path).await.code, 404);
}

#[tokio::test]
async fn services_get_addresses_and_give_them_back() {
    let server = Server::start().await;
    let services = "/api/v1/namespaces/default/services";
    let kubernetes = server.get(&format!("{services}/kubernetes")).await.expect(200);
    assert_eq!(kubernetes["spec"]["clusterIP"], "10.96.0.1");
    let service = |name: &str, spec: Value| {
        let mut service = json!({"metadata": {"name": name}, "spec": spec});
        service["spec"]["ports"] = json!([{"port": 80}]);
        service
    };
    let created = server.post(services, &service("a", json!({"type": "NodePort"}))).await.expect(201);
    let address = created["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let port = created["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30000..=32767).contains(&port) && address.starts_with("10.96."), "{address} {port}");
    let taken = server.post(services, &service("b", json!({"clusterIP": address}))).await;
    assert_eq!(taken.code, 422);
    assert!(taken.message().contains("provided IP is already allocated"), "{}", taken.message());
    server.delete(&format!("{services}/a"), &Value::Null).await.expect(200);
    server.post(services, &service("b", json!({"clusterIP": address}))).await.expect(201);
}

#[tokio::test]
async fn the_servers_own_service_follows_it_to_another_port() {
    let store = std::sync::Arc::new(store::Memory::new());
    let started = async |port: u16| {
        let store = store.clone();
        Server::with(move |config| {
            config.store = store;
            config.advertise.set_port(port);
        })
        .await
    };
    drop(started(1).await);
    let again = started(2).await;
    let port = |pointer: &'static str, answer: &Answer| answer.body.pointer(pointer) == Some(&json!(2));
    again.until("/api/v1/namespaces/default/services/kubernetes", |a| port("/spec/ports/0/targetPort", a)).await;
    again.until("/api/v1/namespaces/default/endpoints/kubernetes", |a| port("/subsets/0/ports/0/port", a)).await;
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    again.until(slice, |a| port("/ports/0/port", a)).await;
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let server = Server::start().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut object = config_map(name, json!({}));
        object["metadata"]["labels"] = json!({"l": label});
        server.post(MAPS, &object).await.expect(201);
    }
    let deleted = server.delete(&format!("{MAPS}?labelSelector=l%3Dx"), &Value::Null).await;
    assert_eq!(deleted.names(), ["a", "c"]);
    assert_eq!(server.get(MAPS).await.names(), ["b"]);
}

#[tokio::test]
async fn spec_and_status_are_written_apart() {
    let server = Server::start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        "status": {"replicas": 9}});
    let created = server.post(deployments, &deployment).await.expect(201);
    assert_eq!(created["status"], json!({}));
    assert_eq!(created["metadata"]["generation"], 1);
    let path = format!("{deployments}/d");
    let mut changed = created.clone();
    changed["spec"]["replicas"] = 5.into();
    changed["status"] = json!({"replicas": 3});
    let status = server.put(&format!("{path}/status"), &changed).await.expect(200);
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(2), &json!(3)));
    assert_eq!(status["metadata"]["generation"], 1);
    changed["metadata"]["resourceVersion"] = status["metadata"]["resourceVersion"].clone();
    changed["status"] = json!({});
    let spec = server.put(&path, &changed).await.expect(200);
    assert_eq!((&spec["spec"]["replicas"], &spec["status"]["replicas"]), (&json!(5), &json!(3)));
    assert_eq!(spec["metadata"]["generation"], 2);
}
