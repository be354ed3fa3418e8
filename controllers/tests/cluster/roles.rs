//! Roles that gather the rules of others.

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::world::{World, eventually};

#[tokio::test]
async fn a_role_has_the_rules_of_those_it_selects() {
    let world = World::start().await;
    let api = Api::<ClusterRole>::all(world.client.clone());
    let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
    let selector = |label: &str| json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    let role = |name: &str, label: &str, rules: Value| json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules});
    let gathering = |name: &str, label: &str, selects: &str| {
        let mut role = role(name, label, Value::Null);
        role["aggregationRule"] = selector(selects);
        role
    };
    for object in [gathering("top", "none", "to-top"), gathering("middle", "to-top", "to-middle")] {
        world.create::<ClusterRole>(object).await;
    }
    let verbs = async |name: &str| -> Vec<String> {
        let role = api.get(name).await.expect("a role");
        role.rules.into_iter().flatten().flat_map(|rule| rule.verbs).collect()
    };
    let becomes = async |what: &str, expected: &[&str]| {
        eventually(what, || async { (verbs("top").await == expected).then_some(()) }).await;
    };
    world.create::<ClusterRole>(role("a", "to-middle", json!([rule("get")]))).await;
    becomes("rules go up two steps", &["get"]).await;
    world.create::<ClusterRole>(role("b", "to-top", json!([rule("list")]))).await;
    becomes("more rules come", &["list", "get"]).await;
    let edit = Patch::Merge(json!({"rules": [rule("delete")]}));
    api.patch("top", &PatchParams::default(), &edit).await.expect("patched");
    becomes("an edit is undone", &["list", "get"]).await;
    api.delete("a", &DeleteParams::default()).await.expect("deleted");
    becomes("rules go with their role", &["list"]).await;
}
