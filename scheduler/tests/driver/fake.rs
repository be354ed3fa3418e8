//! As much of an API server as a scheduler meets: lists and watches, bindings, conditions, events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Reply = Response<StreamBody<Lines>>;

#[derive(Clone, Default)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<(String, String), Value>,
    log: Vec<(u64, String, Bytes)>,
    watchers: Vec<(String, UnboundedSender<Bytes>)>,
    /// Bindings to refuse with 500.
    failing_bindings: usize,
    /// Pods in the order of their bindings.
    bindings: Vec<String>,
}

impl FakeApi {
    pub fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let reply = api.state().serve(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or(""), body);
                Ok::<_, Infallible>(reply)
            }
        });
        kube::Client::new(service, "default")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn put(&self, resource: &str, object: Value) {
        self.state().commit(resource, Some(object), "");
    }

    pub fn delete(&self, resource: &str, name: &str) {
        self.state().commit(resource, None, name);
    }

    pub fn get(&self, resource: &str, name: &str) -> Value {
        self.state().objects.get(&(resource.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }

    pub fn bindings(&self) -> Vec<String> {
        self.state().bindings.clone()
    }

    pub fn fail_bindings(&self, count: usize) {
        self.state().failing_bindings = count;
    }

    /// `reason: message` of all events.
    pub fn events(&self) -> Vec<String> {
        let state = self.state();
        let events = state.objects.iter().filter(|((resource, _), _)| resource == "events");
        events.map(|(_, event)| format!("{}: {}", text(&event["reason"]), text(&event["message"]))).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl State {
    fn serve(&mut self, method: &Method, path: &str, query: &str, body: Value) -> Reply {
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').skip(2).collect();
        if parts.len() > 2 && parts[0] == "namespaces" {
            parts.drain(..2);
        }
        match (method, parts.as_slice()) {
            (&Method::GET, [resource]) if query.contains("watch=") => self.watch(resource, query),
            (&Method::GET, [resource]) => self.list(resource),
            (&Method::POST, ["pods", name, "binding"]) => self.bind(name, &body),
            (&Method::PATCH, ["pods", name, "status"]) => self.patch_status(name, &body),
            (&Method::POST, ["events"]) => {
                self.commit("events", Some(body.clone()), "");
                reply(200, &body)
            }
            (&Method::PATCH, ["events", _]) => reply(200, &body),
            _ => failure(405),
        }
    }

    fn commit(&mut self, resource: &str, object: Option<Value>, name: &str) {
        self.revision += 1;
        let name = object.as_ref().map_or(name, |object| text(&object["metadata"]["name"])).to_owned();
        let id = (resource.to_owned(), name);
        let (kind, mut object) = match object {
            Some(object) if self.objects.contains_key(&id) => ("MODIFIED", object),
            Some(object) => ("ADDED", object),
            None => ("DELETED", self.objects.remove(&id).unwrap_or_default()),
        };
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if kind != "DELETED" {
            self.objects.insert(id, object.clone());
        }
        let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        self.log.push((self.revision, resource.to_owned(), line.clone()));
        for (_, watcher) in self.watchers.iter().filter(|(of, _)| of == resource) {
            let _ = watcher.send(line.clone());
        }
    }

    fn list(&self, resource: &str) -> Reply {
        let items: Vec<&Value> =
            self.objects.iter().filter(|((of, _), _)| of == resource).map(|(_, object)| object).collect();
        let meta = json!({"resourceVersion": self.revision.to_string()});
        reply(200, &json!({"apiVersion": "v1", "kind": "List", "metadata": meta, "items": items}))
    }

    fn watch(&mut self, resource: &str, query: &str) -> Reply {
        let after = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let after: u64 = after.and_then(|after| after.parse().ok()).unwrap_or(0);
        let (sender, receiver) = unbounded_channel();
        for (_, _, line) in self.log.iter().filter(|(revision, of, _)| *revision > after && of == resource) {
            let _ = sender.send(line.clone());
        }
        self.watchers.push((resource.to_owned(), sender));
        stream(200, receiver)
    }

    fn bind(&mut self, name: &str, body: &Value) -> Reply {
        let Some(mut pod) = self.objects.get(&("pods".to_owned(), name.to_owned())).cloned() else {
            return failure(404);
        };
        if self.failing_bindings > 0 {
            self.failing_bindings -= 1;
            return failure(500);
        }
        if !pod["spec"]["nodeName"].is_null() || pod["metadata"]["uid"] != body["metadata"]["uid"] {
            return failure(409);
        }
        pod["spec"]["nodeName"] = body["target"]["name"].clone();
        pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "True"}]);
        self.commit("pods", Some(pod), "");
        self.bindings.push(name.to_owned());
        reply(201, &json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
    }

    fn patch_status(&mut self, name: &str, body: &Value) -> Reply {
        let Some(mut pod) = self.objects.get(&("pods".to_owned(), name.to_owned())).cloned() else {
            return failure(404);
        };
        if pod["metadata"]["uid"] != body["metadata"]["uid"] {
            return failure(409);
        }
        // There is only the one condition.
        pod["status"]["conditions"] = body["status"]["conditions"].clone();
        self.commit("pods", Some(pod.clone()), "");
        reply(200, &pod)
    }
}

fn failure(code: u16) -> Reply {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    let message = "refused by the test";
    let status = json!({"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code});
    reply(code, &status)
}

fn reply(code: u16, body: &Value) -> Reply {
    let (sender, receiver) = unbounded_channel();
    let _ = sender.send(Bytes::from(body.to_string()));
    stream(code, receiver)
}

fn stream(code: u16, receiver: UnboundedReceiver<Bytes>) -> Reply {
    let mut response = Response::new(StreamBody::new(Lines(receiver)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

pub struct Lines(UnboundedReceiver<Bytes>);

impl futures::Stream for Lines {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
