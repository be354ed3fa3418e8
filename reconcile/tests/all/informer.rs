//! Which stores are shared.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use reconcile::informer::Informers;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::eventually;

const PART: &str = "metadata.name=part";

#[tokio::test]
async fn who_asks_for_all_never_gets_a_part() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        log.lock().unwrap().push(request.uri().to_string());
        std::future::pending::<Result<http::Response<kube::client::Body>, std::convert::Infallible>>()
    });
    let cancel = CancellationToken::new();
    let informers = Informers::new(kube::Client::new(service, "default"), cancel.clone());
    let (part, whole) = (informers.start_chosen::<ConfigMap>(PART), informers.start::<ConfigMap>());
    let again = (informers.start_chosen::<ConfigMap>(PART), informers.start::<ConfigMap>());
    informers.start::<Secret>();
    eventually("three lists", || asked.lock().unwrap().len() == 3).await;
    let of = |kind: &str| asked.lock().unwrap().iter().filter(|uri| uri.contains(kind)).cloned().collect::<Vec<_>>();
    let selected = of("configmaps").iter().filter(|uri| uri.contains("fieldSelector=metadata.name%3Dpart")).count();
    assert_eq!((of("configmaps").len(), selected, of("secrets").len()), (2, 1, 1));

    let map = |name: &str| -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "default"}})).unwrap()
    };
    part.replace(vec![map("part")]);
    whole.replace(vec![map("part"), map("other")]);
    assert_eq!((again.0.len(), again.1.len()), (1, 2));
    let caches = informers.caches();
    assert_eq!((caches.chosen::<ConfigMap>(PART).len(), caches.get::<ConfigMap>().len()), (1, 2));
    cancel.cancel();
}
