//! Changes of what makes a kind, as merge patches. `#` is a small number.

use serde_json::Value;

use super::super::random::Random;

const CHANGES: &[(&str, &[&str])] = &[
    (
        "ConfigMap",
        &[
            r##"{"data": {"a": "#"}}"##,
            r##"{"immutable": true}"##,
            r##"{"immutable": false}"##,
            r##"{"binaryData": {"a": "MQ=="}}"##,
            r##"{"data": null}"##,
        ],
    ),
    (
        "Secret",
        &[
            r##"{"stringData": {"a": "#"}}"##,
            r##"{"immutable": true}"##,
            r##"{"type": "example.com/x"}"##,
            r##"{"data": {"c": "not base64"}}"##,
        ],
    ),
    (
        "Deployment ReplicaSet",
        &[
            r##"{"spec": {"replicas": #}}"##,
            r##"{"spec": {"template": {"metadata": {"annotations": {"n": "#"}}}}}"##,
            r##"{"spec": {"selector": {"matchLabels": {"app": "y"}}}}"##,
            r##"{"spec": {"paused": true}}"##,
            r##"{"spec": {"minReadySeconds": #}, "status": {"replicas": 5}}"##,
        ],
    ),
    (
        "Service",
        &[
            r##"{"spec": {"type": "NodePort"}}"##,
            r##"{"spec": {"type": "ClusterIP"}}"##,
            r##"{"spec": {"type": "ExternalName", "externalName": "example.com"}}"##,
            r##"{"spec": {"type": "LoadBalancer"}}"##,
            r##"{"spec": {"clusterIP": "10.96.9.9"}}"##,
            r##"{"spec": {"clusterIP": null, "clusterIPs": null}}"##,
            r##"{"spec": {"ports": [{"port": 8#, "name": "x"}, {"port": 9#, "name": "y"}]}}"##,
            r##"{"spec": {"sessionAffinity": "ClientIP"}}"##,
            r##"{"spec": {"selector": null}}"##,
        ],
    ),
    (
        "Pod",
        &[
            r##"{"spec": {"containers": [{"name": "c", "image": "i:#"}]}}"##,
            r##"{"spec": {"activeDeadlineSeconds": #}}"##,
            r##"{"spec": {"nodeName": "n"}}"##,
            r##"{"spec": {"terminationGracePeriodSeconds": 1}}"##,
            r##"{"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}}"##,
            r##"{"status": {"phase": "Running"}}"##,
        ],
    ),
    (
        "Node",
        &[
            r##"{"spec": {"unschedulable": true}}"##,
            r##"{"spec": {"podCIDR": "10.9.0.0/24"}}"##,
            r##"{"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}"##,
            r##"{"spec": {"providerID": "#"}}"##,
            r##"{"status": {"capacity": {"cpu": "4"}}}"##,
        ],
    ),
    (
        "Role ClusterRole",
        &[r##"{"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}"##, r##"{"rules": null}"##],
    ),
    (
        "RoleBinding ClusterRoleBinding",
        &[
            r##"{"roleRef": {"name": "b"}}"##,
            r##"{"subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "${ns}"}]}"##,
            r##"{"subjects": [{"kind": "X", "name": "s"}]}"##,
        ],
    ),
    ("PriorityClass", &[r##"{"value": #}"##, r##"{"description": "#"}"##]),
    ("StorageClass", &[r##"{"provisioner": "q"}"##, r##"{"allowVolumeExpansion": true}"##]),
    ("RuntimeClass", &[r##"{"handler": "z"}"##]),
    (
        "Lease",
        &[
            r##"{"spec": {"holderIdentity": "#", "renewTime": "2026-01-02T03:04:05.600000Z"}}"##,
            r##"{"spec": {"leaseDurationSeconds": 0}}"##,
        ],
    ),
    ("Namespace", &[r##"{"spec": {"finalizers": null}}"##, r##"{"status": {"phase": "Terminating"}}"##]),
    (
        "PodDisruptionBudget",
        &[
            r##"{"spec": {"minAvailable": "#0%"}}"##,
            r##"{"spec": {"minAvailable": null, "maxUnavailable": #}}"##,
            r##"{"spec": {"maxUnavailable": #}}"##,
        ],
    ),
    ("LimitRange", &[r##"{"spec": {"limits": [{"type": "Container", "default": {"cpu": "#"}}]}}"##]),
    ("ResourceQuota", &[r##"{"spec": {"hard": {"pods": "#", "cpu": "100m"}}}"##]),
    (
        "EndpointSlice",
        &[
            r##"{"addressType": "IPv6"}"##,
            r##"{"endpoints": [{"addresses": ["10.9.9.9"], "conditions": {"ready": true}}]}"##,
        ],
    ),
    ("ControllerRevision", &[r##"{"revision": #}"##, r##"{"data": {"x": #}}"##]),
];

const OTHERWISE: &[&str] = &[r##"{"metadata": {"annotations": {"x": "#"}}}"##];

pub(super) fn own(random: &mut Random, kind: &str) -> Value {
    let of_kind = CHANGES.iter().find(|(kinds, _)| kinds.split(' ').any(|one| one == kind));
    let text = random.pick(of_kind.map_or(OTHERWISE, |(_, changes)| changes));
    let number = 1 + random.below(5);
    serde_json::from_str(&text.replace('#', &number.to_string())).expect("a test reads all of them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_json() {
        for text in CHANGES.iter().flat_map(|(_, changes)| *changes) {
            let read = serde_json::from_str::<Value>(&text.replace('#', "1"));
            assert!(read.is_ok_and(|value| value.is_object()), "{text}");
        }
    }
}
