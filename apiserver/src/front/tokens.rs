//! Bound service-account tokens: JWTs signed with ES256, good while the objects that they name exist
//! (`kubernetes/pkg/serviceaccount`).

use api::status::Status;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::token::{Authenticated, Bound, IssuedToken, PublicKeys, TokenClaims, TokenIssuer};
use crate::user::UserInfo;

pub use crate::token::Lookup;

const ALGORITHM: &str = "ES256";
/// Of each coordinate of a point.
const P256_BYTES: usize = 32;
/// What stands before a P-256 public key in a SubjectPublicKeyInfo (RFC 5480).
const P256_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("read the signing key: {0}")]
    Key(String),
    #[error("read the token: {0}")]
    Malformed(&'static str),
    #[error("verify the token's signature")]
    Signature,
    #[error("accept the token: {0}")]
    Refused(String),
}

/// Signs and checks. One key for both: several API servers share it.
pub struct ServiceAccountTokens {
    key: EcdsaKeyPair,
    random: SystemRandom,
    issuer: String,
}

impl std::fmt::Debug for ServiceAccountTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccountTokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    nbf: i64,
    iss: String,
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Private,
}

#[derive(Serialize, Deserialize)]
struct Private {
    namespace: String,
    serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Reference>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Reference {
    name: String,
    uid: String,
}

impl From<&Bound> for Reference {
    fn from(bound: &Bound) -> Self {
        Self { name: bound.name.clone(), uid: bound.uid.clone() }
    }
}

impl ServiceAccountTokens {
    /// `key` is a P-256 private key, PKCS#8 in PEM; `issuer` the URL that names the cluster.
    pub fn new(key: &str, issuer: &str) -> Result<Self, TokenError> {
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(|error| TokenError::Key(error.to_string()))?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random)
            .map_err(|error| TokenError::Key(error.to_string()))?;
        Ok(Self { key, random, issuer: issuer.to_owned() })
    }

    /// Upstream's: a digest of the public key as certificates have it.
    fn key_id(&self) -> String {
        let info = [&P256_INFO[..], self.key.public_key().as_ref()].concat();
        URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &info))
    }

    fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let encode = |value: serde_json::Result<Vec<u8>>| {
            value.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|error| TokenError::Refused(error.to_string()))
        };
        let header = encode(serde_json::to_vec(&Header { alg: ALGORITHM.into(), kid: self.key_id() }))?;
        let body = encode(serde_json::to_vec(claims))?;
        let message = format!("{header}.{body}");
        let signature =
            self.key.sign(&self.random, message.as_bytes()).map_err(|_| TokenError::Key("signing failed".into()))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// Of one token: a random UUID.
    fn identifier(&self) -> String {
        let mut bytes = [0; 16];
        // Without random bytes there was no signature either.
        let _ = self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let malformed = TokenError::Malformed;
        let (message, signature) = token.rsplit_once('.').ok_or(malformed("it has no three parts"))?;
        let (header, body) = message.split_once('.').ok_or(malformed("it has no three parts"))?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("a part is not base64url"));
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| malformed("its header is not JSON"))?;
        if header.alg != ALGORITHM {
            return Err(malformed("its algorithm is not ES256"));
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(message.as_bytes(), &decode(signature)?)
            .map_err(|_| TokenError::Signature)?;
        serde_json::from_slice(&decode(body)?).map_err(|_| malformed("its claims are not those of a service account"))
    }

    /// The user of a token, when it is ours, in time, for our audience, and all it is bound to is there.
    pub async fn authenticate(&self, token: &str, lookup: &dyn Lookup, now: Timestamp) -> Result<UserInfo, TokenError> {
        let own = std::slice::from_ref(&self.issuer);
        Ok(self.authenticate_for(token, own, lookup, now).await?.user)
    }

    /// The same for any of some audiences.
    async fn authenticate_for(
        &self,
        token: &str,
        audiences: &[String],
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> Result<Authenticated, TokenError> {
        let claims = self.verify(token)?;
        let now = now.as_second();
        let refuse = |why: &str| Err(TokenError::Refused(why.to_owned()));
        if claims.iss != self.issuer {
            return refuse("it is another issuer's");
        }
        let audiences: Vec<String> = audiences.iter().filter(|own| claims.aud.contains(own)).cloned().collect();
        if audiences.is_empty() {
            return refuse("it is for another audience");
        }
        if now >= claims.exp || now < claims.nbf {
            return refuse("it is not valid now");
        }
        let own = &claims.kubernetes;
        let mut bound = vec![("serviceaccounts", own.namespace.as_str(), &own.serviceaccount)];
        bound.extend(own.pod.iter().map(|pod| ("pods", own.namespace.as_str(), pod)));
        bound.extend(own.secret.iter().map(|secret| ("secrets", own.namespace.as_str(), secret)));
        for (resource, namespace, reference) in bound {
            if lookup.uid(resource, namespace, &reference.name).await.as_deref() != Some(reference.uid.as_str()) {
                return Err(TokenError::Refused(format!("{resource} {:?} is gone", reference.name)));
            }
        }
        let mut user = user(own);
        let id = claims.jti.iter().map(|id| format!("JTI={id}")).collect::<Vec<_>>();
        if !id.is_empty() {
            user.extra.insert("authentication.kubernetes.io/credential-id".to_owned(), id);
        }
        Ok(Authenticated { user, audiences })
    }
}

