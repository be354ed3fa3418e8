//! What containers find in their files and in their environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use e2e::objects::{FOREVER, config_map, container, pod, text};
use e2e::{Cluster, eventually, with_cluster};
use serde_json::{Value, json};

#[test]
fn volumes_hold_what_was_asked_for() -> Result<()> {
    with_cluster(|cluster| {
        empty_directories_are_shared(cluster)?;
        host_paths_are_the_hosts(cluster)?;
        configuration_is_mounted_and_follows_changes(cluster)?;
        tokens_open_the_api(cluster)
    })
}

fn with_volumes(name: &str, volumes: Value, mounts: Value) -> Value {
    let mut pod = pod(name, FOREVER);
    pod["spec"]["volumes"] = volumes;
    pod["spec"]["containers"][0]["volumeMounts"] = mounts;
    pod
}

fn check(cluster: &Cluster, pod: &str, cases: &[(&str, &str)]) -> Result<()> {
    for (script, expected) in cases {
        let said = cluster.shell(pod, script)?;
        ensure!(said == *expected, "{script}: {said:?} instead of {expected:?}");
    }
    Ok(())
}

fn empty_directories_are_shared(cluster: &Cluster) -> Result<()> {
    let volumes = json!([
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
    ]);
    let mounts = json!([{"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"}]);
    let mut pod = with_volumes("empty", volumes, mounts.clone());
    let mut other = container("other", FOREVER);
    other["volumeMounts"] = json!([{"name": "disk", "mountPath": "/elsewhere", "readOnly": true}]);
    other["securityContext"] = json!({"runAsUser": 65534});
    pod["spec"]["containers"] = json!([pod["spec"]["containers"][0], other]);
    cluster.api().create_pod(&pod)?;
    cluster.api().pod_ready("empty")?;
    let cases = [
        ("stat -c %a /disk /memory", "777\n777"),
        ("grep ' /memory ' /proc/mounts | cut -d' ' -f1", "tmpfs"),
        ("grep -c ' /disk tmpfs' /proc/mounts", "0"),
        ("dd if=/dev/zero of=/memory/big bs=1M count=8 2>/dev/null || echo full; rm /memory/big", "full"),
        ("echo shared > /disk/file; umask 0; echo x > /disk/open", ""),
    ];
    for (script, expected) in cases {
        let outcome = cluster.setpoint(["exec", "empty", "-c", "main", "--", "sh", "-c", script]).run()?;
        ensure!(outcome.stdout.trim_end() == expected, "{script}: {outcome}");
    }
    let read = cluster.kubectl(["exec", "empty", "-c", "other", "--", "cat", "/elsewhere/file"]).ok()?;
    ensure!(read == "shared\n", "{read}");
    let write = cluster.kubectl(["exec", "empty", "-c", "other", "--", "sh", "-c", "echo y > /elsewhere/open"]);
    ensure!(write.run()?.stderr.contains("Read-only file system"));
    Ok(())
}

fn host_paths_are_the_hosts(cluster: &Cluster) -> Result<()> {
    let folder = cluster.folder().join("shared");
    fs::create_dir(&folder)?;
    fs::write(folder.join("from-host"), "hello\n")?;
    let created = cluster.folder().join("created");
    let volumes = json!([
        {"name": "shared", "hostPath": {"path": folder}},
        {"name": "created", "hostPath": {"path": created, "type": "DirectoryOrCreate"}},
    ]);
    let mounts = json!([
        {"name": "shared", "mountPath": "/shared"},
        {"name": "created", "mountPath": "/created"},
        {"name": "shared", "mountPath": "/one/file", "subPath": "from-host", "readOnly": true},
    ]);
    cluster.api().create_pod(&with_volumes("host", volumes, mounts))?;
    cluster.api().pod_ready("host")?;
    check(cluster, "host", &[("cat /shared/from-host /one/file; echo back > /shared/from-pod", "hello\nhello")])?;
    ensure!(fs::read_to_string(folder.join("from-pod"))? == "back\n");
    ensure!(fs::metadata(&created)?.permissions().mode() & 0o777 == 0o755);
    cluster.kubectl(["delete", "pod", "host"]).ok()?;
    ensure!(fs::read_to_string(folder.join("from-host"))? == "hello\n", "the host's files go with the pod");
    Ok(())
}

