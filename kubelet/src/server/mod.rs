//! The kubelet's HTTPS server: what the API server asks of a node on behalf of users.
//!
//! [`route`] understands paths and queries; `logs`, `streams` (exec and attach), `forward` (port-forward) and `images`
//! answer them. Streams come by [`upgrade`] of the connection: to a WebSocket with [`channel`]s (`session`, `ports`), or to SPDY
//! (`remote`, `forward`). A client must show a certificate that the TLS configuration trusts and that [`crate::config::Authorize`] lets in.

mod channel;
mod forward;
mod images;
mod logs;
mod metrics;
mod peer;
mod ports;
mod remote;
pub mod route;
mod session;
mod streams;
mod upgrade;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::{Authorize, Server};
use crate::driver::Shared;
use route::{Query, Route};

/// For a kubelet that starts to learn of its pods. The API is there, as a rule: it is what asks.
const COMPLETE: Duration = Duration::from_secs(5);

pub type Body = UnsyncBoxBody<Bytes, io::Error>;
pub type Answer = Response<Body>;

pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn text(status: StatusCode, message: impl Into<String>) -> Answer {
    let mut answer = Response::new(body(message.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

pub fn json(value: &Value) -> Answer {
    let mut answer = Response::new(body(value.to_string()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The API server passes answers on as they are, so a failure is the Status that a client expects.
pub fn failure(status: &Status) -> Answer {
    let mut answer = json(&status.to_json());
    *answer.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

/// Serves until cancelled. Streams that are open then end with their connections.
pub async fn serve(shared: Arc<Shared>, config: Server, cancel: CancellationToken) -> io::Result<()> {
    let listener = config.listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(config.tls);
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (shared, acceptor, authorize) = (shared.clone(), acceptor.clone(), config.authorize.clone());
                let cancel = cancel.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = connection(shared, acceptor, authorize, stream) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                // Out of descriptors, as a rule: give others time to close theirs.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, acceptor: TlsAcceptor, authorize: Authorize, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "TLS handshake failed"),
    };
    let allowed = peer::of(stream.get_ref().1).is_some_and(|peer| authorize(&peer));
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move {
            let answer = match allowed {
                true => handle(shared, request).await,
                false => text(StatusCode::FORBIDDEN, "Forbidden"),
            };
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection ended");
    }
}

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let route = Route::parse(request.uri().path());
    let query = Query::parse(request.uri().query().unwrap_or_default());
    if route.as_ref().is_some_and(Route::is_about_pods) {
        shared.table.complete(COMPLETE).await;
    }
    match (request.method(), route) {
        (&Method::GET, Some(Route::Logs(target))) => logs::answer(&shared, &target, &query),
        (&Method::GET | &Method::POST, Some(Route::Exec(target))) => streams::exec(&shared, &target, &query, request),
        (&Method::GET | &Method::POST, Some(Route::Attach(target))) => {
            streams::attach(&shared, &target, &query, request)
        }
        (&Method::GET | &Method::POST, Some(Route::PortForward(namespace, pod))) => {
            forward::answer(&shared, (&namespace, &pod), &query, request)
        }
        (&Method::GET, Some(Route::Healthz)) => text(StatusCode::OK, "ok"),
        (&Method::GET, Some(Route::Pods)) => pods(&shared),
        (&Method::GET, Some(Route::Metrics)) => text(StatusCode::OK, metrics::render(&shared)),
        (_, Some(Route::Images)) => images::answer(shared, &query, request).await,
        (_, Some(_)) => failure(&Status::method_not_allowed()),
        (_, None) => failure(&Status::no_such_path()),
    }
}

fn pods(shared: &Shared) -> Answer {
    let list = shared.table.all().into_iter().map(|row| {
        let mut pod = row.pod.as_ref().clone();
        pod.status = Some(row.status);
        serde_json::to_value(pod).unwrap_or_default()
    });
    let items: Vec<Value> = list.collect();
    json(&serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}
