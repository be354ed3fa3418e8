//! Tables of Services and of changes to them.

use serde_json::{Value, json};

use super::{Service, fields};
use crate::strategy::Strategy;

fn service(spec: Value) -> Value {
    let mut object = json!({ "metadata": {"name": "web"}, "spec": spec });
    Service.defaults(&mut object, None);
    fields::both_addresses(&mut object);
    object
}

fn texts(errors: Vec<api::field::FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn check(table: &[(&str, Value, &[&str])]) {
    for (name, spec, expected) in table {
        let service = service(spec.clone());
        let first = Service.before_allocation(&service);
        let errors = if first.is_empty() { Service.validate(&service) } else { first };
        assert_eq!(texts(errors), *expected, "{name}");
    }
}

#[test]
fn services_are_filled_in() {
    let table = [
        (
            "ClusterIP",
            json!({"ports": [{"port": 80}], "clusterIP": "10.0.0.9"}),
            json!({
                "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            }),
        ),
        (
            "NodePort with affinity",
            json!({"type": "NodePort", "sessionAffinity": "ClientIP", "ports": [{"port": 80, "targetPort": "web"}]}),
            json!({
                "type": "NodePort", "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Cluster",
                "externalTrafficPolicy": "Cluster", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": "web"}],
            }),
        ),
        (
            "headless without selector",
            json!({"clusterIP": "None"}),
            json!({
                "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                "clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
            }),
        ),
        (
            "ExternalName",
            json!({"type": "ExternalName", "externalName": "example.com"}),
            json!({"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"}),
        ),
    ];
    for (name, given, expected) in table {
        let mut object = service(given);
        Service.prepare_for_allocation(&mut object, None);
        assert_eq!(object["spec"], expected, "{name}");
        let once = object.clone();
        Service.defaults(&mut object, None);
        assert_eq!(object, once, "{name} twice");
        assert_eq!(texts(Service.validate(&object)), Vec::<String>::new(), "{name}");
    }
    let balanced = service(json!({"type": "LoadBalancer", "ports": [{"port": 80}]}));
    assert_eq!(balanced["spec"]["allocateLoadBalancerNodePorts"], true);
}

#[test]
fn services_are_checked() {
    let port = json!({"port": 80});
    let table: &[(&str, Value, &[&str])] = &[
        ("no ports", json!({}), &["spec.ports: Required value"]),
        (
            "two ports without names",
            json!({"ports": [port, {"port": 81}]}),
            &["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            "one port twice",
            json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}),
            &["spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}"],
        ),
        (
            "node port of a cluster address",
            json!({"ports": [{"port": 80, "nodePort": 30000}]}),
            &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            "no address",
            json!({"ports": [port], "clusterIP": "ten"}),
            &[
                "spec.clusterIPs[0]: Invalid value: \"ten\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
        ),
        (
            "another first address",
            json!({"ports": [port], "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}),
            &["spec.clusterIPs: Invalid value: [\"10.0.0.2\"]: first value must match `clusterIP`"],
        ),
        (
            "dual stack",
            json!({"ports": [port], "ipFamilyPolicy": "RequireDualStack"}),
            &[
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
            ],
        ),
    ];
    check(table);
}

#[test]
fn types_have_their_own_fields() {
    let port = json!({"port": 80});
    let table: &[(&str, Value, &[&str])] = &[
        (
            "headless node port",
            json!({"type": "NodePort", "clusterIP": "None", "ports": [port], "selector": {"a": "b"}}),
            &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        ("no external name", json!({"type": "ExternalName"}), &["spec.externalName: Required value"]),
        (
            "external name with an address",
            json!({"type": "ExternalName", "externalName": "a.b.", "clusterIPs": ["10.0.0.1"]}),
            &["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
        ),
        (
            "loopback",
            json!({"ports": [port], "externalIPs": ["127.0.0.1"]}),
            &[
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ],
        ),
        (
            "policy of nobody outside",
            json!({"ports": [port], "externalTrafficPolicy": "Local"}),
            &[
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ],
        ),
        (
            "unknown type",
            json!({"type": "Magic", "ports": [port], "internalTrafficPolicy": "Cluster"}),
            &[
                "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \
               \"NodePort\"",
            ],
        ),
        (
            "affinity",
            json!({"ports": [port], "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}),
            &[
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than \
               86400",
            ],
        ),
        (
            "source ranges",
            json!({"type": "LoadBalancer", "ports": [port], "loadBalancerSourceRanges": ["10.0.0.0/8", "10.0.0.0/33"]}),
            &[
                "spec.LoadBalancerSourceRanges[1]: Invalid value: \"10.0.0.0/33\": must be a valid CIDR value, (e.g. 10.9.8.0/24 \
               or 2001:db8::/64)",
            ],
        ),
    ];
    check(table);
}

#[test]
fn addresses_stay() {
    let old = service(json!({"ports": [{"port": 80}], "clusterIP": "10.0.0.1"}));
    let new = service(json!({"ports": [{"port": 80}], "clusterIP": "10.0.0.2"}));
    let expected = ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"];
    assert_eq!(texts(Service.validate_update(&new, &old)), expected);
    // An old client that leaves the address out, and one that clears it together with the type.
    let mut silent = service(json!({"ports": [{"port": 80}]}));
    Service.prepare_for_update(&mut silent, &old);
    assert_eq!(
        (&silent["spec"]["clusterIP"], &silent["spec"]["clusterIPs"]),
        (&json!("10.0.0.1"), &json!(["10.0.0.1"]))
    );
    assert_eq!(texts(Service.validate_update(&silent, &old)), Vec::<String>::new());
}

#[test]
fn node_ports_stay_by_name() {
    let port = |name: &str, number: i64| json!({"name": name, "port": number, "nodePort": 30000 + number});
    let old = service(json!({"type": "NodePort", "ports": [port("a", 1), port("b", 2)]}));
    let mut new = service(json!({"type": "NodePort", "ports": [{"name": "b", "port": 9}, {"name": "c", "port": 3}]}));
    Service.prepare_for_update(&mut new, &old);
    assert_eq!(new["spec"]["ports"][0]["nodePort"], 30002);
    assert!(new["spec"]["ports"][1].get("nodePort").is_none());
}

#[test]
fn a_change_of_type_drops_what_it_has_no_use_for() {
    let old = service(json!({
        "type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
        "ports": [{"port": 80, "nodePort": 30000}],
    }));
    let mut internal = old.clone();
    internal["spec"]["type"] = json!("ClusterIP");
    Service.prepare_for_update(&mut internal, &old);
    assert_eq!(texts(Service.validate(&internal)), Vec::<String>::new());
    assert!(internal["spec"]["ports"][0].get("nodePort").is_none());
    let mut external = old.clone();
    external["spec"]["type"] = json!("ExternalName");
    external["spec"]["externalName"] = json!("example.com");
    Service.prepare_for_update(&mut external, &old);
    assert_eq!(texts(Service.validate(&external)), Vec::<String>::new());
    assert!(external["spec"].get("clusterIP").is_none() && external["spec"].get("internalTrafficPolicy").is_none());
}

#[test]
fn the_status_is_a_load_balancers() {
    let mut object = service(json!({"type": "LoadBalancer", "ports": [{"port": 80}]}));
    object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}});
    Service.defaults(&mut object, None);
    assert_eq!(object["status"]["loadBalancer"]["ingress"][0]["ipMode"], "VIP");
    assert_eq!(texts(Service.validate_subresource("status", &object, &object)), Vec::<String>::new());
    object["spec"]["type"] = json!("ClusterIP");
    let expected = ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"];
    assert_eq!(texts(Service.validate_subresource("status", &object, &object)), expected);
}
