//! Another API server behind this one: a real one over TLS, small.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use apiserver::UserInfo;
use apiserver::aggregation::{FRONT_PROXY, FrontProxy};
use apiserver::body;
use apiserver::front::pki::{self, Authority, ClientCertificate, Request as Asked};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::custom::{DEFINITIONS, define, definition, schema};
use super::harness::Server;

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const FLUNDERS: &str = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";

/// The server behind, and the one in front.
struct Pair {
    server: Server,
    port: u16,
    /// That issued the certificate of the one behind, base64 of PEM.
    bundle: String,
    /// What reached the one behind: `METHOD path user groups`.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Pair {
    async fn start() -> Self {
        let now = jiff::Timestamp::now();
        let [front, own] = ["front-proxy-ca", "wardle-ca"].map(|name| Authority::create(name, now).unwrap());
        let identity = front.issue(&Asked { common_name: FRONT_PROXY, ..Asked::default() }, now).unwrap();
        let serving =
            own.issue(&Asked { common_name: "wardle", names: &["sample-api.n.svc"], ..Asked::default() }, now).unwrap();
        // Who has no certificate of the front proxy is nobody here.
        let tls =
            pki::server_config(&serving, front.certificate(), ClientCertificate::Required, &["http/1.1"]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), seen.clone()));
        let proxy = FrontProxy {
            identity,
            authority: front.certificate().to_owned(),
            client_authority: own.certificate().to_owned(),
        };
        let server = Server::with(|config| config.front_proxy = Some(proxy)).await;
        server.namespace("n").await;
        Self { server, port, bundle: STANDARD.encode(own.certificate()), seen }
    }

    fn api_service(&self, change: Value) -> Value {
        let mut object = json!({"metadata": {"name": "v1alpha1.wardle.example.com"}, "spec": {
            "group": "wardle.example.com", "version": "v1alpha1", "groupPriorityMinimum": 2000, "versionPriority": 200,
            "service": {"name": "sample-api", "namespace": "n", "port": self.port}, "caBundle": self.bundle}});
        object["spec"].as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
        object
    }

    /// A Service that leads to the loopback address.
    async fn service(&self) {
        let service =
            json!({"metadata": {"name": "sample-api"}, "spec": {"type": "ExternalName", "externalName": "127.0.0.1"}});
        self.server.post("/api/v1/namespaces/n/services", &service).await.expect(201);
    }

    async fn condition(&self, reason: &str) -> Value {
        let path = format!("{SERVICES}/v1alpha1.wardle.example.com");
        let answer =
            self.server.until(&path, |answer| answer.body["status"]["conditions"][0]["reason"] == reason).await;
        answer.body["status"]["conditions"][0].clone()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, seen: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, seen) = (acceptor.clone(), seen.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| answer(request, seen.clone()));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let texts = |name: &str| -> String {
        let values = request.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
        values.collect::<Vec<_>>().join(",")
    };
    let (path, user, groups) = (request.uri().path().to_owned(), texts("x-remote-user"), texts("x-remote-group"));
    assert_eq!(texts("authorization"), "");
    seen.lock().unwrap().push(format!("{} {path} {user} {groups}", request.method()));
    let json = |code: u16, body: Value| {
        let response = Response::builder().status(code).header("content-type", "application/json");
        Ok(response.body(Full::from(body.to_string())).unwrap())
    };
    if request.headers().contains_key("upgrade") {
        tokio::spawn(async move {
            let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut word = [0; 4];
            stream.read_exact(&mut word).await.unwrap();
            word.reverse();
            stream.write_all(&word).await.unwrap();
        });
        let response = Response::builder().status(101).header("connection", "Upgrade").header("upgrade", "echo");
        return Ok(response.body(Full::default()).unwrap());
    }
    match path.as_str() {
        "/apis/wardle.example.com/v1alpha1" => json(
            200,
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "wardle.example.com/v1alpha1", "resources": [
                {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["create", "list"]}]}),
        ),
        "/openapi/v3" => json(
            200,
            json!({"paths": {"apis/wardle.example.com/v1alpha1": {"serverRelativeURL": "/openapi/v3/apis/wardle.example.com/v1alpha1?hash=1"}}}),
        ),
        "/openapi/v3/apis/wardle.example.com/v1alpha1" => {
            json(200, json!({"openapi": "3.0.0", "info": {"title": "wardle"}}))
        }
        "/openapi/v2" => {
            let answer = |schema: &str| json!({"get": {"responses": {"200": {"schema": {"$ref": format!("#/definitions/{schema}")}}}}});
            json(
                200,
                json!({
                    "paths": {"/apis/wardle.example.com/v1alpha1/flunders": answer("Flunder"), "/version": answer("Version")},
                    "definitions": {"Flunder": {"type": "object"}, "Version": {"type": "object"}},
                }),
            )
        }
        FLUNDERS => {
            let code = if request.method() == "POST" { 201 } else { 200 };
            let body = request.into_body().collect().await.unwrap().to_bytes();
            json(code, serde_json::from_slice(&body).unwrap_or(json!({"kind": "FlunderList", "items": []})))
        }
        _ => json(404, json!({"kind": "Status", "code": 404})),
    }
}

