//! `setpoint node join`: this machine becomes a node of a cluster elsewhere.
//!
//! ```text
//! token's digest ──▶ the cluster's authority ──▶ token over TLS ──▶ client certificate ──▶ cluster's facts, serving certificate
//! ```
//! The token is shown only to a server that the authority vouches for; the keys are made here and never leave.

mod discover;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use apiserver::front::pki::{Identity, Request};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use super::certificate::{Purpose, ask};
use super::command::Run;
use super::record::{Folder, Keys, Record};
use super::{client, name_of_host};
use crate::control::{self, ClusterInfo, election};
use crate::join_token::JoinToken;
use crate::session::DEFAULT_DATA_DIR;
use crate::{kubeconfig, lock, output, preflight};

const DEFAULT_PORT: u16 = 6443;

#[derive(Debug, clap::Args)]
pub struct Join {
    /// Where the cluster's API is: HOST or HOST:PORT
    address: String,
    /// As `setpoint token create` printed it
    #[arg(long, env = "SETPOINT_TOKEN", hide_env_values = true)]
    token: String,
    /// Name of the node [default: this machine's]
    #[arg(long)]
    node_name: Option<String>,
    /// Address at which the API server and other nodes reach this machine [default: the one on the way to the API server]
    #[arg(long)]
    node_ip: Option<Ipv4Addr>,
    /// Wrap pods' packets to other nodes (VXLAN) also where nodes share a link
    #[arg(long)]
    vxlan: bool,
    /// Where the node keeps everything
    #[arg(long, default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Return when the node is started, and leave it running
    #[arg(short, long)]
    detach: bool,
}

impl Join {
    pub async fn run(self) -> Result<ExitCode> {
        let token = JoinToken::parse(&self.token)?;
        preflight::check()?;
        let folder = Folder(std::path::absolute(&self.data_dir)?);
        if folder.0.join("cluster.json").exists() {
            bail!("{} holds a cluster of this machine: use another --data-dir", folder.0.display());
        }
        if let Some(holder) = lock::settled_holder(&folder.lock())? {
            bail!("a node is running on {} (process {}): stop it with `setpoint down`", folder.0.display(), holder.pid);
        }
        let name = self.enroll(&folder, &token).await?;
        output::note(format_args!("this machine is node {name} of the cluster at {}", self.address));
        Run::of(folder, self.detach).run().await
    }

    /// Gets what the node needs to run, and writes it down.
    async fn enroll(&self, folder: &Folder, token: &JoinToken) -> Result<String> {
        let (host, port) = endpoint(&self.address)?;
        let server = format!("https://{}:{port}", if host.contains(':') { format!("[{host}]") } else { host.clone() });
        let (authority, on_the_way) = discover::authority(&host, port, &token.fingerprint).await?;
        let address = match (self.node_ip, on_the_way) {
            (Some(address), _) | (None, IpAddr::V4(address)) => address,
            (None, IpAddr::V6(_)) => bail!("nodes have IPv4 addresses: name this machine's with --node-ip"),
        };
        let known = folder.load()?;
        let name = match (&self.node_name, &known) {
            (Some(name), _) => name.clone(),
            (None, Some(record)) => record.name.clone(),
            (None, None) => name_of_host(),
        };
        let problems = api::names::dns1123_subdomain(&name);
        if !problems.is_empty() {
            bail!("{name:?} cannot be a node's name: {}", problems.join("; "));
        }
        let user = format!("system:node:{name}");
        let subject = Request { common_name: &user, organizations: &["system:nodes"], ..Request::default() };

        let again = known.as_ref().is_some_and(|record| record.name == name);
        let renewed = if again { renewed(folder, &server, &authority, &subject).await } else { None };
        let identity = match renewed {
            Some(identity) => identity,
            None => {
                let bootstrap = kubeconfig::with_token(&server, &authority, &token.bearer());
                let bootstrap = client::from_value(bootstrap, "setpoint").await?;
                ask(&bootstrap, Purpose::Client, &subject).await?
            }
        };
        let own = kubeconfig::render(&server, &authority, &identity.certificate, &identity.key);
        let own = client::from_value(own, "kubelet").await?;
        let serving = Request { names: &[&name], addresses: &[address.into()], ..subject };
        let serving = ask(&own, Purpose::Serving, &serving).await?;
        let info = facts(&own).await?;

        let id = known.map_or_else(|| format!("{:06x}", crate::random() & 0xff_ffff), |record| record.id);
        let record = Record {
            name: name.clone(),
            unit: id.clone(),
            id,
            address,
            cluster_pods: info.pods,
            services: info.services,
            always_tunnel: self.vxlan,
        };
        folder.save(&record, &server, &Keys { authority, client: identity, serving })?;
        Ok(name)
    }
}

/// A certificate for a node that joined before, by the one that it has: what a token does not give while the Node is Ready.
/// `None`: it is of another cluster, or has expired.
async fn renewed(folder: &Folder, server: &str, authority: &str, subject: &Request<'_>) -> Option<Identity> {
    let attempt = async {
        let old = folder.client()?;
        let old = kubeconfig::render(server, authority, &old.certificate, &old.key);
        ask(&client::from_value(old, "kubelet").await?, Purpose::Client, subject).await
    };
    attempt.await.inspect_err(|error| tracing::debug!(%error, "the certificate of earlier is not taken")).ok()
}

/// What the cluster tells who joins it. A new one may not have told it yet: on etcd, its controllers are elected first.
async fn facts(client: &Client) -> Result<ClusterInfo> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), control::CLUSTER_INFO_NAMESPACE);
    let told = await_condition(maps, control::CLUSTER_INFO_NAME, |map: Option<&ConfigMap>| map.is_some());
    let told = tokio::time::timeout(election::PATIENCE, told).await.with_context(|| {
        let limit = election::PATIENCE.as_secs();
        format!("the cluster does not tell its facts, also after {limit} seconds: do its controllers run?")
    })?;
    let map = told.context("read the cluster's facts")?.context("the cluster's facts are gone")?;
    ClusterInfo::read(&map.data.unwrap_or_default())
}

/// `host`, `host:port`, `[v6]:port`, with or without `https://`.
fn endpoint(text: &str) -> Result<(String, u16)> {
    let text = text.trim_start_matches("https://").trim_end_matches('/');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        Some(port) => port.parse().ok().with_context(|| format!("{port:?} is not a port"))?,
        None => DEFAULT_PORT,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        bail!("{text:?} is not an address such as 192.0.2.1:6443");
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let table = [
            ("192.0.2.1", Some(("192.0.2.1", 6443))),
            ("https://host.example:7443/", Some(("host.example", 7443))),
            ("[fd00::1]:1", Some(("fd00::1", 1))),
            ("fd00::1", Some(("fd00::1", 6443))),
            ("host:x", None),
            (":1", None),
        ];
        for (text, expected) in table {
            let found = endpoint(text).ok();
            assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), expected, "{text}");
        }
    }
}
