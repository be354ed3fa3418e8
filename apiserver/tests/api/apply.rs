//! Server-side apply.

use serde_json::{Value, json};

use crate::harness::{Server, config_map, managers};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/a";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/d";

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
}

fn with_containers(containers: Value) -> Value {
    deployment(json!({"selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": containers}}}))
}

#[tokio::test]
async fn applying_creates_and_applying_again_changes_nothing() {
    let server = Server::start().await;
    let config = config_map("a", json!({"k": "v"}));
    let created = server.apply(MAP, "fieldManager=one", &config).await;
    assert_eq!((created.code, created.managers()), (201, vec![r#"one Apply {"f:data":{"f:k":{}}}"#.to_owned()]));
    assert_eq!(created.body["metadata"]["managedFields"][0]["time"], "2026-01-01T00:00:00Z");
    let again = server.apply(MAP, "fieldManager=one", &config).await.expect(200);
    assert_eq!(again, created.body);
    // Who wants the same owns it too, which is worth a revision but no time.
    let other = server.apply(MAP, "fieldManager=two", &config).await;
    assert_eq!(other.managers(), [r#"two Apply {"f:data":{"f:k":{}}}"#, r#"one Apply {"f:data":{"f:k":{}}}"#]);
    assert_ne!(other.body["metadata"]["resourceVersion"], created.body["metadata"]["resourceVersion"]);
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n";
    let headers = [("content-type", "application/apply-patch+yaml")];
    let same = server.send("PATCH", &format!("{MAP}?fieldManager=two"), &headers, yaml).await.expect(200);
    assert_eq!(same, other.body);
}

#[tokio::test]
async fn what_others_manage_is_not_taken_but_by_force() {
    let server = Server::start().await;
    server.apply(MAP, "fieldManager=one", &config_map("a", json!({"k": "1", "l": "1"}))).await.expect(201);
    server.patch(&format!("{MAP}?fieldManager=hand"), "merge", &json!({"data": {"l": "2"}})).await.expect(200);
    let wanted = config_map("a", json!({"k": "3", "l": "3"}));
    let refused = server.apply(MAP, "fieldManager=two", &wanted).await;
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Conflict", "code": 409,
        "message": "Apply failed with 2 conflicts: conflicts with \"hand\" using v1:\n- .data.l\nconflicts with \"one\":\n\
            - .data.k",
        "details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"hand\" using v1", "field": ".data.l"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.k"},
        ]},
    });
    assert_eq!((refused.code, &refused.body), (409, &status));
    let taken = server.apply(MAP, "fieldManager=two&force=true", &wanted).await;
    assert_eq!(
        (&taken.body["data"], taken.managers()),
        (&json!({"k": "3", "l": "3"}), vec![r#"two Apply {"f:data":{"f:k":{},"f:l":{}}}"#.to_owned()],)
    );
    let back = server.apply(MAP, "fieldManager=one", &config_map("a", json!({"k": "1"}))).await;
    assert_eq!(back.message(), "Apply failed with 1 conflict: conflict with \"two\": .data.k");
    // A plain update asks nobody.
    server.patch(&format!("{MAP}?fieldManager=hand"), "merge", &json!({"data": {"k": "4"}})).await.expect(200);
    assert_eq!(
        server.get(MAP).await.managers(),
        [r#"two Apply {"f:data":{"f:l":{}}}"#, r#"hand Update {"f:data":{"f:k":{}}}"#]
    );
}

#[tokio::test]
async fn what_nobody_wants_any_more_goes() {
    let server = Server::start().await;
    let container = |name: &str, env: Value| json!({"name": name, "image": "busybox", "env": env});
    let env = |names: &[&str]| names.iter().map(|name| json!({"name": name, "value": "1"})).collect::<Value>();
    let full = with_containers(json!([container("a", env(&["X", "Y"])), container("b", env(&[]))]));
    server.apply(DEPLOYMENT, "fieldManager=one", &full).await.expect(201);
    let mut side = deployment(json!({"template": {"spec": {"containers": [{"name": "a", "env": env(&["Y", "Z"])}]}}}));
    side["metadata"]["labels"] = json!({"l": "m"});
    let both = server.apply(DEPLOYMENT, "fieldManager=two", &side).await.expect(200);
    let names = |object: &Value, pointer: &str| -> Vec<String> {
        let items = object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    const CONTAINERS: &str = "/spec/template/spec/containers";
    const ENV: &str = "/spec/template/spec/containers/0/env";
    assert_eq!(
        (names(&both, CONTAINERS), names(&both, ENV)),
        (vec!["a".into(), "b".into()], vec!["X".into(), "Y".into(), "Z".into()])
    );
    // X was of one alone, Y of both, Z never of one.
    let less = with_containers(json!([container("a", env(&[]))]));
    let less = server.apply(DEPLOYMENT, "fieldManager=one", &less).await.expect(200);
    assert_eq!(names(&less, CONTAINERS), ["a"]);
    assert_eq!(names(&less, ENV), ["Y", "Z"]);
    assert_eq!(less["metadata"]["generation"], 3);
    // Defaults are nobody's and stay.
    assert_eq!(less["spec"]["replicas"], 1);
    let gone = server.apply(DEPLOYMENT, "fieldManager=two", &deployment(json!({}))).await.expect(200);
    assert!(names(&gone, ENV).is_empty() && gone["metadata"].get("labels").is_none(), "{gone}");
    assert_eq!(managers(&gone).len(), 2, "{gone}");
}

#[tokio::test]
async fn wrong_configurations_are_refused() {
    let server = Server::start().await;
    let stored = server.apply(MAP, "fieldManager=one", &config_map("a", json!({"k": "v"}))).await.expect(201);
    let with = |key: &str, value: Value| {
        let mut config = config_map("a", json!({"k": "v"}));
        config["metadata"][key] = value;
        config
    };
    let kind = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
    let table = [
        (
            "",
            config_map("a", json!({})),
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ),
        ("fieldManager=one", kind("Secret"), 400, "invalid object type: /v1, Kind=Secret"),
        ("fieldManager=one", json!({"metadata": {"name": "a"}}), 400, "invalid object type: /, Kind="),
        ("fieldManager=one", with("managedFields", json!([])), 400, "metadata.managedFields must be nil"),
        (
            "fieldManager=one",
            config_map("a", json!({"k": 1})),
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, got \
             &value.valueUnstructured{Value:1}",
        ),
        (
            "fieldManager=one",
            with("x", json!(1)),
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .metadata.x: field not declared in schema",
        ),
        (
            "fieldManager=one",
            with("resourceVersion", json!("1")),
            409,
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to \
             the latest version and try again",
        ),
        (
            "fieldManager=one",
            with("name", json!("b")),
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
    ];
    for (query, config, code, message) in table {
        let answer = server.apply(MAP, query, &config).await;
        assert_eq!((answer.code, answer.message()), (code, message), "{config}");
    }
    let missing = format!("{MAPS}/b");
    let mut foreign = config_map("b", json!({}));
    foreign["metadata"]["uid"] = "u".into();
    let foreign = server.apply(&missing, "fieldManager=one", &foreign).await;
    assert!(
        foreign
            .message()
            .ends_with("uid mismatch: the provided object specified uid u, and no existing object was found")
    );
    let status = deployment(json!({}));
    let status = server.apply(&format!("{DEPLOYMENT}/status"), "fieldManager=one", &status).await;
    assert_eq!((status.code, status.message()), (404, "deployments.apps \"d\" not found"));
    let forced = server.patch(&format!("{MAP}?force=true"), "merge", &json!({})).await;
    assert!(forced.message().ends_with("force: Forbidden: may not be specified for non-apply patch"));
    assert_eq!(server.get(MAP).await.body, stored);
}

#[tokio::test]
async fn dry_runs_and_duplicates() {
    let server = Server::start().await;
    let config = config_map("a", json!({"k": "v"}));
    let dry = server.apply(MAP, "fieldManager=one&dryRun=All", &config).await;
    assert_eq!((dry.code, dry.managers()), (201, vec![r#"one Apply {"f:data":{"f:k":{}}}"#.to_owned()]));
    assert_eq!(server.get(MAP).await.code, 404);
    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v","k":"w"}}"#;
    let headers = [("content-type", "application/apply-patch+yaml")];
    let path = |validation: &str| format!("{MAP}?fieldManager=one&fieldValidation={validation}");
    let strict = server.send("PATCH", &path("Strict"), &headers, twice).await;
    let why = "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 1: key \"k\" \
               already set in map";
    assert_eq!((strict.code, strict.message()), (400, why));
    let warned = server.send("PATCH", &path("Warn"), &headers, twice).await;
    assert_eq!((warned.code, warned.warnings().len()), (201, 1));
    assert_eq!(warned.body["data"]["k"], "w");
    let ignored = server.send("PATCH", &path("Ignore"), &headers, twice).await;
    assert_eq!((ignored.code, ignored.warnings().len()), (200, 0));
}

#[tokio::test]
async fn appliers_of_different_fields_never_meet() {
    let server = std::sync::Arc::new(Server::start().await);
    server.post(MAPS, &config_map("a", json!({"k": "v"}))).await.expect(201);
    let tasks = (0..16).map(|index| {
        let server = server.clone();
        tokio::spawn(async move {
            let config = config_map("a", json!({format!("k{index}"): "v"}));
            server.apply(MAP, &format!("fieldManager=m{index}"), &config).await.expect(200);
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let object = server.get(MAP).await;
    assert_eq!(object.body["data"].as_object().map(|data| data.len()), Some(17));
    // Appliers are not merged, however many there are.
    assert_eq!(object.managers().len(), 17);
}

#[tokio::test]
async fn an_object_from_before_and_one_from_clients_side() {
    let server = Server::start().await;
    server.post(MAPS, &config_map("a", json!({"k": "v"}))).await.expect(201);
    let untracked = server.patch(MAP, "merge", &json!({"metadata": {"managedFields": [{}]}})).await;
    assert!(untracked.managers().is_empty());
    let applied = server.apply(MAP, "fieldManager=one", &config_map("a", json!({"l": "w"}))).await;
    assert_eq!(
        applied.managers(),
        [r#"one Apply {"f:data":{"f:l":{}}}"#, r#"before-first-apply Update {"f:data":{".":{},"f:k":{}}}"#]
    );

    const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let old = config_map("b", json!({"k": "v"}));
    let mut created = old.clone();
    created["metadata"]["annotations"] = json!({LAST: old.to_string()});
    server.post(&format!("{MAPS}?fieldManager=kubectl-client-side-apply"), &created).await.expect(201);
    let path = format!("{MAPS}/b");
    let new = config_map("b", json!({"k": "w"}));
    // Any other manager meets the conflict.
    assert_eq!(server.apply(&path, "fieldManager=other", &new).await.code, 409);
    let upgraded = server.apply(&path, "fieldManager=kubectl", &new).await.expect(200);
    assert_eq!(upgraded["data"]["k"], "w");
    assert_eq!(upgraded["metadata"]["annotations"][LAST], format!("{new}\n"));
}
