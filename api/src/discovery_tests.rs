use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ResourceInfo {
    ResourceInfo {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        namespaced: true,
        verbs: words("get list"),
        ..Default::default()
    }
}

fn rows() -> Vec<ResourceInfo> {
    let sub = |name: &str, group: &str, version: &str, kind: &str, verbs: &str| SubresourceInfo {
        name: name.into(),
        kind: GroupVersionKind::new(group, version, kind),
        verbs: words(verbs),
    };
    let mut deployments = resource("apps", "v1", "Deployment", "deployments");
    deployments.short_names = words("deploy");
    deployments.categories = words("all");
    deployments.storage_version_hash = Some("8aSe+NMegvE=".into());
    deployments.subresources = vec![
        sub("status", "apps", "v1", "Deployment", "get patch update"),
        sub("scale", "autoscaling", "v1", "Scale", "get patch update"),
    ];
    let mut nodes = resource("", "v1", "Node", "nodes");
    nodes.namespaced = false;
    vec![
        resource("z.example.com", "v1alpha1", "Zoo", "zoos"),
        resource("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        deployments,
        nodes,
        resource("", "v1", "ConfigMap", "configmaps"),
    ]
}

#[test]
fn versions_are_ordered_by_stability() {
    let mut versions = words("v1alpha2 foo1 v1beta1 v10 v2 v1 v11beta2 v3alpha1 v1beta10 foo10");
    versions.sort_by(|a, b| compare_versions(a, b));
    assert_eq!(versions, words("v10 v2 v1 v11beta2 v1beta10 v1beta1 v3alpha1 v1alpha2 foo1 foo10"));
}

#[test]
fn plain_documents() {
    let rows = rows();
    let version =
        |group: &str, version: &str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let expected = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
        {"name": "apps", "preferredVersion": version("apps", "v1"), "versions": [version("apps", "v1")]},
        {"name": "autoscaling", "preferredVersion": version("autoscaling", "v2"),
         "versions": [version("autoscaling", "v2"), version("autoscaling", "v1")]},
        {"name": "z.example.com", "preferredVersion": version("z.example.com", "v1alpha1"),
         "versions": [version("z.example.com", "v1alpha1")]},
    ]});
    assert_eq!(api_group_list(&rows), expected);
    let apps = json!({"kind": "APIGroup", "apiVersion": "v1", "name": "apps",
        "preferredVersion": version("apps", "v1"), "versions": [version("apps", "v1")]});
    assert_eq!((api_group(&rows, "apps"), api_group(&rows, "none")), (Some(apps), None));
    let list = api_resource_list(&rows, "", "v1").unwrap();
    assert_eq!(list.get("apiVersion"), None);
    let names: Vec<&Value> = list["resources"].as_array().unwrap().iter().map(|each| &each["name"]).collect();
    assert_eq!(names, ["configmaps", "nodes"]);
    assert_eq!(api_resource_list(&rows, "apps", "v2"), None);
}

#[test]
fn plain_resources_and_their_subresources() {
    let expected = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
        {"name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment", "verbs": ["get", "list"],
         "shortNames": ["deploy"], "categories": ["all"], "storageVersionHash": "8aSe+NMegvE="},
        {"name": "deployments/scale", "singularName": "", "namespaced": true, "group": "autoscaling", "version": "v1",
         "kind": "Scale", "verbs": ["get", "patch", "update"]},
        {"name": "deployments/status", "singularName": "", "namespaced": true, "kind": "Deployment", "verbs": ["get", "patch", "update"]},
    ]});
    assert_eq!(api_resource_list(&rows(), "apps", "v1"), Some(expected));
}

#[test]
fn aggregated_documents() {
    let own = |kind: &str| json!({"group": "", "version": "", "kind": kind});
    let core = aggregated(&rows(), true, AggregatedVersion::V2);
    let expected = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": [
        {"metadata": {}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
            {"resource": "configmaps", "scope": "Namespaced", "singularResource": "configmap", "verbs": ["get", "list"], "responseKind": own("ConfigMap")},
            {"resource": "nodes", "scope": "Cluster", "singularResource": "node", "verbs": ["get", "list"], "responseKind": own("Node")}]}]}]});
    assert_eq!(core, expected);
    let others = aggregated(&rows(), false, AggregatedVersion::V2);
    let names: Vec<&Value> = others["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
    assert_eq!(names, ["apps", "autoscaling", "z.example.com"]);
    let deployments = &others["items"][0]["versions"][0]["resources"][0];
    let expected = json!([
        {"subresource": "scale", "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "verbs": ["get", "patch", "update"]},
        {"subresource": "status", "responseKind": own("Deployment"), "verbs": ["get", "patch", "update"]}]);
    assert_eq!(deployments["subresources"], expected);
}
