//! A machine of its own joins by a token, is lost, and comes back.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::cluster::with_place;
use e2e::machine::{HERE, Machine, with_machine};
use e2e::objects::{FOREVER, at, deployment, has_condition, pod, text};
use e2e::{Cluster, eventually, host, images, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longer than a lease's renewal, shorter than people wait.
const GRACE: &str = "15s";

#[test]
fn a_machine_joins_is_lost_and_comes_back() -> Result<()> {
    with_place(|cluster| {
        let Some(archive) = images::busybox(cluster.folder())? else { return Ok(()) };
        // Either nodes in namespaces or other machines.
        cluster.nodes = 1;
        with_machine(cluster, |cluster, machine| {
            cluster.up(["--advertise-address", HERE, "--vxlan", "--node-monitor-grace-period", GRACE])?;
            bad_tokens_are_refused(cluster, machine)?;
            joins(cluster, machine, &archive)?;
            pods_reach_each_other(cluster)?;
            is_lost_and_comes_back(cluster, machine)?;
            its_certificates_are_renewed(cluster, machine)?;
            stops_and_joins_at_once(cluster, machine)
        })
    })
}

fn token(cluster: &Cluster, ttl: &str) -> Result<String> {
    Ok(cluster.setpoint(["token", "create", "--quiet", "--ttl", ttl]).ok()?.trim().to_owned())
}

fn bad_tokens_are_refused(cluster: &Cluster, machine: &Machine) -> Result<()> {
    let good = token(cluster, "10m")?;
    let short = token(cluster, "1s")?;
    let (secret, fingerprint) = good.split_once('@').context("a token has a fingerprint")?;
    let turned = |text: &str| -> String {
        let last = if text.ends_with('0') { '1' } else { '0' };
        format!("{}{last}", &text[..text.len() - 1])
    };
    let wrong = format!("{}@{fingerprint}", turned(secret));
    let foreign = format!("{secret}@{}", turned(fingerprint));
    eventually("the short one has expired, and is deleted", || {
        let list = cluster.setpoint(["token", "list"]).ok()?;
        ensure!(!list.contains(&secret[7..]), "secrets are not shown: {list}");
        Ok((list.contains(&good[..6]) && !list.contains(&short[..6])).then_some(()))
    })?;
    for (token, words) in [
        (short.as_str(), "the token is wrong, or it has expired: make a new one with `setpoint token create`"),
        (&wrong, "the token is wrong, or it has expired"),
        (&foreign, "is not of the cluster that made the token"),
        (secret, "the token is not whole"),
    ] {
        let outcome = machine.join(cluster, token)?;
        ensure!(outcome.code == 1 && outcome.stderr.contains(words), "{token}: {outcome}");
    }
    ensure!(!machine.folder.join("node.json").exists(), "a refused machine is no node");
    Ok(())
}

fn joins(cluster: &Cluster, machine: &Machine, archive: &Path) -> Result<()> {
    let printed = cluster.setpoint(["token", "create"]).ok()?;
    ensure!(printed.contains(&format!("setpoint node join {HERE}:6443 --token ")), "{printed}");
    let token = printed.split_whitespace().find(|word| word.contains('@')).context("no token")?.to_owned();
    // Nobody becomes a node that is at work.
    let first = cluster.first_node()?;
    let folder = machine.folder.to_string_lossy();
    let thief = ["node", "join", HERE, "--token", &token, "--node-name", &first, "--detach", "--data-dir", &folder];
    cluster.elsewhere(&machine.namespace, thief).fails_with("it is Ready")?;
    let outcome = machine.join(cluster, &token)?;
    ensure!(outcome.code == 0 && outcome.stderr.contains("this machine is node far of the cluster at"), "{outcome}");
    ready(cluster)?;
    cluster.setpoint(["image", "load"]).args([archive]).ok()?;
    Ok(())
}

fn ready(cluster: &Cluster) -> Result<Value> {
    eventually("the node is Ready and has no taints", || {
        let node = cluster.api().get("/api/v1/nodes/far")?;
        Ok((has_condition(&node, "Ready") && at(&node, "spec.taints").is_null()).then_some(node))
    })
}

fn pods_reach_each_other(cluster: &Cluster) -> Result<()> {
    let web = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";
    for (name, node) in [("near", cluster.first_node()?), ("there", "far".to_owned())] {
        let mut pod = pod(name, web);
        pod["spec"]["nodeName"] = node.into();
        cluster.api().create_pod(&pod)?;
    }
    let mut addresses = Vec::new();
    for name in ["near", "there"] {
        addresses.push(text(&cluster.api().pod_ready(name)?, "status.podIP").to_owned());
    }
    for (from, to, address) in [("near", "there", &addresses[1]), ("there", "near", &addresses[0])] {
        let script = format!("timeout 5 wget -qO- http://{address}:8080/");
        let answer = eventually("a pod reaches a pod", || Ok(Some(cluster.shell(from, &script)?)))?;
        ensure!(answer == to, "{answer}");
    }
    // Larger than a packet: what the tunnel takes of it is known to both sides.
    let script = format!(
        "dd if=/dev/zero bs=1k count=200 2>/dev/null > /tmp/www/large; timeout 10 wget -qO- http://{}:8080/index.html",
        addresses[1]
    );
    ensure!(cluster.shell("near", &script)? == "there");
    let script = format!("timeout 10 wget -qO- http://{}:8080/large | wc -c", addresses[0]);
    ensure!(cluster.shell("there", &script)?.trim() == "204800", "large answers come through the tunnel");
    Ok(())
}

/// The pods of a lost node run elsewhere; what is left of them ends when the node is back.
fn is_lost_and_comes_back(cluster: &Cluster, machine: &Machine) -> Result<()> {
    let mark = format!("lost-{}", std::process::id());
    let mut web = deployment("web", 1);
    let spec = &mut web["spec"]["template"]["spec"];
    spec["containers"][0]["command"] = json!(["sh", "-c", format!(": {mark}; {FOREVER}")]);
    spec["tolerations"] = json!([
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1},
    ]);
    let first = cluster.first_node()?;
    cluster.setpoint(["cordon", &first]).ok()?;
    cluster.apply(&web)?;
    cluster.api().deployment_ready("web")?;
    cluster.setpoint(["uncordon", &first]).ok()?;
    let lost = cluster.api().pods_of("web")?.remove(0);
    ensure!(text(&lost, "spec.nodeName") == "far", "{lost}");
    machine.crash()?;
    let limit = std::time::Duration::from_secs(60);
    within(limit, "the lost node's pod is replaced", || {
        let running = |pod: &Value| text(pod, "spec.nodeName") == first && has_condition(pod, "Ready");
        Ok(cluster.api().pods_of("web")?.iter().any(running).then_some(()))
    })?;
    let node = cluster.api().get("/api/v1/nodes/far")?;
    let taints = at(&node, "spec.taints").to_string();
    ensure!(!has_condition(&node, "Ready") && taints.contains("node.kubernetes.io/unreachable"), "{node}");
    machine.run(cluster).ok()?;
    ready(cluster)?;
    eventually("the replaced pod is gone, with its container", || {
        let pods = cluster.api().pods_of("web")?;
        let gone = pods.iter().all(|pod| text(pod, "metadata.uid") != text(&lost, "metadata.uid"));
        Ok((gone && host::processes(&mark)?.len() == 1).then_some(()))
    })?;
    // The node is as good as new.
    cluster.api().pod_ready("there").map(drop)
}

