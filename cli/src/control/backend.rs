//! Where a control plane keeps its state: a store of its own below the data directory, or an etcd that others use, too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use store::{Embedded, Etcd, EtcdOptions, EtcdTls, Store};

use crate::encryption;

/// Flags that name an etcd, as upstream's API server calls them (but `--etcd-servers`).
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub struct EtcdFlags {
    /// Keep the state in etcd: URLs of its members, separated by commas
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub etcd_endpoints: Vec<String>,
    /// CA of etcd's certificates, PEM
    #[arg(long, value_name = "FILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// Certificate with which to come to etcd, PEM
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// What is encrypted in etcd, and with which keys (an EncryptionConfiguration with aesgcm and identity); the same for all servers
    #[arg(long, value_name = "FILE")]
    #[serde(default)]
    pub encryption_provider_config: Option<PathBuf>,
}

impl EtcdFlags {
    /// `None` when no etcd was named. Files are named from the root, for a daemon and for later starts.
    pub fn named(self) -> Result<Option<Self>> {
        let Self { etcd_cafile, etcd_certfile, etcd_keyfile, encryption_provider_config, .. } = &self;
        let files = [etcd_cafile, etcd_certfile, etcd_keyfile, encryption_provider_config];
        if self.etcd_endpoints.is_empty() {
            ensure!(files.iter().all(|file| file.is_none()), "files for etcd are of no use without --etcd-endpoints");
            return Ok(None);
        }
        let absolute =
            |file: Option<PathBuf>| file.map(std::path::absolute).transpose().context("find a file for etcd");
        Ok(Some(Self {
            etcd_endpoints: self.etcd_endpoints,
            etcd_cafile: absolute(self.etcd_cafile)?,
            etcd_certfile: absolute(self.etcd_certfile)?,
            etcd_keyfile: absolute(self.etcd_keyfile)?,
            encryption_provider_config: absolute(self.encryption_provider_config)?,
        }))
    }

    /// The same flags for another process.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        if !self.etcd_endpoints.is_empty() {
            arguments.extend(["--etcd-endpoints".into(), self.etcd_endpoints.join(",").into()]);
        }
        let files = [
            ("--etcd-cafile", &self.etcd_cafile),
            ("--etcd-certfile", &self.etcd_certfile),
            ("--etcd-keyfile", &self.etcd_keyfile),
            ("--encryption-provider-config", &self.encryption_provider_config),
        ];
        for (flag, file) in files {
            arguments.extend(file.iter().flat_map(|file| [flag.into(), file.clone().into()]));
        }
        arguments
    }

    fn options(&self) -> Result<EtcdOptions> {
        let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
        let identity = match (&self.etcd_certfile, &self.etcd_keyfile) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        let tls = match &self.etcd_cafile {
            Some(authority) => Some(EtcdTls { authority: read(authority)?, identity }),
            None => {
                ensure!(identity.is_none(), "a certificate for etcd is of no use without --etcd-cafile");
                None
            }
        };
        Ok(EtcdOptions { endpoints: self.etcd_endpoints.clone(), tls })
    }

    pub async fn connect(&self) -> Result<Arc<dyn Store>> {
        let store: Arc<dyn Store> = Arc::new(Etcd::connect(&self.options()?).await?);
        match &self.encryption_provider_config {
            Some(path) => encryption::config::seal(store, path).await,
            None => Ok(store),
        }
    }
}

/// etcd where one is named, or else the store in this folder, with Secrets encrypted by the keys in a file.
pub async fn open(etcd: Option<&EtcdFlags>, folder: &Path, keys: &Path) -> Result<Arc<dyn Store>> {
    match etcd {
        Some(etcd) => etcd.connect().await,
        None => encryption::seal(Embedded::open(folder, store::Options::default())?, keys).await,
    }
}
