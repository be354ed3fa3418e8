use reconcile::plan::Verb;
use serde_json::{Value, json};

use super::*;
use crate::common::testing::{actions, merge, now, object, service, shared};

fn endpoints(edit: &Value) -> Value {
    let mut endpoints = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "e1", "labels": {"team": "a"},
            "annotations": {"note": "x", OWN_ANNOTATIONS[0]: "now", OWN_ANNOTATIONS[1]: "{}"}},
        "subsets": [{"addresses": [{"ip": "10.1.0.1"}], "ports": [{"name": "web", "port": 80, "protocol": "TCP"}]}],
    });
    merge(&mut endpoints, edit);
    endpoints
}

fn decide(root: &Value, service: Option<Value>, slices: Vec<Value>) -> Plan {
    let service = service.map(|service| Arc::new(object(service)));
    EndpointSliceMirroring.decide(&object(root.clone()), &View { service, slices: shared(slices) }, now())
}

fn without_selector() -> Option<Value> {
    Some(service(&json!({"spec": {"selector": null}})))
}

/// The written slices as stored objects.
fn written(plan: &Plan) -> Vec<Value> {
    let body = |(index, action): (usize, &Action)| match &action.verb {
        Verb::Create(body) => {
            let mut body = body.clone();
            let stored =
                json!({"name": format!("web-{index}"), "uid": format!("slice-{index}"), "resourceVersion": "1"});
            merge(&mut body["metadata"], &stored);
            Some(body)
        }
        Verb::Replace(body) => Some(body.clone()),
        _ => None,
    };
    plan.actions.iter().enumerate().filter_map(body).collect()
}

/// `type addresses:ports` of each slice; an address that is not ready has a minus sign.
fn told(slices: &[Value]) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |slice: &Value| {
        let address = |endpoint: &Value| {
            let sign = if endpoint["conditions"]["ready"] == true { "" } else { "-" };
            format!("{sign}{}", endpoint["addresses"][0].as_str().unwrap_or(""))
        };
        let addresses: Vec<String> = list(&slice["endpoints"]).iter().map(address).collect();
        let ports: Vec<String> = list(&slice["ports"]).iter().map(|port| port["port"].to_string()).collect();
        format!("{} {}:{}", slice["addressType"].as_str().unwrap_or(""), addresses.join(","), ports.join(","))
    };
    slices.iter().map(text).collect()
}

#[test]
fn slices_follow_from_the_subsets() {
    let subset = |ready: &[&str], not_ready: &[&str], ports: &[i32]| {
        let list = |ips: &[&str]| ips.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>();
        let ports: Vec<Value> = ports.iter().map(|port| json!({"name": port.to_string(), "port": port})).collect();
        json!({"addresses": list(ready), "notReadyAddresses": list(not_ready), "ports": ports})
    };
    let table: &[(&str, Vec<Value>, &[&str])] = &[
        ("nothing", vec![], &[]),
        ("nobody", vec![subset(&[], &[], &[80])], &[]),
        (
            "ready and not",
            vec![subset(&["10.1.0.2", "10.1.0.1"], &["10.1.0.3"], &[80])],
            &["IPv4 10.1.0.1,10.1.0.2,-10.1.0.3:80"],
        ),
        (
            "two families",
            vec![subset(&["10.1.0.1", "FD00:0::1"], &[], &[80])],
            &["IPv4 10.1.0.1:80", "IPv6 fd00::1:80"],
        ),
        ("no ports", vec![subset(&["10.1.0.1"], &[], &[])], &["IPv4 10.1.0.1:"]),
        ("zeros", vec![subset(&["010.001.000.01"], &[], &[80])], &["IPv4 10.1.0.1:80"]),
        (
            "ports with the same addresses share a slice",
            vec![subset(&["10.1.0.1"], &[], &[80]), subset(&["10.1.0.1"], &[], &[81])],
            &["IPv4 10.1.0.1:80,81"],
        ),
        (
            "ports with others do not",
            vec![subset(&["10.1.0.1"], &[], &[80, 81]), subset(&["10.1.0.2"], &[], &[81])],
            &["IPv4 10.1.0.1:80", "IPv4 10.1.0.1,10.1.0.2:81"],
        ),
        (
            "once not ready is not ready",
            vec![subset(&["10.1.0.1"], &[], &[80]), subset(&[], &["10.1.0.1"], &[80])],
            &["IPv4 -10.1.0.1:80"],
        ),
    ];
    for (name, subsets, expected) in table {
        let root = endpoints(&json!({ "subsets": subsets }));
        let plan = decide(&root, without_selector(), Vec::new());
        assert_eq!(told(&written(&plan)), *expected, "{name}");
        assert!(decide(&root, without_selector(), written(&plan)).is_empty(), "{name}: what is right stays unwritten");
    }
}

