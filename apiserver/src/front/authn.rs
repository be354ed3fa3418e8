//! Request -> user: client certificate, then bearer token, then anonymous (`k8s.io/apiserver/pkg/authentication`).

use std::collections::BTreeMap;

use api::status::Status;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;

use super::bootstrap;
use super::oidc::Login;
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

/// All that knows tokens.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    pub accounts: &'a ServiceAccountTokens,
    pub login: &'a Login,
    pub lookup: &'a dyn Lookup,
}

impl Tokens<'_> {
    /// `None`: the token is not good, for whatever reason.
    async fn authenticate(&self, token: &str, now: Timestamp) -> Option<UserInfo> {
        if let Some((id, secret)) = bootstrap::parse(token) {
            return bootstrap::authenticate(id, secret, self.lookup, now).await;
        }
        if let Some(decided) = self.login.authenticate(token, now).await {
            return decided.inspect_err(|error| tracing::info!(%error, "refused a token of an issuer")).ok();
        }
        let found = self.accounts.authenticate(token, self.lookup, now).await;
        found.inspect_err(|error| tracing::debug!(%error, "refused a bearer token")).ok()
    }
}

/// Decides for one request. `connection` is the user of the connection's client certificate.
///
/// # Errors
/// 401 when a token was sent that is not good: a bad credential is never downgraded to anonymous.
pub async fn authenticate(
    connection: Option<&UserInfo>,
    headers: &HeaderMap,
    path: &str,
    tokens: &Tokens<'_>,
    now: Timestamp,
) -> Result<UserInfo, Status> {
    if let Some(user) = connection {
        return Ok(user.clone());
    }
    let unauthorized = || Status::unauthorized("Unauthorized");
    let anonymous = || {
        let allowed = tokens.login.allows_anonymous(path);
        allowed.then(|| UserInfo::new(ANONYMOUS, &[UNAUTHENTICATED])).ok_or_else(unauthorized)
    };
    let Some(header) = headers.get(AUTHORIZATION) else { return anonymous() };
    let text = header.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            tokens.authenticate(token.trim(), now).await.ok_or_else(unauthorized)
        }
        _ => anonymous(),
    }
}
