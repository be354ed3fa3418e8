use serde_json::{Value, json};

use super::*;

fn node() -> Node {
    Node { name: "here".into() }
}

fn service(spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "a"}, "spec": spec})).unwrap()
}

/// Endpoints as `address node conditions`: r(eady), s(erving), t(erminating).
fn slice(port: Value, endpoints: &[&str]) -> EndpointSlice {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|text| {
            let parts: Vec<&str> = text.split(' ').collect();
            let has = |letter: char| parts[2].contains(letter);
            let conditions = json!({"ready": has('r'), "serving": has('s'), "terminating": has('t')});
            json!({"addresses": [parts[0]], "nodeName": parts[1], "conditions": conditions})
        })
        .collect();
    serde_json::from_value(json!({"metadata": {}, "addressType": "IPv4", "ports": [port], "endpoints": endpoints}))
        .unwrap()
}

/// One line per frontend.
fn text(rules: &Rules) -> Vec<String> {
    let line = |(frontend, rule): (&Frontend, &Rule)| {
        let front = match frontend {
            Frontend::Address { address, protocol, port } => format!("{address}:{port}/{}", protocol.name()),
            Frontend::NodePort { protocol, port } => format!("node:{port}/{}", protocol.name()),
        };
        let back: Vec<String> = rule.backends.iter().map(|back| format!("{}:{}", back.address, back.port)).collect();
        let flags =
            format!("{}{}", if rule.affinity { " affinity" } else { "" }, if rule.masquerade { " masq" } else { "" });
        format!("{front} -> {}{flags}", back.join(","))
    };
    rules.iter().map(line).collect()
}

#[test]
fn services_become_rules() {
    let web = json!({"name": "", "port": 8080, "protocol": "TCP"});
    let three = ["10.0.0.3 there rs", "10.0.0.2 here rs", "10.0.0.4 here s"];
    let cluster = json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ports": [{"port": 80}]});
    let with = |extra: Value| {
        let mut spec = cluster.clone();
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        spec
    };
    let cases: Vec<(&str, Value, &[&str], &[&str])> = vec![
        ("ready only, sorted", cluster.clone(), &three, &["10.96.0.9:80/tcp -> 10.0.0.2:8080,10.0.0.3:8080"]),
        ("none", cluster.clone(), &[], &["10.96.0.9:80/tcp -> "]),
        ("draining as a last resort", cluster.clone(), &["10.0.0.2 here st"], &["10.96.0.9:80/tcp -> 10.0.0.2:8080"]),
        ("not ready is not draining", cluster.clone(), &["10.0.0.2 here s"], &["10.96.0.9:80/tcp -> "]),
        (
            "affinity",
            with(json!({"sessionAffinity": "ClientIP"})),
            &three[..1],
            &["10.96.0.9:80/tcp -> 10.0.0.3:8080 affinity"],
        ),
        (
            "internal Local",
            with(json!({"internalTrafficPolicy": "Local"})),
            &three,
            &["10.96.0.9:80/tcp -> 10.0.0.2:8080"],
        ),
        (
            "node port",
            with(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]})),
            &three[..1],
            &["10.96.0.9:80/tcp -> 10.0.0.3:8080", "node:30080/tcp -> 10.0.0.3:8080 masq"],
        ),
        (
            "node port, Local",
            with(json!({"externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]})),
            &three[..1],
            &["10.96.0.9:80/tcp -> 10.0.0.3:8080", "node:30080/tcp -> "],
        ),
        ("headless", with(json!({"clusterIP": "None", "clusterIPs": ["None"]})), &three, &[]),
        ("external name", with(json!({"type": "ExternalName"})), &three, &[]),
        ("another port name", with(json!({"ports": [{"name": "x", "port": 80}]})), &three, &["10.96.0.9:80/tcp -> "]),
    ];
    for (name, spec, endpoints, expected) in cases {
        let slice = slice(web.clone(), endpoints);
        assert_eq!(text(&of_service(&service(spec), [&slice], &node())), expected, "{name}");
    }
}

#[test]
fn slices_of_one_service_are_merged_and_other_families_left_out() {
    let first = slice(json!({"port": 1}), &["10.0.0.2 here rs"]);
    let second = slice(json!({"port": 2}), &["10.0.0.2 here rs", "10.0.0.3 here rs"]);
    let mut six = second.clone();
    six.address_type = "IPv6".into();
    let spec = json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]});
    let rules = of_service(&service(spec), [&first, &second, &six], &node());
    assert_eq!(text(&rules), ["10.96.0.9:80/tcp -> 10.0.0.2:1,10.0.0.2:2,10.0.0.3:2"]);
}

#[test]
fn a_change_costs_what_changed() {
    let front = |port| Frontend::NodePort { protocol: Protocol::Tcp, port };
    let rule = |last| Rule { backends: vec![Backend { address: [10, 0, 0, last].into(), port: 1 }], ..Rule::default() };
    let mut set = RuleSet::default();
    set.replace("a/x", Rules::from([(front(1), rule(1)), (front(2), rule(2))]));
    set.replace("a/y", Rules::from([(front(9), rule(9))]));
    let changes = set.replace("a/x", Rules::from([(front(1), rule(1)), (front(3), rule(3))]));
    assert_eq!(changes.removed, [(front(2), rule(2))]);
    assert_eq!(changes.set, [(front(3), None, rule(3))]);
    assert!(set.replace("a/x", Rules::from([(front(1), rule(1)), (front(3), rule(3))])).is_empty());
    assert_eq!(set.all().set.len(), 3);
    assert_eq!(set.replace("a/y", Rules::new()).removed.len(), 1);
    assert_eq!(set.services().collect::<Vec<_>>(), ["a/x"]);
}
