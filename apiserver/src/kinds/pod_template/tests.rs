//! Tables of specs: what is filled in, and what is wrong with them.

use serde_json::{Value, json};

use super::super::cursor::{Cursor, Errors};
use super::{defaults, spec};

/// A valid container with more fields.
fn container(more: Value) -> Value {
    let mut container = json!({"name": "a", "image": "busybox"});
    merge(&mut container, more);
    container
}

fn merge(to: &mut Value, more: Value) {
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        to[name] = value;
    }
}

/// The errors of a template with this spec, after defaulting.
fn check(mut spec: Value) -> Vec<String> {
    if spec["containers"].is_null() {
        spec["containers"] = json!([container(json!({}))]);
    }
    let mut template = json!({"template": {"spec": spec}});
    defaults::template(&mut template["template"]);
    let mut errors = Errors::default();
    spec::template(&Cursor::root(&template, "template"), &mut errors);
    errors.into_vec().iter().map(ToString::to_string).collect()
}

fn check_container(more: Value) -> Vec<String> {
    check(json!({"containers": [container(more)]}))
}

fn check_containers(table: &[(&str, Value, &[&str])]) {
    for (name, more, expected) in table {
        assert_eq!(check_container(more.clone()), *expected, "{name}");
    }
}

fn check_specs(table: &[(&str, Value, &[&str])]) {
    for (name, spec, expected) in table {
        assert_eq!(check(spec.clone()), *expected, "{name}");
    }
}

#[test]
fn a_template_is_filled_in() {
    let mut template = json!({"spec": {
        "serviceAccountName": "robot",
        "containers": [{
            "name": "web",
            "image": "nginx:1.27",
            "ports": [{"containerPort": 80}],
            "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
            "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": "0.1"}},
            "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5},
        }],
        "volumes": [
            {"name": "a"},
            {"name": "b", "configMap": {"name": "c"}},
            {"name": "c", "hostPath": {"path": "/"}},
            {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ],
    }});
    defaults::template(&mut template);
    let once = template.clone();
    defaults::template(&mut template);
    assert_eq!(template, once, "defaults are idempotent");
    let expected = json!({"spec": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "robot",
        "serviceAccountName": "robot",
        "terminationGracePeriodSeconds": 30,
        "containers": [{
            "name": "web",
            "image": "nginx:1.27",
            "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}}],
            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
            "readinessProbe": {
                "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                "periodSeconds": 5, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3,
            },
        }],
        "volumes": [
            {"name": "a", "emptyDir": {}},
            {"name": "b", "configMap": {"name": "c", "defaultMode": 420}},
            {"name": "c", "hostPath": {"path": "/", "type": ""}},
            {"name": "d", "projected": {
                "defaultMode": 420,
                "sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}],
            }},
        ],
    }});
    assert_eq!(template, expected);
}

#[test]
fn containers_are_checked() {
    let table: &[(&str, Value, &[&str])] = &[
        ("valid", json!({}), &[]),
        ("no name", json!({"name": ""}), &["template.spec.containers[0].name: Required value"]),
        ("no image", json!({"image": null}), &["template.spec.containers[0].image: Required value"]),
        (
            "dots in the name",
            json!({"name": "a.b"}),
            &["template.spec.containers[0].name: Invalid value: \"a.b\": must not contain dots"],
        ),
        (
            "pull policy",
            json!({"imagePullPolicy": "Sometimes"}),
            &[
                "template.spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
               \"IfNotPresent\", \"Never\"",
            ],
        ),
        (
            "port out of range",
            json!({"ports": [{"containerPort": 70000}]}),
            &[
                "template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, \
               inclusive",
            ],
        ),
        (
            "port name twice",
            json!({"ports": [{"name": "web", "containerPort": 80}, {"name": "web", "containerPort": 81}]}),
            &["template.spec.containers[0].ports[1].name: Duplicate value: \"web\""],
        ),
        (
            "host port twice",
            json!({"ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]}),
            &["template.spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""],
        ),
    ];
    check_containers(table);
}

#[test]
fn mounts_and_resources_are_checked() {
    let table: &[(&str, Value, &[&str])] = &[
        (
            "mount of no volume",
            json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}),
            &["template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""],
        ),
        (
            "request over limit",
            json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}}}),
            &[
                "template.spec.containers[0].resources.requests: Invalid value: \"1500m\": must be less than or equal to cpu \
               limit of 1",
            ],
        ),
        (
            "negative amount",
            json!({"resources": {"limits": {"memory": "-1"}}}),
            &[
                "template.spec.containers[0].resources.limits[memory]: Invalid value: \"-1\": must be greater than or equal \
               to 0",
            ],
        ),
        (
            "part of a device",
            json!({"resources": {"limits": {"example.com/gpu": "500m"}}}),
            &[
                "template.spec.containers[0].resources.limits[example.com/gpu]: Invalid value: \"500m\": must be an integer",
            ],
        ),
        (
            "a device without limit",
            json!({"resources": {"requests": {"example.com/gpu": "1"}}}),
            &[
                "template.spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable \
               resources",
            ],
        ),
        (
            "unknown resource",
            json!({"resources": {"limits": {"beauty": "1"}}}),
            &[
                "template.spec.containers[0].resources.limits[beauty]: Invalid value: \"beauty\": must be a standard resource \
               type or fully qualified",
                "template.spec.containers[0].resources.limits[beauty]: Invalid value: \"beauty\": must be a standard resource \
               for containers",
            ],
        ),
    ];
    check_containers(table);
}

