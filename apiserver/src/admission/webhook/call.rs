//! Sending a review to a webhook: HTTPS, one connection for each, within its time.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::object::{Client, Place, Webhook};
use crate::admission::Reader;
use crate::registry::Registry;

/// No answer is longer (upstream reads without a limit).
const MAX_ANSWER: usize = 16 << 20;

/// Where to connect, and what to ask for there.
struct Target {
    /// The name that its certificate must have, which is also the host of the request.
    host: String,
    port: u16,
    path: String,
    /// Where the host is, when that is not for the resolver to say.
    address: Option<String>,
    /// As messages show it.
    url: String,
}

/// The body of the answer.
///
/// # Errors
/// In upstream's words, as far as they are Go's.
pub async fn post(hook: &Webhook, body: String, registry: &Registry, reader: &dyn Reader) -> Result<Value, String> {
    let target = target(&hook.client.place, hook.timeout.as_secs())?;
    let url = target.url.clone();
    let failed = |why: String| format!("failed to call webhook: Post {url:?}: {why}");
    let exchange = async {
        let target = locate(target, &hook.client.place, registry, reader)?;
        exchange(&target, &hook.client, body).await
    };
    let (code, bytes) = match tokio::time::timeout(hook.timeout, exchange).await {
        Ok(answer) => answer.map_err(failed)?,
        Err(_) => return Err(failed("context deadline exceeded".to_owned())),
    };
    let body = || String::from_utf8_lossy(&bytes).into_owned();
    match code {
        code if code.is_success() => {
            serde_json::from_slice(&bytes).map_err(|error| format!("failed to call webhook: {error}"))
        }
        StatusCode::NOT_FOUND => {
            Err("failed to call webhook: the server could not find the requested resource".to_owned())
        }
        code if code.is_server_error() => Err(format!(
            "failed to call webhook: an error on the server ({:?}) has prevented the request from succeeding",
            body()
        )),
        _ => Err("failed to call webhook: the server rejected our request for an unknown reason".to_owned()),
    }
}

fn target(place: &Place, seconds: u64) -> Result<Target, String> {
    match place {
        Place::Service { namespace, name, port, path } => {
            let host = format!("{name}.{namespace}.svc");
            let path = if path.starts_with('/') { path.clone() } else { format!("/{path}") };
            let url = format!("https://{host}:{port}{path}?timeout={seconds}s");
            Ok(Target { host, port: *port, path: format!("{path}?timeout={seconds}s"), address: None, url })
        }
        Place::Url(url) => {
            let uri: Uri = url.parse().map_err(|error| format!("could not get REST client: {error}"))?;
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let path = format!("{}?timeout={seconds}s", uri.path());
            let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
            let url = format!("https://{authority}{path}");
            Ok(Target { host, port: uri.port_u16().unwrap_or(443), path, address: None, url })
        }
    }
}

/// A Service is at its cluster address.
fn locate(mut target: Target, place: &Place, registry: &Registry, reader: &dyn Reader) -> Result<Target, String> {
    let Place::Service { namespace, name, port, .. } = place else { return Ok(target) };
    let row = registry.find("", "services").ok_or("services are not served")?;
    let service = reader.cached(row, namespace, name).map_err(|status| status.message)?;
    let service = service.ok_or_else(|| format!("service {name:?} not found"))?;
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        target.address = spec["externalName"].as_str().map(str::to_owned);
        return Ok(target);
    }
    let ports = spec["ports"].as_array().into_iter().flatten();
    if !ports.into_iter().any(|own| own["port"].as_u64() == Some(u64::from(*port))) {
        return Err(format!("no service port {port} found for service {name:?}"));
    }
    match spec["clusterIP"].as_str() {
        Some(address) if address.parse::<IpAddr>().is_ok() => target.address = Some(address.to_owned()),
        _ => return Err(format!("service {name:?} has no cluster address")),
    }
    Ok(target)
}

async fn exchange(target: &Target, client: &Client, body: String) -> Result<(StatusCode, Bytes), String> {
    let say = |error: &dyn std::fmt::Display| error.to_string();
    let address = target.address.as_deref().unwrap_or(&target.host);
    let dialed = TcpStream::connect((address, target.port)).await;
    let stream = dialed.map_err(|error| format!("dial tcp {address}:{}: {}", target.port, dial_error(&error)))?;
    stream.set_nodelay(true).map_err(|error| say(&error))?;
    let name = ServerName::try_from(target.host.clone()).map_err(|error| say(&error))?;
    let connector = TlsConnector::from(tls(&client.ca_bundle)?);
    let stream = connector.connect(name, stream).await.map_err(|error| tls_error(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| say(&error))?;
    // It ends with the sender.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a webhook ended");
        }
    });
    let request = Request::post(&target.path)
        .header(header::HOST, format!("{}:{}", target.host, target.port))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, "kube-apiserver-admission")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| say(&error))?;
    let response = sender.send_request(request).await.map_err(|error| say(&error))?;
    let code = response.status();
    let read = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    Ok((code, read.map_err(|error| say(&error))?.to_bytes()))
}

/// Who has no bundle trusts nobody.
fn tls(bundle: &[u8]) -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|error| format!("unable to load root certificates: {error}"))?;
        roots.add(certificate).map_err(|error| format!("unable to load root certificates: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn dial_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        _ => error.to_string(),
    }
}

fn tls_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    if text.contains("UnknownIssuer") {
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned();
    }
    format!("tls: failed to verify certificate: {text}")
}
