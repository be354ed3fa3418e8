//! The heartbeat: a Lease in kube-node-lease, renewed every ten seconds.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

const NAMESPACE: &str = "kube-node-lease";
/// Upstream's nodeLeaseDurationSeconds, and a quarter of it.
const DURATION_SECONDS: i32 = 40;
const RENEW: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(7);

/// Runs until cancelled; the lease then expires by itself.
pub async fn renew(client: Client, node: std::sync::Arc<Node>, clock: Clock, cancel: CancellationToken) {
    let api: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let mut held: Option<Lease> = None;
    let mut retry = RETRY;
    loop {
        let pause = match beat(&api, &node, held.take(), clock).await {
            Ok(lease) => {
                held = Some(lease);
                retry = RETRY;
                RENEW
            }
            Err(error) => {
                tracing::warn!(%error, "node lease not renewed, trying again");
                let pause = retry;
                retry = (retry * 2).min(LONGEST_RETRY);
                pause
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// From the lease that was last written; without one, looks for it or makes it.
async fn beat(api: &Api<Lease>, node: &Node, held: Option<Lease>, clock: Clock) -> Result<Lease, kube::Error> {
    let name = node.metadata.name.clone().unwrap_or_default();
    let known = match held {
        Some(lease) => Some(lease),
        None => api.get_opt(&name).await?,
    };
    let spec = LeaseSpec {
        holder_identity: Some(name.clone()),
        lease_duration_seconds: Some(DURATION_SECONDS),
        renew_time: Some(MicroTime(clock.now())),
        ..LeaseSpec::default()
    };
    match known {
        Some(mut lease) => {
            lease.spec =
                Some(LeaseSpec { lease_transitions: lease.spec.and_then(|spec| spec.lease_transitions), ..spec });
            api.replace(&name, &PostParams::default(), &lease).await
        }
        None => {
            let owner = OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                name: name.clone(),
                uid: node.metadata.uid.clone().unwrap_or_default(),
                ..OwnerReference::default()
            };
            let metadata = ObjectMeta {
                name: Some(name),
                namespace: Some(NAMESPACE.to_owned()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            };
            api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await
        }
    }
}
