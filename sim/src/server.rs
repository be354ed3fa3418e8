//! The API server as a machine: made over the disk, and given the requests that arrive.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apiserver::{ApiServer, UserInfo};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::bugs::Bug;
use crate::disk::Handle;
use crate::rng::Rng;
use crate::wire::{Connection, Parcel, Wire, is_watch};

/// `random` goes on when a server is started again: uids are made of it.
pub fn make(disk: &Handle, random: &Arc<Mutex<Rng>>, compaction: Duration) -> ApiServer {
    let random = random.clone();
    let random = move || random.lock().unwrap_or_else(PoisonError::into_inner).draw();
    let mut config = apiserver::Config::new(Arc::new(disk.clone()), Arc::new(Timestamp::now), Arc::new(random));
    config.compaction_interval = compaction;
    ApiServer::new(config)
}

/// One request, to its end.
pub async fn serve(server: ApiServer, wire: Wire, connection: Connection, client: Arc<str>, asked: Asked) {
    let watch = is_watch(&asked.request.uri().to_string());
    let lie = asked.lie(&client);
    let request = asked.planted().map(apiserver::body::full);
    let response = server.handle(UserInfo::admin(), request).await;
    let (head, mut body) = response.into_parts();
    if watch && head.status.is_success() {
        wire.answer(connection, Parcel::Answer(head.status, None));
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(bytes) = frame.into_data() {
                wire.answer(connection, Parcel::Frame(bytes));
            }
        }
        wire.answer(connection, Parcel::End);
        return;
    }
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, bytes) = match lie {
        Some(lie) if head.status.is_success() => lie.told(head.status, bytes),
        _ => (head.status, bytes),
    };
    wire.answer(connection, Parcel::Answer(status, Some(bytes)));
}

/// A request, and what is wrong with whoever takes it.
pub struct Asked {
    pub request: Request<Bytes>,
    pub bug: Option<Bug>,
    /// History was forgotten before.
    pub compacted: bool,
}

impl Asked {
    /// What a client with the bug would make of the answer.
    fn lie(&self, client: &str) -> Option<Lie> {
        let (method, path) = (self.request.method(), self.request.uri().path());
        match self.bug? {
            Bug::NoExpectations if *method == Method::POST && client == "controllers" => Some(Lie::WithoutRevision),
            Bug::ForgetsAssumed if path.ends_with("/binding") && client == "scheduler" => Some(Lie::Refused),
            Bug::CollectsUnasked
                if *method == Method::GET && client == "controllers" && path.contains("/deployments/") =>
            {
                Some(Lie::NotThereYet)
            }
            _ => None,
        }
    }

    /// What a server with the bug would understand.
    fn planted(self) -> Request<Bytes> {
        let Asked { mut request, bug, compacted } = self;
        let uri = request.uri().to_string();
        let with_uri = |mut request: Request<Bytes>, uri: String| {
            if let Ok(uri) = uri.parse() {
                *request.uri_mut() = uri;
            }
            request
        };
        match bug {
            Some(Bug::SkippingWatch) if compacted && is_watch(&uri) => {
                let from = uri.split_once("resourceVersion=").and_then(|(before, from)| {
                    Some(format!("{before}resourceVersion={}", from.parse::<u64>().ok()? + 1))
                });
                with_uri(request, from.unwrap_or(uri))
            }
            Some(Bug::StaleList) if *request.method() == Method::GET && uri.contains("limit=") => {
                let uri = uri.replace("limit=500", "resourceVersion=0");
                with_uri(request, uri)
            }
            Some(Bug::EvictionIgnoresBudget) if uri.contains("/eviction") => {
                *request.method_mut() = Method::DELETE;
                *request.body_mut() = Bytes::new();
                let uri = uri.replace("/eviction", "");
                with_uri(request, uri)
            }
            _ => request,
        }
    }
}

/// A successful answer that its reader takes for another one.
enum Lie {
    WithoutRevision,
    Refused,
    /// What has not been there for long is not there.
    NotThereYet,
}

/// Afterwards the garbage collector asks for nothing that it does not know, and adoption may ask as it should.
const YOUNG_SECONDS: i64 = 60;

impl Lie {
    fn told(self, status: StatusCode, body: Bytes) -> (StatusCode, Bytes) {
        let Ok(mut object) = serde_json::from_slice::<Value>(&body) else { return (status, body) };
        let metadata = &mut object["metadata"];
        match self {
            Lie::WithoutRevision if status == StatusCode::CREATED => {
                metadata.as_object_mut().map(|metadata| metadata.remove("resourceVersion"));
                (status, object.to_string().into())
            }
            Lie::Refused => refusal(StatusCode::CONFLICT, "Conflict"),
            Lie::NotThereYet if is_young(metadata) => refusal(StatusCode::NOT_FOUND, "NotFound"),
            _ => (status, body),
        }
    }
}

fn is_young(metadata: &Value) -> bool {
    let created = metadata["creationTimestamp"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let age = created.map(|created| Timestamp::now().as_second() - created.as_second());
    metadata["deletionTimestamp"].is_null() && age.is_some_and(|age| age < YOUNG_SECONDS)
}

fn refusal(status: StatusCode, reason: &str) -> (StatusCode, Bytes) {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": reason, "code": status.as_u16()});
    (status, body.to_string().into())
}
