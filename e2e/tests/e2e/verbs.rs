//! The built-in verbs: what a machine without kubectl has.

use anyhow::{Result, ensure};
use e2e::objects::{config_map, deployment, pod, service};
use e2e::terminal::Terminal;
use e2e::{Cluster, eventually, images, with_cluster};
use serde_json::{Value, json};

#[test]
fn built_in_verbs_do_what_kubectls_do() -> Result<()> {
    with_cluster(|cluster| {
        applies(cluster)?;
        gets(cluster)?;
        describes(cluster)?;
        watches_and_scales(cluster)?;
        rolls_out(cluster)?;
        waits(cluster)?;
        deletes(cluster)
    })
}

fn run(cluster: &Cluster, words: &[&str]) -> Result<String> {
    cluster.setpoint([]).args(words).ok()
}

fn applies(cluster: &Cluster) -> Result<()> {
    let all = format!("{}\n---\n{}", deployment("web", 1), service("web", "web", 80, 8080));
    let apply = || cluster.setpoint(["apply", "-f", "-"]).input(all.clone()).ok();
    ensure!(apply()? == "deployment.apps/web created\nservice/web created\n");
    ensure!(apply()? == "deployment.apps/web unchanged\nservice/web unchanged\n");
    cluster.api().deployment_ready("web")?;
    ensure!(apply()? == "deployment.apps/web unchanged\nservice/web unchanged\n", "its status is no change");
    // Each client goes on where the other left.
    let by_kubectl = cluster.kubectl(["apply", "-f", "-"]).input(all.clone()).ok()?;
    ensure!(by_kubectl == "deployment.apps/web unchanged\nservice/web unchanged\n", "{by_kubectl}");

    let folder = cluster.folder().join("manifests");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("a.yaml"), config_map("a", json!({"k": "1", "gone": "soon"})).to_string())?;
    std::fs::write(folder.join("b.json"), config_map("b", json!({"k": "1"})).to_string())?;
    let path = folder.to_string_lossy();
    ensure!(run(cluster, &["apply", "-f", &path])? == "configmap/a created\nconfigmap/b created\n");
    std::fs::write(folder.join("a.yaml"), config_map("a", json!({"k": "2"})).to_string())?;
    let dry = run(cluster, &["apply", "--dry-run=server", "-f", &path])?;
    ensure!(dry == "configmap/a configured (server dry run)\nconfigmap/b unchanged (server dry run)\n", "{dry}");
    ensure!(run(cluster, &["apply", "-f", &path])? == "configmap/a configured\nconfigmap/b unchanged\n");
    let object = cluster.api().get("/api/v1/namespaces/default/configmaps/a")?;
    ensure!(object["data"] == json!({"k": "2"}), "what is no longer in the manifest is removed: {object}");
    Ok(())
}

fn gets(cluster: &Cluster) -> Result<()> {
    let same = |words: &[&str]| -> Result<String> {
        let (ours, theirs) = (run(cluster, words)?, cluster.kubectl([]).args(words).ok()?);
        ensure!(columns(&ours) == columns(&theirs), "{words:?}: ours\n{ours}\nkubectl's\n{theirs}");
        Ok(ours)
    };
    for words in [
        &["get", "pods"][..],
        &["get", "deploy", "web", "-o", "wide"],
        &["get", "svc", "-A"],
        &["get", "pods", "-l", "app=web", "--show-labels", "--no-headers"],
        &["get", "nodes", "-L", "kubernetes.io/os"],
        &["get", "cm,svc"],
        &["get", "deploy/web", "svc/web"],
        &["get", "pods", "-o", "name"],
        &["get", "deploy", "web", "-o", "jsonpath={.metadata.name} {.spec.replicas}{\"\\n\"}"],
    ] {
        same(words)?;
    }
    let whole: Value = serde_json::from_str(&run(cluster, &["get", "deploy", "web", "-o", "json"])?)?;
    let theirs: Value = serde_json::from_str(&cluster.kubectl(["get", "deploy", "web", "-o", "json"]).ok()?)?;
    ensure!(whole == theirs);
    let list: Value = serde_json::from_str(&run(cluster, &["get", "cm", "a", "b", "-o", "json"])?)?;
    ensure!(list["kind"] == "List" && list["items"].as_array().is_some_and(|items| items.len() == 2), "{list}");
    let yaml = run(cluster, &["get", "cm", "a", "-o", "yaml"])?;
    let again = cluster.setpoint(["apply", "-f", "-"]).input(yaml.clone()).ok()?;
    ensure!(again.starts_with("configmap/a ") && yaml.contains("kind: ConfigMap\n"), "{again}{yaml}");
    let missing = "Error from server (NotFound): pods \"nobody\" not found";
    cluster.setpoint(["get", "pod", "nobody"]).fails_with(missing)?;
    let unknown = "error: the server doesn't have a resource type \"nothings\"";
    cluster.setpoint(["get", "nothings"]).fails_with(unknown)?;
    cluster.setpoint(["get", "pods", "-o", "table"]).fails_with("unable to match a printer")?;
    let nothing = cluster.setpoint(["get", "pods", "-n", "kube-system"]).run()?;
    ensure!(nothing.code == 0 && nothing.stderr == "No resources found in kube-system namespace.\n", "{nothing}");
    Ok(())
}

