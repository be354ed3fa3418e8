//! Request -> user: client certificate, then bearer token, then anonymous (`k8s.io/apiserver/pkg/authentication`).

use std::collections::BTreeMap;

use api::status::Status;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;

use super::bootstrap;
use super::tokens::{Lookup, ServiceAccountTokens};
use crate::user::UserInfo;

pub const AUTHENTICATED: &str = "system:authenticated";
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
pub const ANONYMOUS: &str = "system:anonymous";

/// Which credential a user has shown.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// The user of a verified client certificate: CN is the name, each O a group. `None` when it has no CN.
pub fn certificate_user(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let mut groups: Vec<String> =
        subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned)).collect();
    groups.push(AUTHENTICATED.to_owned());
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let extra = BTreeMap::from([(CREDENTIAL.to_owned(), vec![format!("X509SHA256={digest}")])]);
    Some(UserInfo { name, groups, extra, ..UserInfo::default() })
}

/// Decides for one request. `connection` is the user of the connection's client certificate.
///
/// # Errors
/// 401 when a token was sent that is not good: a bad credential is never downgraded to anonymous.
pub async fn authenticate(
    connection: Option<&UserInfo>,
    headers: &HeaderMap,
    tokens: &ServiceAccountTokens,
    lookup: &dyn Lookup,
    now: Timestamp,
) -> Result<UserInfo, Status> {
    if let Some(user) = connection {
        return Ok(user.clone());
    }
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Ok(UserInfo::new(ANONYMOUS, &[UNAUTHENTICATED]));
    };
    let text = header.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            if let Some((id, secret)) = bootstrap::parse(token.trim()) {
                let user = bootstrap::authenticate(id, secret, lookup, now).await;
                return user.ok_or_else(|| Status::unauthorized("Unauthorized"));
            }
            tokens.authenticate(token.trim(), lookup, now).await.map_err(|error| {
                tracing::debug!(%error, "refused a bearer token");
                Status::unauthorized("Unauthorized")
            })
        }
        _ => Ok(UserInfo::new(ANONYMOUS, &[UNAUTHENTICATED])),
    }
}
