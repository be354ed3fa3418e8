//! An API server of a few verbs in memory, for tests of the driver only: objects, revisions, watches that may lag, failures on
//! demand.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Reply = Response<StreamBody<ReceiverStream>>;

#[derive(Clone, Default)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// By resource and path, e.g. `pods` and `default/web`.
    objects: BTreeMap<(String, String), Value>,
    log: Vec<(u64, String, Value)>,
    watchers: Vec<(String, UnboundedSender<Bytes>)>,
    lag: Duration,
    refusals: Vec<(Method, String, u16)>,
    requests: Vec<String>,
}

impl FakeApi {
    pub fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.serve(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Watch events arrive this much later than the answers to the writes that caused them.
    pub fn set_lag(&self, lag: Duration) {
        self.state.lock().unwrap().lag = lag;
    }

    /// The next request of this method for this resource is answered with this code.
    pub fn refuse(&self, method: Method, resource: &str, code: u16) {
        self.state.lock().unwrap().refusals.push((method, resource.to_owned(), code));
    }

    pub fn put(&self, resource: &str, object: Value) -> Value {
        let path = path_of(&object);
        self.state.lock().unwrap().commit(resource, &path, Some(object)).unwrap()
    }

    pub fn remove(&self, resource: &str, path: &str) {
        self.state.lock().unwrap().commit(resource, path, None);
    }

    pub fn list(&self, resource: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state.objects.iter().filter(|((of, _), _)| of == resource).map(|(_, object)| object.clone()).collect()
    }

    /// `METHOD resource` of each request that was no GET.
    pub fn writes(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    async fn serve(&self, request: Request<Body>) -> Reply {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let (resource, namespace, name, _subresource) = parse(parts.uri.path());
        let query = parts.uri.query().unwrap_or("");
        let mut state = self.state.lock().unwrap();
        if parts.method != Method::GET {
            state.requests.push(format!("{} {resource}", parts.method));
        }
        let refused = state.refusals.iter().position(|(method, of, _)| *method == parts.method && *of == resource);
        if let Some(index) = refused {
            let (_, _, code) = state.refusals.remove(index);
            return failure(code, "refused by the test");
        }
        let path = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
        match parts.method {
            Method::GET if query.contains("watch=") => state.watch(&resource, query),
            Method::GET if name.is_empty() => state.list(&resource),
            Method::GET => match state.objects.get(&(resource, path)) {
                Some(object) => ok(object),
                None => failure(404, "not found"),
            },
            Method::POST => state.create(&resource, &namespace, body),
            Method::PUT | Method::PATCH => state.change(&resource, &path, parts.method == Method::PUT, body),
            Method::DELETE => state.delete(&resource, &path, &body),
            _ => failure(405, "method not allowed"),
        }
    }
}

impl State {
    fn commit(&mut self, resource: &str, path: &str, object: Option<Value>) -> Option<Value> {
        let id = (resource.to_owned(), path.to_owned());
        self.revision += 1;
        let (kind, mut object) = match object {
            Some(object) if self.objects.contains_key(&id) => ("MODIFIED", object),
            Some(object) => ("ADDED", object),
            None => ("DELETED", self.objects.remove(&id)?),
        };
        let old_uid = self.objects.get(&id).map(|old| old["metadata"]["uid"].clone());
        let meta = &mut object["metadata"];
        if let Some(uid) = old_uid {
            meta["uid"] = uid;
        }
        meta["resourceVersion"] = json!(self.revision.to_string());
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{}", self.revision));
        }
        if kind != "DELETED" {
            self.objects.insert(id, object.clone());
        }
        let event = json!({"type": kind, "object": object});
        self.log.push((self.revision, resource.to_owned(), event.clone()));
        let line = Bytes::from(format!("{event}\n"));
        let lag = self.lag;
        for (of, watcher) in &self.watchers {
            if of == resource {
                let (watcher, line) = (watcher.clone(), line.clone());
                if lag.is_zero() {
                    let _ = watcher.send(line);
                } else {
                    tokio::spawn(async move {
                        tokio::time::sleep(lag).await;
                        let _ = watcher.send(line);
                    });
                }
            }
        }
        Some(object)
    }

    fn list(&self, resource: &str) -> Reply {
        let items: Vec<&Value> =
            self.objects.iter().filter(|((of, _), _)| of == resource).map(|(_, object)| object).collect();
        ok(
            &json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": self.revision.to_string()}, "items": items}),
        )
    }

    fn watch(&mut self, resource: &str, query: &str) -> Reply {
        let from =
            query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).and_then(|from| from.parse().ok());
        let from: u64 = from.unwrap_or(0);
        let (sender, receiver) = unbounded_channel();
        for (_, _, event) in self.log.iter().filter(|(revision, of, _)| *revision > from && of == resource) {
            let _ = sender.send(Bytes::from(format!("{event}\n")));
        }
        self.watchers.push((resource.to_owned(), sender));
        reply(200, receiver)
    }

