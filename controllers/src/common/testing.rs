//! Worlds for the tables of the controllers' tests.

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::Plan;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The moment at which tests decide.
pub fn now() -> Timestamp {
    ago(0)
}

pub fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 - seconds).expect("a time")
}

/// As the API writes it.
pub fn time_ago(seconds: i64) -> String {
    ago(seconds).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("an object of the kind")
}

pub fn shared<K: DeserializeOwned>(values: impl IntoIterator<Item = Value>) -> Vec<Arc<K>> {
    values.into_iter().map(|value| Arc::new(object(value))).collect()
}

/// A plan as lines, the status left out.
pub fn actions(plan: &Plan) -> Vec<String> {
    plan.actions.iter().map(ToString::to_string).collect()
}

/// What the status becomes: the written fields only.
pub fn status(plan: &Plan) -> Value {
    plan.status.as_ref().map_or(Value::Null, |status| status.0.clone())
}

/// `patch` is merged into the target, member by member; a null stays as a null.
pub fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => fields.iter().for_each(|(field, value)| merge(&mut target[field.as_str()], value)),
        other => *target = other.clone(),
    }
}

/// A Service `shop/web` with a port 80 to 8080.
pub fn service(edit: &Value) -> Value {
    let mut service = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "s1", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
            "ports": [{"name": "web", "port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    });
    merge(&mut service, edit);
    service
}

/// A pod with the address 10.0.0.`number`. `state` is any of ready, deleted, failed, http=PORT.
pub fn service_pod(number: &str, state: &str) -> Value {
    let mut pod = json!({
        "metadata": {"name": format!("pod-{number}"), "namespace": "shop", "uid": format!("uid-{number}"), "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{number}"), "podIPs": [{"ip": format!("10.0.0.{number}")}]},
    });
    for word in state.split_whitespace() {
        match word {
            "ready" => pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]),
            "deleted" => pod["metadata"]["deletionTimestamp"] = json!(time_ago(1)),
            "failed" => pod["status"]["phase"] = json!("Failed"),
            other => {
                let port: i32 = other.strip_prefix("http=").and_then(|port| port.parse().ok()).expect("a port");
                pod["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": port}]);
            }
        }
    }
    pod
}
