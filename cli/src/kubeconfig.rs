//! Kubeconfig files: the cluster's own, and the context that is merged into the user's.
//!
//! The merge works on the tree of the file, so that fields this program does not know stay as they are.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::yaml;

pub const CONTEXT: &str = "setpoint";

/// A kubeconfig for one user of one cluster. Certificates and key are PEM.
pub fn render(server: &str, authority: &str, certificate: &str, key: &str) -> Value {
    let encode = |pem: &str| STANDARD.encode(pem);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": CONTEXT,
            "cluster": {"server": server, "certificate-authority-data": encode(authority)},
        }],
        "users": [{
            "name": CONTEXT,
            "user": {"client-certificate-data": encode(certificate), "client-key-data": encode(key)},
        }],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    })
}

/// As [`render`], for a user with a bearer token.
pub fn with_token(server: &str, authority: &str, token: &str) -> Value {
    let mut config = render(server, authority, "", "");
    config["users"][0]["user"] = json!({"token": token});
    config
}

/// Certificate and key, PEM, of the user of a kubeconfig that [`render`] made.
pub fn identity(config: &Value) -> Option<(String, String)> {
    let user = config.pointer("/users/0/user")?;
    let decode = |key: &str| String::from_utf8(STANDARD.decode(user[key].as_str()?).ok()?).ok();
    Some((decode("client-certificate-data")?, decode("client-key-data")?))
}

/// The file that kubectl would write to: the first of $KUBECONFIG, or ~/.kube/config. `None` without a home.
pub fn users_file() -> Option<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG");
    let first =
        listed.as_deref().and_then(|list| std::env::split_paths(list).find(|path| !path.as_os_str().is_empty()));
    first.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config")))
}

/// Adds or replaces the entries of `ours` in a file and makes its context the current one. All else in the file stays.
pub fn merge_into(path: &Path, ours: &Value) -> Result<()> {
    let mut theirs = match fs::read_to_string(path) {
        Ok(text) => read(&text).with_context(|| format!("{} is left as it is", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => json!({"apiVersion": "v1", "kind": "Config"}),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    merge(&mut theirs, ours);
    write(path, &theirs)
}

fn read(text: &str) -> Result<Value> {
    let mut documents = yaml::documents(text)?;
    match documents.len() {
        0 => Ok(json!({"apiVersion": "v1", "kind": "Config"})),
        1 if documents[0].is_object() => Ok(documents.remove(0)),
        _ => bail!("it is not a kubeconfig"),
    }
}

fn merge(theirs: &mut Value, ours: &Value) {
    for list in ["clusters", "users", "contexts"] {
        if !theirs[list].is_array() {
            theirs[list] = json!([]);
        }
        let Some(entries) = theirs[list].as_array_mut() else { continue };
        for own in ours[list].as_array().into_iter().flatten() {
            match entries.iter_mut().find(|entry| entry["name"] == own["name"]) {
                Some(entry) => *entry = own.clone(),
                None => entries.push(own.clone()),
            }
        }
    }
    theirs["current-context"] = ours["current-context"].clone();
    if !theirs["preferences"].is_object() {
        theirs["preferences"] = Value::Object(Map::new());
    }
}

/// Writes a file that only its owner can read, by rename, so that a reader never sees half of it.
pub fn write(path: &Path, config: &Value) -> Result<()> {
    let folder = path.parent().context("a kubeconfig needs a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    // A link (dotfiles are often linked) is written through, not replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = target.with_extension(format!("setpoint-{}", std::process::id()));
    let attempt = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(yaml::to_string(config).map_err(std::io::Error::other)?.as_bytes())?;
        fs::rename(&temporary, &target)
    };
    attempt().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/config");
        let ours = render("https://127.0.0.1:6443", "ca", "cert", "key");
        merge_into(&path, &ours).unwrap();
        let theirs = "apiVersion: v1\nkind: Config\nextra: kept\nclusters:\n- name: prod\n  cluster: {server: 'https://p'}\n\
                      - name: setpoint\n  cluster: {server: 'https://old'}\nusers: []\ncontexts: null\ncurrent-context: prod\n";
        fs::write(&path, theirs).unwrap();
        merge_into(&path, &ours).unwrap();
        let merged = read(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(merged["extra"], "kept");
        assert_eq!(merged["clusters"][0]["cluster"]["server"], "https://p");
        assert_eq!(merged["clusters"][1], ours["clusters"][0]);
        assert_eq!(merged["contexts"], ours["contexts"]);
        assert_eq!(merged["current-context"], "setpoint");

        for broken in ["a: [", "- a\n", "a: 1\n---\nb: 2\n"] {
            fs::write(&path, broken).unwrap();
            assert!(merge_into(&path, &ours).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        }
    }
}
