//! What follows from Services and Namespaces.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::workloads::deployment;
use crate::world::{NAMESPACE, World, eventually};

impl World {
    async fn endpoint_count(&self) -> (usize, usize) {
        let endpoints = self.api::<Endpoints>().get_opt("web").await.expect("an answer");
        let subsets = endpoints.and_then(|endpoints| endpoints.subsets).unwrap_or_default();
        let addresses = subsets.iter().map(|subset| subset.addresses.as_ref().map_or(0, Vec::len)).sum();
        let slices = self.api::<EndpointSlice>().list(&ListParams::default()).await.expect("a list").items;
        (addresses, slices.iter().map(|slice| slice.endpoints.len()).sum())
    }
}

#[tokio::test]
async fn endpoints_follow_the_pods() {
    let world = World::start().await;
    let ports = json!([{"port": 80, "targetPort": 8080}]);
    let service = json!({"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {"selector": {"app": "web"}, "ports": ports}});
    world.create::<Service>(service).await;
    eventually("an empty slice", || async {
        let slices = world.api::<EndpointSlice>().list(&ListParams::default()).await.ok()?.items;
        (slices.len() == 1).then_some(())
    })
    .await;
    world.create::<Deployment>(deployment(3)).await;
    eventually("three endpoints", || async { (world.endpoint_count().await == (3, 3)).then_some(()) }).await;
    let slice = world.api::<EndpointSlice>().list(&ListParams::default()).await.expect("a list").items.remove(0);
    assert_eq!(slice.endpoints[0].zone.as_deref(), Some("z1"));

    let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
    world.api::<Deployment>().patch("web", &PatchParams::default(), &patch).await.expect("patched");
    eventually("one endpoint", || async { (world.endpoint_count().await == (1, 1)).then_some(()) }).await;

    world.api::<Service>().delete("web", &DeleteParams::default()).await.expect("deleted");
    eventually("no endpoints", || async {
        let none = world.api::<Endpoints>().get_opt("web").await.ok()?.is_none();
        let slices = world.api::<EndpointSlice>().list(&ListParams::default()).await.ok()?.items;
        (none && slices.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn endpoints_that_somebody_made_are_mirrored() {
    let world = World::start().await;
    let ports = json!([{"name": "web", "port": 80, "targetPort": 8080}]);
    let service = json!({"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {"ports": ports}});
    world.create::<Service>(service).await;
    let subsets = json!([{"addresses": [{"ip": "10.1.0.1"}], "ports": [{"name": "web", "port": 8080}]}]);
    let endpoints = json!({"metadata": {"name": "web", "namespace": NAMESPACE}, "subsets": subsets});
    world.create::<Endpoints>(endpoints).await;
    let slices = || async { Some(world.api::<EndpointSlice>().list(&ListParams::default()).await.ok()?.items) };
    let address = |ip: &'static str| async move {
        let slices = slices().await?;
        let [slice] = &slices[..] else { return None };
        (slice.endpoints[0].addresses[0] == ip).then_some(())
    };
    eventually("a slice", || address("10.1.0.1")).await;
    let patch = Patch::Merge(json!({"subsets": [{"addresses": [{"ip": "10.1.0.2"}], "ports": subsets[0]["ports"]}]}));
    world.api::<Endpoints>().patch("web", &PatchParams::default(), &patch).await.expect("patched");
    eventually("the new address", || address("10.1.0.2")).await;
    world.api::<Endpoints>().delete("web", &DeleteParams::default()).await.expect("deleted");
    eventually("no slice", || async { slices().await?.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn every_namespace_has_its_account_and_the_root_ca() {
    let world = World::start().await;
    let (accounts, maps) = (world.api::<ServiceAccount>(), world.api::<ConfigMap>());
    let first = eventually("the account", || async { accounts.get_opt("default").await.ok()? }).await;
    accounts.delete("default", &DeleteParams::default()).await.expect("deleted");
    eventually("another account", || async {
        let account = accounts.get_opt("default").await.ok()??;
        (account.metadata.uid != first.metadata.uid).then_some(())
    })
    .await;

    let right = || async {
        let map = maps.get_opt("kube-root-ca.crt").await.ok()??;
        (map.data? == [("ca.crt".to_owned(), "the CA".to_owned())].into()).then_some(())
    };
    eventually("the root CA", right).await;
    let edit = Patch::Merge(json!({"data": {"ca.crt": "forged", "more": "x"}}));
    maps.patch("kube-root-ca.crt", &PatchParams::default(), &edit).await.expect("patched");
    eventually("the root CA again", right).await;
    maps.delete("kube-root-ca.crt", &DeleteParams::default()).await.expect("deleted");
    eventually("the root CA once more", right).await;
}
