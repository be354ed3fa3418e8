//! Real kubectls of two versions: objects written, read, compared, changed.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use e2e::objects::{config_map, deployment};
use e2e::{Cluster, Kubectl, with_cluster};
use serde_json::json;

type Step = fn(&Cluster, &Kubectl) -> Result<()>;

/// What a person does, in order: each step sees what the one before left.
const STEPS: [(&str, Step); 7] = [
    ("apply", applies_twice),
    ("get", gets_in_every_form),
    ("describe", describes),
    ("watch", watches),
    ("edit", edits),
    ("change", labels_and_patches),
    ("delete", deletes_and_waits),
];

#[test]
fn objects_are_written_read_and_changed_by_every_kubectl() -> Result<()> {
    with_cluster(|cluster| {
        for kubectl in cluster.kubectls() {
            for (name, step) in STEPS {
                step(cluster, &kubectl).map_err(|error| error.context(format!("{name} with {}", kubectl.name)))?;
            }
        }
        Ok(())
    })
}

fn applies_twice(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let file = cluster.file("web.yaml", deployment("web", 1).to_string())?;
    let file = file.to_string_lossy();
    let apply = || cluster.with_kubectl(kubectl, ["apply", "-f", &file]).ok();
    ensure!(apply()? == "deployment.apps/web created\n");
    cluster.api().deployment_ready("web")?;
    let path = "/apis/apps/v1/namespaces/default/deployments/web";
    let before = cluster.api().get(path)?;
    ensure!(apply()? == "deployment.apps/web unchanged\n");
    ensure!(cluster.with_kubectl(kubectl, ["diff", "-f", &file]).ok()?.is_empty());

    let changed = cluster.file("web-2.yaml", deployment("web", 2).to_string())?;
    let changed = changed.to_string_lossy();
    let diff = cluster.with_kubectl(kubectl, ["diff", "-f", &changed]).run()?;
    ensure!(diff.code == 1 && diff.stdout.contains("-  replicas: 1\n+  replicas: 2\n"), "{diff}");
    let dry = cluster.with_kubectl(kubectl, ["apply", "--dry-run=server", "-f", &changed]).ok()?;
    ensure!(dry == "deployment.apps/web configured (server dry run)\n", "{dry}");
    let after = cluster.api().get(path)?;
    ensure!(after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"], "something was written");
    ensure!(after["spec"] == before["spec"]);
    let configured = cluster.with_kubectl(kubectl, ["apply", "-f", &changed]).ok()?;
    ensure!(configured == "deployment.apps/web configured\n", "{configured}");
    cluster.api().deployment_ready("web")?;
    Ok(())
}

fn gets_in_every_form(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let get = |output: &str| cluster.with_kubectl(kubectl, ["get", "deployment", "web", output]).ok();
    let table = get("-o=wide")?;
    let words: Vec<&str> = table.split_whitespace().collect();
    let header = ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"];
    ensure!(words[..8] == header && words[8..12] == ["web", "2/2", "2", "2"], "{table}");
    ensure!(words[13..] == ["main", "busybox:1", "app=web"], "{table}");
    let yaml = get("-o=yaml")?;
    ensure!(yaml.starts_with("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n"), "{yaml}");
    for line in
        ["  name: web\n", "  progressDeadlineSeconds: 600\n", "    type: RollingUpdate\n", "  readyReplicas: 2\n"]
    {
        ensure!(yaml.contains(line), "{line:?} is not in {yaml}");
    }
    ensure!(get("-o=name")? == "deployment.apps/web\n");
    ensure!(get("-o=jsonpath={.spec.template.spec.containers[*].image}")? == "busybox:1");
    ensure!(get("-o=custom-columns=N:.metadata.name,R:.spec.replicas")? == "N     R\nweb   2\n");
    let pods = cluster.with_kubectl(kubectl, ["get", "pods", "-l", "app=web", "-o=wide", "--no-headers"]).ok()?;
    ensure!(pods.lines().count() == 2 && pods.lines().all(|line| line.contains("Running")), "{pods}");
    let all = cluster.with_kubectl(kubectl, ["get", "all", "-A"]).ok()?;
    for name in ["pod/web-", "service/kubernetes", "deployment.apps/web", "replicaset.apps/web-"] {
        ensure!(all.contains(name), "{name} is not in {all}");
    }
    let nothing = cluster.with_kubectl(kubectl, ["get", "pods", "-l", "app=nobody"]).run()?;
    ensure!(nothing.code == 0 && nothing.stderr == "No resources found in default namespace.\n", "{nothing}");
    let missing = "Error from server (NotFound): deployments.apps \"nobody\" not found";
    cluster.with_kubectl(kubectl, ["get", "deploy", "nobody"]).fails_with(missing)?;
    Ok(())
}

fn describes(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let deployment = cluster.with_kubectl(kubectl, ["describe", "deployment", "web"]).ok()?;
    for text in
        ["Replicas:               2 desired | 2 updated | 2 total | 2 available | 0 unavailable", "ScalingReplicaSet"]
    {
        ensure!(deployment.contains(text), "{text:?} is not in {deployment}");
    }
    let pods = cluster.with_kubectl(kubectl, ["describe", "pods", "-l", "app=web"]).ok()?;
    let expected = ["Controlled By:  ReplicaSet/web-", "State:          Running", "Successfully assigned default/web-"];
    for text in expected.into_iter().chain(["Container started", "kube-root-ca.crt", "QoS Class:"]) {
        ensure!(pods.contains(text), "{text:?} is not in {pods}");
    }
    let node = cluster.with_kubectl(kubectl, ["describe", "nodes"]).ok()?;
    for text in ["KubeletReady", "Allocatable:", "Non-terminated Pods:", "web-"] {
        ensure!(node.contains(text), "{text:?} is not in {node}");
    }
    Ok(())
}

fn watches(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let mut watch = cluster
        .with_kubectl(kubectl, ["get", "deployment", "web", "-w", "-o=jsonpath={.spec.replicas}{'\\n'}"])
        .start()?;
    watch.line("2", |line| line == "2")?;
    let mut table = cluster.with_kubectl(kubectl, ["get", "pods", "-l", "app=web", "-w"]).start()?;
    table.line("a running pod", |line| line.contains("Running"))?;
    let scaled = cluster.with_kubectl(kubectl, ["scale", "deployment/web", "--replicas=3"]).ok()?;
    ensure!(scaled == "deployment.apps/web scaled\n", "{scaled}");
    watch.line("3", |line| line == "3")?;
    table.line("a new pod", |line| line.contains("Pending"))?;
    table.line("the new pod running", |line| line.contains("Running"))?;
    Ok(())
}

fn edits(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let editor = cluster.file("editor.sh", "#!/bin/sh\nsed -i 's/replicas: 3/replicas: 1/' \"$1\"\n")?;
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755))?;
    let edit = || cluster.with_kubectl(kubectl, ["edit", "deployment", "web"]).env("KUBE_EDITOR", &editor).run();
    let edited = edit()?;
    ensure!(edited.code == 0 && edited.stdout == "deployment.apps/web edited\n", "{edited}");
    let object = cluster.api().deployment_ready("web")?;
    ensure!(object["spec"]["replicas"] == 1);
    let again = edit()?;
    ensure!(again.code == 0 && again.stderr.contains("Edit cancelled, no changes made."), "{again}");
    Ok(())
}

