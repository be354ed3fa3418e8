//! A machine of its own joins by a token, is lost, and comes back.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::cluster::with_place;
use e2e::leaks::Traces;
use e2e::namespace::Namespace;
use e2e::objects::{FOREVER, at, deployment, has_condition, pod, text};
use e2e::{Cluster, Outcome, eventually, host, images, within};
use serde_json::{Value, json};

const HERE: &str = "192.0.2.1";
const THERE: &str = "192.0.2.2";
/// Longer than a lease's renewal, shorter than people wait.
const GRACE: &str = "15s";

/// Another machine: a network namespace on a link with the cluster's.
struct Machine {
    namespace: Namespace,
    folder: PathBuf,
}

impl Machine {
    fn new(cluster: &Cluster) -> Result<Self> {
        let namespace = Namespace::new()?;
        let ip = |inside: &Namespace, words: &str| -> Result<()> {
            let path = e2e::find_program("ip").context("these tests need iproute2")?;
            let output = inside.command(path).args(words.split(' ')).output()?;
            ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        };
        let handle = namespace.file()?;
        let peer = format!("/proc/{}/fd/{}", std::process::id(), handle.as_raw_fd());
        ip(&cluster.namespace, &format!("link add far type veth peer name near netns {peer}"))?;
        for (inside, link, address) in [(&cluster.namespace, "far", HERE), (&namespace, "near", THERE)] {
            ip(inside, &format!("address add {address}/24 dev {link}"))?;
            ip(inside, &format!("link set {link} up"))?;
        }
        Ok(Self { namespace, folder: cluster.folder().join("far") })
    }

    fn join(&self, cluster: &Cluster, token: &str) -> Result<Outcome> {
        let folder = self.folder.to_string_lossy();
        let arguments = ["node", "join", HERE, "--token", token, "--node-name", "far", "--vxlan", "--detach"];
        cluster.elsewhere(&self.namespace, arguments).args(["--data-dir", &folder]).run()
    }

    fn start(&self, cluster: &Cluster) -> Result<()> {
        let folder = self.folder.to_string_lossy();
        cluster.elsewhere(&self.namespace, ["node", "run", "--detach", "--data-dir", &folder]).ok().map(drop)
    }

    /// What a power cut does to the node's programs; its containers are nobody's then.
    fn crash(&self) -> Result<()> {
        let of_the_node = |pid: &i32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            words.contains(&*self.folder.to_string_lossy())
        };
        let processes: Vec<i32> = e2e::leaks::all_processes()?.into_iter().filter(of_the_node).collect();
        ensure!(processes.len() >= 2, "a node and its launcher: {processes:?}");
        processes.into_iter().try_for_each(host::kill_9)
    }

    /// `down` leaves nothing of the node.
    fn close(&self, cluster: &Cluster) -> Result<()> {
        let record = std::fs::read(self.folder.join("node.json")).unwrap_or_default();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        let id = record["id"].as_str().unwrap_or_default().to_owned();
        let down = match id.is_empty() {
            true => Ok(String::new()),
            false => {
                let folder = self.folder.to_string_lossy();
                cluster.elsewhere(&self.namespace, ["down", "--data-dir", &folder]).ok()
            }
        };
        let links = ["lo", "near", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0"].map(str::to_owned);
        let (namespace, links) = (&self.namespace, &links);
        let traces = Traces { data_dir: &self.folder, id, namespace, alone: true, links, spared: None };
        let clean = traces.check();
        down.and(clean)
    }
}

#[test]
fn a_machine_joins_is_lost_and_comes_back() -> Result<()> {
    with_place(|cluster| {
        let Some(archive) = images::busybox(cluster.folder())? else { return Ok(()) };
        // Either nodes in namespaces or other machines.
        cluster.nodes = 1;
        let machine = Machine::new(cluster)?;
        let tested = (|| {
            cluster.up(["--advertise-address", HERE, "--vxlan", "--node-monitor-grace-period", GRACE])?;
            bad_tokens_are_refused(cluster, &machine)?;
            joins(cluster, &machine, &archive)?;
            pods_reach_each_other(cluster)?;
            is_lost_and_comes_back(cluster, &machine)
        })();
        let closed = machine.close(cluster);
        let ip = e2e::find_program("ip").context("these tests need iproute2")?;
        cluster.namespace.command(ip).args(["link", "delete", "far"]).output()?;
        tested.and(closed)
    })
}

fn token(cluster: &Cluster, ttl: &str) -> Result<String> {
    Ok(cluster.setpoint(["token", "create", "--quiet", "--ttl", ttl]).ok()?.trim().to_owned())
}

fn bad_tokens_are_refused(cluster: &Cluster, machine: &Machine) -> Result<()> {
    // In this order: who makes a token cleans up what has expired.
    let good = token(cluster, "10m")?;
    let short = token(cluster, "1s")?;
    let (secret, fingerprint) = good.split_once('@').context("a token has a fingerprint")?;
    let turned = |text: &str| -> String {
        let last = if text.ends_with('0') { '1' } else { '0' };
        format!("{}{last}", &text[..text.len() - 1])
    };
    let wrong = format!("{}@{fingerprint}", turned(secret));
    let foreign = format!("{secret}@{}", turned(fingerprint));
    let list = eventually("the short one has expired", || {
        let list = cluster.setpoint(["token", "list"]).ok()?;
        Ok(list.contains("expired").then_some(list))
    })?;
    ensure!(!list.contains(&secret[7..]), "secrets are not shown: {list}");
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
    machine.start(cluster)?;
    ready(cluster)?;
    eventually("the replaced pod is gone, with its container", || {
        let pods = cluster.api().pods_of("web")?;
        let gone = pods.iter().all(|pod| text(pod, "metadata.uid") != text(&lost, "metadata.uid"));
        Ok((gone && host::processes(&mark)?.len() == 1).then_some(()))
    })?;
    // The node is as good as new.
    cluster.api().pod_ready("there").map(drop)
}
