//! From a website to its Deployment and its status.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

use crate::MANAGER;
use crate::report::{VALUE, say};
use crate::website::{Website, WebsiteStatus};

const FINALIZER: &str = "e2e.setpoint.dev/website";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("use the API")]
    Api(#[from] kube::Error),
    #[error("finish a website")]
    Finalizer(#[source] Box<kube::runtime::finalizer::Error<kube::Error>>),
    #[error("own a deployment: the website has no uid")]
    NoUid,
}

pub async fn reconcile(website: Arc<Website>, client: Arc<Client>) -> Result<Action, Error> {
    let client = Client::clone(&client);
    let websites: Api<Website> = Api::default_namespaced(client.clone());
    let owner = website.controller_owner_ref(&()).ok_or(Error::NoUid)?;
    let done = finalizer(&websites, FINALIZER, website, |event| async move {
        match event {
            Event::Apply(website) => apply(client, &website, owner).await,
            Event::Cleanup(website) => {
                say("CLEANED", &[("name", website.name_any()), ("uid", website.uid().unwrap_or_default())]);
                Ok(Action::await_change())
            }
        }
    });
    done.await.map_err(|error| Error::Finalizer(Box::new(error)))
}

pub fn failed(_: Arc<Website>, error: &Error, _: Arc<Client>) -> Action {
    eprintln!("again: {error:?}");
    Action::requeue(Duration::from_millis(500))
}

async fn apply(
    client: Client,
    website: &Website,
    owner: k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference,
) -> Result<Action, kube::Error> {
    let name = website.name_any();
    let value = website.annotations().get(VALUE).cloned().unwrap_or_default();
    let labels = json!({"website": name});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels, "annotations": {VALUE: value}, "ownerReferences": [owner]},
        "spec": {
            "replicas": website.spec.replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": website.spec.image}]},
            },
        },
    });
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let manager = PatchParams::apply(MANAGER).force();
    let applied = deployments.patch(&name, &manager, &Patch::Apply(deployment)).await?;
    let status = WebsiteStatus {
        replicas: applied.status.and_then(|status| status.replicas).unwrap_or(0),
        observed_generation: website.metadata.generation.unwrap_or(0),
        value,
    };
    if website.status.as_ref() != Some(&status) {
        let websites: Api<Website> = Api::default_namespaced(client);
        let status = json!({"apiVersion": Website::api_version(&()), "kind": Website::kind(&()), "status": status});
        websites.patch_status(&name, &manager, &Patch::Apply(status)).await?;
    }
    Ok(Action::await_change())
}
