//! Bodies of requests and responses: boxed, so that TLS connections, in-process clients, watches and upgrades look alike. Those of
//! requests are read within a limit.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use api::status::Status;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The one body type. `kube::client::Body` and hyper's `Incoming` become one by [`wrap`].
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// Upstream's limit (`DefaultMaxRequestBodyBytes`).
const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// Of a larger body, so much is read and forgotten before the answer, and for so long.
const DISCARD_LIMIT: usize = 16 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(5);

pub fn empty() -> Body {
    full(Bytes::new())
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn wrap<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A body that keeps something until it was sent, or dropped.
pub(crate) fn keep<T: Send + Unpin + 'static>(body: Body, kept: T) -> Body {
    Keeping { inner: body, kept: Some(kept) }.boxed_unsync()
}

struct Keeping<T> {
    inner: Body,
    kept: Option<T>,
}

impl<T: Unpin> http_body::Body for Keeping<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.kept = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The whole body, or the answer 413.
pub async fn read(mut body: Body) -> Result<Bytes, Status> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(format!("read the request's body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > BODY_LIMIT {
            discard(body).await;
            return Err(Status::too_large(&format!("limit is {BODY_LIMIT}")));
        }
        // Most bodies are one frame, which needs no copy.
        if first.is_empty() { first = data } else { rest.extend_from_slice(&data) }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    Ok([&first[..], &rest[..]].concat().into())
}

/// The whole body of another server's answer.
///
/// # Errors
/// It is longer than `limit`, or broke off.
pub async fn read_within(mut body: Body, limit: usize) -> Result<Bytes, String> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > limit {
            return Err("the answer is too long".to_owned());
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// Reads on, within limits: a client that is still writing when its connection is closed never sees the answer.
async fn discard(mut body: Body) {
    let mut left = DISCARD_LIMIT;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Whatever comes of it, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIME, all).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_are_limited() {
        let status = read(full(vec![b' '; BODY_LIMIT + 1])).await.unwrap_err();
        assert_eq!((status.code, &*status.message), (413, "Request entity too large: limit is 3145728"));
        assert_eq!(read(full(vec![b' '; BODY_LIMIT])).await.map(|bytes| bytes.len()), Ok(BODY_LIMIT));
    }

    #[tokio::test]
    async fn large_bodies_are_read_to_their_end_within_limits() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        use futures::StreamExt;

        const FRAME: usize = 1 << 20;
        for (frames, expected) in [(5, 5), (1000, (BODY_LIMIT + DISCARD_LIMIT) / FRAME + 1)] {
            let taken = Arc::new(AtomicUsize::new(0));
            let count = taken.clone();
            let stream = futures::stream::iter(0..frames).map(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, BoxError>(http_body::Frame::data(Bytes::from(vec![b' '; FRAME])))
            });
            let status = read(wrap(http_body_util::StreamBody::new(stream))).await.unwrap_err();
            assert_eq!((status.code, taken.load(Ordering::Relaxed)), (413, expected), "{frames} frames");
        }
    }
}
