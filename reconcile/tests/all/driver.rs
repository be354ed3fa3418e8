//! The driver's promises, against a fake API server whose watches lag behind its answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::eventually;
use crate::fake::FakeApi;
use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use reconcile::informer::Caches;
use reconcile::plan::StatusWrite;
use reconcile::{Action, Controller, Key, Manager, Plan, PlanEvent, Watch, owned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Keeps as many pods as the ConfigMap's `replicas` says.
#[derive(Default)]
struct Keeper {
    /// Panics this many times first.
    panics: Arc<AtomicU32>,
    adopts: bool,
}

impl Controller for Keeper {
    const NAME: &'static str = "keeper";
    type Root = ConfigMap;
    type View = Vec<Arc<Pod>>;

    fn watches() -> Vec<Watch> {
        vec![owned::<Pod, ConfigMap>()]
    }

    fn view(&self, root: &ConfigMap, caches: &Caches) -> Vec<Arc<Pod>> {
        caches.get::<Pod>().controlled_by(root.metadata.uid.as_deref().unwrap_or(""))
    }

    fn decide(&self, root: &ConfigMap, pods: &Vec<Arc<Pod>>, _now: Timestamp) -> Plan {
        if self.panics.load(Ordering::Relaxed) > 0 {
            self.panics.fetch_sub(1, Ordering::Relaxed);
            panic!("as the test wants");
        }
        let wanted: usize = root.data.as_ref().and_then(|data| data["replicas"].parse().ok()).unwrap_or(0);
        let mut plan = Plan::default();
        for _ in pods.len()..wanted {
            let pod = json!({"metadata": {"generateName": "web-", "namespace": "default"}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let mut create = Action::create(&pod)
                .owned()
                .on_success(PlanEvent::normal("Created", "Created pod: {name}"))
                .on_failure(PlanEvent::warning("Failed", "Error: {error}"));
            if self.adopts {
                create = create.confirm_root();
            }
            plan.push(create);
        }
        for pod in pods.iter().skip(wanted) {
            plan.push(Action::delete(&**pod));
        }
        plan.status = StatusWrite::between(&json!({}), &json!({ "pods": wanted }));
        plan.status_if_failed = StatusWrite::between(&json!({}), &json!({ "error": "{error}" }));
        if root.data.as_ref().is_some_and(|data| data.contains_key("quiet")) {
            plan.status = None;
        }
        plan
    }

    fn absent(&self, key: &Key, _: &Caches) -> Plan {
        let map: ConfigMap = serde_json::from_value(
            json!({"metadata": {"name": format!("{}-was-here", key.name), "namespace": "default"}}),
        )
        .unwrap();
        let mut plan = Plan::default();
        if !key.name.ends_with("-was-here") {
            plan.push(Action::create(&map));
        }
        plan
    }
}

fn wish(replicas: u32, quiet: bool) -> Value {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default"},
        "data": {"replicas": replicas.to_string()}});
    if quiet {
        map["data"]["quiet"] = json!("1");
    }
    map
}

struct Running {
    api: FakeApi,
    cancel: CancellationToken,
    metrics: reconcile::metrics::Metrics,
}

fn start(api: FakeApi, keeper: Keeper) -> Running {
    let cancel = CancellationToken::new();
    let manager = Manager::new(api.client(), cancel.clone());
    manager.add(keeper);
    let metrics = manager.metrics().clone();
    tokio::spawn(manager.run());
    Running { api, cancel, metrics }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[tokio::test]
async fn a_lagging_watch_makes_nothing_twice() {
    let api = FakeApi::default();
    api.put("configmaps", wish(7, true));
    api.set_lag(Duration::from_millis(30));
    let running = start(api, Keeper::default());
    eventually("seven pods", || running.api.list("pods").len() == 7).await;
    // A change of the root while the pods' events are still on their way must not be decided on old caches.
    running.api.put("configmaps", wish(8, true));
    eventually("eight pods", || running.api.list("pods").len() == 8).await;
    running.api.put("configmaps", wish(2, true));
    eventually("two pods", || running.api.list("pods").len() == 2).await;
    let creates = running.api.writes().iter().filter(|write| *write == "POST pods").count();
    let deletes = running.api.writes().iter().filter(|write| *write == "DELETE pods").count();
    assert_eq!((creates, deletes), (8, 6));
    let owner = running.api.list("pods")[0]["metadata"]["ownerReferences"][0].clone();
    assert_eq!((owner["kind"].as_str(), owner["controller"].as_bool()), (Some("ConfigMap"), Some(true)));
}

#[tokio::test]
async fn events_tell_what_was_done() {
    let api = FakeApi::default();
    api.put("configmaps", wish(1, true));
    let running = start(api, Keeper::default());
    eventually("an event", || !running.api.list("events").is_empty()).await;
    let (event, pod) = (running.api.list("events").remove(0), running.api.list("pods").remove(0));
    assert_eq!(event["message"], format!("Created pod: {}", pod["metadata"]["name"].as_str().unwrap()));
    assert_eq!((&event["reason"], &event["source"]["component"]), (&json!("Created"), &json!("keeper")));
    assert_eq!(event["involvedObject"]["name"], "web");
}

#[tokio::test]
async fn a_panic_is_counted_and_retried() {
    let api = FakeApi::default();
    api.put("configmaps", wish(1, true));
    let running = start(api, Keeper { panics: Arc::new(AtomicU32::new(2)), ..Keeper::default() });
    eventually("a pod", || running.api.list("pods").len() == 1).await;
    assert_eq!(running.metrics.snapshot()["keeper"].panics, 2);
}

#[tokio::test]
async fn creates_start_slowly_and_stop_at_a_failure() {
    let api = FakeApi::default();
    api.put("configmaps", wish(5, false));
    api.refuse(Method::POST, "pods", 500);
    let running = start(api, Keeper::default());
    eventually("the failure in the status", || running.api.list("configmaps")[0]["status"]["error"].is_string()).await;
    let writes = running.api.writes();
    assert_eq!(writes[..2], ["POST pods", "PATCH configmaps"], "one pod was tried, not five: {writes:?}");
    assert_eq!(running.api.list("configmaps")[0]["status"]["error"], "refused by the test");
    eventually("five pods", || running.api.list("pods").len() == 5).await;
}

#[tokio::test]
async fn nothing_is_done_for_a_root_that_is_gone() {
    let api = FakeApi::default();
    api.put("configmaps", wish(1, true));
    api.set_lag(Duration::from_millis(50));
    let running = start(api, Keeper { adopts: true, ..Keeper::default() });
    eventually("the first pod", || running.api.list("pods").len() == 1).await;
    // The cache still has the root when the pod's event arrives; the server has not.
    running.api.set_lag(Duration::from_millis(100));
    running.api.remove("configmaps", "default/web");
    running.api.set_lag(Duration::ZERO);
    let pod = running.api.list("pods")[0].clone();
    running.api.remove("pods", &format!("default/{}", pod["metadata"]["name"].as_str().unwrap()));
    eventually("absent", || running.api.list("configmaps").iter().any(|map| map["metadata"]["name"] == "web-was-here"))
        .await;
    assert!(running.api.list("pods").is_empty(), "no pod was made for the deleted root");
}
