//! Handing one request on to another server: a connection for each, for what is long or rare; upgrades pass through.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::connect::Stream;
use crate::body::{self, Body};

/// What went wrong on the way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Request(#[from] http::Error),
    #[error("Upgrade request required")]
    NotUpgraded,
}

/// Sends the request, whose path is what the other server is asked for; `host` is its `Host` header. When it answers with an upgrade, the two
/// streams are joined.
pub(crate) async fn relay(
    stream: Stream,
    host: &str,
    mut request: Request<Body>,
) -> Result<Response<Body>, RelayError> {
    let client = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    strip_hop_by_hop(request.headers_mut());
    if let Some(protocol) = &upgrade {
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(header::UPGRADE, protocol.clone());
    }
    *request.version_mut() = http::Version::HTTP_11;
    if let Some(path) = request.uri().path_and_query().cloned() {
        // Origin form, as a server expects it; the authority is in the Host header.
        *request.uri_mut() = Uri::builder().path_and_query(path).build()?;
    }
    let host = HeaderValue::from_str(host).map_err(http::Error::from)?;
    request.headers_mut().insert(header::HOST, host);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to another server ended");
        }
    });
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let other = hyper::upgrade::on(&mut response);
        tokio::spawn(join(client.ok_or(RelayError::NotUpgraded)?, other));
        let (parts, _) = response.into_parts();
        return Ok(Response::from_parts(parts, body::empty()));
    }
    strip_hop_by_hop(response.headers_mut());
    Ok(response.map(body::wrap))
}

/// Copies both ways until both directions ended.
async fn join(client: OnUpgrade, other: OnUpgrade) {
    match tokio::try_join!(client, other) {
        Ok((client, other)) => {
            let (mut client, mut other) = (TokioIo::new(client), TokioIo::new(other));
            if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut other).await {
                tracing::debug!(%error, "an upgraded connection ended");
            }
        }
        Err(error) => tracing::debug!(%error, "an upgrade failed"),
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING, header::TE, header::TRAILER] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}
