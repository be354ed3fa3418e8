//! Encryption in etcd: an EncryptionConfiguration (`apiserver.config.k8s.io/v1`) says what is encrypted, with which keys. The
//! servers on one etcd are given the same one.
//!
//! Of upstream's providers there are `aesgcm` with keys of 32 bytes, and `identity`. What is written is not in upstream's form.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use store::{Keys, Scope, Sealed, Store};

use crate::control::shared;
use crate::yaml;

const API_VERSION: &str = "apiserver.config.k8s.io/v1";
const KEY_BYTES: usize = 32;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Configuration {
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    keys: Vec<NamedKey>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    name: String,
    secret: String,
}

/// What one rule comes to.
#[derive(Debug)]
struct Layer {
    /// Beginnings of keys of the store.
    prefixes: Vec<String>,
    keys: Keys,
    /// Values that are written are encrypted.
    encrypts: bool,
}

/// The store with what the file says encrypted.
pub async fn seal(store: Arc<dyn Store>, path: &Path) -> Result<Arc<dyn Store>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let layers = read(&text).with_context(|| format!("read {}", path.display()))?;
    let (mut store, mut except) = (store, Vec::new());
    for Layer { prefixes, keys, encrypts } in layers {
        let prefixes: Vec<_> = prefixes.into_iter().map(Into::into).collect();
        let scope = Scope { prefixes: prefixes.clone(), except: except.clone(), seals: encrypts };
        let sealed = Arc::new(Sealed::within(store, keys, scope));
        super::has_all_keys(&sealed, path).await?;
        if encrypts {
            super::seal_again(sealed.clone());
        }
        // The first rule about a resource holds.
        except.extend(prefixes);
        store = sealed;
    }
    Ok(store)
}

fn read(text: &str) -> Result<Vec<Layer>> {
    let document = yaml::documents(text)?.into_iter().next().context("it is empty")?;
    let configuration: Configuration = serde_json::from_value(document)?;
    let Configuration { api_version, kind, resources } = configuration;
    ensure!(
        api_version == API_VERSION && kind == "EncryptionConfiguration",
        "expected {API_VERSION}, kind EncryptionConfiguration, got {api_version}, kind {kind}"
    );
    ensure!(!resources.is_empty(), "resources: Required value: at least one resources is required");
    let mut taken = BTreeSet::new();
    let mut layers = Vec::new();
    for (index, rule) in resources.iter().enumerate() {
        let at = format!("resources[{index}]");
        let mut prefixes = Vec::new();
        ensure!(!rule.resources.is_empty(), "{at}.resources: Required value: at least one {at}.resources is required");
        for name in &rule.resources {
            let prefix = prefix(name).with_context(|| format!("{at}.resources: {name:?}"))?;
            let covered = taken.iter().any(|other: &String| prefix.starts_with(other.as_str()));
            if !covered && taken.insert(prefix.clone()) {
                prefixes.push(prefix);
            }
        }
        let secrets = format!("{}core/secrets/", apiserver::cache::ROOT);
        let covers = prefixes.iter().any(|prefix| secrets.starts_with(prefix.as_str()));
        if covers && taken.insert(shared::RECORD.to_owned()) {
            // The cluster's authority is as secret as any Secret.
            prefixes.push(shared::RECORD.to_owned());
        }
        layers.extend(layer(rule, prefixes).with_context(|| format!("{at}.providers"))?);
    }
    Ok(layers)
}

/// `None`: nothing is or was encrypted.
fn layer(rule: &Rule, prefixes: Vec<String>) -> Result<Option<Layer>> {
    ensure!(!rule.providers.is_empty(), "Required value: at least one provider is required");
    let (mut named, mut names, mut encrypts) = (Vec::new(), BTreeSet::new(), None);
    for provider in &rule.providers {
        let members = provider.as_object().filter(|members| members.len() == 1);
        let (kind, value) = members.and_then(|members| members.iter().next()).context(
            "more than one provider specified in a single element, should split into different list elements",
        )?;
        encrypts.get_or_insert(kind != "identity");
        match kind.as_str() {
            "identity" => {}
            "aesgcm" => {
                let provider: Provider = serde_json::from_value(value.clone())?;
                for NamedKey { name, secret } in provider.keys {
                    let key = STANDARD.decode(&secret).context("secrets must be base64 encoded")?;
                    let length = key.len();
                    let key: [u8; KEY_BYTES] = key.try_into().map_err(|_| {
                        anyhow::anyhow!("secret is not of the expected length, got {length}, expected one of [32]")
                    })?;
                    ensure!(!name.is_empty() && names.insert(name.clone()), "key {name:?} has no name of its own");
                    named.push((name, key));
                }
            }
            other => bail!("{other} is not supported: there are aesgcm (with keys of 32 bytes) and identity"),
        }
    }
    if named.is_empty() {
        ensure!(encrypts == Some(false), "Required value: at least one key is required");
        return Ok(None);
    }
    Ok(Some(Layer { prefixes, keys: Keys::named(&named)?, encrypts: encrypts.unwrap_or_default() }))
}

