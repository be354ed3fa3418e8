//! CustomResourceDefinitions with their controllers: the kind comes, its objects go with it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::world::{NAMESPACE, World, eventually};

fn definition() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
}

#[tokio::test]
async fn a_kind_comes_and_its_objects_go_with_it() {
    let world = World::start().await;
    world.create::<CustomResourceDefinition>(definition()).await;
    let definitions = Api::<CustomResourceDefinition>::all(world.client.clone());
    let get = || async { definitions.get_opt("widgets.example.com").await.expect("an answer") };
    eventually("the definition is established", || async { get().await.filter(is_established) }).await;

    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let widgets = Api::<DynamicObject>::namespaced_with(world.client.clone(), NAMESPACE, &resource);
    for (name, finalizers) in [("a", json!([])), ("b", json!(["example.com/keep"]))] {
        let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"x": 1},
            "metadata": {"name": name, "finalizers": finalizers}});
        let widget: DynamicObject = serde_json::from_value(widget).expect("a widget");
        widgets.create(&PostParams::default(), &widget).await.expect("created");
    }
    definitions.delete("widgets.example.com", &DeleteParams::default()).await.expect("deleted");
    eventually("only the one with a finalizer is left", || async {
        let left = widgets.list(&ListParams::default()).await.ok()?.items;
        (left.len() == 1).then_some(())
    })
    .await;
    assert!(get().await.is_some(), "the definition waits for its objects");
    let finalized = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    widgets.patch("b", &PatchParams::default(), &finalized).await.expect("patched");
    eventually("the definition is gone", || async { get().await.is_none().then_some(()) }).await;
    let gone = widgets.list(&ListParams::default()).await;
    assert!(matches!(gone, Err(kube::Error::Api(status)) if status.is_not_found()));
}