fn configuration_is_mounted_and_follows_changes(cluster: &Cluster) -> Result<()> {
    cluster.apply(&config_map("settings", json!({"color": "red", "size": "9"})))?;
    cluster.kubectl(["create", "secret", "generic", "keys", "--from-literal=key=hunter2"]).ok()?;
    let volumes = json!([
        {"name": "all", "configMap": {"name": "settings"}},
        {"name": "some", "configMap": {"name": "settings", "defaultMode": 0o440, "items": [
            {"key": "color", "path": "deep/paint"}, {"key": "size", "path": "number", "mode": 0o400}]}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "absent", "configMap": {"name": "absent", "optional": true}},
        {"name": "mixed", "projected": {"sources": [
            {"configMap": {"name": "settings", "items": [{"key": "color", "path": "color"}]}},
            {"secret": {"name": "keys"}},
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
    ]);
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let mut mounts: Vec<Value> = ["all", "some", "keys", "absent", "mixed"].into_iter().map(mount).collect();
    mounts.push(json!({"name": "all", "mountPath": "/fixed", "subPath": "color"}));
    cluster.api().create_pod(&with_volumes("configured", volumes, json!(mounts)))?;
    cluster.api().pod_ready("configured")?;
    let cases = [
        ("cat /all/color; echo; ls /all", "red\ncolor\nsize"),
        ("cat /some/deep/paint; stat -L -c %a /some/deep/paint /some/number", "red440\n400"),
        ("cat /keys/key; stat -L -c %a /keys/key", "hunter2400"),
        ("ls /absent | wc -l", "0"),
        ("cat /mixed/color /mixed/key; cat /mixed/labels", "redhunter2app=\"configured\""),
        ("readlink /all/color; readlink /all/..data | cut -c1-2", "..data/color\n.."),
        ("cat /fixed", "red"),
        ("echo x > /all/color || true", ""),
        ("grep ' /keys ' /proc/mounts | cut -d' ' -f3", "tmpfs"),
    ];
    check(cluster, "configured", &cases)?;
    cluster.apply(&config_map("settings", json!({"color": "blue"})))?;
    eventually("the mounted files follow", || {
        Ok((cluster.shell("configured", "cat /all/color /mixed/color; ls /all")? == "bluebluecolor").then_some(()))
    })?;
    check(cluster, "configured", &[("cat /fixed", "red")])
}

fn tokens_open_the_api(cluster: &Cluster) -> Result<()> {
    cluster.api().create_pod(&pod("client", FOREVER))?;
    cluster.api().pod_ready("client")?;
    let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    check(cluster, "client", &[(&format!("cat {folder}/namespace; ls {folder}"), "defaultca.crt\nnamespace\ntoken")])?;
    let own = fs::read_to_string(cluster.data_dir().join("pki/ca.crt"))?;
    ensure!(cluster.shell("client", &format!("cat {folder}/ca.crt"))?.trim() == own.trim());
    let token = cluster.shell("client", &format!("cat {folder}/token"))?;
    // Its middle part is base64 for URLs, without the padding.
    let claims = token.split('.').nth(1).unwrap_or_default().replace('-', "+").replace('_', "/");
    let claims = cluster.shell("client", &format!("echo {claims}=== | base64 -d 2>/dev/null"))?;
    let claims: Value = serde_json::from_str(&claims)?;
    ensure!(claims["sub"] == "system:serviceaccount:default:default", "{claims}");
    ensure!(claims["kubernetes.io"]["pod"]["name"] == "client", "{claims}");
    as_the_account(cluster, folder)?;
    let mut without = pod("no-token", FOREVER);
    without["spec"]["automountServiceAccountToken"] = false.into();
    cluster.api().create_pod(&without)?;
    cluster.api().pod_ready("no-token")?;
    check(cluster, "no-token", &[(&format!("ls {folder} 2>/dev/null || echo none"), "none")])
}

/// The binary under test is in the demo image: with the account's token and certificate it is a client like any other.
fn as_the_account(cluster: &Cluster, folder: &str) -> Result<()> {
    let service = cluster.api().get("/api/v1/namespaces/default/services/kubernetes")?;
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "pod",
        "clusters": [{"name": "pod", "cluster": {"server": format!("https://{}:443", text(&service, "spec.clusterIP")),
            "certificate-authority": format!("{folder}/ca.crt")}}],
        "users": [{"name": "pod", "user": {"tokenFile": format!("{folder}/token")}}],
        "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}]});
    cluster.apply(&config_map("kubeconfig", json!({"config": kubeconfig.to_string()})))?;
    let volumes = json!([{"name": "config", "configMap": {"name": "kubeconfig"}}]);
    let mut inside = with_volumes("inside", volumes, json!([{"name": "config", "mountPath": "/config"}]));
    inside["spec"]["containers"][0]["image"] = "setpoint/demo:v1".into();
    inside["spec"]["containers"][0]["command"] = Value::Null;
    cluster.api().create_pod(&inside)?;
    cluster.api().pod_ready("inside")?;
    let run = ["exec", "inside", "--", "/setpoint", "--kubeconfig", "/config/config"];
    let version = cluster.kubectl(run).args(["version"]).ok()?;
    ensure!(version.contains("Server Version: v1.35."), "{version}");
    let refused = "secrets is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"secrets\" in API \
                   group \"\" in the namespace \"default\"";
    cluster.kubectl(run).args(["get", "secrets"]).fails_with(refused)?;
    Ok(())
}

#[test]
fn environments_are_made_from_everything() -> Result<()> {
    with_cluster(|cluster| {
        cluster.apply(&config_map("settings", json!({"COLOR": "red", "SIZE": "9"})))?;
        cluster.kubectl(["create", "secret", "generic", "keys", "--from-literal=key=hunter2"]).ok()?;
        cluster.apply(&e2e::objects::service("back-end", "nobody", 8000, 80))?;
        let service = cluster.api().get("/api/v1/namespaces/default/services/back-end")?;
        let address = text(&service, "spec.clusterIP").to_owned();
        let mut pod = pod("env", FOREVER);
        let main = &mut pod["spec"]["containers"][0];
        main["envFrom"] =
            json!([{"configMapRef": {"name": "settings"}}, {"prefix": "P_", "configMapRef": {"name": "settings"}}]);
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        main["env"] = json!([
            {"name": "SIZE", "value": "own"},
            {"name": "SUM", "value": "$(SIZE)-$(COLOR)-$(NOBODY)-$$(SIZE)"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "x", "optional": true}}},
            field("POD", "metadata.name"), field("NODE", "spec.nodeName"), field("ADDRESS", "status.podIP"),
            field("ACCOUNT", "spec.serviceAccountName"), field("APP", "metadata.labels['app']"),
            {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ]);
        main["resources"] = json!({"limits": {"memory": "32Mi", "cpu": "500m"}});
        main["args"] = json!(["unused", "$(COLOR)"]);
        cluster.api().create_pod(&pod)?;
        let ready = cluster.api().pod_ready("env")?;
        let (node, ip) = (text(&ready, "spec.nodeName"), text(&ready, "status.podIP"));
        let cases = [
            ("COLOR", "red"),
            ("P_COLOR", "red"),
            ("SIZE", "own"),
            ("P_SIZE", "9"),
            ("SUM", "own-red-$(NOBODY)-$(SIZE)"),
            ("KEY", "hunter2"),
            ("NONE-unset", "unset"),
            ("POD", "env"),
            ("NODE", node),
            ("ADDRESS", ip),
            ("ACCOUNT", "default"),
            ("APP", "env"),
            ("LIMIT", "32"),
            ("VERSION", "1"),
            ("HOSTNAME", "env"),
            ("BACK_END_SERVICE_HOST", address.as_str()),
            ("BACK_END_SERVICE_PORT", "8000"),
            ("KUBERNETES_SERVICE_PORT", "443"),
        ];
        for (name, expected) in cases {
            let said = cluster.shell("env", &format!("echo ${{{name}}}"))?;
            ensure!(said == expected, "{name}: {said:?} instead of {expected:?}");
        }
        Ok(())
    })
}
