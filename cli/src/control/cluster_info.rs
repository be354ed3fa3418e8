//! What a machine that joins must know of the cluster: the ConfigMap `cluster-info` in kube-public, as kubeadm has it, with the
//! cluster's ranges of addresses beside the kubeconfig without a user.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::addresses::Network;
use crate::yaml;

pub const NAMESPACE: &str = "kube-public";
pub const NAME: &str = "cluster-info";
/// As whom it is written; upstream's controller of this name signs it.
pub const ACCOUNT: &str = "bootstrap-signer";
/// As in kubeadm's configuration.
const PODS: &str = "podSubnet";
const SERVICES: &str = "serviceSubnet";
const KUBECONFIG: &str = "kubeconfig";
const RETRY: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// Where the API is reached, as a URL.
    pub server: String,
    pub pods: Network,
    pub services: Network,
}

impl ClusterInfo {
    pub fn new(advertise: SocketAddr, pods: Network, services: Network) -> Self {
        Self { server: format!("https://{advertise}"), pods, services }
    }

    /// `authority` is PEM.
    fn data(&self, authority: &str) -> Result<BTreeMap<String, String>> {
        let whole = crate::kubeconfig::render(&self.server, authority, "", "");
        let cluster = &whole["clusters"][0]["cluster"];
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": cluster}],
            "contexts": null, "current-context": "", "preferences": {}, "users": null,
        });
        Ok(BTreeMap::from([
            (KUBECONFIG.to_owned(), yaml::to_string(&kubeconfig)?),
            (PODS.to_owned(), self.pods.to_string()),
            (SERVICES.to_owned(), self.services.to_string()),
        ]))
    }

    pub fn read(data: &BTreeMap<String, String>) -> Result<Self> {
        let text = |key: &str| data.get(key).with_context(|| format!("the cluster does not tell its {key}"));
        let network = |key: &str| -> Result<Network> {
            Network::parse(text(key)?).with_context(|| format!("the cluster's {key} is no network"))
        };
        let kubeconfig = yaml::documents(text(KUBECONFIG)?)?.into_iter().next().unwrap_or_default();
        let server = kubeconfig.pointer("/clusters/0/cluster/server").and_then(Value::as_str).unwrap_or_default();
        Ok(Self { server: server.to_owned(), pods: network(PODS)?, services: network(SERVICES)? })
    }

    /// Tries until it is written.
    pub async fn publish(self, client: Client, authority: String, cancel: CancellationToken) {
        let maps: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
        loop {
            match self.write(&maps, &authority).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the cluster's facts were not published, trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = cancel.cancelled() => return,
            }
        }
    }

    async fn write(&self, maps: &Api<ConfigMap>, authority: &str) -> Result<()> {
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": self.data(authority)?});
        maps.patch(NAME, &PatchParams::apply("setpoint").force(), &Patch::Apply(map)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_can_be_read() {
        let network = |text: &str| Network::parse(text).unwrap();
        let info = ClusterInfo::new(
            SocketAddr::from(([192, 0, 2, 1], 6443)),
            network("10.244.0.0/16"),
            network("10.96.0.0/16"),
        );
        let data = info.data("ca").unwrap();
        assert_eq!(ClusterInfo::read(&data).unwrap(), info);
        assert!(!data[KUBECONFIG].contains("client-key"), "nothing secret is in it");
        assert!(ClusterInfo::read(&BTreeMap::new()).is_err());
    }
}
