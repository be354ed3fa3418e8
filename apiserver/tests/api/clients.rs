//! The client that our own components use, over a function call.

use std::convert::Infallible;
use std::time::Duration;

use apiserver::{UserInfo, body};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::json;

use crate::harness::{PATIENCE, Server};

fn client(server: &Server) -> Client {
    let api = server.api.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(api.handle(UserInfo::admin(), request.map(body::wrap)).await) }
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn a_kube_client_reads_writes_and_watches() {
    let server = Server::start().await;
    let client = client(&server);
    assert_eq!(client.apiserver_version().await.unwrap().minor, "35");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let name = "a";
        let object = serde_json::from_value(json!({"metadata": {"name": name}, "data": {"k": "v"}})).unwrap();
        maps.create(&PostParams::default(), &object).await.unwrap();
        let mut events = watcher::watcher(maps.clone(), config).boxed();
        let mut next = async || tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(next().await, Event::Init));
        assert!(matches!(next().await, Event::InitApply(map) if map.metadata.name.as_deref() == Some(name)));
        assert!(matches!(next().await, Event::InitDone));
        let patch = Patch::Merge(json!({"data": {"k": "w"}}));
        maps.patch(name, &PatchParams::default(), &patch).await.unwrap();
        assert!(matches!(next().await, Event::Apply(map) if map.data.as_ref().unwrap()["k"] == "w"));
        maps.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
        assert!(matches!(next().await, Event::Delete(map) if map.metadata.name.as_deref() == Some(name)));
    }
    assert!(maps.list(&ListParams::default()).await.unwrap().items.is_empty());
    let missing = maps.get("a").await.unwrap_err();
    assert!(matches!(missing, kube::Error::Api(status) if status.is_not_found()));
    // A stopped server ends its watches.
    let mut watch = server.watch("/api/v1/configmaps?watch=1").await;
    drop(server);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), watch.say()).await.unwrap(), "end");
}
