//! The transport from the API server to a kubelet: HTTPS with the server's client certificate, upgrades passed through.

use std::sync::Arc;
use std::time::Duration;

use api::Object;
use api::status::Status;
use futures::future::BoxFuture;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::{self, Body};
use crate::node_proxy::NodeProxy;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a connection for each request: logs and exec live as long as their connection, and others are rare.
pub struct KubeletClient {
    tls: TlsConnector,
}

impl std::fmt::Debug for KubeletClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeletClient").finish_non_exhaustive()
    }
}

impl KubeletClient {
    pub fn new(tls: rustls::ClientConfig) -> Self {
        Self { tls: TlsConnector::from(Arc::new(tls)) }
    }

    async fn send(&self, node: &Object, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let (address, port) = endpoint(node)?;
        let unreachable = |error: &dyn std::fmt::Display| {
            Status::internal(format!("error dialing backend: dial tcp {address}:{port}: {error}"))
        };
        let client = request.extensions_mut().remove::<OnUpgrade>();
        let upgrade = request.headers().get(header::UPGRADE).cloned();
        strip_hop_by_hop(request.headers_mut());
        if let Some(protocol) = &upgrade {
            request.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
            request.headers_mut().insert(header::UPGRADE, protocol.clone());
        }
        // The kubelet knows us by our certificate; the user's credential stays here.
        request.headers_mut().remove(header::AUTHORIZATION);
        rewrite(&mut request, &address, port).map_err(|error| unreachable(&error))?;

        let dial = async {
            let stream = TcpStream::connect((address.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(address.clone()).map_err(std::io::Error::other)?;
            self.tls.connect(name, stream).await
        };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, dial)
            .await
            .map_err(|_| unreachable(&"i/o timeout"))?
            .map_err(|error| unreachable(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a kubelet ended");
            }
        });
        let mut response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let kubelet = hyper::upgrade::on(&mut response);
            let client = client.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
            tokio::spawn(join(client, kubelet));
            let (parts, _) = response.into_parts();
            return Ok(Response::from_parts(parts, body::empty()));
        }
        strip_hop_by_hop(response.headers_mut());
        Ok(response.map(body::wrap))
    }
}

impl NodeProxy for KubeletClient {
    fn call<'a>(&'a self, node: &'a Object, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, Status>> {
        Box::pin(self.send(node, request))
    }
}

/// Copies both ways until both directions ended.
async fn join(client: OnUpgrade, kubelet: OnUpgrade) {
    match tokio::try_join!(client, kubelet) {
        Ok((client, kubelet)) => {
            let (mut client, mut kubelet) = (TokioIo::new(client), TokioIo::new(kubelet));
            if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut kubelet).await {
                tracing::debug!(%error, "an upgraded connection ended");
            }
        }
        Err(error) => tracing::debug!(%error, "an upgrade failed"),
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

fn rewrite(request: &mut Request<Body>, address: &str, port: u16) -> Result<(), http::Error> {
    let authority: Authority = format!("{address}:{port}").parse()?;
    let host = http::HeaderValue::from_str(authority.as_str())?;
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.version_mut() = http::Version::HTTP_11;
    // Origin form, as a server expects it; the authority is in the Host header.
    *request.uri_mut() = Uri::builder().path_and_query(path).build()?;
    request.headers_mut().insert(header::HOST, host);
    Ok(())
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING, header::TE, header::TRAILER] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
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
