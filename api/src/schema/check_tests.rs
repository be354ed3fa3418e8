use serde_json::json;

use super::*;
use crate::gvk::GroupVersionKind;

fn id(api_version: &str, kind: &str) -> TypeId {
    SchemaSet::builtin().of_kind(&GroupVersionKind::from_api_version(api_version, kind)).expect("a kind")
}

#[test]
fn normalizes_as_a_round_trip_through_go() {
    let pod = id("v1", "Pod");
    let cases = [
        ("null is absent", json!({"spec": {"nodeName": null, "volumes": null}}), json!({"spec": {}})),
        ("empty is absent", json!({"metadata": {"labels": {}, "finalizers": [], "name": ""}}), json!({"metadata": {}})),
        (
            "false is absent unless a pointer",
            json!({"spec": {"hostNetwork": false, "enableServiceLinks": false}}),
            json!({"spec": {"enableServiceLinks": false}}),
        ),
        (
            "times have seconds and are in UTC",
            json!({"metadata": {"creationTimestamp": "2024-02-29T14:34:56.789+02:00"}}),
            json!({"metadata": {"creationTimestamp": "2024-02-29T12:34:56Z"}}),
        ),
        (
            "the zero time is absent",
            json!({"metadata": {"creationTimestamp": "0001-01-01T00:00:00Z"}}),
            json!({"metadata": {}}),
        ),
        (
            "quantities",
            json!({"spec": {"overhead": {"cpu": 1, "memory": "1024Mi", "x": null}}}),
            json!({"spec": {"overhead": {"cpu": "1", "memory": "1Gi", "x": "0"}}}),
        ),
        (
            "null elements",
            json!({"spec": {"containers": [null], "hostAliases": [{"hostnames": [null]}]}}),
            json!({"spec": {"containers": [{}], "hostAliases": [{"hostnames": [""]}]}}),
        ),
        ("a struct stays when empty", json!({"status": {}}), json!({"status": {}})),
    ];
    for (name, mut value, expected) in cases {
        assert_eq!(conform(SchemaSet::builtin(), pod, &mut value), Conformance::default(), "{name}");
        assert_eq!(value, expected, "{name}");
    }
}

#[test]
fn what_is_sent_tells_empty_from_none_where_lists_are_whole() {
    let pod = id("v1", "Pod");
    let cases = [
        (json!({"hostAliases": [{"ip": "1.2.3.4", "hostnames": []}]}), json!({"hostAliases": [{"ip": "1.2.3.4"}]})),
        (json!({"tolerations": []}), json!({})),
        (
            json!({"readinessGates": [], "tolerations": [{"key": ""}], "imagePullSecrets": [{"name": "a"}]}),
            json!({"tolerations": [{}], "imagePullSecrets": [{"name": "a"}]}),
        ),
    ];
    for (mut spec, expected) in cases.map(|(spec, expected)| (json!({"spec": spec}), json!({"spec": expected}))) {
        conform_sent(SchemaSet::builtin(), pod, &mut spec);
        assert_eq!(spec, expected);
    }
    let claim = id("resource.k8s.io/v1", "ResourceClaim");
    let spec = |request: Value| json!({"spec": {"devices": {"requests": [request], "constraints": []}}});
    let kept = |request: Value| json!({"spec": {"devices": {"requests": [request]}}});
    let mut sent = spec(json!({"name": "r", "firstAvailable": [], "exactly": {"selectors": [], "count": 0}}));
    conform_sent(SchemaSet::builtin(), claim, &mut sent);
    assert_eq!(sent, kept(json!({"name": "r", "firstAvailable": [], "exactly": {"selectors": []}})));
    conform(SchemaSet::builtin(), claim, &mut sent);
    assert_eq!(sent, kept(json!({"name": "r", "exactly": {}})));
}

#[test]
fn prunes_and_names_unknown_fields() {
    let mut value =
        json!({"x": 1, "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a"}, {"imag": {}}]}});
    let found = conform(SchemaSet::builtin(), id("v1", "Pod"), &mut value);
    assert_eq!(found.unknown, ["spec.containers[1].imag", "x"]);
    let expected = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a"}, {}]}});
    assert_eq!(value, expected);

    let definition = id("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let schema = json!({"openAPIV3Schema": {"properties": {"spec": {"properties": {"size": {"x": 1}}}}}});
    let value = json!({"spec": {"versions": [{"schema": schema}]}});
    let at = "spec.versions[0].schema.openAPIV3Schema.properties";
    let found = conform(SchemaSet::builtin(), definition, &mut value.clone());
    assert_eq!(found.unknown, [format!("{at}.spec.properties.size.x")]);
    let found = conform_converted(SchemaSet::builtin(), definition, &mut value.clone());
    assert_eq!(found.unknown, [format!("{at}.properties.x")]);
}

