//! CustomResourceDefinitions with their controllers: the kind comes, its objects go with it.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
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

/// The kind is there when this returns.
async fn define(world: &World) -> Api<DynamicObject> {
    world.create::<CustomResourceDefinition>(definition()).await;
    let definitions = Api::<CustomResourceDefinition>::all(world.client.clone());
    eventually("the definition is established", || async {
        definitions.get("widgets.example.com").await.ok().filter(is_established)
    })
    .await;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    Api::namespaced_with(world.client.clone(), NAMESPACE, &resource)
}

async fn create(widgets: &Api<DynamicObject>, name: &str, metadata: Value) -> DynamicObject {
    let mut widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"x": 1}, "metadata": metadata});
    widget["metadata"]["name"] = name.into();
    let widget: DynamicObject = serde_json::from_value(widget).expect("a widget");
    widgets.create(&PostParams::default(), &widget).await.expect("created")
}

#[tokio::test]
async fn custom_resources_are_collected() {
    let world = World::start().await;
    let widgets = define(&world).await;
    let owner = create(&widgets, "owner", json!({})).await;
    let reference = |controller: bool| {
        json!([{"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": owner.metadata.uid,
            "controller": controller}])
    };
    create(&widgets, "child", json!({"ownerReferences": reference(true)})).await;
    let map = json!({"metadata": {"name": "map", "namespace": NAMESPACE, "ownerReferences": reference(false)}});
    world.create::<ConfigMap>(map).await;
    widgets.delete("owner", &DeleteParams::background()).await.expect("deleted");
    let maps = world.api::<ConfigMap>();
    eventually("what it owned is gone", || async {
        let gone = widgets.get_opt("child").await.ok()?.is_none() && maps.get_opt("map").await.ok()?.is_none();
        gone.then_some(())
    })
    .await;
    create(&widgets, "last", json!({})).await;
    Api::<Namespace>::all(world.client.clone()).delete(NAMESPACE, &DeleteParams::default()).await.expect("deleted");
    eventually("it goes with its namespace", || async { widgets.get_opt("last").await.ok()?.is_none().then_some(()) })
        .await;
}

#[tokio::test]
async fn a_kind_comes_and_its_objects_go_with_it() {
    let world = World::start().await;
    let widgets = define(&world).await;
    let definitions = Api::<CustomResourceDefinition>::all(world.client.clone());
    let get = || async { definitions.get_opt("widgets.example.com").await.expect("an answer") };
    create(&widgets, "a", json!({})).await;
    create(&widgets, "b", json!({"finalizers": ["example.com/keep"]})).await;
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
