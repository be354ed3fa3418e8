//! A server over the memory store, and a client that says what it does in one line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apiserver::body::{self, Body};
use apiserver::{ApiServer, Config, UserInfo};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::Memory;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Server {
    pub api: ApiServer,
    _stop: DropGuard,
}

#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let seed = AtomicU64::new(1);
        let random = move || seed.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let clock = || "2026-01-01T00:00:00Z".parse().unwrap();
        let mut config = Config::new(Arc::new(Memory::new()), Arc::new(clock), Arc::new(random));
        change(&mut config);
        let api = ApiServer::new(config);
        let cancel = CancellationToken::new();
        let background = api.clone();
        let stop = cancel.clone();
        tokio::spawn(async move { background.run_background(stop).await });
        let server = Self { api, _stop: cancel.drop_guard() };
        // The last object of the bootstrap.
        server.until("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", |a| a.code == 200).await;
        server
    }

    pub async fn raw(&self, request: Request<Body>) -> Response<Body> {
        self.api.handle(UserInfo::admin(), request).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> Answer {
        self.send_as(&UserInfo::admin(), method, path, headers, body).await
    }

    pub async fn send_as(
        &self,
        user: &UserInfo,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.api.handle(user.clone(), request.body(body::full(body)).unwrap()).await;
        let (parts, body) = response.into_parts();
        let bytes = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
        let body = match parts.headers.get("content-type") {
            Some(kind) if kind == api::protobuf::CONTENT_TYPE => {
                api::protobuf::decode_object(api::schema::SchemaSet::builtin(), &bytes, None).unwrap()
            }
            _ => serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        };
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, object: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], object.to_string()).await
    }

    pub async fn put(&self, path: &str, object: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], object.to_string()).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> Answer {
        let body = if options.is_null() { String::new() } else { options.to_string() };
        self.send("DELETE", path, &[("content-type", "application/json")], body).await
    }

    /// `kind` is json, merge or strategic-merge.
    pub async fn patch(&self, path: &str, kind: &str, patch: &Value) -> Answer {
        let content_type = format!("application/{kind}-patch+json");
        self.send("PATCH", path, &[("content-type", &content_type)], patch.to_string()).await
    }

    /// Server-side apply. `query` names the field manager.
    pub async fn apply(&self, path: &str, query: &str, config: &Value) -> Answer {
        let path = format!("{path}?{query}");
        self.send("PATCH", &path, &[("content-type", "application/apply-patch+yaml")], config.to_string()).await
    }

    pub async fn until(&self, path: &str, done: impl Fn(&Answer) -> bool) -> Answer {
        let wait = async {
            loop {
                let answer = self.get(path).await;
                if done(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("a condition that never came")
    }

    pub async fn watch(&self, path: &str) -> Watch {
        let response = self.raw(Request::get(path).body(body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200, "{path}");
        Watch { body: response.into_body(), text: Vec::new() }
    }

    /// A namespace with its default service account.
    pub async fn namespace(&self, name: &str) {
        let answer = self.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
        assert_eq!(answer.code, 201, "{}", answer.body);
        let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
        assert_eq!(self.post(&accounts, &json!({"metadata": {"name": "default"}})).await.code, 201);
    }
}

impl Answer {
    #[track_caller]
    pub fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.body);
        self.body
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub fn names(&self) -> Vec<String> {
        let items = self.body["items"].as_array().into_iter().flatten();
        items.map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Managers of the object as `name operation[/subresource] fields`.
    pub fn managers(&self) -> Vec<String> {
        managers(&self.body)
    }

    pub fn version(&self) -> String {
        self.body["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
    }

    pub fn warnings(&self) -> Vec<&str> {
        self.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect()
    }
}

pub fn managers(object: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let shown = |entry: &Value| {
        assert_eq!(entry["fieldsType"], "FieldsV1");
        let subresource = entry.get("subresource").map(|name| format!("/{}", text(name))).unwrap_or_default();
        let (manager, operation) = (text(&entry["manager"]), text(&entry["operation"]));
        format!("{manager} {operation}{subresource} {}", entry["fieldsV1"])
    };
    entries.map(shown).collect()
}

/// The events of a watch.
pub struct Watch {
    body: Body,
    text: Vec<u8>,
}

impl Watch {
    /// The next event, or `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an event that never came")
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.text.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// The next event as `ADDED name`.
    pub async fn say(&mut self) -> String {
        match self.next().await {
            None => "end".to_owned(),
            Some(event) => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                format!("{} {}", text(&event["type"]), text(&event["object"]["metadata"]["name"]))
            }
        }
    }
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]}})
}
