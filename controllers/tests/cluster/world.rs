//! A real API server over the memory store, the controllers, and a stand-in for scheduler and kubelet.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apiserver::{ApiServer, UserInfo};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use reconcile::informer::{Change, Informers, Kind};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Everything happens in this namespace of the world's own server.
pub const NAMESPACE: &str = "shop";

pub struct World {
    pub client: Client,
    cancel: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl World {
    pub async fn start() -> Self {
        let cancel = CancellationToken::new();
        let client = serve(&cancel);
        let world = Self { client: client.clone(), cancel: cancel.clone() };
        world.create::<Namespace>(json!({"metadata": {"name": NAMESPACE}})).await;
        world
            .create::<Node>(json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}}))
            .await;
        tokio::spawn(play_kubelet(client.clone(), cancel.clone()));
        let config = controllers::Config { root_ca: "the CA".to_owned(), ..controllers::Config::default() };
        tokio::spawn(controllers::run(client, config, cancel));
        world
    }

    /// Objects of a kind in [`NAMESPACE`].
    pub fn api<K: Kind + Resource<Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Cluster-scoped, or with its namespace in the object.
    pub async fn create<K: Kind + Serialize>(&self, object: Value) -> K {
        let object: K = serde_json::from_value(object).expect("an object of the kind");
        let path = K::url_path(&(), object.meta().namespace.as_deref());
        let body = serde_json::to_vec(&object).expect("a tree");
        let request = kube::core::Request::new(path).create(&PostParams::default(), body).expect("a request");
        self.client.request(request).await.expect("created")
    }
}

fn serve(cancel: &CancellationToken) -> Client {
    let store = Arc::new(store::Memory::default());
    let random = AtomicU64::new(1);
    let random = move || random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let config = apiserver::Config::new(store, Arc::new(Timestamp::now), Arc::new(random));
    let server = Arc::new(ApiServer::new(config));
    let background = (server.clone(), cancel.clone());
    tokio::spawn(async move { background.0.run_background(background.1).await });
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let server = server.clone();
        async move {
            let request = request.map(apiserver::body::wrap);
            Ok::<_, Infallible>(server.handle(UserInfo::admin(), request).await)
        }
    });
    Client::new(service, "default")
}

/// Binds every pod to the one node, lets it run and be ready, and ends it when it is deleted.
async fn play_kubelet(client: Client, cancel: CancellationToken) {
    let mut changes = Informers::new(client.clone(), cancel).start::<Pod>().changes();
    let mut address = 0;
    while let Some(change) = changes.recv().await {
        let Change::Applied { new: pod, .. } = change else { continue };
        let api = Api::<Pod>::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or(""));
        let name = pod.metadata.name.as_deref().unwrap_or("");
        // A pod may be gone or changed by now: then another event follows.
        if pod.metadata.deletion_timestamp.is_some() {
            let _ = api.delete(name, &DeleteParams::default().grace_period(0)).await;
        } else if pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none()) {
            let target = json!({"apiVersion": "v1", "kind": "Node", "name": "n1"});
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target});
            let _ = api.create_subresource::<_, Value>("binding", name, &PostParams::default(), &binding).await;
        } else if pod.status.as_ref().is_none_or(|status| status.phase.as_deref() != Some("Running")) {
            address += 1;
            let ip = format!("10.244.0.{address}");
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"});
            let status = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready]});
            let patch = Patch::Strategic(json!({ "status": status }));
            let _ = api.patch_status(name, &PatchParams::default(), &patch).await;
        }
    }
}

/// Ask until the answer satisfies. For what can be seen only by asking; the deadline is generous, for tests run in parallel.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let waiting = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"))
}
