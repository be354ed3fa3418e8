//! Users of another issuer: one that runs, over TLS, and changes its keys.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use apiserver::front::authn::{Tokens, authenticate};
use apiserver::front::oidc::{Login, accept};
use apiserver::front::tokens::ServiceAccountTokens;
use apiserver::token::{Bound, TokenClaims, TokenIssuer};
use apiserver::{Config, UserInfo};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::Server;

const NOW: i64 = 1_800_000_000;

/// With the keys that it shows.
struct Issuer {
    url: String,
    authority: String,
    keys: Arc<Mutex<Vec<Value>>>,
}

/// One that signs for it.
struct Signer {
    id: String,
    key: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &str) -> Self {
        let pkcs8 = rcgen::KeyPair::generate().unwrap().serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new()).unwrap();
        Self { id: id.to_owned(), key }
    }

    fn public(&self) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": encode(x), "y": encode(y)})
    }

    fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&json!({"alg": "ES256", "kid": self.id})), encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

impl Issuer {
    async fn start(keys: Vec<Value>) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key.try_into().unwrap()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let keys = Arc::new(Mutex::new(keys));
        let (own, shown) = (url.clone(), keys.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, own, shown) = (acceptor.clone(), own.clone(), shown.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let document = match request.uri().path() {
                            "/.well-known/openid-configuration" => {
                                json!({"issuer": own, "jwks_uri": format!("{own}/keys")})
                            }
                            _ => json!({"keys": *shown.lock().unwrap()}),
                        };
                        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
                            document.to_string(),
                        ))))
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, authority: made.cert.pem(), keys }
    }

    fn configuration(&self) -> String {
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
            "jwt": [{
                "issuer": {"url": self.url, "audiences": ["me", "you"], "audienceMatchPolicy": "MatchAny",
                    "certificateAuthority": self.authority},
                "claimMappings": {
                    "username": {"expression": "'oidc:' + claims.sub"},
                    "groups": {"claim": "groups", "prefix": "oidc:"},
                    "uid": {"claim": "oid"},
                    "extra": [{"key": "example.com/team", "valueExpression": "claims.team"}],
                },
                "claimValidationRules": [{"claim": "hd", "requiredValue": "example.com"},
                    {"expression": "claims.exp - claims.iat <= 3600", "message": "it is good for too long"}],
                "userValidationRules": [{"expression": "user.groups.all(group, !group.endsWith('masters'))"}],
            }],
            "anonymous": {"enabled": true, "conditions": [{"path": "/healthz"}]},
        })
        .to_string()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[tokio::test]
async fn users_of_an_issuer_log_in() {
    let signer = Signer::new("1");
    let issuer = Issuer::start(vec![signer.public()]).await;
    let login = Login::default();
    login.replace(accept(&issuer.configuration(), &[]).unwrap());
    let claims = json!({"iss": issuer.url, "aud": "me", "sub": "jane", "groups": ["ops", "dev"], "oid": "7",
        "team": ["a", ""], "hd": "example.com", "exp": NOW + 60, "iat": NOW, "jti": "t"});
    let user = login.authenticate(&signer.sign(&claims), at(NOW)).await.unwrap().unwrap();
    assert_eq!((&*user.name, &*user.uid), ("oidc:jane", "7"));
    assert_eq!(user.groups, ["oidc:ops", "oidc:dev", "system:authenticated"]);
    assert_eq!(user.extra["example.com/team"], ["a"]);
    assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=t"]);

    let table = [
        ("aud", json!(["other"]), "expected audience in [\"me\" \"you\"] got [\"other\"]"),
        ("exp", json!(NOW - 1), "token is expired"),
        ("nbf", json!(NOW + 3600), "not before"),
        ("sub", json!(7), "error evaluating username claim expression"),
        ("groups", json!([7]), "parse groups claim \"groups\""),
        ("groups", json!("masters"), "error evaluating user info validation rule: validation expression"),
        ("hd", json!("example.org"), "required claim hd value does not match. Got = example.org, want = example.com"),
        ("exp", json!(NOW + 7200), "failed: it is good for too long"),
        ("team", json!(7), "expression must return a string or a list of strings"),
    ];
    for (claim, value, words) in table {
        let mut other = claims.clone();
        other[claim] = value.clone();
        let refused = login.authenticate(&signer.sign(&other), at(NOW)).await.unwrap().unwrap_err().to_string();
        assert!(refused.contains(words), "{claim} {value}: {refused}");
    }
    let mut elsewhere = claims.clone();
    elsewhere["iss"] = json!("https://elsewhere.example");
    assert!(login.authenticate(&signer.sign(&elsewhere), at(NOW)).await.is_none(), "another issuer's");

    // The issuer's next key, and an end of the one before.
    let next = Signer::new("2");
    let early = login.authenticate(&next.sign(&claims), at(NOW + 2)).await.unwrap().unwrap_err().to_string();
    assert!(early.contains("failed to verify id token signature"), "{early}");
    *issuer.keys.lock().unwrap() = vec![next.public()];
    assert!(
        login.authenticate(&next.sign(&claims), at(NOW + 2)).await.unwrap().is_err(),
        "keys are not looked for all the time"
    );
    assert!(login.authenticate(&next.sign(&claims), at(NOW + 4)).await.unwrap().is_ok());
    assert!(login.authenticate(&signer.sign(&claims), at(NOW + 6)).await.unwrap().is_err());
}

