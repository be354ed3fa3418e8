//! The cluster's keys: made at first start, kept in `<data-dir>/pki`; leaves are issued anew at each start.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use apiserver::front::pki::{Authority, Identity, Request};
use jiff::Timestamp;

use super::layout::{Facts, Layout};

/// Everything that a one-node cluster shows to others.
#[derive(Debug)]
pub struct Credentials {
    pub authority: Authority,
    /// PKCS#8 PEM.
    pub token_key: String,
    pub api_server: Identity,
    /// The API server as a client of kubelets.
    pub kubelet_client: Identity,
    /// The kubelet as a server.
    pub kubelet: Identity,
    pub admin: Identity,
}

impl Credentials {
    pub fn open(layout: &Layout, facts: &Facts, now: Timestamp) -> Result<Self> {
        let folder = layout.pki();
        let authority = authority(&folder, now)?;
        let key_path = folder.join("service-account.key");
        let token_key = match fs::read_to_string(&key_path) {
            Ok(key) => key,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = rcgen::KeyPair::generate().context("make the service-account key")?.serialize_pem();
                write_secret(&key_path, &key)?;
                key
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", key_path.display())),
        };
        let node = IpAddr::from(facts.node_address());
        let local = IpAddr::from([127, 0, 0, 1]);
        let service = IpAddr::from(facts.service_network.nth(1));
        let issue = |request: Request<'_>| authority.issue(&request, now).context("issue a certificate");
        Ok(Self {
            api_server: issue(Request {
                common_name: "kube-apiserver",
                names: &[
                    "localhost",
                    "kubernetes",
                    "kubernetes.default",
                    "kubernetes.default.svc",
                    "kubernetes.default.svc.cluster.local",
                    &facts.node_name,
                ],
                addresses: &[local, node, service],
                ..Request::default()
            })?,
            kubelet_client: issue(Request {
                common_name: "kube-apiserver-kubelet-client",
                organizations: &["system:masters"],
                ..Request::default()
            })?,
            kubelet: issue(Request {
                common_name: &format!("system:node:{}", facts.node_name),
                organizations: &["system:nodes"],
                names: &[&facts.node_name],
                addresses: &[node],
            })?,
            admin: issue(Request {
                common_name: "kubernetes-admin",
                organizations: &["system:masters"],
                ..Request::default()
            })?,
            token_key,
            authority,
        })
    }
}

fn authority(folder: &Path, now: Timestamp) -> Result<Authority> {
    let (certificate_path, key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    if certificate_path.exists() {
        let identity = Identity { certificate: read(&certificate_path)?, key: read(&key_path)? };
        return Authority::open(identity).with_context(|| {
            format!("{} is damaged; restore it, or start anew with another --data-dir", folder.display())
        });
    }
    let authority = Authority::create("setpoint-ca", now).context("make a certificate authority")?;
    // The key first: a certificate without its key would look complete after a crash.
    write_secret(&key_path, &authority.identity().key)?;
    write_secret(&certificate_path, authority.certificate())?;
    Ok(authority)
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    let attempt = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    attempt().with_context(|| format!("write {}", path.display()))
}
