//! A control plane's keys: made at first start, kept in a folder; leaves are issued anew at each start.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use apiserver::aggregation::{FRONT_PROXY, FrontProxy};
use apiserver::front::pki::{Authority, Identity, Request};
use jiff::Timestamp;

use crate::files::write_secret;

/// Names by which the API server goes in every cluster.
const SERVER_NAMES: [&str; 5] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// Files of a folder with keys.
pub(super) const AUTHORITY: &str = "ca.crt";
pub(super) const AUTHORITY_KEY: &str = "ca.key";
/// Of front proxies: certificate and key.
const FRONT_PROXY_AUTHORITY: [&str; 2] = ["front-proxy-ca.crt", "front-proxy-ca.key"];
pub(super) const TOKEN_KEY: &str = "service-account.key";

/// What a serving certificate is good for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serving<'a> {
    pub names: &'a [&'a str],
    pub addresses: &'a [IpAddr],
}

/// Everything that a control plane shows to others.
#[derive(Debug)]
pub struct Credentials {
    pub authority: Arc<Authority>,
    /// PKCS#8 PEM.
    pub token_key: String,
    pub api_server: Identity,
    /// The API server as a client of kubelets.
    pub kubelet_client: Identity,
    pub admin: Identity,
    /// The API server as a client of those behind it.
    pub front_proxy: FrontProxy,
}

impl Credentials {
    /// `serving`: names and addresses of this API server beside those that all have.
    pub fn open(folder: &Path, serving: Serving<'_>, now: Timestamp) -> Result<Self> {
        let authority = Arc::new(open_authority(folder, [AUTHORITY, AUTHORITY_KEY], "setpoint-ca", now)?);
        // Each server has one of its own, and the cluster trusts all.
        let proxies = open_authority(folder, FRONT_PROXY_AUTHORITY, "setpoint-front-proxy-ca", now)?;
        let proxy = Request { common_name: FRONT_PROXY, ..Request::default() };
        let front_proxy = FrontProxy {
            identity: proxies.issue(&proxy, now).context("issue a certificate")?,
            authority: proxies.certificate().to_owned(),
            client_authority: authority.certificate().to_owned(),
        };
        let token_key = token_key(&folder.join(TOKEN_KEY))?;
        let names: Vec<&str> = SERVER_NAMES.iter().chain(serving.names).copied().collect();
        let issue = |request: Request<'_>| authority.issue(&request, now).context("issue a certificate");
        let masters = |common_name| Request { common_name, organizations: &["system:masters"], ..Request::default() };
        let mut api_server = issue(Request {
            common_name: "kube-apiserver",
            names: &names,
            addresses: serving.addresses,
            ..Request::default()
        })?;
        // A machine that joins knows the authority by its digest only: it is in the chain.
        api_server.certificate.push_str(authority.certificate());
        Ok(Self {
            api_server,
            kubelet_client: issue(masters("kube-apiserver-kubelet-client"))?,
            admin: issue(masters("kubernetes-admin"))?,
            front_proxy,
            token_key,
            authority,
        })
    }

    /// A node's identity, as a client of the API and as its kubelet's server.
    pub fn node(&self, name: &str, address: IpAddr, now: Timestamp) -> Result<Identity> {
        let request = Request {
            common_name: &format!("system:node:{name}"),
            organizations: &["system:nodes"],
            names: &[name],
            addresses: &[address],
        };
        self.authority.issue(&request, now).context("issue a node's certificate")
    }
}

fn token_key(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(key) => Ok(key),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = rcgen::KeyPair::generate().context("make the service-account key")?.serialize_pem();
            write_secret(path, &key)?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// The authority of these two files, made when they are not there.
fn open_authority(folder: &Path, [certificate, key]: [&str; 2], name: &str, now: Timestamp) -> Result<Authority> {
    let (certificate_path, key_path) = (folder.join(certificate), folder.join(key));
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    if certificate_path.exists() {
        let identity = Identity { certificate: read(&certificate_path)?, key: read(&key_path)? };
        return Authority::open(identity).with_context(|| {
            format!("{} is damaged; restore it, or start anew with another --data-dir", folder.display())
        });
    }
    let authority = Authority::create(name, now).context("make a certificate authority")?;
    // The key first: a certificate without its key would look complete after a crash.
    write_secret(&key_path, &authority.identity().key)?;
    write_secret(&certificate_path, authority.certificate())?;
    Ok(authority)
}
