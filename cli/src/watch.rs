//! Watching from the command line: events as they come, and waiting until one object is as wanted.

use anyhow::{Context, Result};
use futures::{Stream, StreamExt, TryStreamExt};
use serde_json::Value;
use tokio::io::AsyncBufReadExt;
use tokio_stream::wrappers::LinesStream;
use tokio_util::io::StreamReader;

use crate::resources::Resource;
use crate::session::{ApiError, Session};

/// One event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.
    pub kind: String,
    pub object: Value,
}

/// The events of a path that ends in a query with `watch=1`, until the server ends the stream.
pub async fn events(
    session: &Session,
    path: &str,
    accept: &str,
) -> Result<impl Stream<Item = Result<Event>> + use<>, ApiError> {
    let response = session.send("GET", path, None, accept).await?;
    let bytes = http_body_util::BodyDataStream::new(response.into_body()).map_err(std::io::Error::other);
    let lines = LinesStream::new(StreamReader::new(bytes).lines());
    Ok(lines.map(|line| {
        let mut event: Value = serde_json::from_str(&line.context("read the watch")?).context("read a watch event")?;
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        Ok(Event { kind, object: event["object"].take() })
    }))
}

/// Waits until `wanted` gives an answer for the object, which is `None` while it does not exist.
pub async fn until<T>(
    session: &Session,
    resource: &Resource,
    namespace: &str,
    name: &str,
    mut wanted: impl FnMut(Option<&Value>) -> Option<T>,
) -> Result<T> {
    let path = resource.path(Some(namespace), None);
    let selector = format!("fieldSelector=metadata.name%3D{name}");
    loop {
        let list = session.get(&format!("{path}?{selector}")).await?;
        if let Some(answer) = wanted(list["items"].get(0)) {
            return Ok(answer);
        }
        let revision = list.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let watch = format!("{path}?watch=1&{selector}&resourceVersion={revision}");
        let mut stream = std::pin::pin!(events(session, &watch, "application/json").await?);
        while let Some(event) = stream.next().await {
            let event = event?;
            let answer = match event.kind.as_str() {
                "ADDED" | "MODIFIED" => wanted(Some(&event.object)),
                "DELETED" => wanted(None),
                // Compacted, most likely: list again.
                "ERROR" => break,
                _ => None,
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }
}
