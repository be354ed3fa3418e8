//! Continue tokens: where the next page of a list starts, and at which revision. In upstream's form, so that a client may
//! go on at another server.

use api::status::Status;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const VERSION: &str = "meta.k8s.io/v1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Continuation {
    /// `None` goes on inconsistently, at the newest revision.
    pub revision: Option<u64>,
    /// The first key of the next page, relative to the list's keys.
    pub start: String,
}

#[derive(Deserialize, Serialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

impl Continuation {
    pub fn encode(&self) -> String {
        let rv = self.revision.and_then(|revision| i64::try_from(revision).ok()).unwrap_or(-1);
        let token = Token { v: VERSION.to_owned(), rv, start: self.start.clone() };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    pub fn decode(text: &str) -> Result<Self, Status> {
        let wrong = |why: String| Status::bad_request(format!("invalid continue token: {why}"));
        let invalid = |why: &dyn std::fmt::Display| wrong(format!("continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| invalid(&error))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| invalid(&error))?;
        if token.v != VERSION {
            let version = token.v;
            return Err(invalid(&format!("server does not recognize this encoded version {version}")));
        }
        if token.rv == 0 {
            return Err(invalid(&"incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if token.start.is_empty() {
            return Err(invalid(&"encoded start key empty (version meta.k8s.io/v1)"));
        }
        // A key must not lead out of the list.
        let path = token.start.trim_start_matches('/').trim_end_matches('\0');
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid(&token.start));
        }
        Ok(Self { revision: u64::try_from(token.rv).ok(), start: token.start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_wrong_ones_do_not() {
        for revision in [Some(7), None] {
            let continuation = Continuation { revision, start: "n/a\0".into() };
            assert_eq!(Continuation::decode(&continuation.encode()).as_ref(), Ok(&continuation));
        }
        let table = [
            ("*", "invalid continue token: continue key is not valid"),
            ("e30", "invalid continue token: continue key is not valid"),
        ];
        for (token, message) in table {
            assert!(Continuation::decode(token).unwrap_err().message.starts_with(message));
        }
        let outside = Continuation { revision: Some(1), start: "../secrets/x".into() };
        assert_eq!(Continuation::decode(&outside.encode()).unwrap_err().code, 400);
    }
}
