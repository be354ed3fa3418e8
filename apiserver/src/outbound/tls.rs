//! Whom this server trusts where it connects to, and in what words it says that it does not.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Where systems have the certificates that they trust (as Go knows them).
const SYSTEM_ROOTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// `bundle` are certificates in PEM by which a server's is judged, the machine's own when it is empty.
pub(crate) fn config(bundle: &[u8]) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(roots(bundle)?);
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    static OWN: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| Arc::new(system_roots()));
    if pem.trim_ascii().is_empty() {
        return Ok(OWN.clone());
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("unable to load root certificates: {error}"))?;
        roots.add(certificate).map_err(|error| format!("unable to load root certificates: {error}"))?;
    }
    Ok(Arc::new(roots))
}

/// Read once; the first file that has any.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let named = std::env::var("SSL_CERT_FILE").ok();
    for path in named.iter().map(String::as_str).chain(SYSTEM_ROOTS) {
        let Ok(pem) = std::fs::read(path) else { continue };
        let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        roots.add_parsable_certificates(certificates);
        if !roots.is_empty() {
            break;
        }
    }
    roots
}

/// In Go's words.
pub(crate) fn error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    if text.contains("UnknownIssuer") {
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned();
    }
    format!("tls: failed to verify certificate: {text}")
}
