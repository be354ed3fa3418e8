//! Requests for certificates (PKCS#10): what they ask for, and the certificates that an authority makes of them.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::pki::{Authority, PkiError, Request, set_life};

/// What somebody asks an authority for. The request's signature is good: who asks has the key.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    params: CertificateSigningRequestParams,
    pub common_name: String,
    pub organizations: Vec<String>,
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// It asks for names of other kinds (mail addresses, URIs), or to be an authority.
    pub asks_for_more: bool,
}

impl CertificateRequest {
    /// From PEM.
    pub fn read(pem: &str) -> Result<Self, PkiError> {
        const KIND: &str = "-----BEGIN CERTIFICATE REQUEST-----";
        if !pem.trim_start().starts_with(KIND) {
            return Err(PkiError::NoRequest);
        }
        let params = CertificateSigningRequestParams::from_pem(pem)?;
        let (mut common_name, mut organizations) = (String::new(), Vec::new());
        let mut asks_for_more = params.params.is_ca != IsCa::NoCa;
        for (kind, value) in params.params.distinguished_name.iter() {
            match kind {
                DnType::CommonName => common_name = plain(value),
                DnType::OrganizationName => organizations.push(plain(value)),
                _ => asks_for_more = true,
            }
        }
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        for name in &params.params.subject_alt_names {
            match name {
                SanType::DnsName(name) => names.push(name.as_str().to_owned()),
                SanType::IpAddress(address) => addresses.push(*address),
                _ => asks_for_more = true,
            }
        }
        Ok(Self { params, common_name, organizations, names, addresses, asks_for_more })
    }

    /// The certificate, PEM: the subject and the names that were asked for, the uses that `usages` (Kubernetes' words) name, and
    /// never an authority.
    pub fn sign(
        &self,
        authority: &Authority,
        usages: &[String],
        life: Duration,
        now: Timestamp,
    ) -> Result<String, PkiError> {
        let mut signed = self.params.clone();
        let has = |usage: &str| usages.iter().any(|own| own == usage);
        let params = &mut signed.params;
        params.is_ca = IsCa::NoCa;
        params.key_usages = KEY_USES.iter().filter(|(name, _)| has(name)).map(|(_, usage)| *usage).collect();
        params.extended_key_usages =
            EXTENDED_USES.iter().filter(|(name, _)| has(name)).map(|(_, usage)| usage.clone()).collect();
        params.use_authority_key_identifier_extension = true;
        set_life(params, now, life);
        Ok(signed.signed_by(authority.issuer())?.pem())
    }

    /// A new key and a request for it, both PEM.
    pub fn make(request: &Request<'_>) -> Result<(String, String), PkiError> {
        let mut params = CertificateParams::default();
        // A common name of the library's own is there otherwise.
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, request.common_name);
        for group in request.organizations {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        for name in request.names {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
        }
        params.subject_alt_names.extend(request.addresses.iter().map(|address| SanType::IpAddress(*address)));
        let key = KeyPair::generate()?;
        let pem = params.serialize_request(&key)?.pem()?;
        Ok((key.serialize_pem(), pem))
    }
}

const KEY_USES: [(&str, KeyUsagePurpose); 3] = [
    ("digital signature", KeyUsagePurpose::DigitalSignature),
    ("signing", KeyUsagePurpose::DigitalSignature),
    ("key encipherment", KeyUsagePurpose::KeyEncipherment),
];
const EXTENDED_USES: [(&str, ExtendedKeyUsagePurpose); 2] =
    [("client auth", ExtendedKeyUsagePurpose::ClientAuth), ("server auth", ExtendedKeyUsagePurpose::ServerAuth)];

fn plain(value: &DnValue) -> String {
    match value {
        DnValue::Utf8String(text) => text.clone(),
        DnValue::PrintableString(text) => text.as_str().to_owned(),
        DnValue::Ia5String(text) => text.as_str().to_owned(),
        // Spellings that nobody uses for names of users.
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::authn::certificate_user;
    use super::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    #[test]
    fn a_request_becomes_a_certificate() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let address = IpAddr::from([10, 0, 0, 2]);
        let asked = Request {
            common_name: "system:node:b",
            organizations: &["system:nodes"],
            names: &["b"],
            addresses: &[address],
        };
        let (_, pem) = CertificateRequest::make(&asked).unwrap();
        let request = CertificateRequest::read(&pem).unwrap();
        assert_eq!((request.common_name.as_str(), request.asks_for_more), ("system:node:b", false));
        assert_eq!(
            (&request.organizations[..], &request.names[..]),
            (&["system:nodes".to_owned()][..], &["b".to_owned()][..])
        );
        assert_eq!(request.addresses, [address]);
        let authority = Authority::create("ca", now).unwrap();
        let usages = ["client auth".to_owned(), "digital signature".to_owned()];
        let signed = request.sign(&authority, &usages, Duration::from_secs(3600), now).unwrap();
        let certificate = CertificateDer::from_pem_slice(signed.as_bytes()).unwrap();
        let user = certificate_user(&certificate).unwrap();
        assert_eq!((user.name.as_str(), user.in_group("system:nodes")), ("system:node:b", true));
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        let extended = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && !extended.server_auth && !parsed.is_ca());
        assert_eq!(parsed.validity().not_after.timestamp(), now.as_second() + 3600);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let authority = Authority::create("ca", now).unwrap();
        let key = KeyPair::generate().unwrap();
        let whole = CertificateParams::default().serialize_request(&key).unwrap();
        let as_pem = |der: &[u8]| {
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
        };
        assert!(CertificateRequest::read(&as_pem(whole.der())).is_ok());
        let mut damaged = whole.der().to_vec();
        // The last bit of the signature.
        *damaged.last_mut().unwrap() ^= 1;
        let half = as_pem(&whole.der()[..100]);
        for text in ["", "x", authority.certificate(), &half, &as_pem(&damaged)] {
            assert!(CertificateRequest::read(text).is_err(), "{text}");
        }
    }
}
