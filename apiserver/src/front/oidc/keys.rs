//! An issuer's keys: found by discovery, fetched when a token comes whose key is not known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::config::Issuer;
use super::jwk::{Key, Token};
use crate::outbound::{connect, tls};

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_DOCUMENT: usize = 1 << 20;
/// Between two looks for keys: anybody may make tokens with unknown ones.
const REST_MILLIS: i64 = 1_000;
/// All that upstream allows, but for ES512, which the cryptography here does not know.
const ALGORITHMS: [&str; 8] = ["ES256", "ES384", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

pub struct Keys {
    issuer: String,
    discovery: String,
    tls: Arc<ClientConfig>,
    /// Held while keys are fetched: who comes meanwhile waits for them.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Where the keys are; empty before discovery.
    location: String,
    keys: Arc<[Key]>,
    fetched: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    pub fn new(issuer: &Issuer) -> Result<Self, String> {
        let trust = tls::Trust::Bundle(issuer.certificate_authority.clone().into_bytes());
        let discovery = match issuer.discovery_url.as_str() {
            "" => format!("{}/.well-known/openid-configuration", issuer.url.trim_end_matches('/')),
            url => url.to_owned(),
        };
        Ok(Self { issuer: issuer.url.clone(), discovery, tls: tls::config(&trust, None)?, known: Mutex::default() })
    }

    /// # Errors
    /// No key of the issuer has signed the token, as far as its keys can be had.
    pub async fn verify(&self, token: &Token<'_>, now: Timestamp) -> Result<(), String> {
        if !ALGORITHMS.contains(&token.algorithm.as_str()) {
            return Err(format!(
                "oidc: malformed jwt: unexpected signature algorithm {:?}; expected {ALGORITHMS:?}",
                token.algorithm
            ));
        }
        let mut known = self.known.lock().await;
        if signed(&known.keys, token) {
            return Ok(());
        }
        let rested = known.fetched.is_none_or(|then| now.as_millisecond() - then.as_millisecond() >= REST_MILLIS);
        if rested {
            known.fetched = Some(now);
            let fetched = tokio::time::timeout(PATIENCE, self.fetch(&mut known)).await;
            fetched.map_err(|_| "fetching keys oidc: the issuer takes too long".to_owned())??;
        }
        if signed(&known.keys, token) { Ok(()) } else { Err("failed to verify id token signature".to_owned()) }
    }

    async fn fetch(&self, known: &mut Known) -> Result<(), String> {
        let failed = |error: String| format!("fetching keys oidc: {error}");
        if known.location.is_empty() {
            let found: Discovered = self.get(&self.discovery).await.map_err(failed)?;
            if found.issuer != self.issuer {
                return Err(format!(
                    "oidc: issuer did not match the issuer returned by provider, expected {:?} got {:?}",
                    self.issuer, found.issuer
                ));
            }
            known.location = found.jwks_uri;
        }
        let set: KeySet = self.get(&known.location).await.map_err(failed)?;
        // A key that cannot be read is nobody's.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        known.keys = keys.filter(Key::signs).collect();
        Ok(())
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, url: &str) -> Result<T, String> {
        let failed = |why: &dyn std::fmt::Display| format!("Get {url:?}: {why}");
        let uri: Uri = url.parse().map_err(|error| failed(&error))?;
        if uri.scheme_str() != Some("https") {
            return Err(failed(&"only https is asked"));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let stream = connect(&host, port, Some((&host, self.tls.clone()))).await.map_err(|error| failed(&error))?;
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(|error| failed(&error))?;
        let driven = tokio::spawn(connection);
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let request = Request::get(path).header(header::HOST, authority).body(Empty::<Bytes>::new());
        let response = sender.send_request(request.map_err(|error| failed(&error))?).await;
        let response = response.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_DOCUMENT).collect().await;
        driven.abort();
        let body = body.map_err(|error| failed(&error))?.to_bytes();
        if status != StatusCode::OK {
            return Err(failed(&status));
        }
        serde_json::from_slice(&body).map_err(|error| failed(&error))
    }
}

/// By the key that the token names, or by any when it names none.
fn signed(keys: &[Key], token: &Token) -> bool {
    keys.iter().any(|key| (token.key_id.is_empty() || key.kid == token.key_id) && token.is_signed_by(key))
}
