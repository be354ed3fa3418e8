//! Garbage collection and the end of a namespace.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::workloads::deployment;
use crate::world::{NAMESPACE, World, eventually};

impl World {
    async fn counts(&self) -> (usize, usize, usize) {
        let all = ListParams::default();
        let deployments = self.api::<Deployment>().list(&all).await.expect("a list").items.len();
        let sets = self.api::<ReplicaSet>().list(&all).await.expect("a list").items.len();
        let pods = self.api::<Pod>().list(&all).await.expect("a list").items.len();
        (deployments, sets, pods)
    }

    async fn config_map(&self, name: &str, owners: &[&ConfigMap]) -> ConfigMap {
        let owner = |owner: &&ConfigMap| {
            let (name, uid) = (&owner.metadata.name, &owner.metadata.uid);
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "blockOwnerDeletion": true})
        };
        let owners: Vec<Value> = owners.iter().map(owner).collect();
        self.create(json!({"metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": owners}})).await
    }

    async fn wait_gone(&self, name: &str) {
        let api = self.api::<ConfigMap>();
        eventually(&format!("{name} is gone"), || async { api.get_opt(name).await.ok()?.is_none().then_some(()) })
            .await;
    }
}

#[tokio::test]
async fn dependents_go_with_their_owner() {
    for parameters in [DeleteParams::background(), DeleteParams::foreground()] {
        let world = World::start().await;
        world.create::<Deployment>(deployment(2)).await;
        world.wait_available(2).await;
        world.api::<Deployment>().delete("web", &parameters).await.expect("deleted");
        eventually("all is gone", || async { (world.counts().await == (0, 0, 0)).then_some(()) }).await;
    }
}

#[tokio::test]
async fn orphans_stay_and_are_adopted_again() {
    let world = World::start().await;
    world.create::<Deployment>(deployment(2)).await;
    world.wait_available(2).await;
    let orphan =
        DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..DeleteParams::default() };
    world.api::<Deployment>().delete("web", &orphan).await.expect("deleted");
    let set = eventually("the set has no owner", || async {
        let set = world.api::<ReplicaSet>().list(&ListParams::default()).await.ok()?.items.pop()?;
        set.metadata.owner_references.is_none().then_some(set)
    })
    .await;
    eventually("only the deployment is gone", || async { (world.counts().await == (0, 1, 2)).then_some(()) }).await;
    let again = world.create::<Deployment>(deployment(2)).await;
    eventually("the set is adopted", || async {
        let name = set.metadata.name.as_deref()?;
        let owners = world.api::<ReplicaSet>().get(name).await.ok()?.metadata.owner_references?;
        (Some(&owners[0].uid) == again.metadata.uid.as_ref()).then_some(())
    })
    .await;
    assert_eq!(world.counts().await, (1, 1, 2));
}

#[tokio::test]
async fn an_owner_is_known_by_its_uid() {
    let world = World::start().await;
    let (a, b) = (world.config_map("a", &[]).await, world.config_map("b", &[]).await);
    world.config_map("of-both", &[&a, &b]).await;
    let mut stranger = a.clone();
    stranger.metadata.uid = Some("another".to_owned());
    world.config_map("of-a-stranger", &[&stranger]).await;
    world.wait_gone("of-a-stranger").await;

    let maps = world.api::<ConfigMap>();
    maps.delete("a", &DeleteParams::default()).await.expect("deleted");
    eventually("only b is left as an owner", || async {
        let owners = maps.get("of-both").await.ok()?.metadata.owner_references?;
        (owners.len() == 1 && owners[0].name == "b").then_some(())
    })
    .await;
    maps.delete("b", &DeleteParams::default()).await.expect("deleted");
    world.wait_gone("of-both").await;
}

#[tokio::test]
async fn a_circle_goes_in_the_foreground() {
    let world = World::start().await;
    let a = world.config_map("a", &[]).await;
    let b = world.config_map("b", &[&a]).await;
    let owners = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": b.metadata.uid, "blockOwnerDeletion": true}]);
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
    world.api::<ConfigMap>().patch("a", &PatchParams::default(), &patch).await.expect("patched");
    world.api::<ConfigMap>().delete("a", &DeleteParams::foreground()).await.expect("deleted");
    world.wait_gone("a").await;
    world.wait_gone("b").await;
}

#[tokio::test]
async fn a_namespace_goes_with_its_content() {
    let world = World::start().await;
    world.create::<Deployment>(deployment(2)).await;
    world.wait_available(2).await;
    let kept = json!({"metadata": {"name": "kept", "namespace": NAMESPACE, "finalizers": ["example.com/wait"]}});
    world.create::<ConfigMap>(kept).await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.expect("deleted");
    eventually("the namespace tells what it waits for", || async {
        let conditions = namespaces.get(NAMESPACE).await.ok()?.status?.conditions?;
        let told = |type_: &str, text: &str| {
            let condition = conditions.iter().find(|condition| condition.type_ == type_);
            condition.is_some_and(|condition| condition.message.as_ref().is_some_and(|message| message.contains(text)))
        };
        let content = told("NamespaceContentRemaining", "configmaps. has 1 resource instances");
        (content && told("NamespaceFinalizersRemaining", "example.com/wait in 1 resource instances")).then_some(())
    })
    .await;
    assert_eq!(world.counts().await, (0, 0, 0));
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    world.api::<ConfigMap>().patch("kept", &PatchParams::default(), &patch).await.expect("patched");
    eventually("the namespace is gone", || async { namespaces.get_opt(NAMESPACE).await.ok()?.is_none().then_some(()) })
        .await;
}