/// `secrets`, `deployments.apps`, `*.apps`, `*.` (of the core), `*.*`.
fn prefix(name: &str) -> Result<String> {
    ensure!(!name.chars().any(char::is_uppercase), "resource name should not contain capital letters");
    let root = apiserver::cache::ROOT;
    let group = |group: &str| if group.is_empty() { "core".to_owned() } else { group.to_owned() };
    Ok(match name.split_once('.') {
        _ if name == "*" => {
            bail!("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")
        }
        Some(("*", "*")) => root.to_owned(),
        Some(("*", of)) => format!("{root}{}/", group(of)),
        Some((resource, of)) => format!("{root}{}/{resource}/", group(of)),
        None => format!("{root}core/{name}/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Durability, Expect, Memory, Write};

    fn configuration(resources: &str, providers: &str) -> String {
        format!(
            "apiVersion: {API_VERSION}\nkind: EncryptionConfiguration\nresources:\n- resources: {resources}\n  \
             providers: {providers}\n"
        )
    }

    fn key(name: &str) -> String {
        format!("{{name: {name}, secret: {}}}", STANDARD.encode(name.repeat(KEY_BYTES)))
    }

    async fn write(store: &dyn Store, key: &str, text: &str) {
        let value = store::Value { bytes: text.to_owned().into(), stamp: None };
        store.write(key.to_owned().into(), Write::Put(value), Expect::Any, Durability::Synced).await.unwrap();
    }

    async fn value(store: &dyn Store, key: &str) -> String {
        let found = store.get(key.to_owned().into()).await.unwrap().unwrap();
        String::from_utf8_lossy(&found.value).into_owned()
    }

    #[tokio::test]
    async fn what_the_file_names_is_ciphertext_with_its_first_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.yaml");
        let inner: Arc<dyn Store> = Arc::new(Memory::new());
        let open = async |providers: &str| {
            std::fs::write(&path, configuration("[secrets, widgets.example.com]", providers)).unwrap();
            seal(inner.clone(), &path).await
        };
        let (secret, widget, map) =
            ("/registry/core/secrets/n/a", "/registry/example.com/widgets/n/a", "/registry/core/configmaps/n/a");
        write(&*inner, "/registry/core/secrets/n/before", "hunter2").await;
        let store = open(&format!("[{{aesgcm: {{keys: [{}]}}}}, {{identity: {{}}}}]", key("a"))).await.unwrap();
        for key in [secret, widget, map, shared::RECORD] {
            write(&*store, key, "hunter2").await;
            assert_eq!(value(&*store, key).await, "hunter2", "{key}");
            assert_eq!(value(&*inner, key).await.contains("hunter2"), key == map, "{key}");
        }
        assert_eq!(value(&*store, "/registry/core/secrets/n/before").await, "hunter2");
        let gone = open(&format!("[{{aesgcm: {{keys: [{}]}}}}]", key("c"))).await.err().unwrap();
        let gone = format!("{gone:#}");
        assert!(gone.contains("encryption.yaml that is still needed: put it back"), "{gone}");
        assert!(gone.contains("decrypt /registry/core/secrets/n/a: none of the keys has the id"), "{gone}");
        let rotated = open(&format!("[{{aesgcm: {{keys: [{}, {}]}}}}]", key("b"), key("a"))).await.unwrap();
        assert_eq!(value(&*rotated, secret).await, "hunter2");
        let back =
            open(&format!("[{{identity: {{}}}}, {{aesgcm: {{keys: [{}, {}]}}}}]", key("b"), key("a"))).await.unwrap();
        assert_eq!(value(&*back, widget).await, "hunter2");
        write(&*back, widget, "hunter3").await;
        assert_eq!(value(&*inner, widget).await, "hunter3", "it is not encrypted any more");
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        let good = format!("[{{aesgcm: {{keys: [{}]}}}}]", key("a"));
        let short = STANDARD.encode("x");
        let table = [
            (configuration("[secrets]", &good).replace("EncryptionConfiguration", "Other"), "got", "kind Other"),
            (configuration("[]", &good), "resources[0]", "at least one"),
            (configuration("[Secrets]", &good), "Secrets", "capital letters"),
            (configuration("['*']", &good), "*", "use '*.'"),
            (configuration("[secrets]", "[]"), "providers", "at least one provider"),
            (configuration("[secrets]", "[{aescbc: {keys: []}}]"), "aescbc", "is not supported"),
            (configuration("[secrets]", "[{kms: {}}]"), "kms", "is not supported"),
            (configuration("[secrets]", "[{aesgcm: {}, identity: {}}]"), "providers", "more than one provider"),
            (
                configuration("[secrets]", &format!("[{{aesgcm: {{keys: [{{name: a, secret: {short}}}]}}}}]")),
                "providers",
                "got 1, expected one of [32]",
            ),
            (
                configuration("[secrets]", &format!("[{{aesgcm: {{keys: [{0}, {0}]}}}}]", key("a"))),
                "providers",
                "no name of its own",
            ),
        ];
        for (text, one, two) in table {
            let error = format!("{:#}", read(&text).unwrap_err());
            assert!(error.contains(one) && error.contains(two), "{text}: {error}");
        }
    }

    #[test]
    fn the_first_rule_about_a_resource_holds() {
        let rule = |resources: &str, name: &str| {
            format!("- resources: {resources}\n  providers: [{{aesgcm: {{keys: [{}]}}}}]\n", key(name))
        };
        let rules =
            [rule("[secrets, secrets]", "a"), rule("['*.apps', configmaps]", "b"), rule("['*.*']", "c")].concat();
        let text = format!("apiVersion: {API_VERSION}\nkind: EncryptionConfiguration\nresources:\n{rules}");
        let layers = read(&text).unwrap();
        let prefixes: Vec<_> = layers.iter().map(|layer| layer.prefixes.join(" ")).collect();
        let expected =
            ["/registry/core/secrets/ /setpoint/cluster", "/registry/apps/ /registry/core/configmaps/", "/registry/"];
        assert_eq!(prefixes, expected);
    }
}
