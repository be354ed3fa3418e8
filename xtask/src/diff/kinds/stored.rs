//! Kinds that are for those who act on them: policies, networking, storage, devices, jobs, scaling, certificates.

use super::{Kind, kind};

const REQUEST: &str = concat!(
    r#"{"spec":{"signerName":"example.com/s","usages":["client auth"],"request":""#,
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIU01Ib0NBUUF3R0RFS01BZ0dBMVVFQXd3QmRURUtNQWdHQTFVRUNnd0JaekJaTUJN",
    "R0J5cUdTTTQ5QWdFRwpDQ3FHU000OUF3RUhBMElBQkNva1VkcnVOWHI3UnJrR2IrbktvUFE5YW5zcFdYZE1xeEZBcytZV3c3Smtka0srClRWdUxxZUtw",
    "VmxsRk5HN0VxazgyeWVFb1BzdndneGVGdEs1bkRWZWdBREFLQmdncWhrak9QUVFEQWdOSUFEQkYKQWlFQTRackY1UFppcjVKZkpKQ1BVZlNseVd6ZEJL",
    "a1dKQ1BHSW9XRjlvaGtqeVFDSUU1LzdCU1RCdXJGQzNqdgpUVUorR3o0d0xYVlhyQkk2UmxsUHJuKzk0bFI3Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJF",
    "UVVFU1QtLS0tLQo=",
    r#""}}"#
);

pub const KINDS: &[Kind] = &[
    kind(
        "networking.k8s.io/v1",
        "Ingress",
        "ingresses",
        r#"{"spec":{"rules":[{"host":"a.example.com","http":{"paths":[{"path":"/","pathType":"Prefix",
            "backend":{"service":{"name":"s","port":{"number":80}}}}]}}]}}"#,
    )
    .status()
    .weight(5),
    kind("networking.k8s.io/v1", "IngressClass", "ingressclasses", r#"{"spec":{"controller":"example.com/c"}}"#).cluster(),
    kind(
        "networking.k8s.io/v1",
        "IPAddress",
        "ipaddresses",
        r#"{"spec":{"parentRef":{"resource":"services","namespace":"default","name":"NAME"}}}"#,
    )
    .cluster()
    .named("fd00::${ns}:NAME")
    .selectable(&["spec.parentRef"])
    .weight(1),
    kind("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", r#"{"spec":{"cidrs":["10.200.0.0/24"]}}"#)
        .cluster()
        .status()
        .weight(2),
    kind("storage.k8s.io/v1", "CSIDriver", "csidrivers", r#"{"spec":{"attachRequired":true}}"#).cluster(),
    kind(
        "storage.k8s.io/v1",
        "CSINode",
        "csinodes",
        r#"{"spec":{"drivers":[{"name":"d","nodeID":"n","topologyKeys":["a"]}]}}"#,
    )
    .cluster(),
    kind(
        "storage.k8s.io/v1",
        "CSIStorageCapacity",
        "csistoragecapacities",
        r#"{"storageClassName":"s","capacity":"1Gi"}"#,
    ),
    kind(
        "storage.k8s.io/v1",
        "VolumeAttachment",
        "volumeattachments",
        r#"{"spec":{"attacher":"a","nodeName":"n","source":{"persistentVolumeName":"v"}}}"#,
    )
    .cluster()
    .status(),
    kind(
        "storage.k8s.io/v1",
        "VolumeAttributesClass",
        "volumeattributesclasses",
        r#"{"driverName":"d.example.com","parameters":{"a":"1"}}"#,
    )
    .cluster(),
    kind("resource.k8s.io/v1", "DeviceClass", "deviceclasses", r#"{"spec":{}}"#).cluster(),
    kind(
        "resource.k8s.io/v1",
        "ResourceClaim",
        "resourceclaims",
        r#"{"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"c"}}]}}}"#,
    )
    .status()
    .weight(4),
    kind(
        "resource.k8s.io/v1",
        "ResourceClaimTemplate",
        "resourceclaimtemplates",
        r#"{"spec":{"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"c"}}]}}}}"#,
    ),
    kind(
        "resource.k8s.io/v1",
        "ResourceSlice",
        "resourceslices",
        r#"{"spec":{"driver":"d.example.com","nodeName":"n","pool":{"name":"p","generation":1,"resourceSliceCount":1},
            "devices":[{"name":"d"}]}}"#,
    )
    .cluster()
    .selectable(&["spec.nodeName", "spec.driver"]),
    kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", AUTOSCALER).status().weight(4),
    kind("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", AUTOSCALER).status(),
    kind(
        "batch/v1",
        "Job",
        "jobs",
        r#"{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i:1"}]}}}}"#,
    )
    .status()
    .weight(6)
    .selectable(&["status.successful"]),
    kind(
        "batch/v1",
        "CronJob",
        "cronjobs",
        r#"{"spec":{"schedule":"0 * * * *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never",
            "containers":[{"name":"c","image":"i:1"}]}}}}}}"#,
    )
    .status()
    .weight(4),
    kind("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", REQUEST)
        .cluster()
        .status()
        .selectable(&["spec.signerName"]),
    kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        WEBHOOKS,
    )
    .cluster(),
    kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", WEBHOOKS)
        .cluster(),
    kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        r#"{"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":["none.example.com"],"apiVersions":["v1"],
            "operations":["CREATE"],"resources":["nones"]}]},"validations":[{"expression":"object.metadata.name != 'x'"}]}}"#,
    )
    .cluster()
    // One that got another rule would be asked about all that follows.
    .dry()
    .weight(2),
    kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        r#"{"spec":{"policyName":"p","validationActions":["Deny"]}}"#,
    )
    .cluster(),
    kind(
        "flowcontrol.apiserver.k8s.io/v1",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        r#"{"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":5,"limitResponse":{"type":"Reject"}}}}"#,
    )
    .cluster()
    .status()
    .dry(),
    kind(
        "flowcontrol.apiserver.k8s.io/v1",
        "FlowSchema",
        "flowschemas",
        r#"{"spec":{"priorityLevelConfiguration":{"name":"p"},"matchingPrecedence":500,"rules":[{"subjects":[
            {"kind":"User","user":{"name":"u"}}],"nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["/x"]}]}]}}"#,
    )
    .cluster()
    .status()
    .dry(),
    kind(
        "apiregistration.k8s.io/v1",
        "APIService",
        "apiservices",
        r#"{"spec":{"group":"NAME.${ns}.example.com","version":"v1","groupPriorityMinimum":100,"versionPriority":10,
            "insecureSkipTLSVerify":true,"service":{"name":"s","namespace":"default"}}}"#,
    )
    .cluster()
    .named("v1.NAME.${ns}.example.com")
    .status()
    .dry(),
];

const AUTOSCALER: &str = r#"{"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"minReplicas":1,"maxReplicas":3}}"#;

/// Of a group that nobody has: it must not be asked.
const WEBHOOKS: &str = r#"{"webhooks":[{"name":"w.example.com","sideEffects":"None","admissionReviewVersions":["v1"],
    "clientConfig":{"url":"https://none.example.com/x"},"rules":[{"apiGroups":["none.example.com"],"apiVersions":["v1"],
    "operations":["CREATE"],"resources":["nones"]}]}]}"#;
