//! Fields whose feature gates are off in v1.35: the server takes them and forgets them (`dropDisabledFields` upstream).

use api::Object;
use serde_json::Value;

/// Fields of a Lease.
const OF_LEASES: [&str; 2] = ["strategy", "preferredHolder"];
/// Fields of a Node's status. Its `declaredFeatures` are dropped on creation only: upstream's strategy of the status does not.
const OF_NODES: [&str; 1] = ["config"];
const OF_POD_STATUS: [&str; 1] = ["extendedResourceClaimStatus"];
/// Sources of a projected volume.
const OF_SOURCES: [&str; 2] = ["clusterTrustBundle", "podCertificate"];

/// Removes them from an object that is about to be validated.
pub(crate) fn drop_disabled(object: &mut Object) {
    let place = match object["kind"].as_str() {
        Some("Lease") => return remove(object.pointer_mut("/spec"), &OF_LEASES),
        Some("Node") => return remove(object.pointer_mut("/status"), &OF_NODES),
        Some("Pod") => {
            remove(object.pointer_mut("/status"), &OF_POD_STATUS);
            "/spec"
        }
        Some("PodTemplate") => "/template/spec",
        Some("CronJob") => "/spec/jobTemplate/spec/template/spec",
        Some("Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet" | "Job" | "ReplicationController") => {
            "/spec/template/spec"
        }
        _ => return,
    };
    let Some(spec) = object.pointer_mut(place) else { return };
    remove(Some(spec), &["workloadRef"]);
    for key in ["containers", "initContainers", "ephemeralContainers"] {
        for container in items(spec.get_mut(key)) {
            let Some(lifecycle) = container.get_mut("lifecycle").filter(|lifecycle| !lifecycle["stopSignal"].is_null())
            else {
                continue;
            };
            remove(Some(lifecycle), &["stopSignal"]);
            if lifecycle.as_object().is_some_and(serde_json::Map::is_empty) {
                remove(Some(container), &["lifecycle"]);
            }
        }
    }
    for volume in items(spec.get_mut("volumes")) {
        for source in items(volume.pointer_mut("/projected/sources")) {
            remove(Some(source), &OF_SOURCES);
        }
    }
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

fn remove(from: Option<&mut Value>, names: &[&str]) {
    if let Some(Value::Object(members)) = from {
        members.retain(|name, _| !names.contains(&name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_gate_lets_in_is_dropped() {
        let spec = |lifecycle: Value, sources: Value| json!({"containers": [{"name": "c", "lifecycle": lifecycle}], "volumes": [{"projected": {"sources": sources}}]});
        let full = spec(json!({"stopSignal": "SIGTERM", "preStop": {}}), json!([{"clusterTrustBundle": {}}]));
        let rest = spec(json!({"preStop": {}}), json!([{}]));
        let cases = [
            (json!({"kind": "Pod", "spec": full}), json!({"kind": "Pod", "spec": rest})),
            (
                json!({"kind": "Deployment", "spec": {"template": {"spec": full}}}),
                json!({"kind": "Deployment", "spec": {"template": {"spec": rest}}}),
            ),
            (
                json!({"kind": "Lease", "spec": {"strategy": "x", "preferredHolder": "y", "holderIdentity": "z"}}),
                json!({"kind": "Lease", "spec": {"holderIdentity": "z"}}),
            ),
            (
                json!({"kind": "Pod", "spec": {"containers": [{"lifecycle": {}}, {"lifecycle": {"stopSignal": "SIGTERM"}}]}}),
                json!({"kind": "Pod", "spec": {"containers": [{"lifecycle": {}}, {}]}}),
            ),
            (
                json!({"kind": "Pod", "status": {"extendedResourceClaimStatus": {}, "phase": "Running"}}),
                json!({"kind": "Pod", "status": {"phase": "Running"}}),
            ),
            (json!({"kind": "ConfigMap", "spec": full}), json!({"kind": "ConfigMap", "spec": full})),
        ];
        for (mut object, expected) in cases {
            drop_disabled(&mut object);
            assert_eq!(object, expected);
        }
    }
}
