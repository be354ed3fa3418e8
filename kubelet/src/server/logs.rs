//! `/containerLogs/NAMESPACE/POD/CONTAINER`.

use std::io;
use std::sync::Arc;

use api::status::{Qualified, Status};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::route::{Query, Target};
use super::{Answer, failure};
use crate::driver::Shared;
use crate::logs::{LogOptions, reader};
use crate::table::{Instance, Row};

/// Chunks that wait for a slow client; the reader then waits with it.
const CHUNKS: usize = 4;

fn options(query: &Query, now: Timestamp) -> Result<LogOptions, String> {
    let size = |name: &str| -> Result<Option<usize>, String> {
        Ok(query.number(name)?.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    };
    let ago = query.number("sinceSeconds")?.map(|seconds| {
        let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        now.saturating_sub(seconds).unwrap_or(Timestamp::MIN)
    });
    let since = match query.get("sinceTime").filter(|time| !time.is_empty()) {
        Some(time) => Some(time.parse().map_err(|_| format!("invalid sinceTime: {time:?}"))?),
        None => ago,
    };
    Ok(LogOptions {
        follow: query.flag(&["follow"]),
        tail_lines: size("tailLines")?,
        since,
        timestamps: query.flag(&["timestamps"]),
        limit_bytes: size("limitBytes")?,
        stream: query.get("stream").filter(|stream| !matches!(*stream, "" | "All")).map(str::to_lowercase),
    })
}

/// Which instance is meant, or why there is none.
fn instance(row: &Row, target: &Target, previous: bool) -> Result<Instance, Status> {
    let Target { pod, container, .. } = target;
    let known = row.containers.get(container);
    let known =
        known.ok_or_else(|| Status::bad_request(format!("container {container} is not valid for pod {pod}")))?;
    if previous {
        let missing = format!("previous terminated container {container:?} in pod {pod:?} not found");
        return known.previous.clone().ok_or_else(|| Status::bad_request(missing));
    }
    let waiting = || {
        let status = &row.status;
        let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
        let own = lists.into_iter().flatten().flatten().find(|status| status.name == *container);
        let state = own.and_then(|status| status.state.as_ref()).and_then(|state| state.waiting.as_ref());
        let reason = state.and_then(|waiting| waiting.reason.clone()).unwrap_or_else(|| "ContainerCreating".to_owned());
        match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
                format!("container {container:?} in pod {pod:?} is waiting to start: trying and failing to pull image")
            }
            reason => format!("container {container:?} in pod {pod:?} is waiting to start: {reason}"),
        }
    };
    known.current.clone().ok_or_else(|| Status::bad_request(waiting()))
}

pub fn answer(shared: &Arc<Shared>, target: &Target, query: &Query) -> Answer {
    let options = match options(query, shared.clock.now()) {
        Ok(options) => options,
        Err(error) => return failure(&Status::bad_request(error)),
    };
    let Some(row) = shared.table.find(&target.namespace, &target.pod) else {
        return failure(&Status::not_found(Qualified::new("", "pods"), &target.pod));
    };
    let (id, attempt) = match instance(&row, target, query.flag(&["previous"])) {
        Ok(instance) => instance,
        Err(status) => return failure(&status),
    };
    let path = shared.paths.log(&row.pod, &target.container, attempt);
    let uid = row.pod.metadata.uid.clone().unwrap_or_default();
    let (to, from) = mpsc::channel(CHUNKS);
    let (table, container) = (shared.table.clone(), target.container.clone());
    let ended = async move { table.ended(&uid, &container, &id).await };
    tokio::spawn(reader::stream(path, options, ended, to));
    stream_answer(from)
}

fn stream_answer(from: mpsc::Receiver<io::Result<Bytes>>) -> Answer {
    let chunks = stream::unfold(from, |mut from| async { from.recv().await.map(|chunk| (chunk, from)) });
    let mut answer = Response::new(StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_queries() {
        let now = Timestamp::from_second(1000).expect("a time");
        let parse = |text: &str| options(&Query::parse(text), now);
        let expected = LogOptions {
            follow: true,
            tail_lines: Some(3),
            since: Timestamp::from_second(940).ok(),
            stream: Some("stdout".to_owned()),
            ..LogOptions::default()
        };
        assert_eq!(parse("follow=true&tailLines=3&sinceSeconds=60&stream=Stdout"), Ok(expected));
        assert_eq!(
            parse("sinceTime=1970-01-01T00:00:05Z").map(|options| options.since),
            Ok(Timestamp::from_second(5).ok())
        );
        assert!(parse("sinceTime=yesterday").is_err() && parse("limitBytes=x").is_err());
    }
}
