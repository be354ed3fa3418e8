//! Issuing of service account tokens, behind `serviceaccounts/token`.

use api::status::Status;
use futures::future::BoxFuture;
use jiff::Timestamp;

/// Name and uid of an object that a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    pub name: String,
    pub uid: String,
}

/// What a token shall say. The API server has checked that the objects exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenClaims {
    pub namespace: String,
    pub service_account: Bound,
    /// Empty means the issuer's own audience.
    pub audiences: Vec<String>,
    pub expiration_seconds: i64,
    pub pod: Option<Bound>,
    /// The node the pod runs on, or the node the token is bound to.
    pub node: Option<Bound>,
    pub secret: Option<Bound>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedToken {
    pub token: String,
    pub expiration: Timestamp,
    /// The audiences that the token really has.
    pub audiences: Vec<String>,
}

pub trait TokenIssuer: Send + Sync {
    fn issue<'a>(&'a self, claims: &'a TokenClaims, now: Timestamp) -> BoxFuture<'a, Result<IssuedToken, Status>>;
}

/// A server without a signing key.
#[derive(Clone, Copy, Debug)]
pub struct NoTokens;

impl TokenIssuer for NoTokens {
    fn issue<'a>(&'a self, _claims: &'a TokenClaims, _now: Timestamp) -> BoxFuture<'a, Result<IssuedToken, Status>> {
        let status = Status::service_unavailable("this API server issues no tokens: it has no signing key");
        Box::pin(std::future::ready(Err(status)))
    }
}