/// Also the one that the kubelet serves with, and its containers go on.
fn its_certificates_are_renewed(cluster: &Cluster, machine: &Machine) -> Result<()> {
    let container = |pod: &Value| at(pod, "status.containerStatuses.0.containerID").clone();
    let before = container(&cluster.api().pod_ready("there")?);
    let lock = machine.place().lock();
    let stop = || -> Result<()> {
        let pid = Pid::from_raw(host::holder(&lock)?).context("a node runs")?;
        kill_process(pid, Signal::TERM)?;
        host::holder_ends(&lock)
    };
    stop()?;
    let read = |name: &str| std::fs::read(machine.folder.join(name)).map_err(anyhow::Error::from);
    let old = [read("kubeconfig")?, read("pki/kubelet.crt")?];
    machine.run(cluster).env("SETPOINT_RENEW_CERTIFICATES_AFTER", "2s").ok()?;
    eventually("both certificates are others", || {
        Ok((read("kubeconfig")? != old[0] && read("pki/kubelet.crt")? != old[1]).then_some(()))
    })?;
    eventually("the node goes on with them", || Ok((cluster.shell("there", "echo alive")? == "alive").then_some(())))?;
    stop()?;
    machine.run(cluster).ok()?;
    ready(cluster)?;
    ensure!(container(&cluster.api().pod_ready("there")?) == before, "another container");
    Ok(())
}

/// Neither a machine that was stopped nor one that keeps its data waits for the cluster to find out that it is away.
fn stops_and_joins_at_once(cluster: &Cluster, machine: &Machine) -> Result<()> {
    machine.down(cluster)?;
    let node = cluster.api().get("/api/v1/nodes/far")?;
    ensure!(at(&node, "status.conditions").to_string().contains("node is shutting down"), "{node}");
    // Without the certificate that it had: as another machine of this name.
    std::fs::remove_dir_all(&machine.folder)?;
    let joined = machine.join(cluster, &token(cluster, "10m")?)?;
    ensure!(joined.code == 0, "{joined}");
    ready(cluster)?;
    machine.crash()?;
    let node = cluster.api().get("/api/v1/nodes/far")?;
    ensure!(has_condition(&node, "Ready"), "nobody knows yet: {node}");
    let again = machine.join(cluster, &token(cluster, "10m")?)?;
    ensure!(again.code == 0, "{again}");
    ready(cluster).map(drop)
}
