//! The real kubectl, over plain HTTP on this machine. Skipped where it is not installed.

use std::convert::Infallible;
use std::process::Stdio;

use apiserver::{UserInfo, body};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::harness::{Server, managers};

/// Serves the API to anybody, as admin; answers with its address.
async fn listen(server: &Server) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let api = server.api.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let api = api.clone();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let api = api.clone();
                async move { Ok::<_, Infallible>(api.handle(UserInfo::admin(), request.map(body::wrap)).await) }
            });
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

struct Kubectl {
    server: String,
    home: std::path::PathBuf,
}

impl Kubectl {
    /// What it prints on both streams.
    async fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new("kubectl")
            .args(["--server", &self.server, "--cache-dir"])
            .arg(self.home.join("cache"))
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(crate::harness::PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

#[expect(clippy::print_stderr, reason = "says why a test did nothing")]
fn skipped() {
    eprintln!("skipped: there is no kubectl");
}

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata:
  name: web
  labels: {app: web}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_applies_on_the_servers_side() {
    if Command::new("kubectl").arg("version").arg("--client").output().await.is_err() {
        return skipped();
    }
    let server = Server::start().await;
    let home = std::env::temp_dir().join(format!("apiserver-kubectl-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let kubectl = Kubectl { server: listen(&server).await, home: home.clone() };
    let apply = ["apply", "--server-side", "-f", "-"];
    assert_eq!(kubectl.run(&apply, SERVICE).await, "service/web serverside-applied\n");
    assert_eq!(kubectl.run(&apply, SERVICE).await, "service/web serverside-applied\n");
    assert_eq!(
        kubectl.run(&["label", "service", "web", "app=other", "--overwrite"], "").await,
        "service/web labeled\n"
    );
    let refused = kubectl.run(&apply, SERVICE).await;
    assert!(
        refused
            .contains("Apply failed with 1 conflict: conflict with \"kubectl-label\" using v1: .metadata.labels.app"),
        "{refused}"
    );
    assert!(refused.contains("Please review the fields above--they currently have other managers."), "{refused}");
    let force = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let more = format!("{SERVICE}  - {{name: https, port: 443}}\n");
    assert_eq!(kubectl.run(&force, &more).await, "service/web serverside-applied\n");
    let shown = kubectl.run(&["get", "service", "web", "-o", "json", "--show-managed-fields"], "").await;
    let object: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(object["spec"]["ports"].as_array().map(Vec::len), Some(2));
    assert_eq!(managers(&object).len(), 1, "{shown}");
    // From the client's side to the server's, as its users do it.
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  k: v\n";
    assert_eq!(kubectl.run(&["apply", "-f", "-"], map).await, "configmap/m created\n");
    let map = map.replace("k: v", "k: w");
    assert_eq!(kubectl.run(&apply, &map).await, "configmap/m serverside-applied\n");
    let shown = kubectl.run(&["get", "configmap", "m", "-o", "json", "--show-managed-fields"], "").await;
    let object: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(object["data"]["k"], "w");
    let names: Vec<&str> = object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["manager"].as_str().unwrap())
        .collect();
    // The second keeps the annotation for clients that still apply from their side.
    assert_eq!(names, ["kubectl-last-applied", "kubectl"], "{shown}");
    let diff = kubectl.run(&["diff", "--server-side", "-f", "-"], &map).await;
    assert_eq!(diff, "");
    std::fs::remove_dir_all(home).unwrap();
}
