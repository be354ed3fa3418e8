//! The transport from the API server to a kubelet: HTTPS with the server's client certificate, upgrades passed through.

use std::sync::Arc;
use std::time::Duration;

use api::Object;
use api::status::Status;
use futures::future::BoxFuture;
use http::{Request, Response, header};

use crate::body::Body;
use crate::node_proxy::NodeProxy;
use crate::outbound::{RelayError, connect, relay};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a connection for each request: logs and exec live as long as their connection, and others are rare.
pub struct KubeletClient {
    tls: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for KubeletClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeletClient").finish_non_exhaustive()
    }
}

impl KubeletClient {
    pub fn new(tls: rustls::ClientConfig) -> Self {
        Self { tls: Arc::new(tls) }
    }

    async fn send(&self, node: &Object, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let (address, port) = endpoint(node)?;
        // The kubelet knows us by our certificate; the user's credential stays here.
        request.headers_mut().remove(header::AUTHORIZATION);
        let dial = connect(&address, port, Some((&address, self.tls.clone())));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, dial).await;
        let failed = |why: &str| Status::internal(format!("error dialing backend: {why}"));
        let stream = stream.unwrap_or_else(|_| Err(format!("dial tcp {address}:{port}: i/o timeout")));
        let stream = stream.map_err(|why| failed(&why))?;
        relay(stream, &format!("{address}:{port}"), request).await.map_err(|error| match error {
            RelayError::NotUpgraded => Status::bad_request(error.to_string()),
            other => failed(&other.to_string()),
        })
    }
}

impl NodeProxy for KubeletClient {
    fn call<'a>(&'a self, node: &'a Object, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, Status>> {
        Box::pin(self.send(node, request))
    }
}

/// Where a Node says its kubelet listens.
fn endpoint(node: &Object) -> Result<(String, u16), Status> {
    let name = node.pointer("/metadata/name").and_then(Object::as_str).unwrap_or_default();
    let addresses = node.pointer("/status/addresses").and_then(Object::as_array);
    let of_type = |wanted: &str| {
        let found = addresses?.iter().find(|entry| entry["type"] == wanted)?;
        found["address"].as_str().map(str::to_owned)
    };
    let address = of_type("InternalIP").or_else(|| of_type("ExternalIP")).or_else(|| of_type("Hostname"));
    let address = address
        .ok_or_else(|| Status::internal(format!("no preferred addresses found; known addresses of node {name}: []")))?;
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Object::as_u64).unwrap_or(10250);
    let port = u16::try_from(port).map_err(|_| Status::internal(format!("node {name} has an invalid kubelet port")))?;
    Ok((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_says_where_its_kubelet_is() {
        let addresses = json!([{"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": "10.0.0.2"}]);
        let cases = [
            (
                json!({"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": 999}}}),
                Some(("10.0.0.2", 999)),
            ),
            (json!({"addresses": [{"type": "Hostname", "address": "a"}]}), Some(("a", 10250))),
            (json!({}), None),
        ];
        for (status, expected) in cases {
            let got = endpoint(&json!({"metadata": {"name": "n"}, "status": status})).ok();
            assert_eq!(got, expected.map(|(address, port)| (address.to_owned(), port)));
        }
    }
}
