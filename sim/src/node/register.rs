//! The Node object: what it should be is the kubelet's own pure code; here it is written, and kept true.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use kubelet::clock::Clock;
use kubelet::node::facts::Pressure;
use kubelet::node::object;
use serde_json::json;
use tokio::sync::watch;

use super::Site;

const RETRY: Duration = Duration::from_millis(500);
/// As the kubelet looks at its machine.
const LOOK: Duration = Duration::from_secs(10);
/// Every so many looks the status is written without a change.
const REPORT: u32 = 30;

fn wanted(site: &Site, clock: Clock) -> Node {
    object::node(&site.config, &site.facts, None, &Pressure::default(), &[], clock.now())
}

pub async fn register(site: &Site, client: &Client, clock: Clock) -> Arc<Node> {
    loop {
        match try_register(site, client, clock).await {
            Ok(node) => return Arc::new(node),
            Err(error) => tracing::debug!(node = site.name, %error, "node not registered, trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_register(site: &Site, client: &Client, clock: Clock) -> Result<Node, kube::Error> {
    let (api, wanted) = (Api::<Node>::all(client.clone()), wanted(site, clock));
    let mut node = match api.create(&PostParams::default(), &wanted).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&site.name).await?,
        answer => answer?,
    };
    if let Some(change) = object::adopt(&node, &wanted) {
        node = api.patch(&site.name, &PatchParams::default(), &Patch::Merge(change)).await?;
    }
    write_status(site, client, &node, &wanted, true).await
}

async fn write_status(
    site: &Site,
    client: &Client,
    node: &Node,
    wanted: &Node,
    always: bool,
) -> Result<Node, kube::Error> {
    let tree = |node: &Node| serde_json::to_value(&node.status).map_err(kube::Error::SerdeError);
    let Some(change) = object::status_patch(&tree(node)?, &tree(wanted)?, always) else { return Ok(node.clone()) };
    let patch = Patch::Strategic(json!({ "status": change }));
    Api::<Node>::all(client.clone()).patch_status(&site.name, &PatchParams::default(), &patch).await
}

/// Keeps the status true.
pub async fn keep(site: Site, client: Client, clock: Clock, node: watch::Receiver<Arc<Node>>) {
    for look in 1_u32.. {
        tokio::time::sleep(LOOK).await;
        let current = node.borrow().clone();
        let always = look.is_multiple_of(REPORT);
        if let Err(error) = write_status(&site, &client, &current, &wanted(&site, clock), always).await {
            tracing::debug!(node = site.name, %error, "node status not written, trying again");
        }
    }
}
