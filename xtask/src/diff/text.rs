//! Sentences of two servers, without what differs by nature.

use super::alike::RANGES;
use super::pairs::{Pairs, Side};

/// A sentence up to the diff of Go's structs at its end, with Go's names and all that is null.
fn without_diff(text: &str) -> &str {
    text.split("\n@@ ").next().unwrap_or(text)
}

/// Sentences that quote a struct show Go's names and order for its members; what is said about it follows.
fn without_structs(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '{' => {
                if depth == 0 {
                    kept.push_str("{..}");
                }
                depth += 1;
            }
            '}' if depth > 0 => depth -= 1,
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    if depth > 0 { text.to_owned() } else { kept }
}

/// What the name of the volume begins with that a pod's token is in; the rest of it is random.
pub const TOKEN_VOLUME: &str = "kube-api-access-";

/// Longer ones are no words of a sentence.
const LONG: usize = 100;

/// A sentence in which uids, times, revisions, generated names and allocated addresses are replaced by what they are.
pub fn neutral(text: &str, side: Side, pairs: &Pairs) -> String {
    let text = &without_structs(without_diff(text));
    let lower = text.to_lowercase();
    // Of the addresses from which servers take one at random.
    let allocates =
        ["failed to allocate IP", "value as indicated by `ipFamilies["].iter().any(|words| text.contains(words));
    let of_revisions = lower.contains("resource version") || lower.contains("resourceversion");
    let mut neutral = String::with_capacity(text.len());
    let mut before = "";
    for token in tokens(text) {
        // A prefix that is no name, with what was generated behind it.
        let of_bad_prefix = before == "!" && token.len() == 5;
        before = token;
        let volume = token.split_once(TOKEN_VOLUME).filter(|(_, end)| end.len() == 5);
        if let Some((name, _)) = volume {
            neutral.push_str(name);
        }
        let number = token.parse::<u64>().ok().filter(|_| token.bytes().all(|byte| byte.is_ascii_digit()));
        let is_revision = number.is_some_and(|number| of_revisions && number > 9);
        neutral.push_str(if is_uid(token) {
            "<uid>"
        } else if is_digest(token) {
            "<digest>"
        } else if is_time(token) {
            if token.contains('.') { "<time with fraction>" } else { "<time>" }
        } else if is_revision {
            "<revision>"
        } else if of_bad_prefix || is_generated(token) || pairs.names.knows(side, token) {
            "<name>"
        } else if token.starts_with("scheme.go:") {
            "<scheme>"
        } else if volume.is_some() {
            "<volume of the token>"
        } else if pairs.addresses.knows(side, token) || allocates && RANGES.iter().any(|range| token.starts_with(range))
        {
            "<address>"
        } else {
            token
        });
    }
    neutral
}

/// A sentence as it is said about any object: without what is quoted, and without numbers.
pub fn general(text: &str) -> String {
    let mut general = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        general.push_str(&rest[..start]);
        let inside = &rest[start + 1..];
        let Some(end) = inside.find('"') else {
            rest = &rest[start..];
            break;
        };
        general.push_str("\"..\"");
        rest = &inside[end + 1..];
    }
    general.push_str(rest);
    let mut short = String::new();
    let mut depth = 0_usize;
    for token in tokens(&general) {
        // Parentheses hold names and pieces of bodies.
        let opens = token.matches('(').count();
        let closes = token.matches(')').count();
        if depth == 0 {
            let word = token.split_once('(').map_or(token, |(before, _)| before);
            let word = if word.len() > LONG { "<long>" } else { word };
            short.push_str(if token.bytes().all(|byte| byte.is_ascii_digit()) { "N" } else { word });
            if opens > 0 {
                short.push_str("(..)");
            }
        }
        depth = (depth + opens).saturating_sub(closes);
        if depth == 0 && closes > 0 {
            short.push_str(token.rsplit_once(')').map_or("", |(_, after)| after));
        }
    }
    short
}

/// Words with what is between them.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let inside = is_word(first);
        let end = rest.find(|next| is_word(next) != inside).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(token)
    })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_')
}

/// What a server makes of a prefix of the stories.
fn is_generated(token: &str) -> bool {
    // Of kinds without namespaces it stands behind the scenario.
    let token = match token.split_once("-g-") {
        Some((scenario, _)) if scenario.starts_with('d') => &token[scenario.len() + 1..],
        _ => token,
    };
    let starts = ["g-", "q-", "G_"].into_iter().map(str::to_owned).chain([LONG_PREFIX.repeat(LONG_NAME)]);
    let mut ends = starts.filter_map(|start| token.strip_prefix(&start));
    ends.any(|end| end.len() == 5 && end.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

/// What a long prefix consists of, and how much of it is in a name.
const LONG_PREFIX: &str = "x";
const LONG_NAME: usize = 58;

fn is_uid(token: &str) -> bool {
    token.len() == 36
        && token.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Of a certificate: each server has its own authority.
fn is_digest(token: &str) -> bool {
    token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_time(token: &str) -> bool {
    token.len() >= 20 && token.as_bytes()[10] == b'T' && token.ends_with('Z') && token.as_bytes()[4] == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_without_what_differs() {
        let mut pairs = Pairs::default();
        pairs.names.agree("g-abcde", "g-xyzuv");
        pairs.addresses.agree("10.96.0.7", "10.96.1.1");
        let cases = [
            ("uid 11111111-2222-3333-4444-555555555555.", "uid 11111111-2222-3333-4444-555555555555."),
            ("pods \"g-abcde\" not found", "pods \"<name>\" not found"),
            ("too old resource version: 9 (123)", "too old resource version: 9 (<revision>)"),
            ("at 2026-01-02T03:04:05Z, 123 of 77", "at <time>, 123 of 77"),
            ("resource version 123 of g-x2z4b", "resource version <revision> of <name>"),
            ("\"Not Valid!nt4bv\": no name", "\"Not Valid!<name>\": no name"),
            ("10.96.0.7, taken", "<address>, taken"),
            ("[name:kube-api-access-x2z4b x]", "[name:<volume of the token> x]"),
            ("may not change\n@@ -1,2 +1,2 @@\n- a", "may not change"),
            ("failed to allocate IP: 10.96.9.9", "failed to allocate IP: <address>"),
            ("Invalid value: {\"a\":{\"b\":1}}: wrong", "Invalid value: {..}: wrong"),
        ];
        for (text, expected) in cases {
            // A full stop belongs to a word, so that one is no uid.
            assert_eq!(neutral(text, Side::Ours, &pairs), expected, "{text}");
        }
    }

    #[test]
    fn sentences_about_anything() {
        let cases = [
            ("pods \"a\" not found", "pods \"..\" not found"),
            ("must be at most 63 bytes: \"open", "must be at most N bytes: \"open"),
            ("no quotes", "no quotes"),
            ("the object (a) is not of () at 7", "the object (..) is not of (..) at N"),
        ];
        for (text, expected) in cases {
            assert_eq!(general(text), expected, "{text}");
        }
    }
}
