//! Flags that name files: who logs in, what is audited, what is encrypted in etcd. They do what they say, and later starts keep
//! them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::with_place;
use e2e::{Api, Cluster, eventually};
use serde_json::{Value, json};
use store::Store;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  resources: [{group: '', resources: [configmaps]}]
";

#[test]
fn who_logs_in_and_what_is_audited_holds_for_later_starts() -> Result<()> {
    with_place(|cluster| {
        let logins = cluster.file("authentication.yaml", anonymous_may("/version"))?;
        let policy = cluster.file("policy.yaml", POLICY)?;
        let (log, config) = (cluster.folder().join("audit.log"), cluster.folder().join("kubeconfig"));
        let [logins, policy, file, config] =
            [logins, policy, log.clone(), config].map(|path| path.to_string_lossy().into_owned());
        let audit = ["--audit-policy-file", &policy, "--audit-log-path", &file];
        let hostpath = "--enable-hostpath-provisioner";
        cluster.up([
            audit[0],
            audit[1],
            audit[2],
            audit[3],
            hostpath,
            "--authentication-config",
            &logins,
            "--kubeconfig",
            &config,
        ])?;
        ensure!(std::fs::read_to_string(&config)?.contains("current-context: setpoint"));
        ensure!(!cluster.home().join(".kube/config").exists(), "another kubeconfig was asked for");
        ensure!(anonymous(cluster, "/version")? == 200 && anonymous(cluster, "/livez")? == 401);
        std::fs::write(&logins, anonymous_may("/livez"))?;
        eventually("the file is read again", || Ok((anonymous(cluster, "/livez")? == 200).then_some(())))?;
        told(cluster, &log, "first", true)?;

        restart(cluster, [])?;
        let version = anonymous(cluster, "/version")?;
        ensure!(version == 401, "{version}");
        // On a busy machine a check of it may fail for a moment.
        eventually("/livez is for everybody", || Ok((anonymous(cluster, "/livez")? == 200).then_some(())))?;
        told(cluster, &log, "second", true)?;
        a_claim_gets_a_directory(cluster)?;

        cluster.kill_daemon()?;
        let refused = cluster.try_up(["--authentication-config", "/nowhere/logins.yaml"])?;
        ensure!(refused.code == 1 && refused.stderr.contains("read /nowhere/logins.yaml: No such file"), "{refused}");
        cluster.up([])?;
        ensure!(anonymous(cluster, "/version")? == 401, "what failed is not remembered");

        restart(cluster, ["--no-audit-log", "--no-authentication-config"])?;
        ensure!(anonymous(cluster, "/version")? == 200);
        told(cluster, &log, "third", false)?;
        restart(cluster, [])?;
        told(cluster, &log, "fourth", false)
    })
}

/// Made when the claim is there, and gone with it.
fn a_claim_gets_a_directory(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let class = json!({"metadata": {"name": "local"}, "provisioner": "kubernetes.io/host-path"});
    api.create("/apis/storage.k8s.io/v1/storageclasses", &class)?;
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "resources": {"requests": {"storage": "1Mi"}}});
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let made = api.create(claims, &json!({"metadata": {"name": "data"}, "spec": spec}))?;
    let claim = format!("{claims}/data");
    eventually("the claim is bound", || Ok((api.get(&claim)?["status"]["phase"] == "Bound").then_some(())))?;
    let volume = format!("/api/v1/persistentvolumes/pvc-{}", made["metadata"]["uid"].as_str().unwrap_or_default());
    let folder = api.get(&volume)?["spec"]["hostPath"]["path"].as_str().unwrap_or_default().to_owned();
    ensure!(folder.starts_with("/tmp/hostpath_pv/") && Path::new(&folder).is_dir(), "{folder}");
    api.delete(&claim)?;
    eventually("the volume is gone", || Ok(api.find(&volume)?.is_none().then_some(())))?;
    ensure!(!Path::new(&folder).exists(), "{folder} is left");
    Ok(())
}

fn anonymous_may(path: &str) -> String {
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: []\n\
         anonymous: {{enabled: true, conditions: [{{path: {path}}}]}}\n"
    )
}

fn restart<const N: usize>(cluster: &mut Cluster, flags: [&str; N]) -> Result<()> {
    cluster.kill_daemon()?;
    cluster.up(flags).map(drop)
}

