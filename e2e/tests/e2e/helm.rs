//! Helm 4, which applies on the server, and Helm 3, which patches: a chart with hooks comes, changes, goes back and goes.

use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use e2e::go_client::GoClient;
use e2e::objects::{at, text};
use e2e::{Cluster, Program, eventually, with_cluster};
use serde_json::{Value, json};

struct Helm<'a> {
    cluster: &'a Cluster,
    path: &'a Path,
    release: &'static str,
    /// On the server.
    applies: bool,
}

#[test]
fn helm_4_installs_upgrades_rolls_back_and_removes() -> Result<()> {
    life("helm-v4.3.1", "helm.sh/helm/v4/cmd/helm", true)
}

#[test]
fn helm_3_installs_upgrades_rolls_back_and_removes() -> Result<()> {
    life("helm-v3.22.0", "helm.sh/helm/v3/cmd/helm", false)
}

/// `name` has the version that the module has.
fn life(name: &str, package: &str, applies: bool) -> Result<()> {
    let program = GoClient { name, module: "e2e/clients/helm", package };
    let Some(path) = program.build()? else { return Ok(()) };
    with_cluster(|cluster| {
        let helm = Helm { cluster, path: &path, release: "shop", applies };
        installs(&helm)?;
        tests(&helm)?;
        upgrades(&helm)?;
        refuses(&helm)?;
        rolls_back(&helm)?;
        if applies {
            quarrels(&helm)?;
        }
        survives_a_crash(cluster, &path, applies)?;
        uninstalls(&Helm { cluster, path: &path, release: "shop", applies })
    })
}

impl Helm<'_> {
    fn run(&self, words: &[&str]) -> Program {
        self.cluster.program(self.path).args(words).env("KUBECONFIG", self.cluster.kubeconfig())
    }

    /// A verb on the release and the chart.
    fn chart(&self, verb: &str, more: &[&str]) -> Program {
        let chart = e2e::binary::repository().join("e2e/clients/helm/chart");
        self.run(&[verb, self.release, &chart.to_string_lossy()]).args(more)
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        let said = self.run(words).args(["-o", "json"]).ok()?;
        serde_json::from_str(&said).with_context(|| said)
    }

    fn deployment(&self) -> Result<Value> {
        self.cluster.api().get(&format!("/apis/apps/v1/namespaces/default/deployments/{}", self.release))
    }

    /// What the web servers say, by the Service.
    fn says(&self, expected: &str) -> Result<()> {
        let service = self.cluster.api().get(&format!("/api/v1/namespaces/default/services/{}", self.release))?;
        let address = text(&service, "spec.clusterIP").to_owned();
        eventually(&format!("the page says {expected}"), || {
            Ok((self.cluster.http_get(&address, 80)?.trim() == expected).then_some(()))
        })
    }

    fn logs(&self, suffix: &str) -> Result<String> {
        self.cluster.kubectl(["logs", &format!("{}-{suffix}", self.release)]).ok()
    }
}

fn installs(helm: &Helm) -> Result<()> {
    let dry = helm.chart("install", &["--dry-run=server"]).ok()?;
    ensure!(dry.contains("kind: Deployment") && helm.json(&["list"])? == json!([]), "{dry}");
    let said = helm.chart("install", &["--wait", "--timeout=60s"]).ok()?;
    ensure!(said.contains("STATUS: deployed") && said.contains(&format!("{} says hello.", helm.release)), "{said}");
    let object = helm.deployment()?;
    ensure!(*at(&object, "status.readyReplicas") == 1, "it did not wait: {object}");
    helm.says("hello")?;
    ensure!(helm.logs("pre-install")? == "pre-install of revision 1\n");
    let listed = helm.json(&["list"])?;
    let first = &listed[0];
    ensure!(first["name"] == helm.release && first["status"] == "deployed" && first["revision"] == "1", "{listed}");
    let again = helm.chart("install", &[]).run()?;
    ensure!(again.code == 1 && again.stderr.contains("name that is still in use"), "{again}");
    let values = helm.run(&["get", "manifest", helm.release]).ok()?;
    ensure!(values.contains("kind: Service"), "{values}");
    let manager = |name: &str, operation: &str| {
        let fields = at(&object, "metadata.managedFields").as_array().cloned().unwrap_or_default();
        fields.iter().any(|entry| entry["manager"] == name && entry["operation"] == operation)
    };
    ensure!(manager("helm", if helm.applies { "Apply" } else { "Update" }), "{:#}", object["metadata"]);
    Ok(())
}

/// `helm test` runs the chart's own test in a pod.
fn tests(helm: &Helm) -> Result<()> {
    let said = helm.run(&["test", helm.release, "--logs"]).ok()?;
    ensure!(said.contains("Phase:") && said.contains("Succeeded") && said.contains("it says hello"), "{said}");
    Ok(())
}

