//! Two servers on one store: what one has written is true at the other, however far its cache is behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use store::{Durability, Expect, KeyValue, Memory, Page, Range, Result, Revision, Store, WatchStream, Write};
use tokio::sync::watch;

use crate::harness::Server;

/// A store that counts as shared, and whose events can be held back.
struct Shared {
    store: Arc<Memory>,
    flows: watch::Receiver<bool>,
    reads: AtomicU64,
}

impl Store for Shared {
    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        self.store.revision()
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.store.get(key)
    }

    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>> {
        self.store.range(range, at, limit)
    }

    fn write(&self, key: Bytes, write: Write, expect: Expect, how: Durability) -> BoxFuture<'_, Result<Revision>> {
        self.store.write(key, write, expect, how)
    }

    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>> {
        let flows = self.flows.clone();
        let held_back = move |events: WatchStream| -> WatchStream {
            let wait = move |event| {
                let mut flows = flows.clone();
                async move {
                    let _ = flows.wait_for(|flows| *flows).await;
                    event
                }
            };
            events.then(wait).boxed()
        };
        self.store.watch(range, after).map(|watch| watch.map(held_back)).boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>> {
        self.store.compact(before)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// One server of several.
struct One {
    server: Server,
    store: Arc<Shared>,
    flows: watch::Sender<bool>,
}

async fn start(store: &Arc<Memory>, number: u8) -> One {
    let (flows, receiver) = watch::channel(true);
    let shared = Arc::new(Shared { store: store.clone(), flows: receiver, reads: AtomicU64::new(0) });
    let (own, seed) = (shared.clone(), AtomicU64::new(u64::from(number) << 32));
    let server = Server::with(move |config| {
        config.store = own;
        config.random = Arc::new(move || seed.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        config.advertise = ([10, 0, 0, number], 6443).into();
    });
    let server = server.await;
    // Its cache is there.
    assert_eq!(server.get(MAPS).await.code, 200);
    One { server, store: shared, flows }
}

async fn two() -> (One, One) {
    let store = Arc::new(Memory::new());
    (start(&store, 1).await, start(&store, 2).await)
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

#[tokio::test]
async fn a_list_waits_for_what_the_other_server_wrote() {
    let (a, b) = two().await;
    b.flows.send_replace(false);
    assert_eq!(a.server.post(MAPS, &map(&json!({}))).await.code, 201);
    let any = b.server.get(&format!("{MAPS}?resourceVersion=0")).await;
    assert_eq!(any.body["items"], json!([]), "any state will do");
    let list = b.server.get(MAPS);
    tokio::pin!(list);
    for _ in 0..10 {
        assert!(list.as_mut().now_or_never().is_none(), "the newest state is not there yet");
        tokio::task::yield_now().await;
    }
    b.flows.send_replace(true);
    assert_eq!(list.await.body["items"][0]["metadata"]["name"], "m");
}

#[tokio::test]
async fn a_change_begins_with_the_cache_and_ends_with_the_truth() {
    let (a, b) = two().await;
    let path = format!("{MAPS}/m");
    let created = a.server.post(MAPS, &map(&json!({"a": "1"}))).await;
    b.server.get(MAPS).await;
    let reads = b.store.reads.load(Ordering::SeqCst);
    let patched = b.server.patch(&path, "merge", &json!({"data": {"b": "1"}})).await;
    assert_eq!((patched.code, &patched.body["data"]), (200, &json!({"a": "1", "b": "1"})));
    assert_eq!(b.store.reads.load(Ordering::SeqCst), reads, "the cached state was enough");

    b.server.get(MAPS).await;
    b.flows.send_replace(false);
    let newest = a.server.patch(&path, "merge", &json!({"data": {"a": "2"}})).await;
    let patched = b.server.patch(&path, "merge", &json!({"data": {"b": "2"}})).await;
    assert_eq!(patched.body["data"], json!({"a": "2", "b": "2"}), "nothing of the other server's is lost");

    // Already so in the old state, and not in the newest.
    let patched = b.server.patch(&path, "merge", &json!({"data": {"a": "1", "b": "1"}})).await;
    assert_eq!(patched.body["data"], json!({"a": "1", "b": "1"}));
    assert_eq!(a.server.get(&path).await.body["data"], patched.body["data"]);

    for (name, version, code) in [("old", &created, 409), ("other", &newest, 409), ("newest", &patched, 200)] {
        let mut object = map(&json!({"c": name}));
        object["metadata"]["resourceVersion"] = version.body["metadata"]["resourceVersion"].clone();
        assert_eq!(b.server.put(&path, &object).await.code, code, "{name}");
    }
    assert_eq!(a.server.delete(&path, &Value::Null).await.code, 200);
    assert_eq!(b.server.patch(&path, "merge", &json!({"data": {"b": "3"}})).await.code, 404);
    assert_eq!(b.server.get(&path).await.code, 404);
}

#[tokio::test]
async fn no_address_and_no_port_is_given_away_twice() {
    let (a, b) = two().await;
    let service = |name: &str, port: u64| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}})
    };
    let path = "/api/v1/namespaces/default/services";
    for one in [&a, &b] {
        // What a server does once.
        assert_eq!(one.server.post(path, &service("warm", 0)).await.code, 201);
        assert_eq!(one.server.delete(&format!("{path}/warm"), &Value::Null).await.code, 200);
    }
    for (one, other) in [(&a, &b), (&b, &a)] {
        other.flows.send_replace(false);
        let first = one.server.post(path, &service("first", 30_100)).await;
        assert_eq!(first.code, 201, "{}", first.body);
        let second = other.server.post(path, &service("second", 30_100)).await;
        assert_eq!(second.code, 422);
        assert!(second.body["message"].as_str().unwrap().contains("provided port is already allocated"));
        let mut taken = service("third", 0);
        taken["spec"]["clusterIP"] = first.body["spec"]["clusterIP"].clone();
        assert_eq!(other.server.post(path, &taken).await.code, 422);
        assert_eq!(one.server.delete(&format!("{path}/first"), &Value::Null).await.code, 200);
        let second = other.server.post(path, &service("second", 30_100)).await;
        assert_eq!(second.code, 201, "free again at once: {}", second.body);
        assert_eq!(other.server.delete(&format!("{path}/second"), &Value::Null).await.code, 200);
        other.flows.send_replace(true);
    }
    let names: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let created = names.iter().enumerate().map(|(number, name)| {
        let one = if number % 2 == 0 { &a } else { &b };
        async move { one.server.post(path, &service(name, 0)).await }
    });
    let created = futures::future::join_all(created).await;
    let mut seen = std::collections::BTreeSet::new();
    for answer in &created {
        assert_eq!(answer.code, 201, "{}", answer.body);
        assert!(seen.insert(answer.body["spec"]["clusterIP"].to_string()), "{}", answer.body);
        assert!(seen.insert(answer.body["spec"]["ports"][0]["nodePort"].to_string()), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_watch_resumes_at_a_server_that_starts_later() {
    let store = Arc::new(Memory::new());
    let a = start(&store, 1).await;
    let created = a.server.post(MAPS, &map(&json!({"a": "0"}))).await;
    let version = created.body["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    for count in 1..=3 {
        a.server.patch(&format!("{MAPS}/m"), "merge", &json!({"data": {"a": count.to_string()}})).await;
    }
    let b = start(&store, 2).await;
    let path = format!("{MAPS}?watch=true&timeoutSeconds=1&resourceVersion={version}");
    let events = b.server.get(&path).await.body;
    let events = events.as_str().unwrap().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let seen: Vec<Value> = events.map(|event| event["object"]["data"]["a"].clone()).collect();
    assert_eq!(seen, ["1", "2", "3"]);
}

#[tokio::test]
async fn all_servers_are_endpoints_of_the_service() {
    let (a, b) = two().await;
    for path in [
        "/api/v1/namespaces/default/endpoints/kubernetes",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
    ] {
        let both = |text: String| text.contains("10.0.0.1") && text.contains("10.0.0.2");
        a.server.until(path, |answer| both(answer.body.to_string())).await;
    }
    drop(a);
    // It said that it goes.
    b.server
        .until("/api/v1/namespaces/default/endpoints/kubernetes", |answer| {
            !answer.body.to_string().contains("10.0.0.1")
        })
        .await;
}
