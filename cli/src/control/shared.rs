//! What the control planes on one etcd have in common: the certificate authority, the key of service-account tokens, and the
//! networks. The first one puts it into etcd, under a key that the API does not serve; the others take it from there.
//!
//! Who can read etcd reads all Secrets anyway, so the keys are no worse off there. etcd is to be reached over TLS with client
//! certificates, or on a network of its own.

use std::path::Path;

use anyhow::{Context, Result, bail};
use apiserver::front::pki::{Authority, Identity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Durability, Expect, Store, Value, Write};

use super::credentials::{AUTHORITY, AUTHORITY_KEY, TOKEN_KEY};
use crate::addresses::Network;
use crate::files::write_secret;

pub const RECORD: &str = "/setpoint/cluster";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    pub services: Network,
    pub pods: Network,
    /// Fixed bits of one node's part of the pods' addresses.
    pub node_prefix: Option<u8>,
}

/// PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Keys {
    authority: String,
    authority_key: String,
    token_key: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    networks: Networks,
    keys: Keys,
}

/// Joins the control planes on this store: afterwards their keys are in `folder`, and the answer is their networks. `own` is
/// for a store where nobody has been.
pub async fn join(store: &dyn Store, folder: &Path, own: Networks, now: Timestamp) -> Result<Networks> {
    let local = Keys::read(folder)?;
    let record = match store.get(RECORD.into()).await? {
        Some(found) => found.value,
        None => {
            let keys = match &local {
                Some(keys) => keys.clone(),
                None => Keys::make(now)?,
            };
            let record = serde_json::to_vec(&Record { networks: own, keys })?;
            let value = Value { bytes: record.clone().into(), stamp: None };
            match store.write(RECORD.into(), Write::Put(value), Expect::Absent, Durability::Synced).await {
                Ok(_) => record.into(),
                // Another one was quicker.
                Err(store::Error::Conflict { actual: Some(found) }) => found.value,
                Err(error) => return Err(error.into()),
            }
        }
    };
    let record: Record = serde_json::from_slice(&record).context("understand what this etcd says about its cluster")?;
    match local {
        Some(local) if local == record.keys => {}
        Some(_) => bail!(
            "{} has the keys of another cluster than the one on this etcd: use another --data-dir",
            folder.display()
        ),
        None => record.keys.write(folder)?,
    }
    Ok(record.networks)
}

impl Keys {
    fn make(now: Timestamp) -> Result<Self> {
        let Identity { certificate, key } =
            Authority::create("setpoint-ca", now).context("make a certificate authority")?.identity().clone();
        let token_key = rcgen::KeyPair::generate().context("make the service-account key")?.serialize_pem();
        Ok(Self { authority: certificate, authority_key: key, token_key })
    }

    fn read(folder: &Path) -> Result<Option<Self>> {
        if !folder.join(AUTHORITY).exists() {
            return Ok(None);
        }
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        Ok(Some(Self { authority: read(AUTHORITY)?, authority_key: read(AUTHORITY_KEY)?, token_key: read(TOKEN_KEY)? }))
    }

    /// The certificate last: where it is, all are.
    fn write(&self, folder: &Path) -> Result<()> {
        write_secret(&folder.join(TOKEN_KEY), &self.token_key)?;
        write_secret(&folder.join(AUTHORITY_KEY), &self.authority_key)?;
        write_secret(&folder.join(AUTHORITY), &self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(second: u8) -> Networks {
        let network = |second| Network { address: [10, second, 0, 0].into(), prefix: 16 };
        Networks { services: network(second), pods: network(244), node_prefix: Some(24) }
    }

    #[tokio::test]
    async fn the_second_one_takes_what_the_first_one_gave() {
        let store = store::Memory::new();
        let now = Timestamp::from_second(1_767_225_600).unwrap();
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        for (number, folder) in folders[..2].iter().enumerate() {
            let found = join(&store, folder.path(), networks(96 + number as u8), now).await.unwrap();
            assert_eq!(found, networks(96));
        }
        let keys = |folder: &tempfile::TempDir| Keys::read(folder.path()).unwrap();
        assert!(keys(&folders[0]).is_some());
        assert_eq!(keys(&folders[0]), keys(&folders[1]));
        assert_eq!(join(&store, folders[1].path(), networks(99), now).await.unwrap(), networks(96), "again");
        Keys::make(now).unwrap().write(folders[2].path()).unwrap();
        let stranger = join(&store, folders[2].path(), networks(96), now).await.unwrap_err();
        assert!(stranger.to_string().contains("another cluster"), "{stranger}");
    }
}