type Mismatch = ((&'static str, &'static str), Value, &'static str);

fn check_mismatches(cases: &[Mismatch]) {
    for ((api_version, kind), value, expected) in cases {
        let found = conform(SchemaSet::builtin(), id(api_version, kind), &mut value.clone());
        let errors: Vec<String> = found.errors.iter().map(TypeMismatch::to_string).collect();
        assert_eq!(errors, [*expected], "{value}");
    }
}

#[test]
fn mismatches_in_gos_words() {
    let (pod, deployment) = (("v1", "Pod"), ("apps/v1", "Deployment"));
    check_mismatches(&[
        (
            deployment,
            json!({"spec": {"replicas": "3"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment,
            json!({"spec": {"replicas": 3000000000_u64}}),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment,
            json!({"spec": {"replicas": 1.5}}),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (pod, json!({"spec": []}), "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
        (
            pod,
            json!({"spec": {"containers": {}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            pod,
            json!({"spec": {"containers": ["x"]}}),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            pod,
            json!({"spec": {"containers": [{"env": [{"name": "a", "value": 1}]}]}}),
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            pod,
            json!({"spec": {"restartPolicy": true}}),
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            pod,
            json!({"spec": {"volumes": [{"hostPath": 1}]}}),
            "json: cannot unmarshal number into Go struct field Volume.spec.volumes.VolumeSource.hostPath of type v1.HostPathVolumeSource",
        ),
        (
            pod,
            json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            pod,
            json!({"metadata": {"labels": []}}),
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            pod,
            json!({"kind": 1}),
            "json: cannot unmarshal number into Go struct field Pod.TypeMeta.kind of type string",
        ),
    ]);
}

#[test]
fn mismatches_of_leaves_in_gos_words() {
    let (pod, service, secret) = (("v1", "Pod"), ("v1", "Service"), ("v1", "Secret"));
    check_mismatches(&[
        (
            pod,
            json!({"metadata": {"creationTimestamp": 1}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            pod,
            json!({"metadata": {"creationTimestamp": "soon"}}),
            r#"parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006""#,
        ),
        (
            service,
            json!({"spec": {"ports": [{"targetPort": true}]}}),
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            pod,
            json!({"spec": {"overhead": {"cpu": "x"}}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (secret, json!({"data": {"a": "!"}}), "illegal base64 data at input byte 0"),
        (
            secret,
            json!({"data": {"a": 1}}),
            "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
        ),
        (pod, json!([]), "json: cannot unmarshal array into Go value of type v1.Pod"),
    ]);
}

#[test]
fn the_error_that_upstream_reports_is_the_first() {
    let mut value = json!({"spec": {"hostname": 1, "nodeName": 2, "overhead": {"cpu": "x"}, "tolerations": 3}});
    let found = conform(SchemaSet::builtin(), id("v1", "Pod"), &mut value);
    assert_eq!(found.errors.len(), 4);
    assert!(matches!(found.errors[0], TypeMismatch::Quantity(_)), "{:?}", found.errors[0]);
    assert!(matches!(&found.errors[1], TypeMismatch::Field { path, .. } if path == "spec.hostname"));
}

#[test]
fn schemas_inside_of_definitions() {
    let crd = id("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let wrap = |schema: Value| json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
    let mut value = wrap(json!({
        "type": "object", "x-kubernetes-preserve-unknown-fields": false, "default": {"any": [null]},
        "not": {"items": [null, {"x": 1}]}, "items": {"type": "string", "odd": 1}, "additionalProperties": false, "dependencies": {"a": ["b"]},
    }));
    assert_eq!(conform(SchemaSet::builtin(), crd, &mut value), Conformance::default());
    let expected = wrap(json!({
        "type": "object", "x-kubernetes-preserve-unknown-fields": false, "default": {"any": [null]},
        "not": {"items": [{}, {}]}, "items": {"type": "string"}, "additionalProperties": false, "dependencies": {"a": ["b"]},
    }));
    assert_eq!(value, expected);
    let found = conform(SchemaSet::builtin(), crd, &mut wrap(json!({"additionalProperties": 1})));
    assert_eq!(found.errors, [TypeMismatch::SchemaOrBool]);
}

#[test]
fn completes_what_go_always_writes() {
    let mut value = json!({"spec": {"containers": [{"name": "a"}], "tolerations": []}});
    complete(SchemaSet::builtin(), id("v1", "Pod"), &mut value);
    let expected = json!({
        "metadata": {}, "spec": {"containers": [{"name": "a", "resources": {}}], "tolerations": []}, "status": {},
    });
    assert_eq!(value, expected);
    let mut service = json!({});
    complete(SchemaSet::builtin(), id("v1", "Service"), &mut service);
    assert_eq!(service, json!({"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}}));
}

#[test]
fn mismatches_in_the_words_of_the_converter() {
    let pod = id("v1", "Pod");
    let cases = [
        (json!({"spec": 1.5}), "cannot restore struct from: float64"),
        (json!({"spec": {"containers": {}}}), "cannot restore slice from map"),
        (json!({"metadata": {"labels": ["a"]}}), "cannot restore map from slice"),
        (json!({"spec": {"nodeName": 7}}), "cannot convert int64 to string"),
        (json!({"spec": {"nodeName": true}}), "unrecognized type: string"),
        (json!({"spec": {"restartPolicy": 7}}), "cannot convert int64 to v1.RestartPolicy"),
        (json!({"spec": {"priority": "x"}}), "unrecognized type: int32"),
        (json!({"spec": {"priority": 1.5}}), "cannot convert float64 to int32"),
        (json!({"spec": {"hostPID": "x"}}), "unrecognized type: bool"),
        (json!({"metadata": {"creationTimestamp": 7}}), "json: cannot unmarshal number into Go value of type string"),
        (
            json!({"spec": {"overhead": {"cpu": "x"}}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ];
    for (mut value, expected) in cases {
        let text = value.to_string();
        assert_eq!(conform(SchemaSet::builtin(), pod, &mut value).conversion.as_deref(), Some(expected), "{text}");
    }
}
