//! Continue tokens: where the next page of a list starts, and at which revision. In upstream's form, so that a client may
//! go on at another server.

use api::schema::syntax::error as json_error;
use api::status::Status;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::{DecodeError, Engine, alphabet};
use serde::{Deserialize, Serialize};

const VERSION: &str = "meta.k8s.io/v1";
/// Go does not mind bits after the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

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
        let bytes = LENIENT.decode(text).map_err(|error| invalid(&illegal(&error, text)))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| match json_error(&bytes) {
            Some(why) => invalid(&why),
            None => invalid(&error),
        })?;
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

/// In Go's words.
fn illegal(error: &DecodeError, text: &str) -> String {
    let at = match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => *at,
        DecodeError::InvalidLength(_) => text.len().saturating_sub(1),
        DecodeError::InvalidPadding => text.find('=').unwrap_or_default(),
    };
    format!("illegal base64 data at input byte {at}")
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
            ("*", "illegal base64 data at input byte 0"),
            ("abcd=", "illegal base64 data at input byte 4"),
            ("abcde", "illegal base64 data at input byte 4"),
            ("bad", "invalid character 'm' looking for beginning of value"),
            ("e30", ""),
        ];
        for (token, why) in table {
            let message = Continuation::decode(token).unwrap_err().message;
            assert!(
                message.starts_with(&format!("invalid continue token: continue key is not valid: {why}")),
                "{message}"
            );
        }
        let outside = Continuation { revision: Some(1), start: "../secrets/x".into() };
        assert_eq!(Continuation::decode(&outside.encode()).unwrap_err().code, 400);
    }
}
