//! What service accounts and impersonated users may do, as real kubectls see it.

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, Kubectl, eventually, with_cluster};
use serde_json::{Value, json};

#[test]
fn every_kubectl_may_what_its_user_may() -> Result<()> {
    with_cluster(|cluster| {
        for kubectl in cluster.kubectls() {
            let done = grant_and_use(cluster, &kubectl).and_then(|()| impersonate(cluster, &kubectl));
            done.with_context(|| format!("with {}", kubectl.name))?;
            for object in ["role/reader", "rolebinding/reader", "serviceaccount/robot"] {
                cluster.with_kubectl(&kubectl, ["delete", object]).ok()?;
            }
        }
        Ok(())
    })
}

fn grant_and_use(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    cluster.with_kubectl(kubectl, ["create", "serviceaccount", "robot"]).ok()?;
    let config = account_config(cluster, kubectl)?;
    let robot = |arguments: &[&str]| {
        let mut all = vec!["--kubeconfig", &config];
        all.extend(arguments);
        cluster.with_kubectl(kubectl, []).args(all)
    };
    let refused = r#"pods is forbidden: User "system:serviceaccount:default:robot" cannot list resource "pods" in API group "" in the namespace "default""#;
    robot(&["get", "pods"]).fails_with(refused)?;
    ensure!(
        robot(&["auth", "whoami", "-o=jsonpath={.status.userInfo.username}"]).ok()?
            == "system:serviceaccount:default:robot"
    );
    ensure!(robot(&["api-resources", "-o=name"]).ok()?.contains("deployments.apps"), "discovery is for everybody");
    let role = ["create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps/scale"];
    cluster.with_kubectl(kubectl, role).ok()?;
    let binding = ["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:robot"];
    cluster.with_kubectl(kubectl, binding).ok()?;
    eventually("pods may be listed", || Ok((robot(&["get", "pods"]).run()?.code == 0).then_some(())))?;
    robot(&["get", "pods", "-A"]).fails_with("at the cluster scope")?;
    robot(&["get", "secrets"]).fails_with(r#"cannot list resource "secrets""#)?;
    robot(&["delete", "pod", "x"]).fails_with(r#"cannot delete resource "pods""#)?;
    ensure!(robot(&["auth", "can-i", "list", "pods"]).ok()? == "yes\n");
    ensure!(robot(&["auth", "can-i", "get", "deployments.apps", "--subresource=scale"]).ok()? == "yes\n");
    ensure!(robot(&["auth", "can-i", "create", "pods"]).run()?.stdout == "no\n");
    let list = robot(&["auth", "can-i", "--list", "--no-headers"]).ok()?;
    let line =
        |first: &str| list.lines().find(|line| line.split_whitespace().next() == Some(first)).unwrap_or_default();
    ensure!(line("pods").ends_with("[get list]") && line("deployments.apps/scale").ends_with("[get list]"), "{list}");
    ensure!(line("secrets").is_empty() && line("*.*").is_empty(), "{list}");
    Ok(())
}

/// A kubeconfig that has the token of the account and nothing else.
fn account_config(cluster: &Cluster, kubectl: &Kubectl) -> Result<String> {
    let token = cluster.with_kubectl(kubectl, ["create", "token", "robot"]).ok()?;
    let own = cluster.with_kubectl(kubectl, ["config", "view", "--raw", "--minify", "-o=json"]).ok()?;
    let mut config: Value = serde_json::from_str(&own).context("read the kubeconfig")?;
    config["users"][0]["user"] = json!({"token": token.trim()});
    let file = cluster.file("robot.kubeconfig", config.to_string())?;
    Ok(file.to_string_lossy().into_owned())
}

fn impersonate(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let run = |arguments: [&str; 4]| cluster.with_kubectl(kubectl, arguments);
    ensure!(run(["auth", "can-i", "list", "pods"]).args(["--as=jane"]).run()?.stdout == "no\n");
    let robot = "--as=system:serviceaccount:default:robot";
    ensure!(run(["auth", "can-i", "list", "pods"]).args([robot]).ok()? == "yes\n");
    ensure!(run(["auth", "can-i", "list", "pods"]).args(["--as=jane", "--as-group=system:masters"]).ok()? == "yes\n");
    let refused =
        r#"nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope"#;
    run(["get", "nodes", "--as=jane", "-o=name"]).fails_with(refused)?;
    Ok(())
}
