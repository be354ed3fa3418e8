//! Pods by an object that has them: `deployment/web` means one of its pods.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::resources::Resource;
use crate::session::Session;
use crate::target::{self, encode};

/// The pod that a person means.
pub struct Meant {
    pub pod: Value,
    /// What was named: the pod itself, or what has it.
    pub resource: Resource,
    pub object: Value,
}

impl Meant {
    pub fn name(&self) -> &str {
        self.pod["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// The pod of a name, or the best of an object's pods.
pub async fn meant(session: &Session, what: &str) -> Result<Meant> {
    let (resource, name) = target::one(session, &[what.to_owned()], Some("pods")).await?;
    let object = session.get(&resource.path(Some(&session.namespace), Some(&name))).await?;
    let pod = match resource.plural.as_str() {
        "pods" => object.clone(),
        _ => best(of(session, &selector_of(&object)?).await?).context("none of its pods runs")?,
    };
    Ok(Meant { pod, resource, object })
}

/// The label selector of a workload as a query value.
pub fn selector_of(object: &Value) -> Result<String> {
    let selector = object.pointer("/spec/selector").context("it has no selector for pods")?;
    let labels = selector.get("matchLabels").unwrap_or(selector).as_object().context("its selector has no labels")?;
    let pairs = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    Ok(pairs.collect::<Vec<_>>().join(","))
}

/// Pods of the session's namespace with these labels.
pub async fn of(session: &Session, selector: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/namespaces/{}/pods?labelSelector={}", session.namespace, encode(selector));
    Ok(session.get(&path).await?["items"].as_array().cloned().unwrap_or_default())
}

/// One that runs; rather a Ready one, rather one that stays, rather an old one, as kubectl has it.
fn best(mut pods: Vec<Value>) -> Option<Value> {
    pods.retain(|pod| pod["status"]["phase"] == "Running");
    let ready = |pod: &Value| {
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    pods.into_iter().min_by_key(|pod| {
        let metadata = &pod["metadata"];
        let created = metadata["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        (!ready(pod), !metadata["deletionTimestamp"].is_null(), created)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_best_pod_is_meant() {
        let pod = |name: &str, phase: &str, ready: &str, deleted: Value, created: &str| {
            json!({"metadata": {"name": name, "creationTimestamp": created, "deletionTimestamp": deleted},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}})
        };
        let pending = pod("pending", "Pending", "False", Value::Null, "1");
        let unready = pod("unready", "Running", "False", Value::Null, "1");
        let ending = pod("ending", "Running", "True", json!("9"), "1");
        let young = pod("young", "Running", "True", Value::Null, "3");
        let old = pod("old", "Running", "True", Value::Null, "2");
        let all = [pending, unready, ending, young, old];
        for (count, expected) in
            [(1, None), (2, Some("unready")), (3, Some("ending")), (4, Some("young")), (5, Some("old"))]
        {
            let found = best(all[..count].to_vec());
            let name = found.as_ref().and_then(|pod| pod["metadata"]["name"].as_str());
            assert_eq!(name, expected, "of {count}");
        }
    }

    #[test]
    fn workloads_select_pods() {
        let table = [
            (json!({"spec": {"selector": {"matchLabels": {"a": "b", "c": "d"}}}}), Some("a=b,c=d")),
            (json!({"spec": {"selector": {"a": "b"}}}), Some("a=b")),
            (json!({"spec": {}}), None),
        ];
        for (object, expected) in table {
            assert_eq!(selector_of(&object).ok().as_deref(), expected, "{object}");
        }
    }
}
