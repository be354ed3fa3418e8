//! One of the two servers, as a client sees it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::gvk::GroupVersionKind;
use api::protobuf;
use api::schema::{SchemaSet, check};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::step::Wire;
use crate::bench::client::{Access, Connection};

/// A request that takes longer got stuck, also on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Peer {
    access: Access,
    connection: Option<Connection>,
}

/// Text that is no JSON is a JSON string here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 0: there was none, or none in time.
    pub code: u16,
    /// Sorted by name; names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

/// A watch that is read in the background.
pub struct Watch {
    pub answer: Answer,
    events: Arc<Mutex<Events>>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug, Default)]
pub struct Events {
    pub events: Vec<Value>,
    pub ended: bool,
}

impl Peer {
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        Ok(Self { access: Access::read(kubeconfig)?, connection: None })
    }

    pub async fn send(&mut self, wire: &Wire) -> Result<Answer> {
        match tokio::time::timeout(PATIENCE, self.try_send(wire)).await {
            Ok(Err(error)) if is_closed(&error) => {
                self.connection = None;
                Ok(Answer { code: 0, headers: Vec::new(), body: json!({"message": "the connection was closed"}) })
            }
            Ok(answer) => answer.with_context(|| format!("{} {}", wire.method, wire.target)),
            Err(_) => {
                self.connection = None;
                Ok(Answer { code: 0, headers: Vec::new(), body: "no answer, or no end of it".into() })
            }
        }
    }

    async fn try_send(&mut self, wire: &Wire) -> Result<Answer> {
        let response = self.begin(wire).await?;
        let (parts, body) = response.into_parts();
        let close = parts.headers.get("connection").is_some_and(|value| value == "close");
        let bytes = body.collect().await?.to_bytes();
        if close {
            self.connection = None;
        }
        let body = if is_protobuf(&parts.headers) { read_protobuf(&bytes) } else { read(&bytes) };
        Ok(Answer { code: parts.status.as_u16(), headers: headers(&parts.headers), body })
    }

    /// A connection that the server closed meanwhile is replaced once.
    async fn begin(&mut self, wire: &Wire) -> Result<http::Response<Incoming>> {
        if let Some(connection) = &mut self.connection
            && let Ok(response) = connection.raw(request(wire)?).await
        {
            return Ok(response);
        }
        let mut connection = self.access.connect().await?;
        let response = connection.raw(request(wire)?).await?;
        self.connection = Some(connection);
        Ok(response)
    }

    /// Returns when the server has answered with headers, or with an error.
    pub async fn watch(&self, wire: &Wire) -> Result<Watch> {
        let mut connection = self.access.connect().await?;
        let response = tokio::time::timeout(PATIENCE, connection.raw(request(wire)?)).await??;
        let (parts, body) = response.into_parts();
        let mut answer = Answer { code: parts.status.as_u16(), headers: headers(&parts.headers), body: Value::Null };
        let events = Arc::new(Mutex::new(Events::default()));
        if !parts.status.is_success() {
            answer.body = read(&body.collect().await?.to_bytes());
            events.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            return Ok(Watch { answer, events, reader: None });
        }
        let messages = parts.headers.get("content-type").is_some_and(|value| value.as_bytes() == PROTOBUF_STREAM);
        let reader = tokio::spawn(follow(body, connection, events.clone(), messages));
        Ok(Watch { answer, events, reader: Some(reader) })
    }
}

impl Watch {
    pub fn seen(&self) -> Events {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.abort();
        }
    }
}

async fn follow(mut body: Incoming, connection: Connection, events: Arc<Mutex<Events>>, messages: bool) {
    let mut buffer = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(event) = if messages { next_message(&mut buffer) } else { next_line(&mut buffer) } {
            events.lock().unwrap_or_else(PoisonError::into_inner).events.push(event);
        }
    }
    events.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    drop(connection);
}

fn next_line(buffer: &mut BytesMut) -> Option<Value> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    Some(read(&buffer.split_to(end + 1)))
}

