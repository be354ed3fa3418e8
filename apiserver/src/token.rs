//! Issuing of service account tokens, behind `serviceaccounts/token`, and their check, behind TokenReview.

use api::Object;
use api::status::Status;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::user::UserInfo;

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

/// Whom a token authenticates, and for which of the audiences that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    pub user: UserInfo,
    pub audiences: Vec<String>,
}

/// What the check of a token asks for.
pub trait Lookup: Send + Sync {
    /// Whether an object that a token is bound to still exists: its uid, `None` when it is gone.
    fn uid<'a>(&'a self, resource: &'static str, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Option<String>>;

    /// An object of the core group. `None` when there is none.
    fn object<'a>(
        &'a self,
        _resource: &'static str,
        _namespace: &'a str,
        _name: &'a str,
    ) -> BoxFuture<'a, Option<Object>> {
        Box::pin(std::future::ready(None))
    }
}

/// What others check tokens by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys {
    pub issuer: String,
    /// A JSON Web Key Set.
    pub keys: Value,
    pub algorithm: &'static str,
}

pub trait TokenIssuer: Send + Sync {
    /// `None`: nobody can check them.
    fn public_keys(&self) -> Option<PublicKeys> {
        None
    }

    fn issue<'a>(&'a self, claims: &'a TokenClaims, now: Timestamp) -> BoxFuture<'a, Result<IssuedToken, Status>>;

    /// `None` when the token is not good, for whatever reason. No `audiences` means the issuer's own.
    fn review<'a>(
        &'a self,
        _token: &'a str,
        _audiences: &'a [String],
        _lookup: &'a dyn Lookup,
        _now: Timestamp,
    ) -> BoxFuture<'a, Option<Authenticated>> {
        Box::pin(std::future::ready(None))
    }
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
