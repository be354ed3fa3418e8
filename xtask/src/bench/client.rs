//! A client of the API: one TLS connection, HTTP/1.1, the administrator's certificate.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where the server is, and who we are.
#[derive(Clone)]
pub struct Access {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Access {
    #[allow(clippy::disallowed_methods, reason = "a kubeconfig has no numbers that matter here")]
    pub fn read(kubeconfig: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(kubeconfig).with_context(|| format!("read {}", kubeconfig.display()))?;
        let config: Value = serde_saphyr::from_str(&text).context("read the kubeconfig")?;
        let text =
            |path: &str| config.pointer(path).and_then(Value::as_str).with_context(|| format!("kubeconfig: no {path}"));
        let pem = |path: &str| STANDARD.decode(text(path)?).context("kubeconfig: bad base64");
        let server = text("/clusters/0/cluster/server")?;
        let address =
            server.trim_start_matches("https://").parse().with_context(|| format!("kubeconfig: server {server:?}"))?;
        let mut roots = RootCertStore::empty();
        let authority = pem("/clusters/0/cluster/certificate-authority-data")?;
        for certificate in CertificateDer::pem_slice_iter(&authority) {
            roots.add(certificate?)?;
        }
        let own = pem("/users/0/user/client-certificate-data")?;
        let certificates = CertificateDer::pem_slice_iter(&own).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&pem("/users/0/user/client-key-data")?)?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(certificates, key)?;
        Ok(Self { address, tls: Arc::new(tls) })
    }

    pub async fn connect(&self) -> Result<Connection> {
        let tcp = TcpStream::connect(self.address).await.context("connect")?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        let tls = TlsConnector::from(self.tls.clone()).connect(name, tcp).await.context("make TLS")?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await.context("make HTTP")?;
        tokio::spawn(connection);
        Ok(Connection { sender, host: self.address.to_string() })
    }
}

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Sends a request whose headers are the caller's, but for `host`.
    pub async fn raw(&mut self, mut request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>> {
        request.headers_mut().insert("host", self.host.parse()?);
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    async fn begin(&mut self, method: Method, path: &str, body: Bytes) -> Result<http::Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    pub async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let response = self.begin(method, path, body).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// The object of a successful answer.
    pub async fn object(&mut self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let (status, answer) = self.send(method.clone(), path, body).await?;
        if !status.is_success() {
            bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&answer));
        }
        serde_json::from_slice(&answer).with_context(|| format!("{method} {path}: read the answer"))
    }

    pub async fn get(&mut self, path: &str) -> Result<Value> {
        self.object(Method::GET, path, Bytes::new()).await
    }

    pub async fn create(&mut self, path: &str, object: &Value) -> Result<Value> {
        self.object(Method::POST, path, serde_json::to_vec(object)?.into()).await
    }

    /// Lines of a watch. The connection serves nothing else from now on.
    pub async fn watch(mut self, path: &str) -> Result<Lines> {
        let response = self.begin(Method::GET, path, Bytes::new()).await?;
        if !response.status().is_success() {
            bail!("GET {path}: {}", response.status());
        }
        Ok(Lines { body: response.into_body(), buffer: BytesMut::new(), _connection: self })
    }
}

pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
    _connection: Connection,
}

impl Lines {
    /// `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.buffer.split_to(end + 1).freeze()));
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None => return Ok(None),
            }
        }
    }

    /// The next event's type and object.
    pub async fn event(&mut self) -> Result<(String, Value)> {
        let line = self.next().await?.context("the watch ended")?;
        let mut event: Value = serde_json::from_slice(&line).context("read a watch event")?;
        let object = event["object"].take();
        match event["type"].as_str() {
            Some("ERROR") | None => bail!("the watch failed: {object}"),
            Some(kind) => Ok((kind.to_owned(), object)),
        }
    }
}

/// Whether a condition of an object is True.
pub fn condition(object: &Value, kind: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == kind && condition["status"] == "True")
}