/// A frame is its length and a message of `type` and `object`, which is what it would be alone in a message of bytes.
fn next_message(buffer: &mut BytesMut) -> Option<Value> {
    let length = u32::from_be_bytes(buffer.get(..4)?.try_into().ok()?) as usize;
    buffer.get(4..4 + length)?;
    let frame = buffer.split_to(4 + length);
    let kind = field(&frame[4..], 1).map(String::from_utf8_lossy).unwrap_or_default();
    let object = field(&frame[4..], 2).and_then(|extension| field(extension, 1)).unwrap_or_default();
    Some(serde_json::json!({"type": kind, "object": read_protobuf(object)}))
}

/// The bytes of a field in a message that has no others than such.
fn field(mut message: &[u8], number: u8) -> Option<&[u8]> {
    while let Some((&tag, rest)) = message.split_first() {
        let (mut length, mut shift, mut rest) = (0_usize, 0, rest);
        loop {
            let (&byte, after) = rest.split_first()?;
            length |= usize::from(byte & 0x7f).checked_shl(shift)?;
            (shift, rest) = (shift + 7, after);
            if byte < 0x80 {
                break;
            }
        }
        let (value, after) = rest.split_at_checked(length)?;
        if tag == number << 3 | 2 {
            return Some(value);
        }
        message = after;
    }
    None
}

/// What has no message of its kind is sent as the JSON it is.
fn request(wire: &Wire) -> Result<http::Request<Full<Bytes>>> {
    let mut builder = http::Request::builder().method(wire.method.as_str()).uri(&wire.target);
    let wants_protobuf = wire.headers.iter().any(|(name, value)| name == "content-type" && value == PROTOBUF);
    let message = if wants_protobuf { write_protobuf(&wire.body) } else { None };
    for (name, value) in &wire.headers {
        let is_json = wants_protobuf && message.is_none() && name == "content-type";
        builder = builder.header(name, if is_json { "application/json" } else { value });
    }
    let body = message.map_or_else(|| Bytes::from(wire.body.clone()), Bytes::from);
    match builder.body(Full::new(body)) {
        Ok(request) => Ok(request),
        Err(error) => bail!("{} {} cannot be sent: {error}", wire.method, wire.target),
    }
}

/// What a handler does that panics, on every connection anew.
fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
}

fn headers(map: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers: Vec<_> = map.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    headers.sort();
    headers
}

pub const PROTOBUF: &str = protobuf::CONTENT_TYPE;
const PROTOBUF_STREAM: &[u8] = b"application/vnd.kubernetes.protobuf;stream=watch";

fn is_protobuf(headers: &http::HeaderMap) -> bool {
    headers.get("content-type").is_some_and(|value| value.as_bytes() == PROTOBUF.as_bytes())
}

fn write_protobuf(json: &str) -> Option<Vec<u8>> {
    let set = SchemaSet::builtin();
    let mut object: Value = serde_json::from_str(json).ok()?;
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let ty = set.of_kind(&GroupVersionKind::from_api_version(text("apiVersion"), text("kind")))?;
    // What has no place in the message is an error elsewhere: here it would be nothing.
    let conformed = check::conform(set, ty, &mut object);
    let whole = conformed.errors.is_empty() && conformed.unknown.is_empty();
    whole.then(|| protobuf::encode_object(set, &object).ok()).flatten()
}

/// As JSON; a text that says why not where that cannot be.
fn read_protobuf(bytes: &[u8]) -> Value {
    protobuf::decode_object(SchemaSet::builtin(), bytes, None)
        .unwrap_or_else(|error| format!("no message: {error}").into())
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read_when_they_are_whole() {
        let set = SchemaSet::builtin();
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "y".repeat(300)}});
        let Ok(message) = protobuf::encode_object(set, &object) else { panic!("no message of {object}") };
        let frame = protobuf::watch_event("ADDED", &message);
        let mut buffer = BytesMut::from(&frame[..frame.len() - 1]);
        assert_eq!(next_message(&mut buffer), None);
        buffer.extend_from_slice(&frame[frame.len() - 1..]);
        buffer.extend_from_slice(&frame[..3]);
        assert_eq!(next_message(&mut buffer), Some(json!({"type": "ADDED", "object": object})));
        assert_eq!((next_message(&mut buffer), buffer.len()), (None, 3));
    }
}
