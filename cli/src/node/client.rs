//! A node's way to an API server that is elsewhere.

use std::path::Path;

use anyhow::{Context, Result};
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// By the node's own kubeconfig. `component` is the name that it has in managedFields.
pub async fn from_kubeconfig(path: &Path, component: &'static str) -> Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("read {}", path.display()))?;
    of(kubeconfig, component).await.with_context(|| format!("use {}", path.display()))
}

/// By a kubeconfig that is not written down.
pub async fn from_value(kubeconfig: serde_json::Value, component: &'static str) -> Result<kube::Client> {
    of(serde_json::from_value(kubeconfig)?, component).await
}

async fn of(kubeconfig: Kubeconfig, component: &'static str) -> Result<kube::Client> {
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("read the kubeconfig")?;
    config.headers.push((USER_AGENT, HeaderValue::from_static(component)));
    kube::Client::try_from(config).context("make a client of the API server")
}
