//! Requests to pods and Services through the server, and what it says of its components.

use std::convert::Infallible;
use std::net::{IpAddr, UdpSocket};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::harness::{Server, pod};

/// An address of this machine that pods may have; `None` where it has no network. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Answers with what it was asked; `/page` is a page with links, `/away` leads to `/there`.
async fn backend() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(async move {
                let _ = connection.await;
            });
        }
    });
    port
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let said = json!({"method": request.method().as_str(), "path": request.uri().to_string(), "host": header("host"),
        "authorization": header("authorization"), "uri": header("x-forwarded-uri")});
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let response = Response::builder().header("access-control-allow-origin", "*");
    Ok(match path.as_str() {
        "/page" => response.header("content-type", "text/html; charset=utf-8").body(Full::from("<a href=\"/x\">y</a>")),
        "/away" => response.status(302).header("location", "/there").body(Full::default()),
        _ if !body.is_empty() => response.status(201).body(Full::from(body)),
        _ => response.body(Full::from(said.to_string())),
    }
    .unwrap())
}

/// A server with the pod `web` that the backend is, and the Service `front` that leads to it.
async fn start(address: IpAddr) -> (Server, u16) {
    let port = backend().await;
    let server = Server::start().await;
    server.namespace("n").await;
    let mut web = pod("web");
    web["spec"]["containers"][0]["ports"] = json!([{"containerPort": port}]);
    server.post("/api/v1/namespaces/n/pods", &web).await.expect(201);
    let status = json!({"status": {"podIP": address.to_string(), "podIPs": [{"ip": address.to_string()}]}});
    server.patch("/api/v1/namespaces/n/pods/web/status", "merge", &status).await.expect(200);
    let ports = json!([{"name": "http", "port": 80, "targetPort": port}]);
    let front = json!({"metadata": {"name": "front"}, "spec": {"ports": ports}});
    server.post("/api/v1/namespaces/n/services", &front).await.expect(201);
    let target = json!({"kind": "Pod", "namespace": "n", "name": "web"});
    let endpoints = json!({"metadata": {"name": "front"}, "subsets": [{"ports": [{"name": "http", "port": port}],
        "addresses": [{"ip": address.to_string(), "targetRef": target}]}]});
    server.post("/api/v1/namespaces/n/endpoints", &endpoints).await.expect(201);
    (server, port)
}

#[tokio::test]
async fn requests_go_to_pods_and_services() {
    // Without a network there is nobody to ask.
    let Some(address) = own_address() else { return };
    let (server, port) = start(address).await;
    let root = "/api/v1/namespaces/n";
    for target in ["pods/web", &*format!("pods/http:web:{port}"), "services/front:http", "services/front:80"] {
        let prefix = format!("{root}/{target}/proxy");
        let headers = [("authorization", "Bearer x"), ("host", "api.example:6443")];
        let said = server.send("GET", &format!("{prefix}/a%2Fb/?c=d"), &headers, "").await;
        assert!(said.headers.get("access-control-allow-origin").is_none());
        let said: Value = said.expect(200);
        let expected = json!({"method": "GET", "path": "/a%2Fb/?c=d", "host": "api.example:6443", "authorization": null,
            "uri": format!("{prefix}/a%2Fb/")});
        assert_eq!(said, expected, "{target}");
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = server.send(method, &format!("{prefix}/x"), &[], "body").await;
            assert_eq!((answer.code, answer.body), (201, json!("body")), "{method} {target}");
        }
        let page = server.get(&format!("{prefix}/page")).await;
        assert_eq!(page.body, json!(format!("<a href=\"{prefix}/x\">y</a>")));
        let away = server.get(&format!("{prefix}/away")).await;
        assert_eq!((away.code, away.headers["location"].to_str().unwrap()), (302, &*format!("{prefix}/there")));
        let bare = server.get(&format!("{prefix}?c=d")).await;
        assert_eq!((bare.code, bare.headers["location"].to_str().unwrap()), (301, &*format!("{prefix}/?c=d")));
    }
}

#[tokio::test]
async fn who_cannot_be_reached_is_named() {
    let server = Server::start().await;
    server.namespace("n").await;
    let root = "/api/v1/namespaces/n";
    server.post(&format!("{root}/pods"), &pod("web")).await.expect(201);
    let front = json!({"metadata": {"name": "front"}, "spec": {"ports": [{"name": "http", "port": 80}]}});
    server.post(&format!("{root}/services"), &front).await.expect(201);
    server.post(&format!("{root}/endpoints"), &json!({"metadata": {"name": "front"}})).await.expect(201);
    let table = [
        ("pods/a:b:c:d", 400, "invalid pod request \"a:b:c:d\""),
        ("pods/missing", 404, "pods \"missing\" not found"),
        ("pods/web", 400, "address not allowed"),
        ("services/ftp:front:80", 400, "invalid service request \"ftp:front:80\""),
        ("services/missing", 404, "services \"missing\" not found"),
        ("services/front:81", 503, "no service port 81 found for service \"front\""),
        ("services/front:http", 503, "no endpoints available for service \"front\""),
    ];
    for (target, code, message) in table {
        let answer = server.get(&format!("{root}/{target}/proxy/")).await;
        assert_eq!((answer.code, answer.message()), (code, message), "{target}");
    }
    // An address where nobody is: a pod of which nothing is left.
    if let Some(address) = own_address() {
        let free = std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        let status = json!({"status": {"podIP": address.to_string(), "podIPs": [{"ip": address.to_string()}]}});
        server.patch(&format!("{root}/pods/web/status"), "merge", &status).await.expect(200);
        let answer = server.get(&format!("{root}/pods/web:{free}/proxy/")).await;
        let why = format!("error trying to reach service: dial tcp {address}:{free}: connect: connection refused");
        assert_eq!((answer.code, answer.message()), (503, &*why));
    }
}

#[tokio::test]
async fn components_tell_how_they_are() {
    let server = Server::with(|config| config.components = &["scheduler"]).await;
    let list = server.get("/api/v1/componentstatuses").await;
    assert_eq!(list.names(), ["controller-manager", "scheduler", "etcd-0"]);
    assert_eq!(list.warnings(), ["299 - \"v1 ComponentStatus is deprecated in v1.19+\""]);
    let state = |body: &Value| {
        let condition = &body["conditions"][0];
        (condition["status"].as_str().unwrap().to_owned(), condition["message"].as_str().unwrap().to_owned())
    };
    let healthy = ("True".to_owned(), "ok".to_owned());
    for name in ["scheduler", "etcd-0"] {
        assert_eq!(
            state(&server.get(&format!("/api/v1/componentstatuses/{name}")).await.expect(200)),
            healthy,
            "{name}"
        );
    }
    assert_eq!(state(&list.body["items"][0]).0, "False");
    assert_eq!(server.get("/api/v1/componentstatuses/x").await.code, 404);
    assert_eq!(server.post("/api/v1/componentstatuses", &json!({"metadata": {"name": "x"}})).await.code, 405);
    let table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let table = server.send("GET", "/api/v1/componentstatuses", &table, "").await.expect(200);
    assert_eq!(table["rows"][1]["cells"].as_array().unwrap()[..3], [json!("scheduler"), json!("Healthy"), json!("ok")]);
}