#[tokio::test]
async fn an_issuer_that_is_another_is_not_believed() {
    let signer = Signer::new("1");
    let issuer = Issuer::start(vec![signer.public()]).await;
    let stranger = Issuer::start(Vec::new()).await;
    let claims = json!({"iss": issuer.url, "aud": "me", "sub": "jane", "exp": NOW + 60, "iat": NOW});
    let discovery = format!("{}/.well-known/openid-configuration", stranger.url);
    let table = [
        ("/jwt/0/issuer/certificateAuthority", stranger.authority.clone(), "failed to verify certificate"),
        ("/jwt/0/issuer/discoveryURL", discovery, "failed to verify certificate"),
    ];
    for (path, value, words) in table {
        let mut configuration: Value = serde_json::from_str(&issuer.configuration()).unwrap();
        configuration["jwt"][0]["issuer"]["discoveryURL"] = json!("");
        *configuration.pointer_mut(path).unwrap() = json!(value);
        let login = Login::default();
        login.replace(accept(&configuration.to_string(), &[]).unwrap());
        let refused = login.authenticate(&signer.sign(&claims), at(NOW)).await.unwrap().unwrap_err().to_string();
        assert!(refused.contains(words), "{path}: {refused}");
    }
}

#[tokio::test]
async fn nobody_comes_in_where_the_configuration_says() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let accounts = ServiceAccountTokens::new(&key, "https://own.example").unwrap();
    let server = Server::start().await;
    let login = Login::default();
    let tokens = Tokens { accounts: &accounts, login: &login, lookup: server.api.lookup() };
    let ask = async |path: &str| {
        let user = authenticate(None, &HeaderMap::new(), path, &tokens, at(NOW)).await;
        user.map(|user| user.name).map_err(|status| status.code)
    };
    assert_eq!(ask("/api").await, Ok("system:anonymous".to_owned()));
    let configuration = |anonymous: Value| {
        json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "anonymous": anonymous})
            .to_string()
    };
    let health = json!({"enabled": true, "conditions": [{"path": "/healthz"}]});
    for (anonymous, path, expected) in [
        (&health, "/healthz", Ok("system:anonymous".to_owned())),
        (&health, "/api", Err(401)),
        (&json!({"enabled": false}), "/healthz", Err(401)),
    ] {
        login.replace(accept(&configuration(anonymous.clone()), &[]).unwrap());
        assert_eq!(ask(path).await, expected, "{anonymous} {path}");
    }
}

#[tokio::test]
async fn tokens_of_accounts_are_checked_by_what_the_server_publishes() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let accounts = Arc::new(ServiceAccountTokens::new(&key, "https://own.example").unwrap());
    let issuer = accounts.clone();
    let server = Server::with(move |config: &mut Config| config.token_issuer = issuer).await;
    let discovered = server.get("/.well-known/openid-configuration").await.body;
    assert_eq!(discovered["issuer"], "https://own.example");
    assert!(discovered["jwks_uri"].as_str().unwrap().ends_with("/openid/v1/jwks"));
    let published = server.get("/openid/v1/jwks").await.body["keys"].clone();

    // Believed by another cluster, which finds them at its own place.
    let relay = Issuer::start(published.as_array().unwrap().clone()).await;
    let tokens = ServiceAccountTokens::new(&key, &relay.url).unwrap();
    let claims = TokenClaims {
        namespace: "n".into(),
        service_account: Bound { name: "robot".into(), uid: "u".into() },
        audiences: vec!["me".into()],
        expiration_seconds: 600,
        ..TokenClaims::default()
    };
    let token = tokens.issue(&claims, at(NOW)).await.unwrap().token;
    let mut configuration: Value = serde_json::from_str(&relay.configuration()).unwrap();
    configuration["jwt"][0]["claimMappings"] = json!({"username": {"claim": "sub", "prefix": "far:"}});
    configuration["jwt"][0]["claimValidationRules"] = json!([]);
    let login = Login::default();
    login.replace(accept(&configuration.to_string(), &[]).unwrap());
    let user: UserInfo = login.authenticate(&token, at(NOW)).await.unwrap().unwrap();
    assert_eq!(user.name, "far:system:serviceaccount:n:robot");
}
