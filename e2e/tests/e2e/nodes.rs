//! Several nodes on one machine: pods reach each other, nodes are drained, a node's process heals.

use anyhow::{Result, ensure};
use e2e::cluster::with_place;
use e2e::objects::{FOREVER, at, deployment, pod, service, text};
use e2e::{Cluster, eventually, host, images};
use serde_json::{Value, json};

const WEB: &str = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";

#[test]
fn three_nodes_are_one_cluster() -> Result<()> {
    with_place(|cluster| {
        let Some(archive) = images::busybox(cluster.folder())? else { return Ok(()) };
        cluster.nodes = 3;
        cluster.up([])?;
        cluster.setpoint(["image", "load"]).args([archive]).ok()?;
        let nodes = nodes(cluster)?;
        ensure!(nodes.len() == 3, "{nodes:?}");
        pods_reach_each_other(cluster, &nodes)?;
        services_work_from_everywhere(cluster, &nodes)?;
        a_nodes_process_heals(cluster, &nodes)?;
        a_node_is_drained(cluster, &nodes)?;
        marks_are_set(cluster, &nodes)
    })
}

/// Names and addresses, the machine itself first.
fn nodes(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let nodes = cluster.api().items("/api/v1/nodes")?;
    let mut ranges: Vec<&str> = nodes.iter().map(|node| text(node, "spec.podCIDR")).collect();
    ranges.sort_unstable();
    ranges.dedup();
    ensure!(ranges.len() == nodes.len(), "every node has a range of its own: {ranges:?}");
    let place =
        |node: &Value| (text(node, "metadata.name").to_owned(), text(node, "status.addresses.0.address").to_owned());
    Ok(nodes.iter().map(place).collect())
}

fn on(node: &str, mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = node.into();
    pod
}

fn pods_reach_each_other(cluster: &Cluster, nodes: &[(String, String)]) -> Result<()> {
    let mut addresses = Vec::new();
    for (index, (node, _)) in nodes.iter().enumerate() {
        let mut web = on(node, pod(&format!("web-{index}"), WEB));
        web["metadata"]["labels"]["app"] = "web".into();
        cluster.api().create_pod(&web)?;
    }
    for index in 0..nodes.len() {
        let pod = cluster.api().pod_ready(&format!("web-{index}"))?;
        addresses.push(text(&pod, "status.podIP").to_owned());
    }
    for from in 0..nodes.len() {
        for (to, address) in addresses.iter().enumerate() {
            let script = format!("timeout 5 wget -qO- http://{address}:8080/");
            let answer =
                eventually("a pod reaches a pod", || Ok(Some(cluster.shell(&format!("web-{from}"), &script)?)))?;
            ensure!(answer == format!("web-{to}"), "from {from} to {to}: {answer}");
        }
    }
    // Also from the machine, and every kubelet is reached for logs.
    for (index, address) in addresses.iter().enumerate() {
        ensure!(cluster.http_get(address, 8080)?.trim() == format!("web-{index}"));
        cluster.kubectl(["logs", &format!("web-{index}")]).ok()?;
    }
    Ok(())
}

fn services_work_from_everywhere(cluster: &Cluster, nodes: &[(String, String)]) -> Result<()> {
    let mut web = service("web", "web", 80, 8080);
    web["spec"]["type"] = "NodePort".into();
    cluster.apply(&web)?;
    let web = cluster.api().get("/api/v1/namespaces/default/services/web")?;
    let (address, port) = (text(&web, "spec.clusterIP"), at(&web, "spec.ports.0.nodePort").as_u64().unwrap_or(0));
    let all: Vec<String> = (0..nodes.len()).map(|index| format!("web-{index}")).collect();
    let script = format!("for i in $(seq 30); do timeout 5 wget -qO- http://{address}/; done | sort -u");
    for from in &all {
        eventually("a pod's requests go to all nodes", || {
            let answers = cluster.shell(from, &script)?;
            Ok(answers.lines().eq(all.iter().map(String::as_str)).then_some(()))
        })?;
    }
    for (node, address) in nodes {
        eventually(&format!("the node port answers on {node}"), || {
            Ok(cluster.http_get(address, u16::try_from(port)?)?.starts_with("web-").then_some(()))
        })?;
    }
    // Pods of every node reach the API.
    let script = "timeout 5 nc -w 5 $KUBERNETES_SERVICE_HOST 443 </dev/null && echo reached";
    for from in &all {
        ensure!(cluster.shell(from, script)?.contains("reached"), "{from} does not reach the API");
    }
    Ok(())
}