#[tokio::test]
async fn requests_reach_the_server_behind_in_the_users_name() {
    let pair = Pair::start().await;
    let server = &pair.server;
    server.post(SERVICES, &pair.api_service(json!({}))).await.expect(201);
    let condition = pair.condition("ServiceNotFound").await;
    assert_eq!(condition["message"], "service/sample-api in \"n\" is not present");
    let refused = server.get(FLUNDERS).await;
    assert_eq!((refused.code, refused.body), (503, json!("service unavailable\n")));

    pair.service().await;
    let condition = pair.condition("Passed").await;
    assert_eq!((&condition["status"], &condition["message"]), (&json!("True"), &json!("all checks passed")));
    let jane = UserInfo::new("jane", &["system:masters", "dev"]);
    let flunder = json!({"kind": "Flunder", "metadata": {"name": "a"}});
    let headers = [("authorization", "Bearer secret"), ("x-remote-user", "root"), ("content-type", "application/json")];
    let created = server.send_as(&jane, "POST", FLUNDERS, &headers, flunder.to_string()).await;
    assert_eq!((created.code, created.body), (201, flunder));
    let last = pair.seen.lock().unwrap().iter().rfind(|line| line.starts_with("POST")).cloned();
    assert_eq!(last.as_deref(), Some(&*format!("POST {FLUNDERS} jane system:masters,dev")));
    assert_eq!(server.get(FLUNDERS).await.expect(200)["kind"], "FlunderList");

    server.delete(&format!("{SERVICES}/v1alpha1.wardle.example.com"), &Value::Null).await.expect(200);
    server.until(FLUNDERS, |answer| answer.code == 404).await;
}

