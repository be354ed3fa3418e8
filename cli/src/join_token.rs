//! The word by which a machine joins: a bootstrap token, and by what the cluster's authority is recognized.
//! `abcdef.0123456789abcdef@sha256:<64 hex digits>`.

use anyhow::{Context, Result, bail};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Six letters and digits that name it.
    pub id: String,
    /// Sixteen that prove it.
    pub secret: String,
    /// Of the authority's certificate.
    pub fingerprint: String,
}

impl JoinToken {
    pub fn new(fingerprint: String) -> Result<Self> {
        Ok(Self { id: letters(6)?, secret: letters(16)?, fingerprint })
    }

    pub fn parse(text: &str) -> Result<Self> {
        let Some((token, fingerprint)) = text.trim().split_once('@') else {
            bail!("the token is not whole: it has no @sha256:... at its end");
        };
        let Some((id, secret)) = apiserver::front::bootstrap::parse(token) else {
            bail!("the token is malformed: make a new one with `setpoint token create`");
        };
        let hex = fingerprint.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            bail!("the token is not whole: its sha256 has not 64 digits");
        }
        Ok(Self { id: id.to_owned(), secret: secret.to_owned(), fingerprint: fingerprint.to_owned() })
    }

    /// What the API server is shown.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
}

impl std::fmt::Display for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}@{}", self.id, self.secret, self.fingerprint)
    }
}

/// Random letters and digits, all equally likely.
fn letters(count: usize) -> Result<String> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    /// The greatest multiple of 36 in a byte.
    const FAIR: u8 = 252;
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut bytes = [0; 32];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).context("make a random token")?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR).map(|byte| char::from(ALPHABET[usize::from(byte % 36)]));
        text.extend(fair.take(count - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let fingerprint = format!("sha256:{}", "0a".repeat(32));
        let token = JoinToken::new(fingerprint.clone()).unwrap();
        assert_eq!(JoinToken::parse(&format!(" {token}\n")).unwrap(), token);
        assert_ne!(JoinToken::new(fingerprint.clone()).unwrap().secret, token.secret);
        let table = [
            (token.bearer(), "no @sha256"),
            (format!("{}@sha256:0a", token.bearer()), "not 64 digits"),
            (format!("short.x@{fingerprint}"), "malformed"),
        ];
        for (text, words) in table {
            let error = JoinToken::parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
