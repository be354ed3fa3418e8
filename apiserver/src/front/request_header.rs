//! Users whom a front proxy names (`k8s.io/apiserver/pkg/authentication/request/headerrequest`): who shows a certificate of the proxies'
//! authority says by headers whose request it hands on.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::authn::{AUTHENTICATED, certificate_user};
use super::pki::{PkiError, roots};
use crate::aggregation::FRONT_PROXY;
use crate::user::UserInfo;

const PREFIX: &str = "x-remote-";
const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA: &str = "x-remote-extra-";

/// Tells front proxies from everybody else.
pub struct FrontProxies(Arc<dyn ClientCertVerifier>);

impl FrontProxies {
    /// `authority` is the proxies' own, PEM.
    pub fn new(authority: &str) -> Result<Self, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority)?.into(), provider);
        Ok(Self(verifier.build()?))
    }

    /// Whether that authority has issued the certificate; `Some(false)` for one that it gave to somebody who is no front proxy.
    pub fn knows(&self, chain: &[CertificateDer<'_>]) -> Option<bool> {
        let (first, rest) = chain.split_first()?;
        self.0.verify_client_cert(first, rest, UnixTime::now()).ok()?;
        Some(certificate_user(first).is_some_and(|user| user.name == FRONT_PROXY))
    }
}

/// The user whom the headers of a proxy's request name; `None` when they name nobody. They are gone afterwards.
pub fn named(headers: &mut HeaderMap) -> Option<UserInfo> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let one = |name: &str| headers.get(name).map(text).unwrap_or_default();
    let name = one(USER);
    if name.is_empty() {
        return None;
    }
    let mut groups: Vec<String> = headers.get_all(GROUP).iter().map(text).collect();
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (header, value) in headers.iter() {
        if let Some(key) = header.as_str().strip_prefix(EXTRA) {
            let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
            extra.entry(key).or_default().push(text(value));
        }
    }
    let user = UserInfo { name, uid: one(UID), groups, extra };
    let claimed: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for header in claimed {
        headers.remove(header);
    }
    Some(user)
}

#[cfg(test)]
mod tests {
    use super::super::pki::{Authority, Request};
    use super::*;
    use rustls_pki_types::pem::PemObject;

    #[test]
    fn a_proxy_is_known_by_its_certificate() {
        let now = jiff::Timestamp::now();
        let (own, other) = (Authority::create("front", now).unwrap(), Authority::create("ca", now).unwrap());
        let proxies = FrontProxies::new(own.certificate()).unwrap();
        let table = [(&own, FRONT_PROXY, Some(true)), (&own, "jane", Some(false)), (&other, FRONT_PROXY, None)];
        for (authority, common_name, expected) in table {
            let identity = authority.issue(&Request { common_name, ..Request::default() }, now).unwrap();
            let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
            assert_eq!(proxies.knows(&[certificate]), expected, "{common_name}");
        }
    }

    #[test]
    fn headers_name_a_user_once() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(USER, "jane"), (UID, "7"), (GROUP, "a"), ("x-remote-extra-b%2fc", "d"), ("accept", "*/*")]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.append(GROUP, HeaderValue::from_static("b"));
        let user = named(&mut headers).unwrap();
        assert_eq!((&*user.name, &*user.uid), ("jane", "7"));
        assert_eq!(user.groups, ["a", "b", AUTHENTICATED]);
        assert_eq!(user.extra["b/c"], ["d"]);
        assert_eq!((headers.len(), named(&mut headers)), (1, None));
    }
}