#[tokio::test]
async fn upgrades_pass_through() {
    let pair = Pair::start().await;
    pair.service().await;
    pair.server.post(SERVICES, &pair.api_service(json!({}))).await.expect(201);
    pair.condition("Passed").await;
    // A client over a connection of its own, as upgrades belong to connections.
    let (near, far) = tokio::io::duplex(1 << 16);
    let api = pair.server.api.clone();
    tokio::spawn(async move {
        let service = service_fn(move |request: Request<Incoming>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.handle(UserInfo::admin(), request.map(body::wrap)).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
        let _ = connection.with_upgrades().await;
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::get(FLUNDERS).header("connection", "Upgrade").header("upgrade", "echo");
    let response = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    assert_eq!(
        (response.status(), response.headers()["upgrade"].to_str().unwrap()),
        (http::StatusCode::SWITCHING_PROTOCOLS, "echo")
    );
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"abcd").await.unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"dcba");
}

#[tokio::test]
async fn who_is_not_trusted_is_not_asked() {
    let pair = Pair::start().await;
    pair.service().await;
    // The check does not look at the certificate; requests do.
    pair.server.post(SERVICES, &pair.api_service(json!({"caBundle": STANDARD.encode(Authority::create("x", jiff::Timestamp::now()).unwrap().certificate())}))).await.expect(201);
    pair.condition("Passed").await;
    let refused = pair.server.get(FLUNDERS).await;
    let why = "error trying to reach service: tls: failed to verify certificate: x509: certificate signed by unknown authority\n";
    assert_eq!((refused.code, refused.body), (503, json!(why)));
    let path = format!("{SERVICES}/v1alpha1.wardle.example.com");
    let anybody = json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": true}});
    pair.server.patch(&path, "merge", &anybody).await.expect(200);
    pair.server.until(FLUNDERS, |answer| answer.code == 200).await;
}

#[tokio::test]
async fn what_others_serve_is_told_with_the_rest() {
    let pair = Pair::start().await;
    let server = &pair.server;
    pair.service().await;
    server.post(SERVICES, &pair.api_service(json!({}))).await.expect(201);
    pair.condition("Passed").await;
    let version = json!({"groupVersion": "wardle.example.com/v1alpha1", "version": "v1alpha1"});
    let group = server.get("/apis/wardle.example.com").await.expect(200);
    assert_eq!((&group["preferredVersion"], &group["versions"]), (&version, &json!([version])));
    let groups = server.get("/apis").await.expect(200);
    let last = groups["groups"].as_array().unwrap().last().unwrap();
    assert_eq!(last["name"], "wardle.example.com");
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let all = server.send("GET", "/apis", &accept, "").await.expect(200);
    let own =
        all["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "wardle.example.com").unwrap();
    assert_eq!(
        (&own["versions"][0]["freshness"], &own["versions"][0]["resources"][0]["resource"]),
        (&json!("Current"), &json!("flunders"))
    );
    let index = server.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/wardle.example.com/v1alpha1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&url).await.expect(200)["info"]["title"], "wardle");
    let swagger = server.get("/openapi/v2").await;
    let etag = swagger.headers["etag"].to_str().unwrap().to_owned();
    let swagger = swagger.expect(200);
    assert!(swagger["paths"]["/apis/wardle.example.com/v1alpha1/flunders"]["get"].is_object());
    assert_eq!(swagger["definitions"]["Flunder"], json!({"type": "object"}));
    assert!(swagger["paths"]["/version/"].is_object() || swagger["paths"]["/api/v1/pods"].is_object());
    assert_eq!(swagger["definitions"].get("Version"), None, "it is of no path that is taken");
    let again = server.send("GET", "/openapi/v2", &[("if-none-match", &etag)], "").await;
    assert_eq!(again.code, 304);
    assert_eq!(server.get("/apis/wardle.example.com/v1alpha1").await.expect(200)["resources"][0]["name"], "flunders");
}

#[tokio::test]
async fn what_is_served_here_has_api_services() {
    let server = Server::start().await;
    let apps = server.until(&format!("{SERVICES}/v1.apps"), |answer| answer.code == 200).await.body;
    assert_eq!(apps["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "onstart"}));
    assert_eq!(
        apps["spec"],
        json!({"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15})
    );
    let condition = &apps["status"]["conditions"][0];
    assert_eq!((&condition["reason"], &condition["status"]), (&json!("Local"), &json!("True")));
    assert_eq!(
        server.until(&format!("{SERVICES}/v1."), |answer| answer.code == 200).await.body["spec"]["groupPriorityMinimum"],
        18000
    );

    define(&server, &definition(&schema(&json!({"type": "object"})))).await;
    let path = format!("{SERVICES}/v1.example.com");
    let custom = server.until(&path, |answer| answer.code == 200).await.body;
    assert_eq!(custom["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "true"}));
    server.patch(&path, "merge", &json!({"spec": {"versionPriority": 7}})).await.expect(200);
    server.until(&path, |answer| answer.body["spec"]["versionPriority"] == 100).await;
    server.delete(&format!("{DEFINITIONS}/widgets.example.com"), &Value::Null).await.expect(200);
    let emptied = json!({"metadata": {"finalizers": null}});
    server.patch(&format!("{DEFINITIONS}/widgets.example.com"), "merge", &emptied).await.expect(200);
    server.until(&path, |answer| answer.code == 404).await;
}

#[tokio::test]
async fn others_are_told_whom_to_trust() {
    let pair = Pair::start().await;
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let map = pair.server.until(path, |answer| answer.code == 200).await.body;
    assert_eq!(map["data"]["requestheader-allowed-names"], "[\"front-proxy-client\"]");
    assert!(map["data"]["requestheader-client-ca-file"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    assert!(map["data"]["client-ca-file"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
}
