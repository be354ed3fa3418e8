//! A whole kubelet between a fake API server and a fake runtime.

mod api;
mod runtime;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubelet::config::PodCidr;
use kubelet::{Config, Kubelet};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use api::FakeApi;
use runtime::FakeRuntime;

struct Node {
    api: FakeApi,
    runtime: FakeRuntime,
    dir: tempfile::TempDir,
    running: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

impl Node {
    async fn start(images: &[&str]) -> Node {
        let dir = tempfile::tempdir().expect("a directory");
        let mut node = Node { api: FakeApi::new(), runtime: FakeRuntime::new(images), dir, running: None };
        node.start_kubelet().await;
        node
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    async fn start_kubelet(&mut self) {
        let cidr = PodCidr::parse("10.250.0.0/24").expect("a range");
        let config = Config::new("n1", "10.0.0.1".parse().expect("an address"), cidr, self.data());
        let kubelet = Kubelet::new(config, self.api.client(), Arc::new(self.runtime.clone()), self.runtime.events());
        let cancel = CancellationToken::new();
        let run = kubelet.run(cancel.clone());
        let task = tokio::spawn(async move { run.await.expect("the kubelet runs") });
        self.running = Some((cancel, task));
    }

    async fn stop_kubelet(&mut self) {
        if let Some((cancel, task)) = self.running.take() {
            cancel.cancel();
            task.await.expect("the kubelet ends");
        }
    }

    fn create(&self, name: &str, spec: Value) -> String {
        let path = format!("/api/v1/namespaces/ns/pods/{name}");
        let mut spec = spec;
        spec["nodeName"] = json!("n1");
        let metadata = json!({"name": name, "namespace": "ns", "creationTimestamp": "2026-01-01T00:00:00Z"});
        self.api.put(&path, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
        path
    }

    async fn until<T>(&self, what: &str, mut check: impl FnMut(&Node) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = check(self) {
                return found;
            }
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{what} did not happen; events: {:#?}",
                self.api.events()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn phase(&self, path: &str, phase: &str) -> Value {
        let is = |node: &Node| node.api.get(path).filter(|pod| pod["status"]["phase"] == phase);
        self.until(&format!("{path} {phase}"), is).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        kubelet::remove_leftovers(&self.dir.path().join("data")).expect("nothing is left mounted");
    }
}

fn one(container: Value) -> Value {
    let mut container = container;
    container["name"] = json!("c");
    json!({"containers": [container]})
}

#[tokio::test]
async fn a_pod_runs_and_is_deleted() {
    let mut node = Node::start(&["app"]).await;
    let path = node.create("p", one(json!({"image": "app", "args": ["--x"]})));
    let pod = node.phase(&path, "Running").await;
    let status = &pod["status"];
    assert_eq!((&status["podIP"], &status["hostIP"]), (&json!("10.250.0.2"), &json!("10.0.0.1")));
    let container = &status["containerStatuses"][0];
    assert_eq!(container["imageID"], "docker.io/library/app@sha256:d");
    assert_eq!(node.runtime.container("c").map(|spec| spec.args), Some(vec!["/app".to_owned(), "--x".to_owned()]));
    let sandbox = &node.runtime.sandboxes()[0];
    assert_eq!(sandbox.hostname, "p");
    assert!(sandbox.cgroup.starts_with("besteffort/pod"), "{}", sandbox.cgroup);

    node.api.delete_pod(&path, 30);
    node.until("the object is deleted", |node| node.api.get(&path).is_none().then_some(())).await;
    assert!(node.runtime.sandboxes().is_empty());
    node.until("its files are gone", |node| {
        std::fs::read_dir(node.data().join("logs")).ok()?.next().is_none().then_some(())
    })
    .await;
    node.until("the node is registered", |node| node.api.get("/api/v1/nodes/n1").filter(|n| !n["status"].is_null()))
        .await;
    node.until("the lease is held", |node| {
        node.api.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1")
    })
    .await;
    node.stop_kubelet().await;
}

#[tokio::test]
async fn a_restarted_kubelet_leaves_containers_alone() {
    let mut node = Node::start(&["app"]).await;
    let path = node.create("p", one(json!({"image": "app"})));
    let gone = node.create("gone", one(json!({"image": "app"})));
    node.phase(&path, "Running").await;
    node.phase(&gone, "Running").await;
    let before = node.runtime.started();
    node.stop_kubelet().await;
    node.api.remove(&gone);
    node.start_kubelet().await;
    node.until("the orphan is removed", |node| (node.runtime.sandboxes().len() == 1).then_some(())).await;
    assert_eq!(node.runtime.started(), before, "nothing was started again");

    let id = node.runtime.container("c").expect("the container").id;
    node.runtime.exit(&id, 1);
    let restarted = |node: &Node| {
        let pod = node.api.get(&path)?;
        (pod["status"]["containerStatuses"][0]["restartCount"] == 1).then_some(pod)
    };
    let pod = node.until("it is restarted", restarted).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
    // The address of the running pod is taken.
    let other = node.create("other", one(json!({"image": "app"})));
    assert_ne!(node.phase(&other, "Running").await["status"]["podIP"], pod["status"]["podIP"]);
    node.stop_kubelet().await;
}

#[tokio::test]
async fn what_is_missing_is_waited_for() {
    let mut node = Node::start(&["app"]).await;
    let mut spec = one(
        json!({"image": "later", "volumeMounts": [{"name": "v", "mountPath": "/v"}], "env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
    );
    let token = json!({"serviceAccountToken": {"path": "token"}});
    spec["volumes"] =
        json!([{"name": "v", "configMap": {"name": "cm"}}, {"name": "t", "projected": {"sources": [token]}}]);
    let path = node.create("p", spec);
    let missing = "FailedMount: MountVolume.SetUp failed for volume \"v\" : configmap \"cm\" not found";
    node.until("the missing map is told", |node| node.api.events().iter().any(|event| event == missing).then_some(()))
        .await;
    let map = "/api/v1/namespaces/ns/configmaps/cm";
    let put =
        |value: &str| node.api.put(map, json!({"metadata": {"name": "cm", "namespace": "ns"}, "data": {"k": value}}));
    put("1");
    let reason = |node: &Node, wanted: &str| {
        let pod = node.api.get(&path)?;
        (pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == wanted).then_some(())
    };
    node.until("the missing image is told", |node| reason(node, "ErrImagePull")).await;
    node.runtime.load("later");
    node.until("the missing secret is told", |node| reason(node, "CreateContainerConfigError")).await;
    node.api.put(
        "/api/v1/namespaces/ns/secrets/s",
        json!({"metadata": {"name": "s", "namespace": "ns"}, "data": {"k": "eA=="}}),
    );
    node.phase(&path, "Running").await;

    let spec = node.runtime.container("c").expect("the container");
    assert!(spec.env.contains(&"K=x".to_owned()), "{:?}", spec.env);
    let file = spec.mounts[0].source.join("k");
    assert_eq!(std::fs::read_to_string(&file).expect("the volume"), "1");
    put("2");
    node.until("the volume follows", |_| (std::fs::read_to_string(&file).ok()? == "2").then_some(())).await;
    node.stop_kubelet().await;
}

#[tokio::test]
async fn a_replacement_of_the_same_name_is_another_pod() {
    let mut node = Node::start(&["app"]).await;
    let path = node.create("p", one(json!({"image": "app"})));
    node.phase(&path, "Running").await;
    let first = node.runtime.container("c").expect("the container").id;
    node.api.remove(&path);
    let path = node.create("p", one(json!({"image": "app"})));
    let pod = node.phase(&path, "Running").await;
    let uid = pod["metadata"]["uid"].as_str().expect("a uid").to_owned();
    node.until("the old one is gone", |node| (node.runtime.sandboxes().len() == 1).then_some(())).await;
    assert!(node.runtime.sandboxes()[0].id.starts_with(&uid) && !first.starts_with(&uid));
    assert_eq!(node.api.get(&path).map(|pod| pod["metadata"]["uid"].clone()), Some(json!(uid)));
    node.stop_kubelet().await;
}

#[tokio::test]
async fn a_pod_that_does_not_fit_is_refused() {
    let mut node = Node::start(&["app"]).await;
    let path = node.create("p", one(json!({"image": "app", "resources": {"requests": {"cpu": "4096"}}})));
    let pod = node.phase(&path, "Failed").await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    assert!(node.runtime.sandboxes().is_empty());
    node.stop_kubelet().await;
}
