//! Worlds for the tables of the controllers' tests.

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::Plan;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
