//! Fields whose feature gates are off in v1.35: the server takes them and forgets them (`dropDisabledFields` upstream).

use api::Object;
use serde_json::Value;

/// Fields of a Lease.
const OF_LEASES: [&str; 2] = ["strategy", "preferredHolder"];
/// Fields of a Node's status. Its `declaredFeatures` are dropped on creation only: upstream's strategy of the status does not.
const OF_NODES: [&str; 1] = ["config"];
const OF_POD_STATUS: [&str; 3] = ["allocatedResources", "extendedResourceClaimStatus", "resources"];
/// Of what a claim or a template of one asks for.
const OF_DEVICE_REQUESTS: [&str; 2] = ["tolerations", "capacity"];
/// Of a device that was given.
const OF_DEVICE_RESULTS: [&str; 4] = ["shareID", "consumedCapacity", "bindingConditions", "bindingFailureConditions"];
/// Of a device that there is.
const OF_DEVICES: [&str; 9] = [
    "allNodes",
    "allowMultipleAllocations",
    "bindingConditions",
    "bindingFailureConditions",
    "bindsToNode",
    "consumesCounters",
    "nodeName",
    "nodeSelector",
    "taints",
];
const OF_SLICES: [&str; 2] = ["sharedCounters", "perDeviceNodeSelection"];
/// Sources of a projected volume.
const OF_SOURCES: [&str; 2] = ["clusterTrustBundle", "podCertificate"];

/// Removes them from an object that is about to be validated.
pub(crate) fn drop_disabled(object: &mut Object) {
    let place = match object["kind"].as_str() {
        Some("Lease") => return remove(object.pointer_mut("/spec"), &OF_LEASES),
        Some("Node") => return remove(object.pointer_mut("/status"), &OF_NODES),
        Some("Pod") => {
            remove(object.pointer_mut("/status"), &OF_POD_STATUS);
            for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
                let statuses = items(object.get_mut("status").and_then(|status| status.get_mut(list)));
                statuses.for_each(|status| remove(Some(status), &["allocatedResourcesStatus"]));
            }
            "/spec"
        }
        Some("DeviceClass") => return remove(object.pointer_mut("/spec"), &["extendedResourceName"]),
        Some("ResourceClaim") => {
            requests(object.pointer_mut("/spec/devices"));
            return results(object.get_mut("status"));
        }
        Some("ResourceClaimTemplate") => return requests(object.pointer_mut("/spec/spec/devices")),
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

/// As [`drop_disabled`], of a ResourceSlice, which its strategy looks at before.
pub(crate) fn drop_of_slice(slice: &mut Object) {
    remove(slice.get_mut("spec"), &OF_SLICES);
    for device in items(slice.pointer_mut("/spec/devices")) {
        remove(Some(device), &OF_DEVICES);
        let capacities = device.get_mut("capacity").and_then(Value::as_object_mut);
        for capacity in capacities.into_iter().flat_map(|capacities| capacities.values_mut()) {
            remove(Some(capacity), &["requestPolicy"]);
        }
    }
}

fn requests(devices: Option<&mut Value>) {
    let Some(devices) = devices else { return };
    for request in items(devices.get_mut("requests")) {
        remove(request.get_mut("exactly"), &OF_DEVICE_REQUESTS);
        items(request.get_mut("firstAvailable")).for_each(|one| remove(Some(one), &OF_DEVICE_REQUESTS));
    }
    items(devices.get_mut("constraints")).for_each(|one| remove(Some(one), &["distinctAttribute"]));
}

fn results(status: Option<&mut Value>) {
    let Some(status) = status else { return };
    items(status.pointer_mut("/allocation/devices/results")).for_each(|one| remove(Some(one), &OF_DEVICE_RESULTS));
    items(status.get_mut("devices")).for_each(|device| remove(Some(device), &["shareID"]));
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
    fn health_of_devices_is_not_in_a_status() {
        for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
            let mut pod = json!({"kind": "Pod", "status": {
                list: [{"name": "c", "allocatedResourcesStatus": [{"name": "r"}]}, {"name": "d"}]}});
            drop_disabled(&mut pod);
            assert_eq!(pod["status"][list], json!([{"name": "c"}, {"name": "d"}]), "{list}");
        }
    }

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
                json!({"kind": "Pod", "status": {"extendedResourceClaimStatus": {}, "resources": {}, "phase": "Running"}}),
                json!({"kind": "Pod", "status": {"phase": "Running"}}),
            ),
            (
                json!({"kind": "ResourceClaim", "spec": {"devices": {
                    "requests": [{"exactly": {"count": 1, "tolerations": []}, "firstAvailable": [{"capacity": {}}]}],
                    "constraints": [{"distinctAttribute": "a"}],
                }}, "status": {"devices": [{"shareID": "a"}], "allocation": {"devices": {"results": [{"shareID": "a"}]}}}}),
                json!({"kind": "ResourceClaim", "spec": {"devices": {
                    "requests": [{"exactly": {"count": 1}, "firstAvailable": [{}]}],
                    "constraints": [{}],
                }}, "status": {"devices": [{}], "allocation": {"devices": {"results": [{}]}}}}),
            ),
            (json!({"kind": "ConfigMap", "spec": full}), json!({"kind": "ConfigMap", "spec": full})),
        ];
        for (mut object, expected) in cases {
            drop_disabled(&mut object);
            assert_eq!(object, expected);
        }
    }

    #[test]
    fn devices_without_their_gates() {
        let device = json!({"name": "d", "taints": [], "bindsToNode": true, "capacity": {"c": {"value": "1", "requestPolicy": {}}}});
        let mut slice = json!({"spec": {"allNodes": true, "perDeviceNodeSelection": false, "devices": [device]}});
        drop_of_slice(&mut slice);
        let expected = json!({"allNodes": true, "devices": [{"name": "d", "capacity": {"c": {"value": "1"}}}]});
        assert_eq!(slice["spec"], expected);
    }
}
