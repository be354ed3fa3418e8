//! Secrets on disk.

use std::path::Path;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::{Cluster, eventually, with_cluster};
use serde_json::{Value, json};

const SECRET: &str = "/api/v1/namespaces/default/secrets/hidden";

#[test]
fn secrets_are_ciphertext_on_disk_and_keys_are_rotated() -> Result<()> {
    with_cluster(|cluster| {
        if cluster.etcd().is_some() {
            return Ok(());
        }
        let word = STANDARD.encode("0a1b2c3d4e5f-nobody-reads-this");
        let map = json!({"metadata": {"name": "shown"}, "data": {"k": format!("shown-{word}")}});
        cluster.api().create("/api/v1/namespaces/default/configmaps", &map)?;
        let secret = json!({"metadata": {"name": "hidden"}, "data": {"k": word}});
        let before = cluster.api().create("/api/v1/namespaces/default/secrets", &secret)?;
        let store = cluster.data_dir().join("store");
        let found = count(&store, &word)?;
        ensure!(found > 0 && found == count(&store, &format!("shown-{word}"))?, "the Secret lies there in plaintext");
        restart(cluster)?;
        ensure!(cluster.api().get(SECRET)? == before, "the Secret is not what it was");

        let keys = cluster.data_dir().join("pki/encryption-keys");
        let rotated = cluster.data_dir().to_string_lossy().into_owned();
        cluster.setpoint(["encryption", "rotate", "--data-dir", &rotated]).ok()?;
        restart(cluster)?;
        // Encrypted anew, which is a revision.
        let revision = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let after = eventually("the Secret was encrypted with the new key", || {
            let found = cluster.api().get(SECRET)?;
            Ok((revision(&found) != revision(&before)).then_some(found))
        })?;
        ensure!(after["data"] == before["data"] && std::fs::read_to_string(&keys)?.lines().count() == 2);
        restart(cluster)?;
        ensure!(cluster.api().get(SECRET)? == after, "once is enough");
        Ok(())
    })
}

fn restart(cluster: &mut Cluster) -> Result<()> {
    cluster.kill_daemon()?;
    cluster.up([]).map(drop)
}

/// How often a text is in the files of a folder.
fn count(folder: &Path, text: &str) -> Result<usize> {
    let mut found = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        found += match path.is_dir() {
            true => count(&path, text)?,
            false => std::fs::read(&path)?.windows(text.len()).filter(|window| *window == text.as_bytes()).count(),
        };
    }
    Ok(found)
}