fn upgrades(helm: &Helm) -> Result<()> {
    let values = ["--set=message=welcome,replicas=2,password=other", "--wait", "--timeout=60s"];
    let said = helm.chart("upgrade", &values).ok()?;
    ensure!(said.contains("REVISION: 2") && said.contains("has been upgraded"), "{said}");
    let object = helm.deployment()?;
    // Old ones may be there a moment longer.
    let ready = at(&object, "status.readyReplicas").as_i64().unwrap_or(0);
    ensure!(*at(&object, "status.updatedReplicas") == 2 && ready >= 2, "it did not wait: {object}");
    helm.cluster.api().deployment_ready(helm.release)?;
    helm.says("welcome")?;
    ensure!(helm.logs("pre-upgrade")? == "pre-upgrade of revision 2\n");
    let target = format!("deploy/{}", helm.release);
    let password = helm.cluster.kubectl(["exec", &target, "--", "sh", "-c", "echo $PASSWORD"]).ok()?;
    ensure!(password == "other\n", "{password}");
    Ok(())
}

/// An upgrade whose hook fails changes nothing.
fn refuses(helm: &Helm) -> Result<()> {
    let before = helm.deployment()?;
    let failed = helm.chart("upgrade", &["--set=message=never,hook.exit=3", "--timeout=60s"]).run()?;
    ensure!(failed.code == 1 && failed.stderr.contains("pre-upgrade hooks failed"), "{failed}");
    ensure!(helm.deployment()?["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]);
    let mut bad = helm.chart("upgrade", &["--set=message=welcome,replicas=many"]);
    bad = bad.limit(std::time::Duration::from_secs(30));
    let refused = bad.run()?;
    ensure!(refused.code == 1 && refused.stderr.contains("replicas"), "{refused}");
    helm.says("welcome")
}

fn rolls_back(helm: &Helm) -> Result<()> {
    let said = helm.run(&["rollback", helm.release, "1", "--wait", "--timeout=60s"]).ok()?;
    ensure!(said.contains("Rollback was a success"), "{said}");
    helm.says("hello")?;
    ensure!(*at(&helm.deployment()?, "spec.replicas") == 1);
    let history = helm.json(&["history", helm.release])?;
    let states: Vec<&str> = history.as_array().into_iter().flatten().map(|one| text(one, "status")).collect();
    ensure!(states == ["superseded", "superseded", "failed", "failed", "deployed"], "{history}");
    Ok(())
}

/// Whose a field is that somebody else applied too: Helm must say that it wants it.
fn quarrels(helm: &Helm) -> Result<()> {
    let claim = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": format!("{}-page", helm.release)},
        "data": {"index.html": "mine\n"},
    });
    let person = ["apply", "--server-side", "--field-manager=person", "--force-conflicts", "-f", "-"];
    helm.cluster.kubectl(person).input(claim.to_string()).ok()?;
    let refused = helm.chart("upgrade", &["--set=message=ours"]).run()?;
    ensure!(refused.code == 1 && refused.stderr.contains("conflict with \"person\""), "{refused}");
    helm.chart("upgrade", &["--set=message=ours", "--force-conflicts", "--wait", "--timeout=60s"]).ok()?;
    helm.says("ours")
}

/// The server is killed while Helm waits for pods to become ready. Helm goes on, and so does the release.
fn survives_a_crash(cluster: &mut Cluster, path: &Path, applies: bool) -> Result<()> {
    let helm = Helm { cluster, path, release: "shop", applies };
    let upgrade = helm.chart("upgrade", &["--set=message=after,delay=4", "--wait", "--timeout=60s"]);
    let before = helm.deployment()?;
    let page = |object: &Value| object["metadata"]["annotations"]["checksum/page"].clone();
    let old = page(&before["spec"]["template"]);
    let waiting = thread::spawn(move || upgrade.ok());
    // Its container sleeps for a while: Helm has long been answered and waits. Killed within the answer it would rightly fail.
    eventually("a pod of the upgrade runs", || {
        let pods = cluster.api().items("/api/v1/namespaces/default/pods")?;
        let new = |pod: &Value| !page(pod).is_null() && page(pod) != old;
        Ok(pods.iter().any(|pod| new(pod) && text(pod, "status.phase") == "Running").then_some(()))
    })?;
    cluster.kill_daemon()?;
    cluster.up([])?;
    let said = waiting.join().ok().context("the waiting thread panicked")??;
    ensure!(said.contains("STATUS: deployed"), "{said}");
    Helm { cluster, path, release: "shop", applies }.says("after")
}

fn uninstalls(helm: &Helm) -> Result<()> {
    let said = helm.run(&["uninstall", helm.release, "--wait", "--timeout=60s"]).ok()?;
    ensure!(said.contains("uninstalled"), "{said}");
    let mut left = Vec::new();
    for path in ["/api/v1/namespaces/default/services", "/apis/apps/v1/namespaces/default/deployments"] {
        left.extend(helm.cluster.api().items(path)?);
    }
    let secrets = helm.cluster.api().items("/api/v1/namespaces/default/secrets")?;
    left.extend(secrets.into_iter().filter(|secret| text(secret, "metadata.name").contains(helm.release)));
    left.retain(|object| text(object, "metadata.name") != "kubernetes");
    ensure!(left.is_empty(), "{left:?}");
    let hook = helm.cluster.api().get(&format!("/api/v1/namespaces/default/configmaps/{}-left", helm.release))?;
    ensure!(text(&hook, "data.left") == format!("by {}", helm.release), "{hook}");
    ensure!(helm.json(&["list", "-A"])? == json!([]));
    Ok(())
}
