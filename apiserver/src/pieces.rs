//! A list's text, made while it is sent.

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::body::{Body, BoxError};

const PIECE: usize = 64 * 1024;
const END: &[u8] = b"]}";

/// The list's text in pieces, each made when the client is ready for it. None grows beyond what it was made with, which would copy
/// it once more, but for an object that is larger itself.
pub(crate) fn pieces<T: Send + 'static>(head: String, items: Vec<T>, text: fn(&T) -> &Bytes) -> Body {
    let mut items = items.into_iter().peekable();
    let mut begun = Some(head);
    let mut separator: &[u8] = b"";
    let mut ended = false;
    let next = move || {
        if ended {
            return None;
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        piece.extend_from_slice(begun.take().unwrap_or_default().as_bytes());
        let fits = |piece: &BytesMut, item: &T| piece.is_empty() || piece.len() + text(item).len() + END.len() < PIECE;
        while let Some(item) = items.next_if(|item| fits(&piece, item)) {
            piece.extend_from_slice(separator);
            piece.extend_from_slice(text(&item));
            separator = b",";
        }
        ended = items.peek().is_none();
        if ended {
            piece.extend_from_slice(END);
        }
        Some(piece.freeze())
    };
    let frames = stream::iter(std::iter::from_fn(next).map(|piece| Ok::<_, BoxError>(Frame::data(piece))));
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_the_whole_text_and_none_grows() {
        let cases = [vec![], vec![1], vec![1000; 300], vec![PIECE - 12, 10, 1], vec![5, PIECE * 2, 5], vec![PIECE; 3]];
        for sizes in cases {
            let items: Vec<Bytes> = sizes.iter().map(|size| Bytes::from("x".repeat(*size))).collect();
            let texts: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let mut body = pieces("{[".to_owned(), items, |text| text);
            let mut whole = Vec::new();
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap_or_default();
                assert!(piece.len() <= PIECE || sizes.iter().any(|size| size + 4 >= PIECE), "{sizes:?}");
                whole.extend_from_slice(&piece);
            }
            assert!(whole == format!("{{[{}]}}", texts.join(",")).into_bytes(), "{sizes:?}");
        }
    }
}
