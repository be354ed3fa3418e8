//! What belongs together goes together, and what must be there comes back.

use anyhow::{Result, ensure};
use e2e::objects::{FOREVER, at, config_map, deployment, has_condition, pod, text};
use e2e::{Cluster, eventually, with_cluster};
use serde_json::{Value, json};

#[test]
fn owners_and_namespaces_take_their_own_with_them() -> Result<()> {
    with_cluster(|cluster| {
        dependants_go_in_the_background(cluster)?;
        dependants_go_first(cluster)?;
        dependants_are_orphaned(cluster)?;
        objects_of_a_gone_owner_are_collected(cluster)?;
        finalizers_hold_an_object(cluster)?;
        namespaces_take_their_content_with_them(cluster)
    })
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn gone(cluster: &Cluster, path: &str) -> Result<()> {
    eventually(&format!("{path} is gone"), || Ok(cluster.api().find(path)?.is_none().then_some(())))
}

fn owned(name: &str, owner: &Value, blocks: bool) -> Value {
    let mut object = config_map(name, json!({}));
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks}]);
    object
}

fn dependants_go_in_the_background(cluster: &Cluster) -> Result<()> {
    cluster.apply(&deployment("web", 2))?;
    cluster.api().deployment_ready("web")?;
    cluster.kubectl(["delete", "deployment", "web"]).ok()?;
    for path in ["/apis/apps/v1/namespaces/default/replicasets", "/api/v1/namespaces/default/pods"] {
        eventually(&format!("{path} are gone"), || Ok(cluster.api().items(path)?.is_empty().then_some(())))?;
    }
    Ok(())
}

fn dependants_go_first(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let owner = api.create(MAPS, &config_map("owner", json!({})))?;
    let mut held = owned("held", &owner, true);
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    api.create(MAPS, &held)?;
    cluster.kubectl(["delete", "cm", "owner", "--cascade=foreground", "--wait=false"]).ok()?;
    eventually("the dependant is asked to go", || {
        Ok((!text(&api.get(&format!("{MAPS}/held"))?, "metadata.deletionTimestamp").is_empty()).then_some(()))
    })?;
    let waiting = api.get(&format!("{MAPS}/owner"))?;
    ensure!(waiting["metadata"]["finalizers"] == json!(["foregroundDeletion"]), "{waiting}");
    api.patch(&format!("{MAPS}/held"), &json!({"metadata": {"finalizers": null}}))?;
    gone(cluster, &format!("{MAPS}/held"))?;
    gone(cluster, &format!("{MAPS}/owner"))
}

fn dependants_are_orphaned(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    cluster.apply(&deployment("orphans", 1))?;
    api.deployment_ready("orphans")?;
    cluster.kubectl(["delete", "deployment", "orphans", "--cascade=orphan"]).ok()?;
    let sets = api.items("/apis/apps/v1/namespaces/default/replicasets")?;
    ensure!(sets.len() == 1 && sets[0]["metadata"].get("ownerReferences").is_none(), "{sets:?}");
    ensure!(api.pods_of("orphans")?.len() == 1);
    // The same Deployment again takes them in.
    cluster.apply(&deployment("orphans", 1))?;
    api.deployment_ready("orphans")?;
    let adopted = api.items("/apis/apps/v1/namespaces/default/replicasets")?;
    ensure!(adopted.len() == 1 && adopted[0]["metadata"]["uid"] == sets[0]["metadata"]["uid"], "{adopted:?}");
    ensure!(text(&adopted[0], "metadata.ownerReferences.0.kind") == "Deployment");
    cluster.kubectl(["delete", "deployment", "orphans"]).ok()?;
    Ok(())
}

fn objects_of_a_gone_owner_are_collected(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let first = api.create(MAPS, &config_map("first", json!({})))?;
    let second = api.create(MAPS, &config_map("second", json!({})))?;
    let mut both = owned("both", &first, false);
    let other = owned("x", &second, false)["metadata"]["ownerReferences"][0].clone();
    both["metadata"]["ownerReferences"] = json!([both["metadata"]["ownerReferences"][0], other]);
    api.create(MAPS, &both)?;
    api.create(MAPS, &owned("one", &first, false))?;
    let impostor = json!({"metadata": {"name": "second", "uid": "00000000-0000-4000-8000-000000000000"}});
    api.create(MAPS, &owned("stray", &impostor, false))?;
    gone(cluster, &format!("{MAPS}/stray"))?;
    api.delete(&format!("{MAPS}/first"))?;
    gone(cluster, &format!("{MAPS}/one"))?;
    ensure!(api.find(&format!("{MAPS}/both"))?.is_some(), "one of two owners is still there");
    api.delete(&format!("{MAPS}/second"))?;
    gone(cluster, &format!("{MAPS}/both"))
}

