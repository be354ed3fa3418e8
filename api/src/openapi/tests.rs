use std::collections::BTreeSet;

use super::*;
use crate::resource::SubresourceInfo;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn rows() -> Vec<ResourceInfo> {
    let all = "create delete deletecollection get list patch update watch";
    let row = |group: &str, version: &str, kind: &str, plural: &str| ResourceInfo {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        namespaced: true,
        verbs: words(all),
        ..Default::default()
    };
    let mut deployments = row("apps", "v1", "Deployment", "deployments");
    deployments.subresources = vec![
        SubresourceInfo {
            name: "scale".into(),
            kind: GroupVersionKind::new("autoscaling", "v1", "Scale"),
            verbs: words("get patch update"),
        },
        SubresourceInfo { name: "status".into(), kind: deployments.gvk(), verbs: words("get patch update") },
    ];
    let mut pods = row("", "v1", "Pod", "pods");
    let exec = GroupVersionKind::new("", "v1", "PodExecOptions");
    pods.subresources = vec![SubresourceInfo { name: "exec".into(), kind: exec, verbs: words("create get") }];
    vec![deployments, pods, row("example.com", "v1", "Widget", "widgets")]
}

fn custom() -> BTreeMap<GroupVersionKind, Value> {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "nullable": true,
        "properties": {"size": {"type": "integer", "default": 1}}}}});
    BTreeMap::from([(GroupVersionKind::new("example.com", "v1", "Widget"), schema)])
}

fn v3(group: &str) -> Value {
    let (rows, custom) = (rows(), custom());
    let api = OpenApi { resources: &rows, custom: &custom, version: "v1.35.0" };
    serde_json::from_slice(&api.v3(group, "v1").unwrap()).unwrap()
}

#[test]
fn the_index_leads_to_documents_that_may_be_kept() {
    let (mut rows, custom) = (rows(), custom());
    let index = |rows: &[ResourceInfo]| OpenApi { resources: rows, custom: &custom, version: "v1" }.v3_index();
    let before = index(&rows);
    let paths: Vec<&String> = before["paths"].as_object().unwrap().keys().collect();
    let of_versions = ["api/v1", "apis/apps/v1", "apis/example.com/v1"];
    let others = [".well-known/openid-configuration", "api", "apis", "apis/apps", "openid/v1/jwks", "version"];
    assert_eq!(
        paths.iter().map(|path| path.as_str()).collect::<BTreeSet<_>>(),
        of_versions.into_iter().chain(others).collect()
    );
    let url = before["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash=") && url.len() == 62, "{url}");
    rows[0].verbs = words("get");
    let after = index(&rows);
    assert_ne!(before["paths"]["apis/apps/v1"], after["paths"]["apis/apps/v1"]);
    assert_eq!(before["paths"]["api/v1"], after["paths"]["api/v1"]);
}

#[test]
fn kubectl_finds_what_it_looks_for() {
    let document = v3("apps");
    let item = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let patch = &item["patch"];
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
    let names: Vec<&Value> =
        patch["parameters"].as_array().unwrap().iter().map(|parameter| &parameter["name"]).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(types.last().unwrap().as_str(), "application/strategic-merge-patch+json");
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    let list = &document["paths"]["/apis/apps/v1/deployments"]["get"];
    assert_eq!(list["operationId"], "listAppsV1DeploymentForAllNamespaces");
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
    assert_eq!(scale["operationId"], "readAppsV1NamespacedDeploymentScale");
    assert_eq!(scale["x-kubernetes-group-version-kind"]["group"], "autoscaling");
    let collection = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["delete"];
    assert_eq!(collection["operationId"], "deleteAppsV1CollectionNamespacedDeployment");
    let watch = &document["paths"]["/apis/apps/v1/watch/deployments"];
    assert_eq!(watch["get"]["operationId"], "watchAppsV1DeploymentListForAllNamespaces");
    assert_eq!(watch["parameters"][0]["name"], "allowWatchBookmarks", "what all operations take stands with the path");
    let exec = &v3("")["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/exec"]["post"];
    assert_eq!(
        (&exec["operationId"], &exec["x-kubernetes-action"]),
        (&json!("connectCoreV1PostNamespacedPodExec"), &json!("connect"))
    );
}

