//! Users by tokens of other issuers: a structured AuthenticationConfiguration (`k8s.io/apiserver/plugin/pkg/authenticator/token/oidc`).
//!
//! ```text
//! file -> config -> validate (expressions compiled) -> Authenticator
//! token -> issuer, key (keys: discovery and JWKS, fetched and kept) -> jwk: signature -> claims -> mapping -> UserInfo
//! ```
//! The configuration may be replaced while the server runs ([`Login::replace`]).

mod claims;
mod config;
mod expressions;
mod jwk;
mod keys;
mod validate;

use std::sync::{Arc, PoisonError, RwLock};

use api::field::FieldError;
use jiff::Timestamp;
use serde_json::Value;

use super::authn::AUTHENTICATED;
use crate::user::UserInfo;
use claims::Claims;
use config::Configuration;
use expressions::Mapper;
use jwk::Token;
use keys::Keys;

/// Clocks of issuers may go before ours by as much (go-oidc).
const LEEWAY_SECONDS: f64 = 300.0;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read the authentication configuration: {0}")]
    Malformed(String),
    #[error("accept the authentication configuration: {}", join(.0))]
    Invalid(Vec<FieldError>),
}

fn join(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("oidc: verify token: {0}")]
    Token(String),
    #[error("oidc: {0}")]
    Claims(String),
}

/// Who may log in, besides those whom the cluster itself knows. Without a configuration nobody, and anybody may be nobody.
#[derive(Default)]
pub struct Login(RwLock<Arc<State>>);

#[derive(Default)]
struct State {
    authenticators: Vec<Authenticator>,
    anonymous: Option<config::Anonymous>,
}

struct Authenticator {
    issuer: config::Issuer,
    mappings: config::ClaimMappings,
    /// Claims that must have a value.
    required: Vec<(String, String)>,
    mapper: Mapper,
    keys: Keys,
}

/// A configuration that is good.
pub struct Accepted(Arc<State>);

/// Reads and checks a configuration. `own` are this server's own issuers, which nobody else may be.
///
/// # Errors
/// What is wrong with it, in upstream's words.
pub fn accept(yaml: &str, own: &[&str]) -> Result<Accepted, ConfigError> {
    let configuration = config::read(yaml).map_err(ConfigError::Malformed)?;
    let (mappers, errors) = validate::validate(&configuration, own);
    if !errors.is_empty() {
        return Err(ConfigError::Invalid(errors));
    }
    let Configuration { jwt, anonymous, .. } = configuration;
    let authenticators = jwt.into_iter().zip(mappers).map(|(jwt, mapper)| {
        let rules = jwt.claim_validation_rules.into_iter().filter(|rule| !rule.claim.is_empty());
        let required = rules.map(|rule| (rule.claim, rule.required_value)).collect();
        let keys = Keys::new(&jwt.issuer).map_err(ConfigError::Malformed)?;
        Ok(Authenticator { issuer: jwt.issuer, mappings: jwt.claim_mappings, required, mapper, keys })
    });
    let authenticators = authenticators.collect::<Result<_, ConfigError>>()?;
    Ok(Accepted(Arc::new(State { authenticators, anonymous })))
}

impl Login {
    /// From the next request on.
    pub fn replace(&self, accepted: Accepted) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = accepted.0;
    }

    fn state(&self) -> Arc<State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a request without credentials is served, as that of nobody.
    pub fn allows_anonymous(&self, path: &str) -> bool {
        match &self.state().anonymous {
            None => true,
            Some(anonymous) => {
                let conditions = &anonymous.conditions;
                anonymous.enabled
                    && (conditions.is_empty() || conditions.iter().any(|condition| condition.path == path))
            }
        }
    }

    /// `None`: the token is none of these issuers'.
    ///
    /// # Errors
    /// It is one's, and not good.
    pub async fn authenticate(&self, token: &str, now: Timestamp) -> Option<Result<UserInfo, Refused>> {
        let state = self.state();
        if state.authenticators.is_empty() {
            return None;
        }
        let token = Token::read(token).ok()?;
        let issuer = match token.claims["iss"].as_str()? {
            "accounts.google.com" => "https://accounts.google.com",
            issuer => issuer,
        };
        let authenticator = state.authenticators.iter().find(|one| one.issuer.url == issuer)?;
        Some(authenticator.authenticate(&token, now).await)
    }
}

impl Authenticator {
    async fn authenticate(&self, token: &Token<'_>, now: Timestamp) -> Result<UserInfo, Refused> {
        self.check_audience(&token.claims)?;
        check_times(&token.claims, now)?;
        self.keys.verify(token, now).await.map_err(Refused::Token)?;
        let claims = Claims::new(&token.claims);
        let mut user = claims.user(&self.mappings, &self.mapper).map_err(Refused::Claims)?;
        for (claim, wanted) in &self.required {
            let refused = |why: String| Err(Refused::Claims(why));
            match token.claims.get(claim) {
                None => return refused(format!("required claim {claim} not present in ID token")),
                Some(Value::String(found)) if found == wanted => {}
                Some(Value::String(found)) => {
                    return refused(format!(
                        "required claim {claim} value does not match. Got = {found}, want = {wanted}"
                    ));
                }
                Some(_) => return refused(format!("parse claim {claim}: it is not a string")),
            }
        }
        claims.check(&self.mapper).map_err(Refused::Claims)?;
        claims::check_user(&self.mapper, &user).map_err(Refused::Claims)?;
        if !user.in_group(AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        Ok(user)
    }

    fn check_audience(&self, claims: &Value) -> Result<(), Refused> {
        let found: Vec<&str> = match &claims["aud"] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if found.iter().any(|audience| self.issuer.audiences.iter().any(|own| own == audience)) {
            return Ok(());
        }
        let (own, found) = (quoted(&self.issuer.audiences), quoted(&found));
        Err(Refused::Token(format!("oidc: expected audience in {own} got {found}")))
    }
}

fn quoted(list: &[impl AsRef<str>]) -> String {
    let items: Vec<String> = list.iter().map(|item| format!("{:?}", item.as_ref())).collect();
    format!("[{}]", items.join(" "))
}

/// Seconds may have fractions.
fn check_times(claims: &Value, now: Timestamp) -> Result<(), Refused> {
    let now = now.as_second() as f64;
    let Some(end) = claims["exp"].as_f64() else {
        return Err(Refused::Token("oidc: token is expired (Token Expiry: never was)".to_owned()));
    };
    if now > end {
        return Err(Refused::Token(format!("oidc: token is expired (Token Expiry: {end})")));
    }
    if claims["nbf"].as_f64().is_some_and(|begin| now + LEEWAY_SECONDS < begin) {
        return Err(Refused::Token("oidc: current time before the nbf (not before) time".to_owned()));
    }
    Ok(())
}