#[test]
fn a_slice_is_marked_and_owned() {
    let plan = decide(&endpoints(&json!({})), without_selector(), Vec::new());
    assert_eq!(actions(&plan), ["create EndpointSlice shop/web-*"]);
    let metadata = &written(&plan)[0]["metadata"];
    assert_eq!(metadata["labels"], json!({"team": "a", SERVICE_NAME: "web", MANAGED_BY: MANAGER}));
    assert_eq!(metadata["annotations"], json!({"note": "x"}));
    assert_eq!(
        metadata["ownerReferences"],
        json!([{"apiVersion": "v1", "kind": "Endpoints", "name": "web", "uid": "e1",
        "controller": true, "blockOwnerDeletion": true}])
    );
}

#[test]
fn what_is_not_to_be_mirrored_is_not() {
    let slices = || written(&decide(&endpoints(&json!({})), without_selector(), Vec::new()));
    let table = [
        ("no service", json!({}), None),
        ("with a selector", json!({}), Some(service(&json!({})))),
        ("skipped", json!({"metadata": {"labels": {SKIP: "true"}}}), without_selector()),
        ("elects a leader", json!({"metadata": {"annotations": {LEADER: "{}"}}}), without_selector()),
    ];
    for (name, edit, service) in table {
        assert!(decide(&endpoints(&edit), service.clone(), Vec::new()).is_empty(), "{name}");
        assert_eq!(
            actions(&decide(&endpoints(&edit), service, slices())),
            ["delete EndpointSlice shop/web-0"],
            "{name}"
        );
    }
    let caches = Caches::default();
    caches.insert::<EndpointSlice>(slices().into_iter().map(object).collect());
    let store = caches.get::<EndpointSlice>();
    store.add_index(BY_SERVICE, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
    for (name, expected) in [("web", 1), ("other", 0)] {
        assert_eq!(
            EndpointSliceMirroring.absent(&Key::namespaced("shop", name), &caches).actions.len(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn changes_are_written_over_what_is_there() {
    let slices = || written(&decide(&endpoints(&json!({})), without_selector(), Vec::new()));
    let replace = "replace EndpointSlice shop/web-0";
    let port = |port: i32| json!([{"addresses": [{"ip": "10.1.0.1"}], "ports": [{"port": port}]}]);
    let table = [
        ("labels", json!({"metadata": {"labels": {"team": "b"}}}), replace),
        ("annotations", json!({"metadata": {"annotations": {"note": "y"}}}), replace),
        ("made anew", json!({"metadata": {"uid": "e2"}}), replace),
        (
            "another address",
            json!({"subsets": [{"addresses": [{"ip": "10.1.0.2"}], "ports": [{"name": "web", "port": 80}]}]}),
            replace,
        ),
        ("other ports take the slice over", json!({"subsets": port(81)}), replace),
        ("nobody is left", json!({"subsets": null}), "delete EndpointSlice shop/web-0"),
    ];
    for (name, edit, expected) in table {
        let plan = decide(&endpoints(&edit), without_selector(), slices());
        assert_eq!(actions(&plan), [expected], "{name}");
    }
    let mut twice = slices();
    twice.push(twice[0].clone());
    merge(&mut twice[1]["metadata"], &json!({"name": "web-1", "uid": "slice-1"}));
    assert_eq!(
        actions(&decide(&endpoints(&json!({})), without_selector(), twice)),
        ["delete EndpointSlice shop/web-1"]
    );
    let leaving = endpoints(&json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}}));
    assert!(decide(&leaving, without_selector(), Vec::new()).is_empty(), "nothing is made for what goes");
}

#[test]
fn a_thousand_addresses_are_mirrored() {
    let ips: Vec<Value> = (0..1100).map(|n| json!({"ip": format!("10.1.{}.{}", n / 250, n % 250)})).collect();
    let root = endpoints(&json!({"subsets": [{"addresses": ips, "ports": [{"port": 80}]}]}));
    let plan = decide(&root, without_selector(), Vec::new());
    assert_eq!(written(&plan)[0]["endpoints"].as_array().map(Vec::len), Some(1000));
    let expected =
        "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 100 addresses were skipped";
    assert_eq!(plan.events[0].message, expected);
}
