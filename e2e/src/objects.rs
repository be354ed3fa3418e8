//! Manifests that many tests need, as JSON, which is YAML.

use serde_json::{Value, json};

use crate::images::BUSYBOX;

/// A pod of one busybox container, which ends at once when it is asked to.
pub fn pod(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container("main", script)]},
    })
}

/// Busybox with a shell script.
pub fn container(name: &str, script: &str) -> Value {
    json!({"name": name, "image": BUSYBOX, "command": ["sh", "-c", script]})
}

/// What goes on until it is told to end, and then ends.
pub const FOREVER: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

/// A Deployment whose pods go on.
pub fn deployment(name: &str, replicas: u32) -> Value {
    let template = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container("main", FOREVER)]},
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    })
}

/// A Service of pods with the label `app`.
pub fn service(name: &str, app: &str, port: u16, target: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"port": port, "targetPort": target}]},
    })
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// The value at a path such as `spec.nodeName`; a number is an index. Null where there is none.
pub fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, key| match (value, key.parse::<usize>()) {
        (Value::Array(items), Ok(index)) => items.get(index).unwrap_or(&Value::Null),
        _ => value.get(key).unwrap_or(&Value::Null),
    })
}

/// The text at a path, empty where there is none.
pub fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// Whether the object has a condition of this type with status True.
pub fn has_condition(object: &Value, kind: &str) -> bool {
    let conditions = at(object, "status.conditions").as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_objects() {
        let pod = pod("a", "x");
        assert_eq!(text(&pod, "spec.containers.0.name"), "main");
        assert_eq!(text(&pod, "spec.containers.1.name"), "");
        assert!(at(&pod, "status.phase").is_null());
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]}});
        assert!(has_condition(&ready, "Ready") && !has_condition(&ready, "Old"));
    }
}