fn a_nodes_process_heals(cluster: &Cluster, nodes: &[(String, String)]) -> Result<()> {
    let mark = format!("kept-{}", std::process::id());
    let second = &nodes[1].0;
    cluster.api().create_pod(&on(second, pod("kept", &format!(": {mark}; {FOREVER}"))))?;
    cluster.api().pod_ready("kept")?;
    let container = host::process(&mark)?;
    let folder = cluster.data_dir().join("nodes").join(second);
    let pid = || -> Result<i32> { Ok(std::fs::read_to_string(folder.join("lock"))?.trim().parse()?) };
    let before = pid()?;
    host::kill_9(before)?;
    eventually("the node's process is back", || {
        let now = pid()?;
        Ok((now != before && cluster.shell("kept", "echo alive")? == "alive").then_some(()))
    })?;
    ensure!(host::process(&mark)? == container, "its containers go on");
    ensure!(*at(&cluster.api().pod("kept")?, "status.containerStatuses.0.restartCount") == 0);
    Ok(())
}

fn a_node_is_drained(cluster: &Cluster, nodes: &[(String, String)]) -> Result<()> {
    let (first, second, third) = (&nodes[0].0, &nodes[1].0, &nodes[2].0);
    cluster.setpoint(["cordon", first]).prints(&format!("node/{first} cordoned\n"))?;
    cluster.setpoint(["cordon", first]).prints(&format!("node/{first} already cordoned\n"))?;
    cluster.apply(&deployment("moving", 2))?;
    cluster.api().deployment_ready("moving")?;
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "moving"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "moving"}}}});
    cluster.apply(&budget)?;
    eventually("the budget allows one", || {
        let budget = cluster.api().get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/moving")?;
        Ok((*at(&budget, "status.disruptionsAllowed") == 1).then_some(()))
    })?;
    let bare = cluster.setpoint(["drain", second]).run()?;
    ensure!(bare.code == 1 && bare.stderr.contains("declare no controller (use --force to override)"), "{bare}");
    ensure!(bare.stderr.contains("There are pending nodes to be drained:"), "{bare}");
    let drained = cluster.setpoint(["drain", second, "--force", "--grace-period=1", "--timeout=50s"]).ok()?;
    ensure!(
        drained.contains("pod/kept evicted") && drained.ends_with(&format!("node/{second} drained\n")),
        "{drained}"
    );
    let left = cluster.api().items(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{second}"))?;
    ensure!(left.is_empty(), "{left:?}");
    eventually("what was evicted runs on the third node", || {
        let pods = cluster.api().pods_of("moving")?;
        let there = |pod: &&Value| text(pod, "spec.nodeName") == third && text(pod, "status.phase") == "Running";
        Ok((pods.len() == 2 && pods.iter().filter(there).count() == 2).then_some(()))
    })?;
    for node in [first, second] {
        cluster.setpoint(["uncordon", node]).prints(&format!("node/{node} uncordoned\n"))?;
    }
    Ok(())
}

/// Both programs say the same.
fn marks_are_set(cluster: &Cluster, nodes: &[(String, String)]) -> Result<()> {
    let node = &nodes[1].0;
    let object = format!("node/{node}");
    let steps: [(&[&str], String); 7] = [
        (&["label", "node", node, "zone=a"], format!("{object} labeled\n")),
        (&["label", &object, "zone=a"], format!("{object} not labeled\n")),
        (&["label", &object, "zone=b", "--overwrite"], format!("{object} labeled\n")),
        (&["label", &object, "zone-"], format!("{object} unlabeled\n")),
        (&["annotate", "nodes", node, "note=x"], format!("{object} annotated\n")),
        (&["taint", "nodes", node, "k=v:NoSchedule"], format!("{object} tainted\n")),
        (&["taint", "nodes", node, "k-"], format!("{object} untainted\n")),
    ];
    for (arguments, expected) in &steps {
        for said in [cluster.setpoint([]).args(*arguments).ok()?, cluster.kubectl([]).args(*arguments).run()?.stdout] {
            let again = said.is_empty() || said == *expected || said.ends_with("not labeled\n");
            ensure!(again, "{arguments:?} says {said:?}");
        }
    }
    cluster.setpoint(["label", &object, "kubernetes.io/os=plan9"]).fails_with("--overwrite is false")?;
    cluster.setpoint(["taint", &object, "k:Sometimes"]).fails_with("invalid taint effect: Sometimes")?;
    Ok(())
}