fn user(own: &Private) -> UserInfo {
    let name = format!("system:serviceaccount:{}:{}", own.namespace, own.serviceaccount.name);
    let namespace_group = format!("system:serviceaccounts:{}", own.namespace);
    let mut user = UserInfo::new(&name, &["system:serviceaccounts", &namespace_group, super::authn::AUTHENTICATED]);
    user.uid.clone_from(&own.serviceaccount.uid);
    for (kind, reference) in [("pod", &own.pod), ("node", &own.node)] {
        if let Some(reference) = reference {
            let mut add = |what: &str, value: &str| {
                user.extra.insert(format!("authentication.kubernetes.io/{kind}-{what}"), vec![value.to_owned()])
            };
            add("name", &reference.name);
            add("uid", &reference.uid);
        }
    }
    user
}

impl TokenIssuer for ServiceAccountTokens {
    fn public_keys(&self) -> Option<PublicKeys> {
        // Uncompressed: a byte that says so, and two numbers.
        let (x, y) = self.key.public_key().as_ref().get(1..)?.split_at_checked(P256_BYTES)?;
        let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let key = json!({"use": "sig", "kty": "EC", "kid": self.key_id(), "crv": "P-256", "alg": ALGORITHM,
            "x": encode(x), "y": encode(y)});
        Some(PublicKeys { issuer: self.issuer.clone(), keys: json!({"keys": [key]}), algorithm: ALGORITHM })
    }

    fn issue<'a>(&'a self, wanted: &'a TokenClaims, now: Timestamp) -> BoxFuture<'a, Result<IssuedToken, Status>> {
        Box::pin(async move {
            let audiences =
                if wanted.audiences.is_empty() { vec![self.issuer.clone()] } else { wanted.audiences.clone() };
            let issued = now.as_second();
            let claims = Claims {
                aud: audiences.clone(),
                exp: issued + wanted.expiration_seconds,
                iat: issued,
                nbf: issued,
                iss: self.issuer.clone(),
                jti: Some(self.identifier()),
                sub: format!("system:serviceaccount:{}:{}", wanted.namespace, wanted.service_account.name),
                kubernetes: Private {
                    namespace: wanted.namespace.clone(),
                    serviceaccount: (&wanted.service_account).into(),
                    pod: wanted.pod.as_ref().map(Into::into),
                    node: wanted.node.as_ref().map(Into::into),
                    secret: wanted.secret.as_ref().map(Into::into),
                },
            };
            let internal = |error: &dyn std::fmt::Display| Status::internal(format!("failed to {error}"));
            let token = self.sign(&claims).map_err(|error| internal(&error))?;
            let expiration = Timestamp::from_second(claims.exp).map_err(|error| internal(&error))?;
            Ok(IssuedToken { token, expiration, audiences })
        })
    }

    fn review<'a>(
        &'a self,
        token: &'a str,
        audiences: &'a [String],
        lookup: &'a dyn Lookup,
        now: Timestamp,
    ) -> BoxFuture<'a, Option<Authenticated>> {
        Box::pin(async move {
            let audiences = if audiences.is_empty() { std::slice::from_ref(&self.issuer) } else { audiences };
            let reviewed = self.authenticate_for(token, audiences, lookup, now).await;
            reviewed.inspect_err(|error| tracing::debug!(%error, "a reviewed token is not good")).ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known(Vec<(&'static str, &'static str)>);

    impl Lookup for Known {
        fn uid<'a>(&'a self, _: &'static str, _: &'a str, name: &'a str) -> BoxFuture<'a, Option<String>> {
            let found = self.0.iter().find(|(known, _)| *known == name).map(|(_, uid)| (*uid).to_owned());
            Box::pin(std::future::ready(found))
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_good_while_what_it_is_bound_to_exists() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let tokens = ServiceAccountTokens::new(&key, "https://kubernetes.default.svc").unwrap();
        let bound = |name: &str, uid: &str| Bound { name: name.into(), uid: uid.into() };
        let claims = TokenClaims {
            namespace: "web".into(),
            service_account: bound("default", "u1"),
            expiration_seconds: 600,
            pod: Some(bound("web-0", "u2")),
            ..TokenClaims::default()
        };
        let issued = tokens.issue(&claims, at(1000)).await.unwrap();
        assert_eq!(issued.expiration, at(1600));
        let all = Known(vec![("default", "u1"), ("web-0", "u2")]);
        let user = tokens.authenticate(&issued.token, &all, at(1001)).await.unwrap();
        assert_eq!(user.name, "system:serviceaccount:web:default");
        assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["web-0"]);

        let elsewhere = TokenClaims { audiences: vec!["vault".into()], ..claims };
        let foreign = tokens.issue(&elsewhere, at(1000)).await.unwrap().token;
        let mut forged = issued.token.clone();
        forged.truncate(forged.len() - 4);
        forged.push_str("AAAA");
        let replaced = Known(vec![("default", "u1"), ("web-0", "other")]);
        let cases: [(&str, &str, &Known, i64); 6] = [
            ("expired", &issued.token, &all, 1600),
            ("too early", &issued.token, &all, 999),
            ("pod replaced", &issued.token, &replaced, 1001),
            ("audience", &foreign, &all, 1001),
            ("signature", &forged, &all, 1001),
            ("garbage", "abc", &all, 1001),
        ];
        for (name, token, known, now) in cases {
            assert!(tokens.authenticate(token, known, at(now)).await.is_err(), "{name}");
        }
    }
}
