//! Admission webhooks: a server over HTTPS is asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::{Answer, PATIENCE, Server, config_map};

const MAPS: &str = "/api/v1/namespaces/n/configmaps";
const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// What a webhook answers to a request, in `response`.
type Say = fn(&Value) -> Value;

/// A webhook that runs.
struct Hook {
    url: String,
    bundle: String,
    /// The requests that it was asked about.
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    async fn start(say: Say) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key.try_into().unwrap()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service =
                        service_fn(move |request: http::Request<Incoming>| answer(request, seen.clone(), say));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url: format!("https://localhost:{port}/x"), bundle: STANDARD.encode(made.cert.pem()), asked }
    }

    fn config(&self, change: Value) -> Value {
        let mut hook = json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": self.url, "caBundle": self.bundle},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
            // The service account's certificate of the namespace is not for it.
            "matchConditions": [{"name": "mine", "expression": "request.name != 'kube-root-ca.crt'"}],
        });
        hook.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        hook
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn answer(
    request: http::Request<Incoming>,
    asked: Arc<Mutex<Vec<Value>>>,
    say: Say,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let mut response = say(&review["request"]);
    if response == "never" {
        std::future::pending::<()>().await;
    }
    response["uid"] = review["request"]["uid"].clone();
    asked.lock().unwrap().push(review["request"].clone());
    let answer = json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response});
    Ok(http::Response::new(Full::from(answer.to_string())))
}

/// A server whose webhooks are these, in force.
async fn asking(kind: &str, hooks: Vec<Value>) -> Server {
    let server = Server::start().await;
    server.namespace("n").await;
    let marker = json!({"name": "z.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        "matchConditions": [{"name": "marker", "expression": "request.name == 'marker'"}]});
    let hooks = [vec![marker], hooks].concat();
    let path = format!("{GROUP}/{}webhookconfigurations", kind.to_lowercase());
    server.post(&path, &json!({"metadata": {"name": "w"}, "webhooks": hooks})).await.expect(201);
    let wait = async {
        while server.post(MAPS, &config_map("marker", json!({}))).await.code == 201 {
            server.delete(&format!("{MAPS}/marker"), &Value::Null).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("a webhook that is never asked");
    server
}

fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

fn refused(answer: &Answer) -> (u16, &str) {
    (answer.code, answer.message())
}

#[tokio::test]
async fn a_validating_webhook_refuses_and_warns() {
    let say: Say = |request| match request["object"]["data"]["bad"].as_str() {
        Some(_) => json!({"allowed": false, "status": {"code": 403, "message": "bad data", "reason": "Forbidden"}}),
        None => json!({"allowed": true, "warnings": ["well"]}),
    };
    let hook = Hook::start(say).await;
    let server = asking("Validating", vec![hook.config(json!({}))]).await;
    let answer = server.post(MAPS, &config_map("a", json!({"bad": "x"}))).await;
    assert_eq!(refused(&answer), (403, "admission webhook \"a.example.com\" denied the request: bad data"));
    let answer =
        server.post(&format!("{MAPS}?fieldManager=me&dryRun=All"), &config_map("a", json!({"good": "x"}))).await;
    assert_eq!((answer.code, answer.warnings()), (201, vec!["299 - \"well\""]));
    let asked = hook.asked.lock().unwrap().last().cloned().unwrap();
    let options =
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions", "dryRun": ["All"], "fieldManager": "me"});
    let about = json!([
        asked["operation"],
        asked["name"],
        asked["namespace"],
        asked["dryRun"],
        asked["oldObject"],
        asked["options"]
    ]);
    assert_eq!(about, json!(["CREATE", "a", "n", true, null, options]));
    assert_eq!(asked["object"]["kind"], "ConfigMap");
}

#[tokio::test]
async fn a_mutating_webhook_changes_the_object() {
    // Each adds what the other one did.
    let first: Say = |request| match request["object"]["data"]["second"].as_str() {
        None => patch(&json!([{"op": "add", "path": "/data/first", "value": "1"}])),
        Some(_) => patch(
            &json!([{"op": "add", "path": "/data/again", "value": "1"}, {"op": "add", "path": "/unknown", "value": 1}]),
        ),
    };
    let second: Say = |_| patch(&json!([{"op": "add", "path": "/data/second", "value": "2"}]));
    let (first, second) = (Hook::start(first).await, Hook::start(second).await);
    let hooks = vec![
        first.config(json!({"reinvocationPolicy": "IfNeeded"})),
        second.config(json!({"name": "b.example.com", "admissionReviewVersions": ["v1beta1"]})),
    ];
    let server = asking("Mutating", hooks).await;
    let object = server.post(MAPS, &config_map("a", json!({"own": "x"}))).await.expect(201);
    assert_eq!(object["data"], json!({"own": "x", "first": "1", "second": "2", "again": "1"}));
    assert_eq!((first.count(), second.count()), (2, 1));
}

#[tokio::test]
async fn failures_are_for_the_policy_to_decide() {
    let never: Say = |_| json!("never");
    let hook = Hook::start(never).await;
    let url = hook.url.clone();
    let failing = |why: &str| {
        format!(
            "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: Post \"{url}?timeout=1s\": {why}"
        )
    };
    let untrusted = json!({"timeoutSeconds": 1, "clientConfig": {"url": hook.url}});
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    let nowhere =
        json!({"timeoutSeconds": 1, "clientConfig": {"service": {"name": "s", "namespace": "x", "path": "/p"}}});
    let table = [
        ("too slow", json!({"timeoutSeconds": 1}), failing("context deadline exceeded")),
        ("not trusted", untrusted, failing(unknown)),
        (
            "not there",
            nowhere,
            "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: Post \
             \"https://s.x.svc:443/p?timeout=1s\": service \"s\" not found"
                .to_owned(),
        ),
    ];
    for (name, change, expected) in table {
        let server = asking("Validating", vec![hook.config(change.clone())]).await;
        let answer = server.post(MAPS, &config_map("a", json!({}))).await;
        assert_eq!(refused(&answer), (500, expected.as_str()), "{name}");
        let mut ignoring = change;
        ignoring["failurePolicy"] = "Ignore".into();
        let server = asking("Mutating", vec![hook.config(ignoring)]).await;
        assert_eq!(server.post(MAPS, &config_map("a", json!({}))).await.code, 201, "{name}");
    }
}

#[tokio::test]
async fn deletions_are_asked_about() {
    let say: Say =
        |request| json!({"allowed": request["operation"] != "DELETE" || request["oldObject"]["data"]["free"] == "yes"});
    let hook = Hook::start(say).await;
    for kind in ["Validating", "Mutating"] {
        let server = asking(kind, vec![hook.config(json!({}))]).await;
        server.post(MAPS, &config_map("a", json!({}))).await.expect(201);
        let answer = server.delete(&format!("{MAPS}/a"), &Value::Null).await;
        assert_eq!(
            refused(&answer),
            (400, "admission webhook \"a.example.com\" denied the request without explanation")
        );
        server.patch(&format!("{MAPS}/a"), "merge", &json!({"data": {"free": "yes"}})).await.expect(200);
        server.delete(&format!("{MAPS}/a"), &Value::Null).await.expect(200);
    }
}
