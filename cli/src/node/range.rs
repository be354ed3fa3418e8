//! A node's range of pod addresses: the one that its Node object was given.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use crate::addresses::Network;

/// Before another try, while the API server is away.
const RETRY: Duration = Duration::from_millis(500);

/// Makes the Node if it is not there, and waits for its range.
pub async fn of_node(client: &Client, name: &str) -> Network {
    let nodes: Api<Node> = Api::all(client.clone());
    loop {
        match ask(&nodes, name).await {
            Ok(range) => return range,
            Err(error) => {
                tracing::warn!(node = %name, error = %format!("{error:#}"), "the node has no range of pod addresses yet")
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn ask(nodes: &Api<Node>, name: &str) -> Result<Network> {
    if nodes.get_opt(name).await?.is_none() {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        nodes.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await.context("make the Node")?;
    }
    let given = await_condition(nodes.clone(), name, |node: Option<&Node>| node.and_then(range).is_some());
    given.await?.as_ref().and_then(range).context("the Node is gone")
}

fn range(node: &Node) -> Option<Network> {
    Network::parse(node.spec.as_ref()?.pod_cidr.as_deref()?)
}
