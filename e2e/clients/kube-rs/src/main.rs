//! An operator as kube-rs' users write them: a derived definition, a Controller, a finalizer, server-side apply.
//!
//! A `Website` becomes a Deployment, which it owns, and has its state in its status. On standard output the operator says, one JSON
//! object a line, what a watch of the websites saw, and which websites it cleaned up. It ends when its input does.

mod reconcile;
mod report;
mod website;

use anyhow::{Context as _, Result};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Config, CustomResourceExt};
use tokio::io::AsyncReadExt;
use website::Website;

const MANAGER: &str = "website-operator";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut config = Config::infer().await?;
    // Watches may be quiet for as long as they like.
    config.read_timeout = None;
    let client = Client::try_from(config)?;
    define(client.clone()).await?;
    let websites: Api<Website> = Api::default_namespaced(client.clone());
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    report::say("READY", &[]);
    let watching = tokio::spawn(report::watch(websites.clone()));
    Controller::new(websites, watcher::Config::default())
        .owns(deployments, watcher::Config::default())
        .graceful_shutdown_on(input_ends())
        .run(reconcile::reconcile, reconcile::failed, std::sync::Arc::new(client))
        .for_each(|_| async {})
        .await;
    watching.abort();
    Ok(())
}

/// The definition, and until it is served.
async fn define(client: Client) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    let name = Website::crd_name();
    definitions.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(Website::crd())).await?;
    let established = await_condition(definitions, name, conditions::is_crd_established());
    tokio::time::timeout(std::time::Duration::from_secs(10), established).await.context("it is not established")??;
    Ok(())
}

async fn input_ends() {
    let mut ignored = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut ignored).await;
}
