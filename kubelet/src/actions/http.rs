//! The small HTTP client of probes and hooks: one request on one connection, certificates not verified, redirects followed
//! on the same host only.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

const LONGEST_BODY: usize = 10 << 10;
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
const MOST_REDIRECTS: usize = 10;

/// Where and what to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub https: bool,
    pub host: String,
    pub port: u16,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    /// For how long a refused connection is tried again.
    pub patience: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

impl Target {
    /// `purpose` becomes part of the user agent.
    pub fn new(
        action: &HTTPGetAction,
        container: &Container,
        pod_ip: Option<IpAddr>,
        purpose: &str,
    ) -> Result<Target, String> {
        let host = action.host.clone().filter(|host| !host.is_empty());
        let host = host.or_else(|| pod_ip.map(|ip| ip.to_string())).ok_or("the pod has no address yet")?;
        let port = super::port(&action.port, container)?;
        let mut headers = HeaderMap::new();
        for header in action.http_headers.iter().flatten() {
            let name = HeaderName::try_from(&header.name).map_err(|error| error.to_string())?;
            let value = HeaderValue::try_from(&header.value).map_err(|error| error.to_string())?;
            headers.append(name, value);
        }
        if !headers.contains_key(USER_AGENT) {
            let agent = format!("kube-{purpose}/1.35");
            headers.insert(USER_AGENT, HeaderValue::try_from(agent).map_err(|error| error.to_string())?);
        }
        match headers.get(ACCEPT) {
            None => drop(headers.insert(ACCEPT, HeaderValue::from_static("*/*"))),
            Some(value) if value.is_empty() => drop(headers.remove(ACCEPT)),
            Some(_) => {}
        }
        let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let https = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        Ok(Target { https, host, port, path, headers, patience: Duration::ZERO })
    }

    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Where a redirect leads. `None`: to another host, or nowhere.
    fn redirected(&self, location: &str) -> Option<Target> {
        let uri: Uri = location.parse().ok()?;
        let https = uri.scheme_str().map_or(self.https, |scheme| scheme == "https");
        let host = uri.host().map_or(self.host.as_str(), |host| host.trim_matches(['[', ']']));
        if host != self.host {
            return None;
        }
        let port = match uri.host() {
            Some(_) => uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
            None => self.port,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Target { https, port, path, ..self.clone() })
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        // A path that is no valid one is passed on with its odd bytes escaped.
        let uri: Uri = self
            .path
            .parse()
            .or_else(|_| escaped(&self.path).parse())
            .map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let mut request = Request::get(uri).body(Empty::new()).map_err(|error| error.to_string())?;
        let host = HeaderValue::try_from(self.authority()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        for name in self.headers.keys() {
            request.headers_mut().remove(name);
        }
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

fn escaped(path: &str) -> String {
    let escape = |byte: u8| match byte {
        b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    };
    path.bytes().map(escape).collect()
}

/// An error is a sentence about why there is no answer.
pub async fn get(target: Target, timeout: Duration) -> Result<Response, String> {
    let limit = tokio::time::timeout(timeout, follow(target.clone()));
    let late = || {
        format!(
            "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            target.authority()
        )
    };
    limit.await.map_err(|_| late())?
}

async fn follow(mut target: Target) -> Result<Response, String> {
    for _ in 0..MOST_REDIRECTS {
        let (response, location) = once(&target).await?;
        let next = match response.status {
            301 | 302 | 303 | 307 | 308 => location.and_then(|location| target.redirected(&location)),
            _ => None,
        };
        match next {
            Some(next) => target = next,
            None => return Ok(response),
        }
    }
    Err(format!("stopped after {MOST_REDIRECTS} redirects"))
}

async fn once(target: &Target) -> Result<(Response, Option<String>), String> {
    let stream = connect(&target.host, target.port, target.patience).await?;
    if !target.https {
        return exchange(target, stream).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(tls_config()?);
    let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS handshake: {error}"))?;
    exchange(target, stream).await
}

pub async fn connect(host: &str, port: u16, patience: Duration) -> Result<TcpStream, String> {
    let (mut waited, mut pause) = (Duration::ZERO, Duration::from_millis(2));
    loop {
        match TcpStream::connect((host, port)).await {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused && waited + pause <= patience => {
                tokio::time::sleep(pause).await;
                waited += pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            result => return result.map_err(|error| format!("dial tcp {host}:{port}: connect: {error}")),
        }
    }
}

async fn exchange(
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<(Response, Option<String>), String> {
    let say = |error: hyper::Error| format!("Get {:?}: {error}", target.authority());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(say)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(target.request()?).await.map_err(say)?;
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    let mut kept = Vec::new();
    while kept.len() < LONGEST_BODY
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame.map_err(say)?.into_data() {
            kept.extend_from_slice(&data[..data.len().min(LONGEST_BODY - kept.len())]);
        }
    }
    connection.abort();
    Ok((Response { status, body: String::from_utf8_lossy(&kept).into_owned() }, location))
}

fn tls_config() -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    Ok(Arc::new(config.with_no_client_auth()))
}

/// A probe asks whether the container answers, not who it is (core/v1 HTTPGetAction: certificates are not verified).
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(path: &str) -> Target {
        let action = serde_json::from_value(
            json!({"path": path, "port": "web", "httpHeaders": [{"name": "Host", "value": "shop"}]}),
        );
        let container = serde_json::from_value(json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}));
        Target::new(&action.expect("an action"), &container.expect("a container"), "10.1.0.2".parse().ok(), "probe")
            .expect("a target")
    }

    #[test]
    fn requests() {
        let request = target("/a b?x=1").request().expect("a request");
        assert_eq!(request.uri(), "/a%20b?x=1");
        assert_eq!(request.headers()[HOST], "shop");
        assert_eq!(request.headers()[USER_AGENT], "kube-probe/1.35");
        assert_eq!(target("").path, "/");
    }

    #[test]
    fn redirects_stay_on_the_host() {
        let table = [
            ("/b", Some((false, 8080, "/b"))),
            ("http://10.1.0.2/c?d=1", Some((false, 80, "/c?d=1"))),
            ("https://10.1.0.2:8443/", Some((true, 8443, "/"))),
            ("http://elsewhere/", None),
        ];
        for (location, expected) in table {
            let next = target("/a").redirected(location);
            let actual = next.as_ref().map(|next| (next.https, next.port, next.path.as_str()));
            assert_eq!(actual, expected, "{location}");
        }
    }

    #[tokio::test]
    async fn answers_and_timeouts() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream
                .write_all(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 2\r\n\r\nhi")
                .await;
            // The second connection gets no answer.
            let silent = listener.accept().await;
            std::future::pending::<()>().await;
            drop(silent);
        });
        let target = Target { host: "127.0.0.1".to_owned(), port, ..target("/") };
        let answer = get(target.clone(), Duration::from_secs(5)).await;
        assert_eq!(answer, Ok(Response { status: 302, body: "hi".to_owned() }));
        let late = get(target, Duration::from_millis(50)).await.expect_err("no answer");
        assert!(late.contains("deadline exceeded"), "{late}");
        server.abort();
    }

    #[tokio::test]
    async fn a_port_that_opens_late_is_waited_for_only_with_patience() {
        let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = reserved.local_addr().expect("an address").port();
        drop(reserved);
        let refused = connect("127.0.0.1", port, Duration::ZERO).await.expect_err("nobody listens");
        assert!(refused.contains("refused"), "{refused}");
        let waiting = tokio::spawn(connect("127.0.0.1", port, Duration::from_secs(10)));
        tokio::task::yield_now().await;
        let _listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("bind again");
        waiting.await.expect("no panic").expect("connected");
    }
}
