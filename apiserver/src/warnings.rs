//! What is said beside the answer: texts for the `Warning` headers of one response (RFC 7234, code 299), and annotations for the audit
//! log.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;

use crate::audit::Record;

/// Upstream's limits: one text, and all texts together.
const TEXT_MAX: usize = 256;
const ALL_MAX: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Warnings {
    texts: Mutex<Vec<String>>,
    /// `None`: the request is not audited.
    record: Option<Arc<Record>>,
}

impl Warnings {
    pub fn of(record: Option<Arc<Record>>) -> Self {
        Self { texts: Mutex::default(), record }
    }

    /// For the audit log, if anybody listens.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_deref()
    }

    /// Each text once.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }

    pub fn extend(&self, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().for_each(|text| self.add(text));
    }

    pub fn headers(&self) -> Vec<HeaderValue> {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = ALL_MAX;
        let mut headers = Vec::new();
        for text in texts.iter() {
            let quoted: String = text
                .chars()
                .filter(|c| !c.is_control())
                .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
                .collect();
            let mut end = quoted.len().min(TEXT_MAX);
            // Never inside a character or between a backslash and what it escapes.
            while !quoted.is_char_boundary(end) || (end < quoted.len() && quoted[..end].ends_with('\\')) {
                end -= 1;
            }
            if end > room {
                break;
            }
            room -= end;
            headers.extend(HeaderValue::from_str(&format!("299 - \"{}\"", &quoted[..end])));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_said_once() {
        let warnings = Warnings::default();
        warnings.extend(["unknown field \"a\"".to_owned(), "unknown field \"a\"".to_owned(), "b".to_owned()]);
        let headers = warnings.headers();
        let texts: Vec<&str> = headers.iter().map(|header| header.to_str().unwrap()).collect();
        assert_eq!(texts, [r#"299 - "unknown field \"a\"""#, r#"299 - "b""#]);
        let long = Warnings::default();
        long.add("\"".repeat(1000));
        assert!(long.headers()[0].len() <= TEXT_MAX + 8);
    }
}