/// A table as words, without ages, which go on between two looks.
fn columns(table: &str) -> Vec<Vec<&str>> {
    let is_age = |word: &str| word.ends_with(['s', 'm']) && word.starts_with(|letter: char| letter.is_ascii_digit());
    table.lines().map(|line| line.split_whitespace().filter(|word| !is_age(word)).collect()).collect()
}

fn describes(cluster: &Cluster) -> Result<()> {
    let text = run(cluster, &["describe", "deployment", "web"])?;
    for expected in ["Name:  ", "Namespace:  ", "Image:", "busybox:1", "Events:", "ScalingReplicaSet"] {
        ensure!(text.contains(expected), "{expected:?} is not in {text}");
    }
    let pods = run(cluster, &["describe", "pods", "-l", "app=web"])?;
    ensure!(pods.contains("Controlled By:") && pods.contains("Scheduled"), "{pods}");
    cluster.setpoint(["describe", "pod", "nobody"]).fails_with("pods \"nobody\" not found")?;
    Ok(())
}

fn watches_and_scales(cluster: &Cluster) -> Result<()> {
    let mut watch = cluster.setpoint(["get", "deploy", "web", "-w"]).start()?;
    watch.line("the deployment as it is", |line| line.contains("1/1"))?;
    ensure!(run(cluster, &["scale", "deployment/web", "--replicas=2"])? == "deployment.apps/web scaled\n");
    watch.line("the deployment as it becomes", |line| line.contains("2/2"))?;
    let wrong = cluster.setpoint(["scale", "deployment/web", "--replicas=3", "--current-replicas=9"]);
    wrong.fails_with("Expected replicas to be 9, was 2")?;
    Ok(())
}

fn rolls_out(cluster: &Cluster) -> Result<()> {
    cluster.kubectl(["set", "image", "deployment/web", "main=busybox:2"]).ok()?;
    let status = run(cluster, &["rollout", "status", "deployment/web"])?;
    ensure!(status.ends_with("deployment \"web\" successfully rolled out\n"), "{status}");
    let same = cluster.kubectl(["rollout", "history", "deployment/web"]).ok()?;
    let history = run(cluster, &["rollout", "history", "deployment/web"])?;
    ensure!(columns(&history) == columns(same.trim_end()), "{history}{same}");
    ensure!(run(cluster, &["rollout", "undo", "deployment/web"])? == "deployment.apps/web rolled back\n");
    run(cluster, &["rollout", "status", "deployment/web"])?;
    let image = run(cluster, &["get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"])?;
    ensure!(image == "busybox:1", "{image}");
    let undone = cluster.setpoint(["rollout", "undo", "deployment/web", "--to-revision=99"]);
    undone.fails_with("unable to find specified revision 99 in history")?;
    Ok(())
}

fn waits(cluster: &Cluster) -> Result<()> {
    let met = run(cluster, &["wait", "--for=condition=Available", "deployment/web"])?;
    ensure!(met == "deployment.apps/web condition met\n", "{met}");
    run(cluster, &["wait", "--for=jsonpath={.spec.replicas}=2", "deployment/web"])?;
    let late = cluster.setpoint(["wait", "--for=condition=Never", "deployment/web", "--timeout=1s"]);
    late.fails_with("timed out waiting for the condition")?;
    cluster.setpoint(["wait", "--for=create", "deploy", "-l", "app=none"]).fails_with("no matching resources found")?;
    Ok(())
}

