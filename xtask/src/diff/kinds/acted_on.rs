//! Kinds that the control plane itself, or kubelets, act on.

use super::{Kind, kind};

pub const KINDS: &[Kind] = &[
    kind("v1", "ConfigMap", "configmaps", r#"{"data":{"a":"1","b":"2"}}"#).weight(12),
    kind("v1", "Secret", "secrets", r#"{"data":{"a":"MQ=="},"type":"Opaque"}"#).weight(5).selectable(&["type"]),
    kind("v1", "Pod", "pods", r#"{"spec":{"containers":[{"name":"c","image":"i:1"}]}}"#).status().weight(14).selectable(
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "status.phase",
            "status.podIP",
            "spec.schedulerName",
            "spec.hostNetwork",
        ],
    ),
    kind("v1", "PodTemplate", "podtemplates", r#"{"template":TEMPLATE}"#),
    kind("v1", "Service", "services", r#"{"spec":{"selector":{"app":"x"},"ports":[{"port":80}]}}"#)
        .status()
        .weight(8)
        .selectable(&["spec.type", "spec.clusterIP"]),
    kind("v1", "ServiceAccount", "serviceaccounts", "{}"),
    kind("v1", "Endpoints", "endpoints", r#"{"subsets":[{"addresses":[{"ip":"10.1.2.3"}],"ports":[{"port":80}]}]}"#),
    kind(
        "v1",
        "Event",
        "events",
        r#"{"involvedObject":{"kind":"Pod","namespace":"${ns}","name":"p"},"reason":"R","message":"m","type":"Normal"}"#,
    )
    .selectable(&["involvedObject.name", "reason", "type", "involvedObject.kind"]),
    kind("v1", "LimitRange", "limitranges", r#"{"spec":{"limits":[{"type":"Pod","max":{"cpu":"64"}}]}}"#),
    kind("v1", "ResourceQuota", "resourcequotas", r#"{"spec":{"hard":{"count/widgets.example.com":"100"}}}"#).status(),
    kind("v1", "Namespace", "namespaces", "{}").cluster().status().weight(2).selectable(&["status.phase"]),
    kind("v1", "Node", "nodes", "{}").cluster().status().weight(5).selectable(&["spec.unschedulable"]),
    kind(
        "apps/v1",
        "Deployment",
        "deployments",
        r#"{"spec":{"replicas":1,"selector":{"matchLabels":{"app":"x"}},"template":TEMPLATE}}"#,
    )
    .status()
    .scale()
    .weight(8),
    kind(
        "apps/v1",
        "ReplicaSet",
        "replicasets",
        r#"{"spec":{"replicas":1,"selector":{"matchLabels":{"app":"x"}},"template":TEMPLATE}}"#,
    )
    .status()
    .scale(),
    kind("apps/v1", "ControllerRevision", "controllerrevisions", r#"{"data":{"spec":{"a":1}},"revision":1}"#),
    kind(
        "policy/v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        r#"{"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"x"}}}}"#,
    )
    .status(),
    kind(
        "rbac.authorization.k8s.io/v1",
        "Role",
        "roles",
        r#"{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}"#,
    ),
    kind(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "rolebindings",
        r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"a"},
            "subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"u"}]}"#,
    ),
    kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "clusterroles",
        r#"{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}"#,
    )
    .cluster(),
    kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},
            "subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"g"}]}"#,
    )
    .cluster(),
    kind(
        "events.k8s.io/v1",
        "Event",
        "events",
        r#"{"eventTime":"2026-01-02T03:04:05.000006Z","reportingController":"c.example/x","reportingInstance":"i",
            "action":"A","reason":"R","type":"Normal","regarding":{"kind":"Pod","namespace":"${ns}","name":"p"},
            "note":"n"}"#,
    )
    .selectable(&["reason", "type", "regarding.name", "reportingController"]),
    kind("coordination.k8s.io/v1", "Lease", "leases", r#"{"spec":{"holderIdentity":"h","leaseDurationSeconds":30}}"#),
    kind(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "endpointslices",
        r#"{"addressType":"IPv4","endpoints":[{"addresses":["10.1.2.3"]}],"ports":[{"name":"p","port":80}]}"#,
    ),
    kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", r#"{"value":1000}"#).cluster().weight(2),
    kind("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", r#"{"handler":"h"}"#).cluster().weight(2),
    kind("storage.k8s.io/v1", "StorageClass", "storageclasses", r#"{"provisioner":"p.example/x"}"#)
        .cluster()
        .weight(2),
];
