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
    (
        "Widget",
        &[
            r##"{"spec": {"size": #}}"##,
            r##"{"spec": {"size": 1#}}"##,
            r##"{"spec": {"size": "#"}}"##,
            r##"{"spec": {"size": null}}"##,
            r##"{"spec": {"size": #.0}}"##,
            r##"{"spec": {"replicas": #}}"##,
            r##"{"spec": {"mode": "Fast"}}"##,
            r##"{"spec": {"mode": "Other"}}"##,
            r##"{"spec": {"mode": null}}"##,
            r##"{"spec": {"name": "abc"}}"##,
            r##"{"spec": {"name": "A#"}}"##,
            r##"{"spec": {"at": "2026-01-02T03:04:05Z"}}"##,
            r##"{"spec": {"at": "then"}}"##,
            r##"{"spec": {"ratio": #.5}}"##,
            r##"{"spec": {"ratio": #.3}}"##,
            r##"{"spec": {"port": "http"}}"##,
            r##"{"spec": {"port": #}}"##,
            r##"{"spec": {"port": true}}"##,
            r##"{"spec": {"note": null}}"##,
            r##"{"spec": {"parts": [{"name": "p"}, {"name": "q", "count": #}]}}"##,
            r##"{"spec": {"parts": [{"name": "p"}, {"name": "p"}]}}"##,
            r##"{"spec": {"parts": [{"count": #}]}}"##,
            r##"{"spec": {"parts": [{"name": "too long"}]}}"##,
            r##"{"spec": {"parts": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}]}}"##,
            r##"{"spec": {"tags": ["x", "y"]}}"##,
            r##"{"spec": {"tags": ["x", "x"]}}"##,
            r##"{"spec": {"plain": [#, null]}}"##,
            r##"{"spec": {"limits": {"a": "#"}}}"##,
            r##"{"spec": {"limits": {"a": "1", "b": "2", "c": "3"}}}"##,
            r##"{"spec": {"limits": {"a": #}}}"##,
            r##"{"spec": {"fixed": {"a": "#", "b": 1}}}"##,
            r##"{"spec": {"free": {"x": {"y": [#]}}}}"##,
            r##"{"spec": {"object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n", "x": 1}}}}"##,
            r##"{"spec": {"object": {"kind": "Pod"}}}"##,
            r##"{"spec": {"either": {"a": "#"}}}"##,
            r##"{"spec": {"either": {"a": "1", "b": "2"}}}"##,
            r##"{"spec": null}"##,
            r##"{"spec": {"unknown": #}}"##,
            r##"{"status": {"replicas": #, "selector": "app=x"}}"##,
        ],
    ),
    (
        "Gadget",
        &[
            r##"{"color": "c#"}"##,
            r##"{"color": null}"##,
            r##"{"weight": #}"##,
            r##"{"weight": "#"}"##,
            r##"{"sizes": {"a": #}}"##,
            r##"{"sizes": {"a": null}}"##,
            r##"{"unknown": #}"##,
            r##"{"status": {"x": 1}}"##,
        ],
    ),
    (
        "CustomResourceDefinition",
        &[
            r##"{"spec": {"scope": "Cluster"}}"##,
            r##"{"spec": {"names": {"shortNames": ["n#"], "categories": ["all"]}}}"##,
            r##"{"spec": {"names": {"kind": "Other"}}}"##,
            r##"{"spec": {"preserveUnknownFields": true}}"##,
            r##"{"spec": {"versions": []}}"##,
            r##"{"spec": {"conversion": {"strategy": "Webhook"}}}"##,
            r##"{"spec": {"versions": [{"name": "v1", "served": true, "storage": true}]}}"##,
            r##"{"spec": {"versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
                {"name": "v2", "served": true, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}"##,
            r##"{"spec": {"versions": [{"name": "v#", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "array"}}}},
                "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}]}]}}"##,
            r##"{"spec": {"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "properties": {"a": {"type": "integer", "default": "x", "nullable": true},
                "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": #}}}}}}}]}}"##,
        ],
    ),
    (
        "Ingress",
        &[
            r##"{"spec": {"ingressClassName": "c#"}}"##,
            r##"{"spec": {"rules": null}}"##,
            r##"{"spec": {"tls": [{"hosts": ["a.example.com"], "secretName": "s#"}]}}"##,
            r##"{"metadata": {"annotations": {"kubernetes.io/ingress.class": "c"}}}"##,
        ],
    ),
    (
        "Job",
        &[
            r##"{"spec": {"parallelism": #}}"##,
            r##"{"spec": {"completions": #}}"##,
            r##"{"spec": {"suspend": true}}"##,
            r##"{"spec": {"completionMode": "Indexed", "completions": #}}"##,
            r##"{"spec": {"ttlSecondsAfterFinished": #}}"##,
        ],
    ),
    ("CronJob", &[r##"{"spec": {"schedule": "# * * * *"}}"##, r##"{"spec": {"suspend": true}}"##]),
    (
        "HorizontalPodAutoscaler",
        &[
            r##"{"spec": {"maxReplicas": #}}"##,
            r##"{"spec": {"minReplicas": #}}"##,
            r##"{"spec": {"minReplicas": 0}}"##,
        ],
    ),
    (
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
        &[r##"{"webhooks": null}"##, r##"{"metadata": {"labels": {"n": "#"}}}"##],
    ),
    ("CSIDriver", &[r##"{"spec": {"attachRequired": false}}"##, r##"{"spec": {"podInfoOnMount": true}}"##]),
    ("CSINode", &[r##"{"spec": {"drivers": [{"name": "e#", "nodeID": "n", "topologyKeys": null}]}}"##]),
    ("CSIStorageCapacity", &[r##"{"capacity": "#Gi"}"##, r##"{"storageClassName": "t"}"##]),
    ("VolumeAttachment", &[r##"{"spec": {"nodeName": "m"}}"##, r##"{"status": {"attached": true}}"##]),
    ("VolumeAttributesClass", &[r##"{"parameters": {"a": "#"}}"##, r##"{"driverName": "e.example.com"}"##]),
    (
        "ResourceClaim",
        &[
            r##"{"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "d#"}}]}}}"##,
            r##"{"status": {"allocation": {}}}"##,
        ],
    ),
    ("ResourceSlice", &[r##"{"spec": {"nodeName": "m"}}"##, r##"{"spec": {"devices": [{"name": "e#"}]}}"##]),
    (
        "CertificateSigningRequest",
        &[r##"{"spec": {"signerName": "example.com/t"}}"##, r##"{"status": {"certificate": "MQ=="}}"##],
    ),
    ("ServiceCIDR", &[r##"{"spec": {"cidrs": ["10.202.#.0/24"]}}"##]),
    ("APIService", &[r##"{"spec": {"versionPriority": #}}"##, r##"{"spec": {"service": null}}"##]),
    ("FlowSchema", &[r##"{"spec": {"matchingPrecedence": #}}"##, r##"{"spec": {"rules": null}}"##]),
    ("PriorityLevelConfiguration", &[r##"{"spec": {"limited": {"nominalConcurrencyShares": #}}}"##]),
];

const OTHERWISE: &[&str] = &[r##"{"metadata": {"annotations": {"x": "#"}}}"##];

pub fn own(random: &mut Random, kind: &str) -> Value {
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
