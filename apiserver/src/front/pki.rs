//! The cluster's certificate authority and what it issues.
//!
//! Keys are ECDSA P-256. A leaf is short of words: the subject's CN is the user and each O a group, as Kubernetes reads
//! client certificates; a serving certificate carries the addresses.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("read PEM: {0}")]
    Pem(String),
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    NoRequest,
    #[error("use certificate and key: {0}")]
    Tls(#[from] rustls::Error),
    #[error("verify client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("read a certificate: {0}")]
    Parse(String),
}

type Result<T> = std::result::Result<T, PkiError>;

pub const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
pub const LEAF_LIFE: Duration = Duration::from_secs(365 * 86_400);

/// Certificates are valid from an hour before they were made: clocks differ.
const BACKDATE: Duration = Duration::from_secs(3600);

/// Certificate and private key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Identity {
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>> {
        certificates(&self.certificate)
    }

    pub(crate) fn private_key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| PkiError::Pem(error.to_string()))
    }

    /// Begin and end of the certificate's life.
    pub fn life(&self) -> Result<(Timestamp, Timestamp)> {
        let chain = self.chain()?;
        let first = chain.first().ok_or_else(|| PkiError::Pem("no certificate in it".into()))?;
        let unreadable = |error: &dyn std::fmt::Display| PkiError::Parse(error.to_string());
        let (_, parsed) = x509_parser::parse_x509_certificate(first).map_err(|error| unreadable(&error))?;
        let validity = parsed.validity();
        let time = |time: i64| Timestamp::from_second(time).map_err(|error| unreadable(&error));
        Ok((time(validity.not_before.timestamp())?, time(validity.not_after.timestamp())?))
    }
}

/// What a certificate is for.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The user.
    pub common_name: &'a str,
    /// The groups.
    pub organizations: &'a [&'a str],
    /// Not empty for a serving certificate.
    pub names: &'a [&'a str],
    pub addresses: &'a [IpAddr],
}

/// A certificate authority with its key.
pub struct Authority {
    identity: Identity,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    pub fn create(common_name: &str, now: Timestamp) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        set_life(&mut params, now, AUTHORITY_LIFE);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Self::open(Identity { certificate, key: key.serialize_pem() })
    }

    pub fn open(identity: Identity) -> Result<Self> {
        let key = KeyPair::from_pem(&identity.key)?;
        let issuer = Issuer::from_ca_cert_pem(&identity.certificate, key)?;
        Ok(Self { identity, issuer })
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate by which others trust what this authority issues, PEM.
    pub fn certificate(&self) -> &str {
        &self.identity.certificate
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub fn issue(&self, request: &Request<'_>, now: Timestamp) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, request.common_name);
        for group in request.organizations {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !request.names.is_empty() || !request.addresses.is_empty() {
            params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        }
        for name in request.names {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
        }
        params.subject_alt_names.extend(request.addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.use_authority_key_identifier_extension = true;
        set_life(&mut params, now, LEAF_LIFE);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

pub(super) fn set_life(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let at =
        |seconds: i64| time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    params.not_before = at(now.as_second() - BACKDATE.as_secs() as i64);
    params.not_after = at(now.as_second() + life.as_secs() as i64);
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| PkiError::Pem(error.to_string()))
}

pub(super) fn roots(authority: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// By what somebody far away recognizes a certificate: `sha256:` and the digest of its DER form, in hex. `None`: no PEM.
pub fn fingerprint(certificate: &str) -> Option<String> {
    certificates(certificate).ok()?.first().map(|der| fingerprint_of(der))
}

/// A certificate as text.
pub fn to_pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for start in (0..text.len()).step_by(64) {
        pem.push_str(&text[start..text.len().min(start + 64)]);
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

pub fn fingerprint_of(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Whether a server insists on a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    Optional,
    Required,
}

/// TLS of a server that is `identity` and trusts client certificates of `authority` (PEM). `protocols` are offered by ALPN.
pub fn server_config(
    identity: &Identity,
    authority: &str,
    clients: ClientCertificate,
    protocols: &[&str],
) -> Result<rustls::ServerConfig> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots(authority)?.into(), provider.clone());
    let verifier = match clients {
        ClientCertificate::Optional => verifier.allow_unauthenticated(),
        ClientCertificate::Required => verifier,
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build()?)
        .with_single_cert(identity.chain()?, identity.private_key()?)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

/// TLS of a client that is `identity` and trusts servers of `authority` (PEM).
pub fn client_config(identity: &Identity, authority: &str) -> Result<rustls::ClientConfig> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(authority)?)
        .with_client_auth_cert(identity.chain()?, identity.private_key()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_survives_being_written_down() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let authority = Authority::create("setpoint-ca", now).unwrap();
        let again = Authority::open(authority.identity().clone()).unwrap();
        let request = Request { common_name: "system:node:a", organizations: &["system:nodes"], ..Request::default() };
        let identity = again.issue(&request, now).unwrap();
        assert_eq!(identity.life().unwrap().1.as_second(), now.as_second() + LEAF_LIFE.as_secs() as i64);
        assert!(client_config(&identity, authority.certificate()).is_ok());
        let der = &certificates(authority.certificate()).unwrap()[0];
        assert_eq!(certificates(&to_pem(der)).unwrap()[0], *der);
        assert_eq!(fingerprint(authority.certificate()), Some(fingerprint_of(der)));
    }
}
