//! The API server as a machine: made over the disk, and given the requests that arrive.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apiserver::{ApiServer, UserInfo};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::Value;

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
    let created = *asked.request.method() == Method::POST && &*client == "controllers";
    let hides = created && asked.bug == Some(Bug::NoExpectations);
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
    let bytes = if hides && head.status == StatusCode::CREATED { without_revision(&bytes) } else { bytes };
    wire.answer(connection, Parcel::Answer(head.status, Some(bytes)));
}

/// A request, and what is wrong with whoever takes it.
pub struct Asked {
    pub request: Request<Bytes>,
    pub bug: Option<Bug>,
    /// History was forgotten before.
    pub compacted: bool,
}

impl Asked {
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

fn without_revision(body: &Bytes) -> Bytes {
    let Ok(mut object) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    object.to_string().into()
}
