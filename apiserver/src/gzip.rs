//! Compression of a body while it is sent.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;

use crate::body::{Body, BoxError};

/// Upstream's level: on JSON the higher ones cost much and save little.
const LEVEL: u32 = 1;

pub(crate) struct Gzip {
    inner: Body,
    /// `None` after the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Gzip {
    pub fn new(inner: Body) -> Self {
        Self { inner, encoder: Some(GzEncoder::new(Vec::new(), Compression::new(LEVEL))) }
    }
}

impl http_body::Body for Gzip {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if self.encoder.is_none() {
                return Poll::Ready(None);
            }
            let out = match ready!(http_body::Body::poll_frame(Pin::new(&mut self.inner), cx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let Some(encoder) = self.encoder.as_mut() else { continue };
                    encoder.write_all(&data)?;
                    std::mem::take(encoder.get_mut())
                }
                None => match self.encoder.take() {
                    Some(encoder) => encoder.finish()?,
                    None => Vec::new(),
                },
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::Read;

    #[tokio::test]
    async fn what_is_sent_is_what_was_there() {
        let text = "{\"kind\":\"Pod\"}".repeat(20_000);
        let sent = Gzip::new(crate::body::full(text.clone())).collect().await.unwrap().to_bytes();
        assert!(sent.len() < text.len() / 10);
        let mut back = String::new();
        flate2::read::GzDecoder::new(&sent[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
    }
}
