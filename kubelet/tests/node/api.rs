//! A fake API server, as small as the kubelet's use of one: objects by path, lists, watches, creation, patches, deletion.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::broadcast;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Clone)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    changes: broadcast::Sender<(String, String, Value)>,
}

#[derive(Default)]
struct State {
    /// By path, such as `/api/v1/namespaces/ns/pods/p`.
    objects: BTreeMap<String, Value>,
    revision: u64,
    uids: u64,
}

/// Collection of a path that may name an object, a subresource or a collection across namespaces.
struct Parsed {
    collection: String,
    name: Option<String>,
    sub: Option<String>,
}

fn parse(path: &str) -> Parsed {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let root = if parts[0] == "api" { 2 } else { 3 };
    let depth = if parts.get(root) == Some(&"namespaces") && parts.len() > root + 2 { root + 3 } else { root + 1 };
    let owned = |index: usize| parts.get(index).map(|part| (*part).to_owned());
    Parsed { collection: format!("/{}", parts[..depth].join("/")), name: owned(depth), sub: owned(depth + 1) }
}

/// `/api/v1/namespaces/ns/pods` and `/api/v1/pods` are one kind.
fn in_collection(object: &str, collection: &str) -> bool {
    let (own, _) = object.rsplit_once('/').unwrap_or_default();
    if own == collection {
        return true;
    }
    let (prefix, resource) = collection.rsplit_once('/').unwrap_or_default();
    own.starts_with(&format!("{prefix}/namespaces/")) && own.ends_with(&format!("/{resource}"))
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let Some(selector) = query.get("fieldSelector") else { return true };
    let (field, wanted) = selector.split_once('=').unwrap_or_default();
    object.pointer(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_str) == Some(wanted)
}

fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        match (name.as_str(), value) {
            (_, Value::Null) => drop(target.as_object_mut().map(|map| map.remove(name))),
            ("conditions", Value::Array(changes)) => {
                let mut list = target[name].as_array().cloned().unwrap_or_default();
                for change in changes {
                    match list.iter_mut().find(|old| old["type"] == change["type"]) {
                        Some(old) => merge(old, change),
                        None => list.push(change.clone()),
                    }
                }
                target[name] = list.into();
            }
            (_, Value::Array(items)) => {
                target[name] = items.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
            }
            _ => merge(&mut target[name], value),
        }
    }
}

fn answer(status: StatusCode, value: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

fn failure(code: u16, reason: &str) -> Answer {
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason, "metadata": {}});
    answer(StatusCode::from_u16(code).expect("a status code"), &status)
}

impl FakeApi {
    pub fn new() -> FakeApi {
        FakeApi { state: Arc::default(), changes: broadcast::channel(1024).0 }
    }

    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.handle(request).await) }
        });
        Client::new(service, "default")
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().expect("the state").objects.get(path).cloned()
    }

    pub fn put(&self, path: &str, object: Value) -> Value {
        let mut state = self.state.lock().expect("the state");
        self.store(&mut state, path, object)
    }

    /// As a force deletion does it.
    pub fn remove(&self, path: &str) {
        let mut state = self.state.lock().expect("the state");
        if let Some(object) = state.objects.remove(path) {
            let _ = self.changes.send(("DELETED".to_owned(), path.to_owned(), object));
        }
    }

    /// As a user deletes a pod: gracefully.
    pub fn delete_pod(&self, path: &str, grace: i64) {
        let mut object = self.get(path).expect("a pod");
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.put(path, object);
    }

    pub fn events(&self) -> Vec<String> {
        let state = self.state.lock().expect("the state");
        let events = state.objects.iter().filter(|(path, _)| path.contains("/events/"));
        events
            .map(|(_, event)| {
                format!(
                    "{}: {}",
                    event["reason"].as_str().unwrap_or_default(),
                    event["message"].as_str().unwrap_or_default()
                )
            })
            .collect()
    }

    fn store(&self, state: &mut State, path: &str, mut object: Value) -> Value {
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            state.uids += 1;
            object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", state.uids));
        }
        let kind = if state.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        state.objects.insert(path.to_owned(), object.clone());
        let _ = self.changes.send((kind.to_owned(), path.to_owned(), object.clone()));
        object
    }

    async fn handle(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let query: BTreeMap<String, String> = query.map(|(name, value)| (name.to_owned(), decode(value))).collect();
        let parsed = parse(parts.uri.path());
        match (parts.method, parsed) {
            (Method::GET, Parsed { collection, name: None, .. }) => self.list(&collection, &query),
            (Method::GET, Parsed { collection, name: Some(name), .. }) => self
                .get(&format!("{collection}/{name}"))
                .map_or_else(|| failure(404, "NotFound"), |object| answer(StatusCode::OK, &object)),
            (Method::POST, Parsed { sub: Some(sub), .. }) if sub == "token" => answer(
                StatusCode::CREATED,
                &json!({"metadata": {}, "spec": body["spec"], "status": {"token": "a-token", "expirationTimestamp": "2100-01-01T00:00:00Z"}}),
            ),
            (Method::POST, Parsed { collection, .. }) => self.create(&collection, body),
            (Method::DELETE, Parsed { collection, name: Some(name), .. }) => {
                self.remove(&format!("{collection}/{name}"));
                answer(StatusCode::OK, &json!({"kind": "Status", "status": "Success", "metadata": {}}))
            }
            (_, Parsed { collection, name: Some(name), .. }) => self.change(&format!("{collection}/{name}"), &body),
            _ => failure(405, "MethodNotAllowed"),
        }
    }

    fn create(&self, collection: &str, object: Value) -> Answer {
        let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
        let mut state = self.state.lock().expect("the state");
        match state.objects.contains_key(&path) {
            true => failure(409, "AlreadyExists"),
            false => answer(StatusCode::CREATED, &self.store(&mut state, &path, object)),
        }
    }

    /// PUT and every kind of PATCH.
    fn change(&self, path: &str, body: &Value) -> Answer {
        let mut state = self.state.lock().expect("the state");
        let Some(mut object) = state.objects.get(path).cloned() else { return failure(404, "NotFound") };
        let uid = &body["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return failure(409, "Conflict");
        }
        merge(&mut object, body);
        answer(StatusCode::OK, &self.store(&mut state, path, object))
    }

    fn list(&self, collection: &str, query: &BTreeMap<String, String>) -> Answer {
        let state = self.state.lock().expect("the state");
        let objects =
            state.objects.iter().filter(|(path, object)| in_collection(path, collection) && selected(object, query));
        if query.get("watch").is_none_or(|watch| watch != "true" && watch != "1") {
            let items: Vec<&Value> = objects.map(|(_, object)| object).collect();
            let metadata = json!({"resourceVersion": state.revision.to_string()});
            return answer(
                StatusCode::OK,
                &json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}),
            );
        }
        let since: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let revision = |object: &Value| {
            object["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or(0u64)
        };
        // What changed between the list and this watch; deletions in between do not happen in these tests.
        let missed: Vec<Value> = objects
            .filter(|(_, object)| revision(object) > since)
            .map(|(_, object)| json!({"type": "MODIFIED", "object": object}))
            .collect();
        let (collection, query) = (collection.to_owned(), query.clone());
        let live = stream::unfold(self.changes.subscribe(), |mut from| async {
            from.recv().await.ok().map(|change| (change, from))
        });
        let live = live.filter_map(move |(kind, path, object)| {
            let mine = in_collection(&path, &collection) && selected(&object, &query);
            async move { mine.then(|| json!({"type": kind, "object": object})) }
        });
        let lines = stream::iter(missed).chain(live).map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}
