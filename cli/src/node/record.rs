//! What a node that is a process of its own finds in its folder at each start: `node.json`, a kubeconfig, and its keys.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use apiserver::front::pki::Identity;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Place;
use crate::addresses::Network;
use crate::{files, kubeconfig, yaml};

/// Chosen when the node is made, and kept: names in the kernel and addresses stay the same while containers run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub name: String,
    /// Six hex digits that tell its links and tables from others in its network namespace.
    pub id: String,
    /// Tells its sockets and cgroups from others of the machine: the id, or more when several nodes of a cluster are here.
    pub unit: String,
    /// Where the API server and other nodes reach it.
    pub address: Ipv4Addr,
    /// Addresses of all pods of the cluster.
    pub cluster_pods: Network,
    pub services: Network,
    /// Whether pods' packets between nodes are always wrapped, and not only where nodes are on different links.
    #[serde(default)]
    pub always_tunnel: bool,
}

/// A node's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(pub PathBuf);

/// How the node comes to the API, and how its kubelet is come to. PEM.
#[derive(Clone, Debug)]
pub struct Keys {
    pub authority: String,
    pub client: Identity,
    pub serving: Identity,
}

impl Folder {
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("setpoint.log")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    fn record(&self) -> PathBuf {
        self.0.join("node.json")
    }

    fn key(&self, name: &str) -> PathBuf {
        self.0.join("pki").join(name)
    }

    /// `None`: no node was made here.
    pub fn load(&self) -> Result<Option<Record>> {
        let path = self.record();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged; restore it, or join anew with another --data-dir", path.display())
            })?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// The record last: what it names is there.
    pub fn save(&self, record: &Record, server: &str, keys: &Keys) -> Result<()> {
        for folder in [self.0.clone(), self.0.join("pki")] {
            files::private_folder(&folder)?;
        }
        files::write_secret(&self.key("ca.crt"), &keys.authority)?;
        files::write_secret(&self.key("kubelet.key"), &keys.serving.key)?;
        files::write_secret(&self.key("kubelet.crt"), &keys.serving.certificate)?;
        let config = kubeconfig::render(server, &keys.authority, &keys.client.certificate, &keys.client.key);
        kubeconfig::write(&self.kubeconfig(), &config)?;
        files::write_secret(&self.record(), &serde_json::to_string_pretty(record)?)
    }

    /// When [`Folder::save`] was last called.
    pub fn saved(&self) -> Result<Timestamp> {
        let path = self.record();
        let attempt = || Ok::<_, anyhow::Error>(Timestamp::try_from(fs::metadata(&path)?.modified()?)?);
        attempt().with_context(|| format!("read the time of {}", path.display()))
    }

    /// The node as a client of the API.
    pub fn client(&self) -> Result<Identity> {
        let (certificate, key) =
            kubeconfig::identity(&self.config()?).context("the node's kubeconfig has no certificate")?;
        Ok(Identity { certificate, key })
    }

    /// Where the API is, as a URL.
    pub fn server(&self) -> Result<String> {
        let config = self.config()?;
        let server = config.pointer("/clusters/0/cluster/server").and_then(serde_json::Value::as_str);
        server.map(str::to_owned).context("the node's kubeconfig has no server")
    }

    fn config(&self) -> Result<serde_json::Value> {
        let path = self.kubeconfig();
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(yaml::documents(&text)?.into_iter().next().unwrap_or_default())
    }

    /// The authority, and the kubelet as a server.
    pub fn serving(&self) -> Result<(String, Identity)> {
        let read = |name: &str| {
            let path = self.key(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        Ok((read("ca.crt")?, Identity { certificate: read("kubelet.crt")?, key: read("kubelet.key")? }))
    }
}

impl Record {
    pub fn place(&self, folder: &Folder) -> Place {
        Place::new(folder.0.join("node"), &self.id, &self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_what_the_node_is() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder(temporary.path().join("n2"));
        assert_eq!(folder.load().unwrap(), None);
        let network = Network { address: Ipv4Addr::new(10, 0, 0, 0), prefix: 8 };
        let record = Record {
            name: "n2".into(),
            id: "ab12cd".into(),
            unit: "ab12cd-2".into(),
            address: Ipv4Addr::new(10, 64, 0, 2),
            cluster_pods: network,
            services: network,
            always_tunnel: false,
        };
        let identity = |name: &str| Identity { certificate: format!("{name} cert"), key: format!("{name} key") };
        let keys = Keys { authority: "ca".into(), client: identity("client"), serving: identity("serving") };
        assert!(folder.saved().is_err());
        folder.save(&record, "https://10.64.0.1:6443", &keys).unwrap();
        fs::File::open(folder.record()).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        folder.save(&record, "https://10.64.0.1:6443", &keys).unwrap();
        assert!(folder.saved().unwrap() > Timestamp::UNIX_EPOCH, "also what is the same is written");
        assert_eq!(folder.load().unwrap(), Some(record));
        assert_eq!(folder.serving().unwrap(), ("ca".to_owned(), keys.serving));
        assert_eq!(folder.client().unwrap(), keys.client);
        assert_eq!(folder.server().unwrap(), "https://10.64.0.1:6443");
        assert!(std::fs::read_to_string(folder.kubeconfig()).unwrap().contains("https://10.64.0.1:6443"));
        std::fs::write(folder.record(), "{").unwrap();
        assert!(folder.load().unwrap_err().to_string().contains("damaged"));
    }
}
