//! The audit log, as the flags ask for it: it tells each controller by its name, and that none of them is refused.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::cluster::with_place;
use e2e::{Cluster, binary, eventually};
use serde_json::{Value, json};

const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// Account, verb and resource of requests that must be in the log once [`work`] is done.
const SEEN: [&str; 19] = [
    "deployment-controller create replicasets",
    "deployment-controller patch deployments/status",
    "replicaset-controller create pods",
    "replicaset-controller patch replicasets/status",
    "replication-controller patch replicationcontrollers/status",
    "endpoint-controller create endpoints",
    "endpointslice-controller create endpointslices",
    "job-controller create pods",
    "job-controller patch jobs/status",
    "disruption-controller patch poddisruptionbudgets/status",
    "service-account-controller create serviceaccounts",
    "root-ca-cert-publisher create configmaps",
    "namespace-controller update namespaces/finalize",
    "generic-garbage-collector delete replicasets",
    "resourcequota-controller patch resourcequotas/status",
    "persistent-volume-binder patch persistentvolumes",
    "pvc-protection-controller patch persistentvolumeclaims",
    "system:kube-scheduler create pods/binding",
    "system:apiserver patch customresourcedefinitions/status",
];

#[test]
fn each_controller_is_told_by_its_name_and_none_is_refused() -> Result<()> {
    with_place(|cluster| {
        let policy = cluster.file("audit-policy.yaml", POLICY)?;
        let log = cluster.folder().join("audit.log");
        let hello = binary::repository().join("manifests/hello.yaml");
        let (policy, file) = (policy.to_string_lossy().into_owned(), log.to_string_lossy().into_owned());
        let flags = ["--audit-policy-file", &policy, "--audit-log-path", &file, "-f", &hello.to_string_lossy()];
        cluster.up(flags)?;
        work(cluster)?;
        let mut seen = BTreeSet::new();
        let written = eventually("each controller has written", || {
            seen = told(&log)?.iter().map(of).collect();
            Ok(SEEN.iter().all(|line| seen.contains(*line)).then_some(()))
        });
        written.with_context(|| {
            let missing = SEEN.iter().filter(|line| !seen.contains(**line)).collect::<Vec<_>>();
            format!("not seen: {missing:?}")
        })?;
        let refused: BTreeSet<String> = told(&log)?.iter().filter(|event| is_refused(event)).map(of).collect();
        ensure!(refused.is_empty(), "refused: {refused:#?}");
        let set = &cluster.api().items("/apis/apps/v1/namespaces/default/replicasets")?[0];
        let managers = set["metadata"]["managedFields"].as_array().context("managed fields")?;
        ensure!(managers.iter().all(|one| one["manager"] == "kube-controller-manager"), "{managers:?}");
        metrics_tell_of_it(cluster)
    })
}

/// Of what has happened here at least once.
fn metrics_tell_of_it(cluster: &Cluster) -> Result<()> {
    let (_, metrics) = cluster.api().request("GET", "/metrics", None)?;
    let metrics = metrics.as_str().context("text")?;
    for name in [
        "workqueue_adds_total{name=\"deployment\"}",
        "workqueue_work_duration_seconds_count{name=\"garbage_collector_attempt_to_delete\"}",
        "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"}",
        "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"1\"}",
        "apiserver_watch_events_total{group=\"\",resource=\"pods\",version=\"v1\"}",
        "apiserver_watch_cache_events_received_total{group=\"apps\",resource=\"deployments\"}",
    ] {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        ensure!(line.is_some_and(|value| value > 0.0), "{name} {line:?}");
    }
    Ok(())
}

/// Something for each controller to do; a Deployment and a Service are there.
fn work(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let meta = |name: &str| json!({"name": name});
    let template = |restart: &str| {
        let container = json!({"name": "c", "image": "setpoint/demo:v1"});
        json!({"metadata": {"labels": {"app": "x"}}, "spec": {"restartPolicy": restart, "containers": [container]}})
    };
    let create = |path: &str, object: Value| api.create(path, &object).map(drop);
    create("/api/v1/namespaces", json!({"metadata": meta("short")}))?;
    let spec = json!({"hard": {"pods": "9", "count/configmaps": "9"}});
    create("/api/v1/namespaces/default/resourcequotas", json!({"metadata": meta("q"), "spec": spec}))?;
    let spec = json!({"replicas": 1, "template": template("Always")});
    create("/api/v1/namespaces/default/replicationcontrollers", json!({"metadata": meta("rc"), "spec": spec}))?;
    let job = json!({"template": template("Never")});
    create("/apis/batch/v1/namespaces/default/jobs", json!({"metadata": meta("job"), "spec": job}))?;
    let spec = json!({"schedule": "* * * * *", "jobTemplate": {"spec": job}});
    create("/apis/batch/v1/namespaces/default/cronjobs", json!({"metadata": meta("cron"), "spec": spec}))?;
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "hello"}}});
    create("/apis/policy/v1/namespaces/default/poddisruptionbudgets", json!({"metadata": meta("b"), "spec": spec}))?;
    volumes(cluster)?;
    let names = json!({"plural": "things", "singular": "thing", "kind": "Thing"});
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
    let spec = json!({"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    create(definitions, json!({"metadata": meta("things.example.com"), "spec": spec}))?;
    api.delete(&format!("{definitions}/things.example.com"))?;
    // Made and collected with its owner, as soon as it is known.
    let spec = json!({"selector": {"matchLabels": {"app": "x"}}, "template": template("Always")});
    create("/apis/apps/v1/namespaces/default/deployments", json!({"metadata": meta("gone"), "spec": spec}))?;
    eventually("its set is there", || {
        let sets = api.items("/apis/apps/v1/namespaces/default/replicasets")?;
        Ok(sets.iter().any(|set| set["metadata"]["ownerReferences"][0]["name"] == "gone").then_some(()))
    })?;
    api.delete("/apis/apps/v1/namespaces/default/deployments/gone")?;
    api.delete("/api/v1/namespaces/short")
}

/// A claim that is bound and goes.
fn volumes(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let size = json!({"storage": "1Mi"});
    let spec = json!({"capacity": size, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}});
    api.create("/api/v1/persistentvolumes", &json!({"metadata": {"name": "v"}, "spec": spec}))?;
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": size}});
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    api.create(claims, &json!({"metadata": {"name": "c"}, "spec": spec}))?;
    let claim = format!("{claims}/c");
    eventually("the claim is bound", || Ok((api.get(&claim)?["status"]["phase"] == "Bound").then_some(())))?;
    api.delete(&claim)?;
    eventually("the claim is gone", || Ok(api.find(&claim)?.is_none().then_some(())))
}

/// The last line may be half written.
fn told(log: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(log)?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn of(event: &Value) -> String {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let user = text("/user/username");
    let user = user.strip_prefix("system:serviceaccount:kube-system:").unwrap_or(user);
    let slash = if text("/objectRef/subresource").is_empty() { "" } else { "/" };
    format!("{user} {} {}{slash}{}", text("/verb"), text("/objectRef/resource"), text("/objectRef/subresource"))
}

fn is_refused(event: &Value) -> bool {
    event["annotations"]["authorization.k8s.io/decision"] == "forbid"
}