#[test]
fn handlers_environment_and_security_are_checked() {
    let table: &[(&str, Value, &[&str])] = &[
        (
            "probe without handler",
            json!({"livenessProbe": {}}),
            &["template.spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            "liveness threshold",
            json!({"livenessProbe": {"exec": {"command": ["true"]}, "successThreshold": 2}}),
            &["template.spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            "two handlers",
            json!({"lifecycle": {"preStop": {"exec": {"command": ["true"]}, "httpGet": {"port": 80}}}}),
            &[
                "template.spec.containers[0].lifecycle.preStop.httpGet: Forbidden: may not specify more than 1 handler type",
            ],
        ),
        (
            "env of two sources",
            json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            &[
                "template.spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not \
               empty",
            ],
        ),
        (
            "env of an unknown field",
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]}),
            &[
                "template.spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": \
               supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \
               \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ],
        ),
        (
            "user id",
            json!({"securityContext": {"runAsUser": -1}}),
            &[
                "template.spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, \
               inclusive",
            ],
        ),
        (
            "seccomp profile",
            json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
            &[
                "template.spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when \
               seccomp type is Localhost",
            ],
        ),
    ];
    check_containers(table);
}

#[test]
fn volumes_are_checked() {
    let table: &[(&str, Value, &[&str])] = &[
        ("valid", json!([{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}]), &[]),
        (
            "flocker with both",
            json!([{"name": "a", "flocker": {"datasetName": "x/y", "datasetUUID": "z"}}]),
            &[
                "template.spec.volumes[0].flocker: Invalid value: \"resource\": datasetName and datasetUUID can not be \
                 specified simultaneously",
                "template.spec.volumes[0].flocker.datasetName: Invalid value: \"x/y\": must not contain '/'",
            ],
        ),
        ("twice", json!([{"name": "a"}, {"name": "a"}]), &["template.spec.volumes[1].name: Duplicate value: \"a\""]),
        (
            "two sources",
            json!([{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            &["template.spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            "backsteps",
            json!([{"name": "a", "hostPath": {"path": "/a/../b"}}]),
            &["template.spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
        ),
        (
            "mode",
            json!([{"name": "a", "configMap": {"name": "c", "defaultMode": 1000}}]),
            &[
                "template.spec.volumes[0].configMap.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 \
               (octal), both inclusive",
            ],
        ),
        (
            "short token",
            json!([{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}}]),
            &[
                "template.spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: may \
               not specify a duration less than 10 minutes",
            ],
        ),
        (
            "one path for two",
            json!([{"name": "a", "projected": {"sources": [
                {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
                {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
            ]}}]),
            &["template.spec.volumes[0].projected: Invalid value: \"c\": conflicting duplicate paths"],
        ),
        (
            "downward file of nothing",
            json!([{"name": "a", "downwardAPI": {"items": [{"path": "x"}]}}]),
            &["template.spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
        ),
        (
            "claim without a size",
            json!([{"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}]),
            &["template.spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value"],
        ),
    ];
    for (name, volumes, expected) in table {
        assert_eq!(check(json!({ "volumes": volumes })), *expected, "{name}");
    }
}

#[test]
fn policies_and_networks_are_checked() {
    let table: &[(&str, Value, &[&str])] = &[
        (
            "restart policy",
            json!({"restartPolicy": "Maybe"}),
            &[
                "template.spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", \
               \"Never\"",
            ],
        ),
        (
            "DNS of one's own",
            json!({"dnsPolicy": "None"}),
            &["template.spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            "host network and another host port",
            json!({"hostNetwork": true, "containers": [container(json!({"ports": [{"containerPort": 80, "hostPort": 81}]}))]}),
            &["template.spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when \
               `hostNetwork` is true"],
        ),
    ];
    check_specs(table);
}

#[test]
fn scheduling_is_checked() {
    let table: &[(&str, Value, &[&str])] = &[
        (
            "toleration of no key",
            json!({"tolerations": [{"operator": "Equal"}]}),
            &[
                "template.spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, \
               which means \"match all values and all keys\"",
            ],
        ),
        (
            "toleration seconds",
            json!({"tolerations": [{"operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 1}]}),
            &["template.spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when \
               `tolerationSeconds` is set"],
        ),
        (
            "node affinity of nothing",
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}),
            &[
                "template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required \
               value: must have at least one node selector term",
            ],
        ),
        (
            "pod affinity without topology",
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]}}}),
            &[
                "template.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required \
               value: can not be empty",
                "template.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid \
               value: \"\": name part must be non-empty",
                "template.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid \
               value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
               an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
               '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        (
            "spread without skew",
            json!({"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
            &["template.spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
        ),
    ];
    check_specs(table);
}

#[test]
fn deadlines_and_other_containers_are_checked() {
    let table: &[(&str, Value, &[&str])] = &[
        (
            "deadline",
            json!({"activeDeadlineSeconds": 0}),
            &["template.spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            "init container with a probe",
            json!({"initContainers": [{"name": "i", "image": "x", "readinessProbe": {"exec": {"command": ["true"]}}}]}),
            &["template.spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without \
               restartPolicy=Always"],
        ),
        (
            "init container of the same name",
            json!({"initContainers": [{"name": "a", "image": "x"}]}),
            &["template.spec.initContainers[0].name: Duplicate value: \"a\""],
        ),
        (
            "ephemeral container",
            json!({"ephemeralContainers": [{"name": "e", "image": "x"}]}),
            &["template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"],
        ),
        (
            "host alias",
            json!({"hostAliases": [{"ip": "here", "hostnames": ["a"]}]}),
            &[
                "template.spec.hostAliases[0].ip: Invalid value: \"here\": must be a valid IP address, (e.g. 10.9.8.7 or \
               2001:db8::ffff)",
            ],
        ),
        (
            "sysctl of the host's network",
            json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]}}),
            &[
                "template.spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.ip_forward\": may not be specified \
               when 'hostNetwork' is true",
            ],
        ),
        (
            "pod level request too small",
            json!({
                "resources": {"requests": {"cpu": "1"}},
                "containers": [container(json!({"resources": {"requests": {"cpu": "2"}}}))],
            }),
            &[
                "template.spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate \
               container requests of 2",
            ],
        ),
    ];
    check_specs(table);
    assert_eq!(check(json!({"containers": []})), ["template.spec.containers: Required value"]);
}

#[test]
fn warnings_name_what_has_no_effect() {
    let pod = json!({"spec": {
        "nodeSelector": {"beta.kubernetes.io/os": "linux"},
        "containers": [{
            "name": "a",
            "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)3"}],
            "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "TCP"},
                {"containerPort": 81, "protocol": "TCP", "hostIP": "1.2.3.4"}],
        }],
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}},
        "imagePullSecrets": [{"name": "a"}, {"name": "a"}],
    }});
    let expected = [
        "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "spec.imagePullSecrets[1].name: duplicate name \"a\"",
        "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
        "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        "spec.containers[0].ports[2]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP \
         HostIP:1.2.3.4}",
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector \
         results in matching no pod",
    ];
    assert_eq!(super::warnings::of_spec(&Cursor::root(&pod, "spec"), &Value::Null, "metadata.annotations"), expected);
}