    fn create(&mut self, resource: &str, namespace: &str, mut body: Value) -> Reply {
        if !namespace.is_empty() {
            body["metadata"]["namespace"] = json!(namespace);
        }
        if let Some(prefix) = body["metadata"]["generateName"].as_str() {
            body["metadata"]["name"] = json!(format!("{prefix}{}", self.revision));
        }
        let path = path_of(&body);
        if self.objects.contains_key(&(resource.to_owned(), path.clone())) {
            return failure(409, "already exists");
        }
        let created = self.commit(resource, &path, Some(body)).unwrap();
        ok(&created)
    }

    fn change(&mut self, resource: &str, path: &str, replace: bool, body: Value) -> Reply {
        let Some(mut object) = self.objects.get(&(resource.to_owned(), path.to_owned())).cloned() else {
            return failure(404, "not found");
        };
        for field in ["resourceVersion", "uid"] {
            let wanted = &body["metadata"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return failure(409, "the object has been modified");
            }
        }
        if replace {
            object = body;
        } else {
            merge(&mut object, &body);
        }
        let changed = self.commit(resource, path, Some(object)).unwrap();
        ok(&changed)
    }

    fn delete(&mut self, resource: &str, path: &str, options: &Value) -> Reply {
        let Some(object) = self.objects.get(&(resource.to_owned(), path.to_owned())) else {
            return failure(404, "not found");
        };
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return failure(409, "another uid");
        }
        let deleted = self.commit(resource, path, None).unwrap();
        ok(&deleted)
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (field, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(field);
        } else {
            merge(&mut target[field.as_str()], value);
        }
    }
}

fn path_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// Resource, namespace, name and subresource of a path; what is not there is empty.
fn parse(path: &str) -> (String, String, String, String) {
    let mut parts = path.trim_matches('/').split('/').map(str::to_owned);
    let prefix = if parts.next().as_deref() == Some("api") { 1 } else { 2 };
    let mut rest: Vec<String> = parts.skip(prefix).collect();
    let mut namespace = String::new();
    if rest.len() > 2 && rest[0] == "namespaces" {
        namespace = rest[1].clone();
        rest.drain(..2);
    }
    rest.resize(3, String::new());
    (rest[0].clone(), namespace, rest[1].clone(), rest[2].clone())
}

fn ok(body: &Value) -> Reply {
    let (sender, receiver) = unbounded_channel();
    sender.send(Bytes::from(body.to_string())).unwrap();
    reply(200, receiver)
}

fn failure(code: u16, message: &str) -> Reply {
    let reason = match (code, message) {
        (409, "already exists") => "AlreadyExists",
        (409, _) => "Conflict",
        (404, _) => "NotFound",
        _ => "InternalError",
    };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code,
    });
    let (sender, receiver) = unbounded_channel();
    sender.send(Bytes::from(status.to_string())).unwrap();
    reply(code, receiver)
}

fn reply(code: u16, receiver: UnboundedReceiver<Bytes>) -> Reply {
    let mut response = Response::new(StreamBody::new(ReceiverStream(receiver)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

pub struct ReceiverStream(UnboundedReceiver<Bytes>);

impl futures::Stream for ReceiverStream {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
