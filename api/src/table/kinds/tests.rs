//! One object per kind, and its cells without name and age.

use serde_json::json;

use super::*;

fn check(kind: (&str, &str), object: Value, expected: Value) {
    let now = time::parse_time("2024-01-01T01:00:00Z").unwrap();
    let columns = columns(&GroupVersionKind::new(kind.0, "v1", kind.1));
    let cells: Vec<Value> = columns
        .iter()
        .filter(|column| !matches!(column.name, "Age" | "") && column.format != "name")
        .map(|column| (column.cell)(&object, now))
        .collect();
    assert_eq!(Value::Array(cells), expected, "{kind:?}");
}

#[test]
fn every_kind_begins_with_its_name() {
    for (group, kind) in [("", "Pod"), ("apps", "Deployment"), ("x.io", "Anything")] {
        let columns = columns(&GroupVersionKind::new(group, "v1", kind));
        assert_eq!((columns[0].name, columns[0].format), ("Name", "name"));
    }
    let default = columns(&GroupVersionKind::new("rbac.authorization.k8s.io", "v1", "Role"));
    assert_eq!(default[1].name, "Created At");
}

#[test]
fn nodes() {
    let node = json!({
        "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.35.0", "osImage": "Linux", "kernelVersion": "6.1"}}});
    let expected = json!([
        "Ready,SchedulingDisabled",
        "control-plane,edge",
        "v1.35.0",
        "10.0.0.1",
        "<none>",
        "Linux",
        "6.1",
        "<unknown>"
    ]);
    check(("", "Node"), node, expected);
    check(
        ("", "Node"),
        json!({}),
        json!(["Unknown", "<none>", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]),
    );
}

#[test]
fn services_and_endpoints() {
    let service = |kind: &str, external: Value, ingress: Value| {
        json!({"spec": {"type": kind, "clusterIPs": ["10.0.0.9"], "externalIPs": external, "externalName": "a.b",
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}], "selector": {"app": "web"}},
            "status": {"loadBalancer": {"ingress": ingress}}})
    };
    let cases = [
        ("ClusterIP", json!([]), json!([]), "<none>"),
        ("NodePort", json!(["1.1.1.1", "2.2.2.2"]), json!([]), "1.1.1.1,2.2.2.2"),
        ("LoadBalancer", json!([]), json!([]), "<pending>"),
        ("LoadBalancer", json!(["9.9.9.9"]), json!([{"hostname": "lb"}, {"ip": "3.3.3.3"}]), "3.3.3.3,lb,9.9.9.9"),
        ("ExternalName", json!([]), json!([]), "a.b"),
    ];
    for (kind, external, ingress, shown) in cases {
        let expected = json!([kind, "10.0.0.9", shown, "80:30080/TCP,53/UDP", "app=web"]);
        check(("", "Service"), service(kind, external, ingress), expected);
    }
    check(
        ("", "Service"),
        json!({"spec": {"type": "ClusterIP"}}),
        json!(["ClusterIP", "<none>", "<none>", "<none>", "<none>"]),
    );
    let addresses = json!([{"ip": "1.1.1.1"}, {"ip": "fd00::1"}]);
    let endpoints = json!({"subsets": [{"addresses": addresses, "ports": [{"port": 80}, {"port": 81}]}, {"addresses": [{"ip": "2.2.2.2"}]}]});
    check(("", "Endpoints"), endpoints, json!(["1.1.1.1:80,[fd00::1]:80,1.1.1.1:81 + 2 more..."]));
    check(("", "Endpoints"), json!({}), json!(["<none>"]));
    let slice = json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}, {}], "endpoints": [{"addresses": ["1.1.1.1"]}]});
    check(("discovery.k8s.io", "EndpointSlice"), slice, json!(["IPv4", "80,x,*", "1.1.1.1"]));
    check(("discovery.k8s.io", "EndpointSlice"), json!({"addressType": "IPv4"}), json!(["IPv4", "<unset>", "<unset>"]));
    let rules = json!([{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}]);
    let ingress =
        json!({"spec": {"rules": rules, "tls": [{}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}}});
    check(("networking.k8s.io", "Ingress"), ingress, json!(["<none>", "a,b,c + 1 more...", "1.1.1.1", "80, 443"]));
    check(("networking.k8s.io", "Ingress"), json!({}), json!(["<none>", "*", "", "80"]));
    let policy = json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}}});
    check(("networking.k8s.io", "NetworkPolicy"), policy, json!(["a=b"]));
    let address = json!({"spec": {"parentRef": {"resource": "services", "namespace": "n", "name": "s"}}});
    check(("networking.k8s.io", "IPAddress"), address, json!(["services/n/s"]));
}