fn labels_and_patches(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let run = |words: &[&str]| cluster.with_kubectl(kubectl, []).args(words).ok();
    let file = cluster.file("notes.txt", "first\nsecond\n")?;
    let from_file = format!("--from-file={}", file.display());
    let says = |words: &[&str], expected: &str| -> Result<()> {
        let said = run(words)?;
        ensure!(said == format!("{expected}\n"), "{words:?}: {said:?} instead of {expected:?}");
        Ok(())
    };
    says(&["create", "configmap", "settings", "--from-literal=a=1", &from_file], "configmap/settings created")?;
    says(&["create", "secret", "generic", "keys", "--from-literal=key=hunter2"], "secret/keys created")?;
    ensure!(run(&["get", "cm", "settings", "-o=jsonpath={.data.notes\\.txt}"])? == "first\nsecond\n");
    ensure!(run(&["get", "secret", "keys", "-o=jsonpath={.data.key}"])? == "aHVudGVyMg==");
    says(&["label", "cm", "settings", "tier=web"], "configmap/settings labeled")?;
    says(&["label", "cm", "settings", "tier=web"], "configmap/settings not labeled")?;
    says(&["annotate", "cm", "settings", "note=x"], "configmap/settings annotated")?;
    says(&["label", "cm", "settings", "tier-"], "configmap/settings unlabeled")?;
    says(&["patch", "cm", "settings", "-p", r#"{"data":{"b":"2"}}"#], "configmap/settings patched")?;
    says(&["patch", "cm", "settings", "-p", r#"{"data":{"b":"2"}}"#], "configmap/settings patched (no change)")?;
    let remove = r#"[{"op":"remove","path":"/data/a"}]"#;
    says(&["patch", "cm", "settings", "--type=json", "-p", remove], "configmap/settings patched")?;
    says(&["patch", "cm", "settings", "--type=merge", "-p", r#"{"data":{"b":null}}"#], "configmap/settings patched")?;
    let left = cluster.api().get("/api/v1/namespaces/default/configmaps/settings")?;
    ensure!(left["data"] == json!({"notes.txt": "first\nsecond\n"}), "{left}");
    let strategic =
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}"#;
    says(&["patch", "deployment", "web", "-p", strategic], "deployment.apps/web patched")?;
    let object = cluster.api().deployment_ready("web")?;
    ensure!(
        object.pointer("/spec/template/spec/containers/0/image").is_some_and(|image| image == "busybox:1"),
        "{object}"
    );
    Ok(())
}

fn deletes_and_waits(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let run = |words: &[&str]| cluster.with_kubectl(kubectl, []).args(words).ok();
    let pods = cluster.api().pods_of("web")?;
    let pod = pods[0]["metadata"]["name"].as_str().unwrap_or_default();
    let said = run(&["delete", "pod", pod])?;
    ensure!(said.starts_with(&format!("pod \"{pod}\" deleted")), "{said}");
    ensure!(cluster.api().find(&format!("/api/v1/namespaces/default/pods/{pod}"))?.is_none(), "it returned too early");
    let file = cluster.folder().join("web.yaml");
    let said = run(&["delete", "-f", &file.to_string_lossy()])?;
    ensure!(said.starts_with("deployment.apps \"web\" deleted"), "{said}");
    run(&["wait", "--for=delete", "pod", "-l", "app=web", "--timeout=30s"])?;
    ensure!(cluster.api().items("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb")?.is_empty());
    run(&["delete", "cm/settings", "secret/keys"])?;
    cluster.with_kubectl(kubectl, ["delete", "cm", "settings"]).fails_with("configmaps \"settings\" not found")?;
    Ok(())
}

#[test]
fn kubectl_learns_from_the_server_what_it_needs() -> Result<()> {
    with_cluster(|cluster| {
        for kubectl in cluster.kubectls() {
            knows_the_api(cluster, &kubectl).map_err(|error| error.context(kubectl.name))?;
        }
        small_verbs(cluster)
    })
}

fn knows_the_api(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let run = |words: &[&str]| cluster.with_kubectl(kubectl, []).args(words).ok();
    let spec = run(&["explain", "deployment.spec"])?;
    for text in ["GROUP:      apps", "KIND:       Deployment", "VERSION:    v1", "FIELD: spec <DeploymentSpec>"] {
        ensure!(spec.contains(text), "{text:?} is not in {spec}");
    }
    ensure!(spec.contains("  template\t<PodTemplateSpec> -required-\n"), "{spec}");
    let probe = run(&["explain", "pod.spec.containers.livenessProbe.httpGet.port"])?;
    ensure!(probe.contains("FIELD: port <IntOrString>"), "{probe}");
    ensure!(run(&["explain", "deployment", "--recursive"])?.contains("terminationMessagePolicy"));
    let unknown = "field \"nothing\" does not exist";
    cluster.with_kubectl(kubectl, ["explain", "pod.nothing"]).fails_with(unknown)?;

    let resources = run(&["api-resources"])?;
    let row = resources.lines().find(|line| line.starts_with("deployments "));
    let row: Vec<&str> = row.unwrap_or_default().split_whitespace().collect();
    ensure!(row == ["deployments", "deploy", "apps/v1", "true", "Deployment"], "{resources}");
    let cluster_scoped = run(&["api-resources", "--namespaced=false", "-o=name"])?;
    ensure!(cluster_scoped.lines().any(|line| line == "nodes"), "{cluster_scoped}");
    ensure!(run(&["api-versions"])?.lines().any(|line| line == "apps/v1"));
    ensure!(run(&["version"])?.contains("Server Version: v1.35."));
    let info = run(&["cluster-info"])?;
    ensure!(info.contains("is running at") && info.contains("https://127.0.0.1:6443"), "{info}");
    Ok(())
}

#[test]
fn kubectl_explains_every_kind_to_its_last_field() -> Result<()> {
    with_cluster(|cluster| {
        let Some(kubectl) = cluster.kubectls().pop() else { return Ok(()) };
        let resources = cluster.with_kubectl(&kubectl, ["api-resources", "--no-headers"]).ok()?;
        for row in resources.lines() {
            // Short names are not everywhere.
            let words: Vec<&str> = row.split_whitespace().collect();
            let (Some(name), Some([version, _, kind])) = (words.first(), words.last_chunk()) else { continue };
            let of_version = format!("--api-version={version}");
            let explained = cluster.with_kubectl(&kubectl, ["explain", name, "--recursive", &of_version]).ok()?;
            let fields =
                explained.lines().skip_while(|line| *line != "FIELDS:").skip(1).filter(|line| !line.is_empty());
            ensure!(explained.contains(&format!("KIND:       {kind}\n")) && fields.count() > 2, "{name}: {explained}");
        }
        ensure!(resources.lines().count() > 50, "{resources}");
        Ok(())
    })
}

fn small_verbs(cluster: &Cluster) -> Result<()> {
    let run = |words: &[&str]| cluster.kubectl([]).args(words).ok();
    cluster.apply(&deployment("web", 1))?;
    let met = run(&["wait", "--for=condition=Available", "deployment/web", "--timeout=30s"])?;
    ensure!(met == "deployment.apps/web condition met\n", "{met}");
    run(&["wait", "--for=jsonpath={.status.readyReplicas}=1", "deployment/web", "--timeout=30s"])?;
    let late = cluster.kubectl(["wait", "--for=condition=Never", "deployment/web", "--timeout=1s"]).run()?;
    ensure!(late.code == 1 && late.stderr.contains("timed out waiting for the condition"), "{late}");

    let dry = run(&["create", "deployment", "dry", "--image=busybox:1", "--dry-run=client", "-o=name"])?;
    ensure!(dry == "deployment.apps/dry\n", "{dry}");
    let dry = run(&["create", "namespace", "dry", "--dry-run=server"])?;
    ensure!(dry == "namespace/dry created (server dry run)\n", "{dry}");
    ensure!(cluster.api().find("/api/v1/namespaces/dry")?.is_none());

    let exposed = run(&["expose", "deployment", "web", "--port=80", "--target-port=8080"])?;
    ensure!(exposed == "service/web exposed\n", "{exposed}");
    let ran = run(&["run", "once", "--image=busybox:1", "--restart=Never", "--", "true"])?;
    ensure!(ran == "pod/once created\n", "{ran}");
    cluster.api().pod_phase("once", "Succeeded")?;
    let attached = run(&["run", "said", "--image=busybox:1", "--restart=Never", "--rm", "-i", "--", "echo", "hello"])?;
    ensure!(attached.contains("hello"), "{attached}");

    cluster.apply(&config_map("a", json!({"k": "1"})))?;
    let replaced =
        cluster.kubectl(["replace", "-f", "-"]).input(config_map("a", json!({"k": "2"})).to_string()).ok()?;
    ensure!(replaced == "configmap/a replaced\n", "{replaced}");
    let events = run(&["get", "events", "--field-selector=involvedObject.name=once"])?;
    ensure!(events.contains("Scheduled") && events.contains("Started"), "{events}");
    Ok(())
}