fn finalizers_hold_an_object(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let mut held = config_map("final", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/x"]);
    api.create(MAPS, &held)?;
    let path = format!("{MAPS}/final");
    let (code, _) = api.request("DELETE", &path, None)?;
    ensure!(code == 200 || code == 202, "{code}");
    ensure!(!text(&api.get(&path)?, "metadata.deletionTimestamp").is_empty());
    api.patch(&path, &json!({"metadata": {"finalizers": []}}))?;
    gone(cluster, &path)
}

fn namespaces_take_their_content_with_them(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    cluster.kubectl(["create", "namespace", "shop"]).ok()?;
    let mut web = deployment("web", 1);
    web["metadata"]["namespace"] = "shop".into();
    cluster.apply(&web)?;
    cluster.kubectl(["-n", "shop", "create", "secret", "generic", "keys", "--from-literal=a=b"]).ok()?;
    cluster.kubectl(["-n", "shop", "wait", "--for=condition=Available", "deployment/web", "--timeout=30s"]).ok()?;
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/x"]);
    api.create("/api/v1/namespaces/shop/configmaps", &held)?;
    cluster.kubectl(["delete", "namespace", "shop", "--wait=false"]).ok()?;
    eventually("the namespace says what holds it", || {
        let namespace = api.get("/api/v1/namespaces/shop")?;
        ensure!(text(&namespace, "status.phase") == "Terminating", "{namespace}");
        Ok(has_condition(&namespace, "NamespaceFinalizersRemaining").then_some(()))
    })?;
    let late = config_map("late", json!({}));
    let (code, answer) = api.request("POST", "/api/v1/namespaces/shop/configmaps", Some(&late))?;
    ensure!(code == 403 && text(&answer, "message").contains("because it is being terminated"), "{answer}");
    api.patch("/api/v1/namespaces/shop/configmaps/held", &json!({"metadata": {"finalizers": null}}))?;
    gone(cluster, "/api/v1/namespaces/shop")?;
    for path in
        ["/api/v1/namespaces/shop/pods", "/api/v1/namespaces/shop/secrets", "/apis/apps/v1/namespaces/shop/deployments"]
    {
        ensure!(api.items(path)?.is_empty(), "{path} is not empty");
    }
    Ok(())
}

#[test]
fn what_every_namespace_and_node_needs_is_there() -> Result<()> {
    with_cluster(|cluster| {
        let api = cluster.api();
        cluster.kubectl(["create", "namespace", "new"]).ok()?;
        let (account, authority) =
            ("/api/v1/namespaces/new/serviceaccounts/default", "/api/v1/namespaces/new/configmaps/kube-root-ca.crt");
        let there = |path: &str| eventually(&format!("{path} is there"), || api.find(path));
        let first = [there(account)?, there(authority)?];
        let own = std::fs::read_to_string(cluster.data_dir().join("pki/ca.crt"))?;
        ensure!(first[1]["data"]["ca.crt"].as_str() == Some(own.as_str()), "{}", first[1]);
        for (path, before) in [account, authority].into_iter().zip(&first) {
            api.delete(path)?;
            let back = eventually(&format!("{path} comes back"), || {
                Ok(api.find(path)?.filter(|object| object["metadata"]["uid"] != before["metadata"]["uid"]))
            })?;
            ensure!(back["metadata"]["name"] == before["metadata"]["name"]);
        }
        api.patch(authority, &json!({"data": {"ca.crt": "forged"}}))?;
        eventually("an edited certificate is put right", || {
            Ok((api.get(authority)?["data"]["ca.crt"].as_str() == Some(own.as_str())).then_some(()))
        })?;
        the_node_is_alive(cluster)
    })
}

fn the_node_is_alive(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let node = api.items("/api/v1/nodes")?.remove(0);
    let name = text(&node, "metadata.name").to_owned();
    ensure!(
        has_condition(&node, "Ready") && text(&node, "status.nodeInfo.kubeletVersion").starts_with("v1.35."),
        "{node}"
    );
    for pressure in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
        ensure!(!has_condition(&node, pressure), "{node}");
    }
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    let first = eventually("the node has a lease", || api.find(&lease))?;
    ensure!(text(&first, "spec.holderIdentity") == name && text(&first, "metadata.ownerReferences.0.kind") == "Node");
    eventually("it is renewed", || {
        Ok((at(&api.get(&lease)?, "spec.renewTime") != at(&first, "spec.renewTime")).then_some(()))
    })?;
    // A pod on a cordoned node stays; a new one waits until it is uncordoned.
    let nodes = e2e::cluster::nodes();
    cluster.kubectl(["cordon", "-l", "kubernetes.io/os=linux"]).ok()?;
    api.create_pod(&pod("late", FOREVER))?;
    let unschedulable = format!("0/{nodes} nodes are available: {nodes} node(s) were unschedulable.");
    api.pod_when("late", "waits", |pod| text(pod, "status.conditions.0.message").contains(&unschedulable))?;
    cluster.kubectl(["uncordon", &name]).ok()?;
    api.pod_ready("late")?;
    Ok(())
}
