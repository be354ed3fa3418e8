//! The cluster's authority, from a server that is not trusted yet: it sends its whole chain, and the token says by which digest
//! the authority's certificate is recognized. Nothing secret is sent here.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::front::pki::{fingerprint_of, to_pem};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const LIMIT: Duration = Duration::from_secs(10);

/// Accepts a chain in which the wanted certificate is; whether the server's own follows from it is checked on later
/// connections, which trust nothing else.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match [own].into_iter().chain(others).any(|one| fingerprint_of(one) == self.fingerprint) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The authority, PEM, and this machine's address on the way to the server.
pub async fn authority(host: &str, port: u16, fingerprint: &str) -> Result<(String, std::net::IpAddr)> {
    let work = async {
        let stream = TcpStream::connect((host, port)).await.with_context(|| format!("connect to {host}:{port}"))?;
        let own = stream.local_addr().context("find this machine's address")?.ip();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Pinned { fingerprint: fingerprint.to_owned(), provider: provider.clone() };
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host:?} is not a host"))?;
        let stream = match TlsConnector::from(Arc::new(tls)).connect(name, stream).await {
            Ok(stream) => stream,
            Err(error) if error.to_string().contains("UnknownIssuer") => {
                bail!("the server at {host}:{port} is not of the cluster that made the token")
            }
            Err(error) => return Err(error).with_context(|| format!("speak TLS with {host}:{port}")),
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let authority = chain.iter().find(|one| fingerprint_of(one) == fingerprint);
        Ok((to_pem(authority.context("the server sent no chain")?), own))
    };
    match tokio::time::timeout(LIMIT, work).await {
        Ok(done) => done,
        Err(_) => bail!("{host}:{port} does not answer: is it the address that `setpoint token create` printed?"),
    }
}