fn without_descriptions(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, value)| *key != "description" || !value.is_string());
            kept.map(|(key, value)| (key.clone(), without_descriptions(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_descriptions).collect(),
        other => other.clone(),
    }
}

#[test]
fn definitions_carry_all_facts() {
    let document = v3("apps");
    let schemas = &document["components"]["schemas"];
    let schema = |name: &str| without_descriptions(&schemas[format!("io.k8s.api.{name}")]);
    let reference = |name: &str| json!([{"$ref": format!("#/components/schemas/io.k8s.{name}")}]);
    let expected = json!({"type": "object", "required": ["containerPort"], "properties": {
        "containerPort": {"type": "integer", "format": "int32", "default": 0},
        "hostIP": {"type": "string"},
        "hostPort": {"type": "integer", "format": "int32"},
        "name": {"type": "string"},
        "protocol": {"type": "string", "default": "TCP", "enum": ["SCTP", "TCP", "UDP"]}}});
    assert_eq!(schema("core.v1.ContainerPort"), expected);
    let container = schema("core.v1.Container");
    let expected = json!({"type": "array", "items": {"allOf": reference("api.core.v1.ContainerPort"), "default": {}},
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
        "x-kubernetes-patch-merge-key": "containerPort", "x-kubernetes-patch-strategy": "merge"});
    assert_eq!(container["properties"]["ports"], expected);
    let deployment = schema("apps.v1.Deployment");
    let kind = json!([{"group": "apps", "version": "v1", "kind": "Deployment"}]);
    assert_eq!(deployment["x-kubernetes-group-version-kind"], kind);
    let strategy = &schema("apps.v1.DeploymentSpec")["properties"]["strategy"];
    assert_eq!(strategy["x-kubernetes-patch-strategy"], "retainKeys");
    assert!(schemas["io.k8s.api.apps.v1.Deployment"]["description"].is_string());
    assert!(schemas.get("io.k8s.api.core.v1.Service").is_none(), "only what is served");
}

#[test]
fn every_reference_resolves() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, value)| match value.as_str() {
                Some(text) if key == "$ref" && text.starts_with("#/") => found.push(text),
                _ => references(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let (rows, custom) = (rows(), custom());
    let api = OpenApi { resources: &rows, custom: &custom, version: "v1" };
    let v2: Value = serde_json::from_slice(&api.v2_json()).unwrap();
    for document in [v3(""), v3("apps"), v3("example.com"), v2] {
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }
}

#[test]
fn custom_kinds() {
    let document = v3("example.com");
    let widget = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(widget["properties"]["spec"]["properties"]["size"], json!({"type": "integer", "default": 1}));
    assert_eq!(widget["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
    assert!(document["components"]["schemas"].get("com.example.v1.WidgetList").is_some());
    let patch = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json"), None);
    let (rows, custom) = (rows(), custom());
    let api = OpenApi { resources: &rows, custom: &custom, version: "v1" };
    let v2: Value = serde_json::from_slice(&api.v2_json()).unwrap();
    let spec = &v2["definitions"]["com.example.v1.Widget"]["properties"]["spec"];
    assert_eq!(spec, &json!({}), "v2 knows no null, so anything may be there");
}

#[test]
fn v2_has_plain_references_and_no_defaults() {
    let (rows, custom) = (rows(), custom());
    let api = OpenApi { resources: &rows, custom: &custom, version: "v1" };
    let v2: Value = serde_json::from_slice(&api.v2_json()).unwrap();
    let spec = without_descriptions(&v2["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]);
    let selector = json!({"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"});
    assert_eq!(spec["properties"]["selector"], selector);
    let port = without_descriptions(&v2["definitions"]["io.k8s.api.core.v1.ContainerPort"]);
    assert_eq!(port["properties"]["protocol"], json!({"type": "string", "enum": ["SCTP", "TCP", "UDP"]}));
    let patch = &v2["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["parameters"][0]["in"], "body");
    assert_eq!(patch["consumes"][3], "application/strategic-merge-patch+json");
    let document: Value = serde_json::from_slice(&api.v2_json()).unwrap();
    assert!(v2_protobuf_of(&document) == api.v2_protobuf(), "both ways lead to one document");
    assert!(!api.v2_protobuf().is_empty() && api.v2_hash().len() == 32);
}
