//! A node's range of pod addresses: the one that its Node object was given.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::addresses::Network;

/// Between two looks, while the API server is away or the range is not given out yet.
const LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Makes the Node if it is not there, and waits for its range.
pub async fn of_node(client: &Client, name: &str) -> Network {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut pause = LOOK;
    loop {
        match look(&nodes, name).await {
            Ok(Some(range)) => return range,
            Ok(None) => {}
            Err(error) => tracing::warn!(node = %name, %error, "waiting for the node's range of pod addresses"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

async fn look(nodes: &Api<Node>, name: &str) -> Result<Option<Network>> {
    let Some(node) = nodes.get_opt(name).await? else {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        nodes.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await?;
        return Ok(None);
    };
    Ok(node.spec.and_then(|spec| spec.pod_cidr).and_then(|range| Network::parse(&range)))
}
