//! A new image rolls out, can be watched, and is taken back.

use anyhow::{Result, ensure};
use e2e::objects::{at, deployment, text};
use e2e::{Cluster, Kubectl, with_cluster};

#[test]
fn images_roll_out_and_back_with_every_kubectl() -> Result<()> {
    with_cluster(|cluster| {
        for kubectl in cluster.kubectls() {
            rolls_out_and_back(cluster, &kubectl).map_err(|error| error.context(kubectl.name))?;
        }
        a_rollout_that_cannot_succeed_keeps_the_old_pods(cluster)
    })
}

fn rolls_out_and_back(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let run = |words: &[&str]| cluster.with_kubectl(kubectl, []).args(words).ok();
    let status = || run(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    cluster.apply(&deployment("web", 2))?;
    ensure!(status()?.ends_with("deployment \"web\" successfully rolled out\n"));
    let first = names(cluster)?;

    let said = run(&["set", "image", "deployment/web", "main=busybox:2"])?;
    ensure!(said == "deployment.apps/web image updated\n", "{said}");
    let said = status()?;
    ensure!(said.ends_with("deployment \"web\" successfully rolled out\n"), "{said}");
    let second = names(cluster)?;
    ensure!(first.iter().all(|name| !second.contains(name)), "{first:?} {second:?}");
    ensure!(cluster.shell(&second[0], "echo $VERSION")? == "2");

    let history = run(&["rollout", "history", "deployment/web"])?;
    ensure!(revisions(&history) == ["1", "2"], "{history}");
    let revision = run(&["rollout", "history", "deployment/web", "--revision=1"])?;
    ensure!(revision.contains("busybox:1"), "{revision}");

    let said = run(&["rollout", "undo", "deployment/web"])?;
    ensure!(said == "deployment.apps/web rolled back\n", "{said}");
    status()?;
    let third = names(cluster)?;
    ensure!(cluster.shell(&third[0], "echo $VERSION")? == "1");
    let history = run(&["rollout", "history", "deployment/web"])?;
    ensure!(revisions(&history) == ["2", "3"], "{history}");
    let sets = cluster.api().items("/apis/apps/v1/namespaces/default/replicasets?labelSelector=app%3Dweb")?;
    ensure!(sets.len() == 2, "going back makes no third ReplicaSet");

    let said = run(&["rollout", "restart", "deployment/web"])?;
    ensure!(said == "deployment.apps/web restarted\n", "{said}");
    status()?;
    let fourth = names(cluster)?;
    ensure!(third.iter().all(|name| !fourth.contains(name)), "{third:?} {fourth:?}");
    run(&["delete", "deployment", "web"])?;
    run(&["wait", "--for=delete", "pod", "-l", "app=web"])?;
    Ok(())
}

/// The pods' names; there are as many as replicas.
fn names(cluster: &Cluster) -> Result<Vec<String>> {
    let pods = cluster.api().pods_of("web")?;
    ensure!(pods.len() == 2, "{} pods", pods.len());
    Ok(pods.iter().map(|pod| text(pod, "metadata.name").to_owned()).collect())
}

/// The first column of `rollout history`.
fn revisions(history: &str) -> Vec<&str> {
    let words = history.lines().filter_map(|line| line.split_whitespace().next());
    words.filter(|word| word.parse::<u32>().is_ok()).collect()
}

fn a_rollout_that_cannot_succeed_keeps_the_old_pods(cluster: &Cluster) -> Result<()> {
    cluster.apply(&deployment("web", 2))?;
    cluster.api().deployment_ready("web")?;
    let before = names(cluster)?;
    cluster.kubectl(["set", "image", "deployment/web", "main=nowhere/nothing:1"]).ok()?;
    let failing = e2e::eventually("the new pod cannot have its image", || {
        let pods = cluster.api().pods_of("web")?;
        let reason = |pod| text(pod, "status.containerStatuses.0.state.waiting.reason").to_owned();
        Ok(pods.iter().map(reason).find(|reason| reason == "ErrImagePull" || reason == "ImagePullBackOff"))
    })?;
    ensure!(!failing.is_empty());
    let object = cluster.api().get("/apis/apps/v1/namespaces/default/deployments/web")?;
    ensure!(at(&object, "status.availableReplicas") == 2, "{}", object["status"]);
    let pods = cluster.api().pods_of("web")?;
    let kept = pods.iter().filter(|pod| before.iter().any(|name| text(pod, "metadata.name") == name)).count();
    ensure!(kept == 2, "old pods went before new ones were ready");
    let late = cluster.kubectl(["rollout", "status", "deployment/web", "--timeout=1s"]).run()?;
    ensure!(late.code != 0 && late.stderr.contains("timed out waiting for the condition"), "{late}");
    cluster.kubectl(["rollout", "undo", "deployment/web"]).ok()?;
    cluster.api().deployment_ready("web")?;
    ensure!(names(cluster)? == before, "going back needs no new pods");
    Ok(())
}
