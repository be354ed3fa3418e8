//! The whole API server in this process, over the memory store: what requests meet.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apiserver::body::{self, Body};
use apiserver::{ApiServer, Config, UserInfo};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::Memory;
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::kinds;

/// Answers come at once; what does not come is a hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// Objects that inputs leave behind must not add up.
const INPUTS: usize = 2000;

pub struct Server {
    pub runtime: Runtime,
    pub api: ApiServer,
    seed: Arc<AtomicU64>,
    used: usize,
    _stop: DropGuard,
}

pub struct Answer {
    pub code: u16,
    pub bytes: bytes::Bytes,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// Gives the thread's server to one input. It is a new one after some thousand of them, and after `false`.
pub fn with(input: impl FnOnce(&Server) -> bool) {
    SERVER.with_borrow_mut(|slot| {
        let mut server = slot.take().unwrap_or_else(Server::start);
        server.used += 1;
        if input(&server) && server.used < INPUTS {
            *slot = Some(server);
        }
    });
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let seed = Arc::new(AtomicU64::new(1));
        let own = seed.clone();
        let random = move || own.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let clock = || "2026-01-01T00:00:00Z".parse().expect("a time");
        let api = ApiServer::new(Config::new(Arc::new(Memory::new()), Arc::new(clock), Arc::new(random)));
        let cancel = CancellationToken::new();
        let (background, stop) = (api.clone(), cancel.clone());
        runtime.spawn(async move { background.run_background(stop).await });
        let server = Self { runtime, api, seed, used: 0, _stop: cancel.drop_guard() };
        // The last object of the bootstrap.
        while server.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").code != 200 {
            server.runtime.block_on(tokio::task::yield_now());
        }
        server.prepare();
        server
    }

    /// A kind of a definition, and the objects that others refer to.
    fn prepare(&self) {
        let definition: Value =
            serde_json::from_str(include_str!("../objects/definition.json")).expect("the definition is JSON");
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        self.created(definitions, &definition);
        let (name, names) = (definition["metadata"]["name"].as_str().unwrap_or_default(), &definition["spec"]["names"]);
        let condition = |kind: &str| {
            json!({"type": kind, "status": "True", "reason": "Fuzz", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let conditions = [condition("NamesAccepted"), condition("Established")];
        let status = json!({"status": {"acceptedNames": names, "conditions": conditions}});
        let path = format!("{definitions}/{name}/status");
        let told = self.send("PATCH", &path, &[("content-type", "application/merge-patch+json")], status.to_string());
        assert_eq!(told.code, 200, "{}", String::from_utf8_lossy(&told.bytes));
        let account = json!({"metadata": {"name": "default"}});
        self.created("/api/v1/namespaces/default/serviceaccounts", &account);
        for object in kinds::live() {
            self.created(&kinds::of(object).path, object);
        }
    }

    pub fn created(&self, path: &str, object: &Value) -> Value {
        let answer = self.send("POST", path, &[("content-type", "application/json")], object.to_string());
        assert_eq!(answer.code, 201, "{path}: {}", String::from_utf8_lossy(&answer.bytes));
        answer.json()
    }

    /// Makes the next request draw the same random numbers as the one after the last call.
    pub fn reseed(&self) {
        self.seed.store(1 << 32, Ordering::Relaxed);
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], content: impl Into<bytes::Bytes>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body::full(content)).expect("a request");
        self.runtime.block_on(async {
            let exchange = async { Answer::read(self.api.handle(UserInfo::admin(), request).await).await };
            tokio::time::timeout(PATIENCE, exchange).await.expect("an answer within seconds")
        })
    }
}

const NO_VERSION: &str = "Internal error occurred: Object 'apiVersion' is missing in 'object has no apiVersion field'";

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        Self { code: parts.status.as_u16(), bytes }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("an answer of JSON")
    }

    /// Whether it is what was asked for. A refusal is a Status that says so.
    pub fn is_good(&self) -> bool {
        if self.code < 400 {
            return true;
        }
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{status}");
        assert_eq!(status["status"], "Failure", "{status}");
        assert_eq!(status["code"], self.code, "{status}");
        assert!(status["message"].is_string(), "{status}");
        // Upstream answers 500 to what its libraries of patches refuse, without a reason, and to a custom resource that does not say
        // what it is; with another one, something is broken.
        let upstreams = status["reason"].is_null() || status["message"] == NO_VERSION;
        assert!(self.code < 500 || (self.code == 500 && upstreams), "{status}");
        false
    }
}