/// The code that nobody in particular is answered with.
fn anonymous(cluster: &Cluster, path: &str) -> Result<u16> {
    let own = cluster.kubectl(["config", "view", "--raw", "--minify", "-o=json"]).ok()?;
    let mut config: Value = serde_json::from_str(&own)?;
    config["users"][0]["user"] = json!({});
    let file = cluster.file("anonymous.json", config.to_string())?;
    Ok(Api::new(&file, &cluster.namespace)?.request("GET", path, None)?.0)
}

/// A ConfigMap is made, and the log tells of it, or not. Lines are written before answers are sent.
fn told(cluster: &Cluster, log: &Path, name: &str, expected: bool) -> Result<()> {
    cluster.api().create(MAPS, &json!({"metadata": {"name": name}}))?;
    let found = std::fs::read_to_string(log)?.contains(&format!("\"name\":\"{name}\""));
    ensure!(found == expected, "{name}: {found}");
    Ok(())
}

#[test]
fn secrets_in_etcd_are_ciphertext_and_a_key_that_is_needed_is_missed() -> Result<()> {
    with_place(|cluster| {
        let Some(endpoint) = cluster.start_etcd()? else { return Ok(()) };
        let path = cluster.file("encryption.yaml", encryption(&["a"]))?;
        let file = path.to_string_lossy().into_owned();
        cluster.up(["--encryption-provider-config", &file])?;
        let word = STANDARD.encode("nobody-reads-this-in-etcd");
        let secret = |name: &str| json!({"metadata": {"name": name}, "data": {"k": word}});
        let before = cluster.api().create(SECRETS, &secret("one"))?;
        // The flag is remembered.
        restart(cluster, [])?;
        ensure!(cluster.api().get(&format!("{SECRETS}/one"))?["data"] == before["data"]);
        cluster.api().create(SECRETS, &secret("two"))?;
        let sealed = raw(cluster, &endpoint)?;
        let plain = sealed.iter().find(|(_, value)| value.windows(word.len()).any(|part| part == word.as_bytes()));
        ensure!(sealed.len() >= 3 && plain.is_none(), "{plain:?}");

        cluster.kill_daemon()?;
        std::fs::write(&path, encryption(&["b"]))?;
        let refused = cluster.try_up([])?;
        let words = format!("a key was taken from {file} that is still needed: put it back, behind the others");
        ensure!(refused.code == 1 && refused.stderr.contains(&words), "{refused}");
        ensure!(refused.stderr.contains("none of the keys has the id"), "{refused}");
        std::fs::write(&path, encryption(&["b", "a"]))?;
        cluster.up([])?;
        eventually("all is encrypted with the new key", || {
            let now = raw(cluster, &endpoint)?;
            // The key's id stands behind two bytes that say what follows.
            let old =
                |(name, value): &(String, Vec<u8>)| sealed.iter().any(|(n, v)| n == name && v[2..6] == value[2..6]);
            Ok((!now.iter().any(old)).then_some(()))
        })?;
        std::fs::write(&path, encryption(&["b"]))?;
        restart(cluster, [])?;
        ensure!(cluster.api().get(&format!("{SECRETS}/two"))?["data"]["k"] == word.as_str());
        Ok(())
    })
}

fn encryption(keys: &[&str]) -> String {
    let keys = keys.iter().map(|name| format!("{{name: {name}, secret: {}}}", STANDARD.encode(name.repeat(32))));
    let keys = keys.collect::<Vec<_>>().join(", ");
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - {{resources: [secrets], providers: [{{aesgcm: {{keys: [{keys}]}}}}]}}\n"
    )
}

/// What is encrypted, as etcd has it: Secrets, and the cluster's authority.
fn raw(cluster: &Cluster, endpoint: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let options = store::EtcdOptions { endpoints: vec![endpoint.to_owned()], tls: None };
    cluster.api().run(|_| async move {
        let etcd = store::Etcd::connect(&options).await?;
        let mut found = Vec::new();
        for prefix in ["/registry/core/secrets/", "/setpoint/cluster"] {
            for item in etcd.range(store::Range::prefix(prefix), None, 0).await?.items {
                found.push((String::from_utf8_lossy(&item.key).into_owned(), item.value.to_vec()));
            }
        }
        let short = found.iter().find(|(_, value)| value.len() < 6);
        short.map_or(Ok(()), |(name, _)| Err(anyhow::anyhow!("{name} is short"))).context("read etcd")?;
        Ok(found)
    })
}
