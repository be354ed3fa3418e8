//! Tables of pods and of changes to them.

use serde_json::{Value, json};

use super::Pod;
use crate::strategy::{Deletion, Strategy};

/// A valid stored pod.
fn pod() -> Value {
    let mut pod = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "a", "image": "busybox", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]},
    });
    Pod.defaults(&mut pod, None);
    Pod.prepare_for_create(&mut pod);
    Pod.defaults(&mut pod, None);
    pod
}

fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    pod.pointer_mut(parent).expect("a parent")[name] = value;
    pod
}

fn texts(errors: Vec<api::field::FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_new_pod_is_pending() {
    let pod = pod();
    assert_eq!(texts(Pod.validate(&pod)), Vec::<String>::new());
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "Guaranteed"}));
    assert_eq!(pod["spec"]["enableServiceLinks"], true);
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "1", "memory": "1Gi"}));
}

#[test]
fn class_follows_resources() {
    let table = [
        ("nothing", json!({}), "BestEffort"),
        ("requests", json!({"requests": {"cpu": "1"}}), "Burstable"),
        ("one limit", json!({"limits": {"cpu": "1"}}), "Burstable"),
        ("both limits", json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
        ("smaller requests", json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1m"}}), "Burstable"),
        ("zero", json!({"limits": {"cpu": "0"}}), "BestEffort"),
    ];
    for (name, resources, expected) in table {
        let mut pod = with(pod(), "/spec/containers/0/resources", resources);
        Pod.defaults(&mut pod, None);
        pod["status"] = json!({});
        Pod.prepare_for_create(&mut pod);
        assert_eq!(pod["status"]["qosClass"], expected, "{name}");
    }
}

#[test]
fn gates_show_in_the_status_of_a_new_pod() {
    let mut pod = with(pod(), "/spec/schedulingGates", json!([{"name": "example.com/wait"}]));
    Pod.prepare_for_create(&mut pod);
    assert_eq!(pod["status"]["conditions"][0]["reason"], "SchedulingGated");
    let pod = with(pod, "/spec/nodeName", json!("node-1"));
    let expected = ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"];
    assert_eq!(texts(Pod.validate_create(&pod)), expected);
}

#[test]
fn label_keys_become_selectors() {
    let term =
        json!({"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["rev"], "mismatchLabelKeys": ["tenant"]});
    let affinity = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let mut pod = with(pod(), "/spec/affinity", affinity);
    pod["metadata"]["labels"] = json!({"rev": "1", "tenant": "a"});
    Pod.prepare_for_create(&mut pod);
    let term = &pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    let expected = json!([
        {"key": "rev", "operator": "In", "values": ["1"]},
        {"key": "tenant", "operator": "NotIn", "values": ["a"]},
    ]);
    assert_eq!(term["labelSelector"]["matchExpressions"], expected);
    assert_eq!(texts(Pod.validate(&pod)), Vec::<String>::new());
}

#[test]
fn a_host_network_pod_takes_host_ports() {
    let mut pod = with(pod(), "/spec/hostNetwork", json!(true));
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    Pod.defaults(&mut pod, None);
    assert_eq!(
        pod["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}])
    );
}

#[test]
fn few_fields_may_change() {
    let toleration =
        |seconds: i64| json!([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    let old = with(pod(), "/spec/tolerations", toleration(1));
    let old = with(old, "/spec/activeDeadlineSeconds", json!(10));
    let table: &[(&str, Value, &str)] = &[
        ("nothing", old.clone(), ""),
        ("image", with(old.clone(), "/spec/containers/0/image", json!("busybox:1")), ""),
        ("a toleration's seconds", with(old.clone(), "/spec/tolerations", toleration(2)), ""),
        ("a shorter deadline", with(old.clone(), "/spec/activeDeadlineSeconds", json!(5)), ""),
        (
            "a longer deadline",
            with(old.clone(), "/spec/activeDeadlineSeconds", json!(50)),
            "spec.activeDeadlineSeconds: Invalid value: 50: must be less than or equal to previous value",
        ),
        (
            "no toleration",
            with(old.clone(), "/spec/tolerations", json!([])),
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ),
        (
            "a new toleration of nothing",
            with(old.clone(), "/spec/tolerations", json!([toleration(1)[0], {"value": "a"}])),
            "spec.tolerations[1].operator: Invalid value: \"\": operator must be Exists when `key` is empty",
        ),
        (
            "another container",
            with(old.clone(), "/spec/containers", json!([])),
            "spec.containers: Forbidden: pod updates may not add or remove containers",
        ),
        (
            "a new gate",
            with(old.clone(), "/spec/schedulingGates", json!([{"name": "a"}])),
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'",
        ),
        (
            "a new gate twice",
            with(old.clone(), "/spec/schedulingGates", json!([{"name": "a"}, {"name": "a"}])),
            "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'",
        ),
        (
            "a false that nobody had set",
            with(old.clone(), "/spec/hostUsers", json!(false)),
            "spec: Forbidden: pod updates may not change fields other than ",
        ),
        (
            "an empty policy that nobody had set",
            with(old.clone(), "/spec/containers/0/restartPolicy", json!("")),
            "spec: Forbidden: pod updates may not change fields other than ",
        ),
        (
            "node",
            with(old.clone(), "/spec/nodeName", json!("n")),
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
             tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n",
        ),
    ];
    for (name, new, expected) in table {
        let errors = texts(Pod.validate_update(new, &old));
        match *expected {
            "" => assert_eq!(errors, Vec::<String>::new(), "{name}"),
            expected => assert!(errors.len() == 1 && errors[0].starts_with(expected), "{name}: {errors:?}"),
        }
    }
}

#[test]
fn a_gated_pod_may_be_tied_to_fewer_nodes() {
    let gated = with(pod(), "/spec/schedulingGates", json!([{"name": "a"}]));
    let gated = with(gated, "/spec/nodeSelector", json!({"a": "b"}));
    let more = with(gated.clone(), "/spec/nodeSelector", json!({"a": "b", "c": "d"}));
    let other = with(gated.clone(), "/spec/nodeSelector", json!({"a": "c"}));
    assert_eq!(texts(Pod.validate_update(&more, &gated)), Vec::<String>::new());
    let expected =
        ["spec.nodeSelector: Invalid value: {\"a\":\"c\"}: only additions to spec.nodeSelector are allowed (no \
                     mutations or deletions)"];
    assert_eq!(texts(Pod.validate_update(&other, &gated)), expected);
}

#[test]
fn only_running_pods_get_grace() {
    let running = with(pod(), "/spec/nodeName", json!("node-1"));
    let table = [
        ("not scheduled", pod(), None, Deletion::Graceful { seconds: 0 }),
        ("the pod's own", running.clone(), None, Deletion::Graceful { seconds: 30 }),
        ("asked for", running.clone(), Some(5), Deletion::Graceful { seconds: 5 }),
        ("forced", running.clone(), Some(0), Deletion::Graceful { seconds: 0 }),
        ("negative", running.clone(), Some(-1), Deletion::Graceful { seconds: 1 }),
        ("over", with(running, "/status/phase", json!("Succeeded")), None, Deletion::Graceful { seconds: 0 }),
    ];
    for (name, pod, asked, expected) in table {
        assert_eq!(Pod.on_delete(&pod, asked), expected, "{name}");
    }
}

#[test]
fn what_ended_stays_ended() {
    let status = |state: Value| json!([{"name": "a", "state": state}]);
    let over = |code: i64| status(json!({"terminated": {"exitCode": code}}));
    let running = status(json!({"running": {}}));
    let forbidden = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state";
    let table = [("Always", 0, ""), ("OnFailure", 1, ""), ("OnFailure", 0, forbidden), ("Never", 1, forbidden)];
    for (policy, code, expected) in table {
        let old = with(pod(), "/spec/restartPolicy", json!(policy));
        let old = with(old, "/status/containerStatuses", over(code));
        let new = with(old.clone(), "/status/containerStatuses", running.clone());
        let errors = texts(Pod.validate_subresource("status", &new, &old));
        assert_eq!(errors.join("\n"), expected, "{policy} after {code}");
    }
}

#[test]
fn a_status_keeps_what_the_writer_does_not_know() {
    let mut old = pod();
    old["metadata"]["ownerReferences"] = json!([{"uid": "1"}]);
    old["status"]["conditions"] = json!([{"type": "Ready", "status": "False", "observedGeneration": 3}]);
    let mut new = old.clone();
    new["metadata"]["ownerReferences"] = json!([]);
    new["status"] =
        json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]});
    Pod.prepare_for_subresource("status", &mut new, &old);
    assert_eq!(new["metadata"]["ownerReferences"], old["metadata"]["ownerReferences"]);
    assert_eq!(
        new["status"],
        json!({
            "phase": "Running",
            "qosClass": "Guaranteed",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 3}],
        })
    );
    assert_eq!(texts(Pod.validate_subresource("status", &new, &old)), Vec::<String>::new());
}

#[test]
fn ephemeral_containers_are_only_added() {
    let added = json!([{"name": "debug", "image": "busybox:1"}]);
    let old = pod();
    let mut new = with(old.clone(), "/spec/ephemeralContainers", added);
    new["spec"]["nodeName"] = json!("elsewhere");
    Pod.prepare_for_subresource("ephemeralcontainers", &mut new, &old);
    Pod.defaults(&mut new, Some(&old));
    assert!(new["spec"].get("nodeName").is_none());
    assert_eq!(texts(Pod.validate_subresource("ephemeralcontainers", &new, &old)), Vec::<String>::new());
    let errors = texts(Pod.validate_subresource("ephemeralcontainers", &old, &new));
    assert_eq!(
        errors,
        ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debug\" may not be removed\n"]
    );
}

#[test]
fn resize_changes_cpu_and_memory_only() {
    let old = pod();
    let limits = |cpu: &str| json!({"cpu": cpu, "memory": "1Gi"});
    let mut bigger =
        with(old.clone(), "/spec/containers/0/resources", json!({"limits": limits("2"), "requests": limits("2")}));
    bigger["spec"]["nodeName"] = json!("elsewhere");
    Pod.prepare_for_subresource("resize", &mut bigger, &old);
    assert!(bigger["spec"].get("nodeName").is_none());
    assert_eq!(texts(Pod.validate_subresource("resize", &bigger, &old)), Vec::<String>::new());
    let burstable =
        with(old.clone(), "/spec/containers/0/resources", json!({"limits": limits("2"), "requests": limits("1")}));
    assert_eq!(
        texts(Pod.validate_subresource("resize", &burstable, &old)),
        ["spec: Invalid value: \"Guaranteed\": Pod QOS Class may not change as a result of resizing"]
    );
}

#[test]
fn the_status_names_claims_of_the_pod() {
    let old = json!({"spec": {"resourceClaims": [{"name": "a"}]}, "status": {}});
    let table: &[(_, &[&str])] = &[
        (json!([{"name": "a", "resourceClaimName": "x"}]), &[]),
        (
            json!([{"name": "b"}, {"name": "b"}]),
            &[
                "status.resourceClaimStatuses[0].name: Invalid value: \"b\": must match the name of an entry in \
                 `spec.resourceClaims`",
                "status.resourceClaimStatuses[1].name: Invalid value: \"b\": must match the name of an entry in \
                 `spec.resourceClaims`",
                "status.resourceClaimStatuses[1].name: Duplicate value: \"b\"",
            ],
        ),
    ];
    for (statuses, expected) in table {
        let new = with(old.clone(), "/status", json!({"resourceClaimStatuses": statuses}));
        let errors: Vec<String> =
            Pod.validate_subresource("status", &new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(errors, *expected);
    }
}

#[test]
fn addresses_of_a_pod_are_one_of_each_family() {
    const ONE_OF_EACH: &str = "may specify no more than one IP for each IP family";
    let unread = |index: usize, text: &str| {
        format!("status.podIPs: Internal error: failed to check for dual stack with error:invalid IP[{index}]: {text}")
    };
    let table = [
        (vec!["10.0.0.1"], vec!["10.0.0.1", "fd00::1"], Vec::new()),
        (vec![], vec!["10.0.0.1", "10.0.0.2"], vec![ONE_OF_EACH.to_owned()]),
        // What was there is kept, and cannot be read all the same.
        (vec![""], vec!["10.0.0.1", ""], vec![unread(1, ""), ONE_OF_EACH.to_owned()]),
        (vec!["1.2"], vec!["1.2"], Vec::new()),
    ];
    for (before, after, expected) in table {
        let status = |ips: &[&str]| {
            let ips: Vec<Value> = ips.iter().map(|ip| json!({ "ip": ip })).collect();
            json!({"status": {"podIPs": ips}})
        };
        let errors: Vec<String> = Pod
            .validate_subresource("status", &status(&after), &status(&before))
            .iter()
            .map(ToString::to_string)
            .collect();
        let ends = errors.iter().zip(&expected).all(|(error, end)| error.ends_with(end));
        assert!(errors.len() == expected.len() && ends, "{after:?}: {errors:?}");
    }
}