fn deletes(cluster: &Cluster) -> Result<()> {
    let folder = cluster.folder().join("manifests");
    let said = run(cluster, &["delete", "-f", &folder.to_string_lossy()])?;
    ensure!(said == "configmap \"a\" deleted\nconfigmap \"b\" deleted\n", "{said}");
    ensure!(run(cluster, &["delete", "deploy/web", "svc/web"])?.contains("deployment.apps \"web\" deleted"));
    eventually("its pods are gone", || Ok(cluster.api().pods_of("web")?.is_empty().then_some(())))?;
    cluster.setpoint(["delete", "pod", "nobody"]).fails_with("pods \"nobody\" not found")?;
    run(cluster, &["delete", "pod", "nobody", "--ignore-not-found"])?;
    Ok(())
}

#[test]
fn built_in_verbs_talk_to_containers_and_images() -> Result<()> {
    with_cluster(|cluster| {
        let script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done";
        cluster.api().create_pod(&pod("talker", script))?;
        cluster.api().pod_ready("talker")?;
        streams(cluster)?;
        let program = cluster.setpoint(["exec", "-it", "talker", "--", "sh"]);
        crate::streams::type_into_a_shell(Terminal::start(program, 33, 77)?)?;
        versions(cluster)?;
        images_come_and_go(cluster)
    })
}

fn streams(cluster: &Cluster) -> Result<()> {
    let mut follow = cluster.setpoint(["logs", "-f", "talker"]).start()?;
    follow.line("line 1", |line| line == "line 1")?;
    let now = run(cluster, &["logs", "talker"])?.lines().count();
    let later = format!("line {}", now + 3);
    follow.line(&later, |line| line == later)?;
    ensure!(run(cluster, &["logs", "talker", "--tail=1"])?.lines().count() == 1);
    cluster.setpoint(["logs", "nobody"]).fails_with("pods \"nobody\" not found")?;

    let exec = |words: &[&str]| cluster.setpoint(["exec"]).args(words);
    let failed = exec(&["talker", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).run()?;
    ensure!(failed.code == 7 && failed.stdout == "out\n" && failed.stderr.starts_with("err\n"), "{failed}");
    ensure!(failed.stderr.contains("command terminated with exit code 7"), "{failed}");
    let much = "0123456789abcdef".repeat(64 << 10);
    ensure!(exec(&["-i", "talker", "--", "cat"]).input(much.clone()).ok()? == much);
    exec(&["nobody", "--", "true"]).fails_with("pods \"nobody\" not found")?;
    Ok(())
}

fn versions(cluster: &Cluster) -> Result<()> {
    let both = run(cluster, &["version"])?;
    ensure!(both.contains("Client Version: ") && both.contains("Server Version: v1.35."), "{both}");
    let own = cluster.home_setpoint(["version", "--client"]).ok()?;
    ensure!(own.lines().count() == 1, "{own}");
    Ok(())
}

fn images_come_and_go(cluster: &Cluster) -> Result<()> {
    let list = || run(cluster, &["image", "ls"]);
    let listed = list()?;
    for name in ["docker.io/setpoint/demo:v1", "docker.io/library/busybox:1", "docker.io/library/busybox:2"] {
        ensure!(listed.contains(name), "{name} is not in {listed}");
    }
    let in_use = cluster.setpoint(["image", "rm", images::BUSYBOX]).run()?;
    ensure!(in_use.code == 1 && in_use.stderr.contains("a container uses it"), "{in_use}");
    run(cluster, &["image", "rm", images::BUSYBOX_2])?;
    ensure!(!list()?.contains("busybox:2"));
    let archive = cluster.folder().join("busybox.tar");
    let loaded = run(cluster, &["image", "load", &archive.to_string_lossy()])?;
    ensure!(loaded.contains("busybox:2"), "{loaded}");
    ensure!(list()?.contains("busybox:2"));
    let broken = cluster.file("broken.tar", "this is no archive")?;
    let refused = cluster.setpoint(["image", "load", &broken.to_string_lossy()]).run()?;
    ensure!(refused.code == 1 && refused.stderr.starts_with("error: load "), "{refused}");
    cluster.setpoint(["image", "load", "nothing.tar"]).fails_with("error: read nothing.tar")?;
    cluster.setpoint(["image", "ls", "--node", "nobody"]).fails_with("nodes \"nobody\" not found")?;
    Ok(())
}