#[test]
fn workloads() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}});
    let spec = json!({"replicas": 3, "template": template, "selector": {"matchLabels": {"app": "web"}}});
    let status = json!({"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1});
    let object = json!({"spec": spec, "status": status});
    check(("apps", "Deployment"), object.clone(), json!(["1/3", 2, 1, "a,b", "x,y", "app=web"]));
    check(("apps", "ReplicaSet"), object.clone(), json!([3, 2, 1, "a,b", "x,y", "app=web"]));
    check(("apps", "StatefulSet"), object.clone(), json!(["1/3", "a,b", "x,y"]));
    let status = json!({"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3, "updatedNumberScheduled": 2, "numberAvailable": 1});
    check(
        ("apps", "DaemonSet"),
        json!({"spec": spec, "status": status}),
        json!([5, 4, 3, 2, 1, "<none>", "a,b", "x,y", "app=web"]),
    );
    let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": true}]);
    check(
        ("apps", "ControllerRevision"),
        json!({"metadata": {"ownerReferences": owner}, "revision": 4}),
        json!(["daemonset.apps/d", 4]),
    );
    check(("apps", "ControllerRevision"), json!({"revision": 1}), json!(["<none>", 1]));
    let job = |spec: Value, status: Value| json!({"spec": spec, "status": status});
    let times = json!({"startTime": "2024-01-01T00:00:00Z", "completionTime": "2024-01-01T00:00:30Z", "succeeded": 2,
        "conditions": [{"type": "Complete", "status": "True"}]});
    check(("batch", "Job"), job(json!({"completions": 2}), times), json!(["Complete", "2/2", "30s", "", "", "<none>"]));
    check(
        ("batch", "Job"),
        job(json!({"parallelism": 3}), json!({"startTime": "2024-01-01T00:00:00Z"})),
        json!(["Running", "0/1 of 3", "60m", "", "", "<none>"]),
    );
    let cron = json!({"spec": {"schedule": "* * * * *", "suspend": false}, "status": {"active": [{}], "lastScheduleTime": "2024-01-01T00:59:00Z"}});
    check(("batch", "CronJob"), cron, json!(["* * * * *", "<none>", "False", 1, "60s", "", "", "<none>"]));
}

#[test]
fn events_of_both_groups() {
    let core = json!({"type": "Warning", "reason": "BackOff", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "f"},
        "source": {"component": "kubelet", "host": "n1"}, "message": " text\n", "count": 3,
        "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-01T00:59:00Z"});
    let expected = json!(["60s", "Warning", "BackOff", "pod/p", "f", "kubelet, n1", "text", "60m", 3]);
    check(("", "Event"), core, expected);
    let newer = json!({"type": "Normal", "reason": "Scheduled", "regarding": {"kind": "Pod", "name": "p"}, "note": "text",
        "eventTime": "2024-01-01T00:58:00.000000Z", "reportingController": "scheduler"});
    check(
        ("events.k8s.io", "Event"),
        newer,
        json!(["2m", "Normal", "Scheduled", "pod/p", "", "scheduler", "text", "2m", 1]),
    );
}

#[test]
fn configuration_and_storage() {
    check(("", "ConfigMap"), json!({"data": {"a": "1"}, "binaryData": {"b": ""}}), json!([2]));
    check(("", "Secret"), json!({"type": "Opaque", "data": {"a": ""}}), json!(["Opaque", 1]));
    check(("", "Namespace"), json!({"status": {"phase": "Active"}}), json!(["Active"]));
    check(("coordination.k8s.io", "Lease"), json!({"spec": {"holderIdentity": "n1"}}), json!(["n1"]));
    let volume = json!({"spec": {"capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s"}, "status": {"phase": "Bound"}});
    check(
        ("", "PersistentVolume"),
        volume,
        json!(["1Gi", "RWO,RWX", "Retain", "Bound", "n/c", "s", "<unset>", "", "<unset>"]),
    );
    let claim =
        json!({"spec": {"storageClassName": "s"}, "status": {"phase": "Pending", "capacity": {"storage": "1Gi"}}});
    check(("", "PersistentVolumeClaim"), claim, json!(["Pending", "", "", "", "s", "<unset>", "<unset>"]));
    let class = json!({"provisioner": "p"});
    check(("storage.k8s.io", "StorageClass"), class, json!(["p", "Delete", "Immediate", false]));
}

#[test]
fn policies() {
    let quota = json!({"status": {"hard": {"pods": "10", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "1", "limits.cpu": "1"}}});
    check(("", "ResourceQuota"), quota, json!(["cpu: 0/1, pods: 1/10", "limits.cpu: 1/2"]));
    let budget = json!({"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}});
    check(("policy", "PodDisruptionBudget"), budget, json!(["50%", "N/A", 1]));
    let resource = |name: &str, percent: i64| json!({"type": "Resource", "resource": {"name": name, "target": {"averageUtilization": percent}}});
    let current = json!([{"type": "Resource", "resource": {"current": {"averageUtilization": 20}}}]);
    let scaler = json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 5,
        "metrics": [resource("cpu", 80), resource("memory", 70)]}, "status": {"currentReplicas": 2, "currentMetrics": current}});
    let expected = json!(["Deployment/d", "cpu: 20%/80%, memory: <unknown>/70%", "<unset>", 5, 2]);
    check(("autoscaling", "HorizontalPodAutoscaler"), scaler, expected);
    let subjects = json!([{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]);
    let binding = json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": subjects});
    check(("rbac.authorization.k8s.io", "RoleBinding"), binding, json!(["Role/r", "u", "", "n/s"]));
    let selector =
        json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d", "e"]}]});
    let binding = json!({"spec": {"policyName": "p", "paramRef": {"selector": selector}}});
    let printed = "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{\
        LabelSelectorRequirement{Key:c,Operator:In,Values:[d e],},},}";
    check(("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"), binding, json!(["p", printed]));
    let request = json!({"spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600}, "status": {"certificate": "x", "conditions": [{"type": "Approved"}]}});
    check(("certificates.k8s.io", "CertificateSigningRequest"), request, json!(["s", "u", "60m", "Approved,Issued"]));
    check(("scheduling.k8s.io", "PriorityClass"), json!({"value": 7}), json!([7, false, ""]));
}
