//! The listener: TLS, HTTP/1.1 and HTTP/2, one task for each connection.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::authn::{self, Tokens};
use super::impersonate::impersonate;
use super::request_header::{FrontProxies, named};
use super::tokens::ServiceAccountTokens;
use crate::audit::Origin;
use crate::body::{self, Body};
use crate::server::ApiServer;
use crate::user::UserInfo;

/// A client that does not finish its TLS handshake is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// client-go keeps one connection for hundreds of watches.
const MAX_CONCURRENT_STREAMS: u32 = 1000;
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const MAX_HEADER_BYTES: u32 = 64 << 10;
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// What every connection needs.
pub struct Front {
    pub server: Arc<ApiServer>,
    pub tokens: Arc<ServiceAccountTokens>,
    pub tls: Arc<rustls::ServerConfig>,
    /// Whose word about users is taken.
    pub proxies: Option<FrontProxies>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").finish_non_exhaustive()
    }
}

/// Serves until cancelled. Connections end with it.
pub async fn serve(front: Arc<Front>, listener: TcpListener, cancel: CancellationToken) {
    let acceptor = TlsAcceptor::from(front.tls.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = cancel.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: existing connections must be able to end.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (front, acceptor, cancel) = (front.clone(), acceptor.clone(), cancel.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection(front, acceptor, stream, peer.ip()) => {}
                () = cancel.cancelled() => {}
            }
        });
    }
}

async fn connection(front: Arc<Front>, acceptor: TlsAcceptor, stream: TcpStream, address: IpAddr) {
    // Small writes of a watch must not wait for a full segment.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return,
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    converse(front, stream, &chain, address).await;
}

/// Serves one connection past its TLS handshake, in which the client showed `chain`, until it ends.
pub async fn converse(
    front: Arc<Front>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    chain: &[CertificateDer<'_>],
    address: IpAddr,
) {
    let peer = match front.proxies.as_ref().and_then(|proxies| proxies.knows(chain)) {
        Some(true) => Peer::Proxy,
        // That authority speaks of proxies only.
        Some(false) => Peer::Other(None),
        None => Peer::Other(chain.first().and_then(authn::certificate_user)),
    };
    let peer = Arc::new(peer);
    let service = service_fn(move |request: Request<Incoming>| {
        let (front, peer) = (front.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answer(&front, &peer, address, request.map(body::wrap)).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(60));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(PING_INTERVAL);
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(error, "a connection ended");
    }
}

/// Who is at the other end of a connection.
enum Peer {
    /// It says by headers who sends a request.
    Proxy,
    /// The user of the certificate, where there is one.
    Other(Option<UserInfo>),
}

async fn answer(front: &Front, peer: &Peer, address: IpAddr, mut request: Request<Body>) -> Response<Body> {
    let server = &front.server;
    let now = (server.config().clock)();
    let by_proxy;
    let named = match peer {
        Peer::Proxy => {
            by_proxy = named(request.headers_mut());
            by_proxy.as_ref()
        }
        Peer::Other(user) => user.as_ref(),
    };
    let (headers, path) = (request.headers(), request.uri().path());
    let tokens = Tokens { accounts: &front.tokens, login: &server.config().login, lookup: server.lookup() };
    let user = authn::authenticate(named, headers, path, &tokens, now).await;
    // Who pays for it is who wants an audit log.
    let audits = server.config().audit.is_some();
    let mut origin = Origin { address: Some(address), impersonator: None };
    let user = match user {
        Ok(user) => user,
        Err(status) => {
            if audits {
                let parts = request.into_parts().0;
                server.tell_unauthenticated(&parts, origin, &status, named.is_some());
            }
            return refusal(&status);
        }
    };
    let asker = audits.then(|| user.clone());
    match impersonate(server, user, request.headers_mut()).await {
        Ok(user) => {
            if let Some(asker) = asker {
                origin.impersonator = Some(asker).filter(|asker| *asker != user);
                request.extensions_mut().insert(origin);
            }
            server.handle(user, request).await
        }
        Err(status) => {
            if let Some(asker) = asker {
                server.tell_refused(&asker, &request.into_parts().0, origin, &status);
            }
            refusal(&status)
        }
    }
}

fn refusal(status: &Status) -> Response<Body> {
    let mut response = Response::new(body::full(status.to_json().to_string()));
    *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::UNAUTHORIZED);
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
