//! Probes decide who is restarted and who gets requests.

use anyhow::{Result, ensure};
use e2e::objects::{FOREVER, at, has_condition, pod, text};
use e2e::{Cluster, with_cluster};
use serde_json::{Value, json};

#[test]
fn probes_are_asked_and_believed() -> Result<()> {
    with_cluster(|cluster| {
        start_those_that_wait_to_be_restarted(cluster)?;
        readiness_follows_the_probe(cluster)?;
        are_restarted(cluster)
    })
}

fn probed(name: &str, script: &str, kind: &str, handler: Value) -> Value {
    let mut pod = pod(name, script);
    let mut probe = json!({"periodSeconds": 1, "failureThreshold": 1});
    if let (Some(probe), Some(handler)) = (probe.as_object_mut(), handler.as_object()) {
        probe.extend(handler.clone());
    }
    pod["spec"]["containers"][0][kind] = probe;
    pod
}

fn exec(command: &str) -> Value {
    json!({"exec": {"command": ["sh", "-c", command]}})
}

/// Each handler in its liveness form: it succeeds at first, and fails after a while.
fn start_those_that_wait_to_be_restarted(cluster: &Cluster) -> Result<()> {
    let http = "mkdir -p /tmp/www; echo ok > /tmp/www/healthz; (sleep 3; rm /tmp/www/healthz) & exec httpd -f -p 8080 -h /tmp/www";
    let tcp = "timeout 3 httpd -f -p 8080; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let file = format!("touch /tmp/alive; (sleep 3; rm /tmp/alive) & {FOREVER}");
    let cases = [
        ("live-exec", file.as_str(), exec("cat /tmp/alive")),
        ("live-http", http, json!({"httpGet": {"path": "/healthz", "port": 8080}})),
        ("live-tcp", tcp, json!({"tcpSocket": {"port": 8080}, "failureThreshold": 3})),
    ];
    for (name, script, handler) in cases {
        let mut pod = probed(name, script, "livenessProbe", handler);
        if name == "live-http" {
            // What it says is looked at: it must listen before it is asked.
            pod["spec"]["containers"][0]["startupProbe"] =
                json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60});
        }
        cluster.api().create_pod(&pod)?;
    }
    cluster.api().create_pod(&probed("live-forever", FOREVER, "livenessProbe", exec("true")))?;
    Ok(())
}

fn are_restarted(cluster: &Cluster) -> Result<()> {
    for name in ["live-exec", "live-http", "live-tcp"] {
        let restarted = |pod: &Value| *at(pod, "status.containerStatuses.0.restartCount") == 1;
        cluster.api().pod_when(name, "was restarted by its probe", restarted)?;
    }
    let events = cluster.kubectl(["get", "events", "--field-selector=involvedObject.name=live-http"]).ok()?;
    ensure!(events.contains("Liveness probe failed: HTTP probe failed with statuscode: 404"), "{events}");
    ensure!(events.contains("Container main failed liveness probe, will be restarted"), "{events}");
    let forever = cluster.api().pod("live-forever")?;
    ensure!(*at(&forever, "status.containerStatuses.0.restartCount") == 0, "{}", forever["status"]);
    Ok(())
}

fn readiness_follows_the_probe(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let web = "mkdir /tmp/www; exec httpd -f -p 8080 -h /tmp/www";
    let named = json!({"httpGet": {"path": "/ready.txt", "port": "web"}});
    let mut http = probed("ready-http", web, "readinessProbe", named);
    http["spec"]["containers"][0]["ports"] = json!([{"name": "web", "containerPort": 8080}]);
    let file = probed("ready-exec", FOREVER, "readinessProbe", exec("test -e /tmp/ready"));
    let tcp = format!("until [ -e /tmp/go ]; do sleep 0.1; done; httpd -p 8080; {FOREVER}");
    let tcp = probed("ready-tcp", &tcp, "readinessProbe", json!({"tcpSocket": {"port": 8080}}));
    let cases = [
        (http, "echo yes > /tmp/www/ready.txt", "rm /tmp/www/ready.txt"),
        (file, "touch /tmp/ready", "rm /tmp/ready"),
        (tcp, "touch /tmp/go", "killall httpd"),
    ];
    for (pod, ..) in &cases {
        api.create_pod(pod)?;
    }
    for (pod, begin, end) in cases {
        let name = text(&pod, "metadata.name");
        let running = api.pod_phase(name, "Running")?;
        ensure!(!has_condition(&running, "Ready"), "{name} is Ready before its probe succeeded");
        let unready = |pod: &Value| !has_condition(pod, "Ready") && !has_condition(pod, "ContainersReady");
        cluster.shell(name, begin)?;
        let ready = api.pod_ready(name)?;
        ensure!(has_condition(&ready, "ContainersReady"), "{}", ready["status"]);
        ensure!(*at(&ready, "status.containerStatuses.0.ready") == true, "{}", ready["status"]);
        cluster.shell(name, end)?;
        let after = api.pod_when(name, "is not Ready any more", unready)?;
        ensure!(*at(&after, "status.containerStatuses.0.restartCount") == 0, "readiness restarts nothing");
    }
    Ok(())
}
