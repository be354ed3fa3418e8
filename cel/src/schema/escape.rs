//! Names of fields as expressions write them: reserved words and signs are escaped (`k8s.io/apiserver/pkg/cel/escaping.go`).

use crate::syntax::RESERVED;

const SEQUENCES: [(&str, &str); 4] = [("__", "underscores"), (".", "dot"), ("-", "dash"), ("/", "slash")];

/// `None` when no expression can name it.
pub fn escape(name: &str) -> Option<String> {
    let first = name.chars().next()?;
    if first.is_ascii_digit() {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some((sign, word)) = SEQUENCES.iter().find(|(sign, _)| rest.starts_with(sign)) {
            escaped += &format!("__{word}__");
            rest = &rest[sign.len()..];
        } else if c.is_ascii_alphanumeric() || c == '_' {
            escaped.push(c);
            rest = &rest[1..];
        } else {
            return None;
        }
    }
    Some(escaped)
}

/// The way back. `None` for a sequence that means nothing.
pub fn unescape(escaped: &str) -> Option<String> {
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find("__") {
        let inside = &rest[at + 2..];
        let end = inside.find('_').filter(|end| *end > 0 && inside[*end..].starts_with("__"));
        let Some(end) = end else {
            // Underscores that begin no sequence.
            name += &rest[..=at];
            rest = &rest[at + 1..];
            continue;
        };
        let word = &inside[..end];
        name += &rest[..at];
        match SEQUENCES.iter().find(|(_, known)| *known == word) {
            Some((sign, _)) => name += sign,
            // A reserved word is escaped only as a whole.
            None if RESERVED.contains(&word) && escaped.len() == word.len() + 4 => name += word,
            None => return None,
        }
        rest = &inside[end + 2..];
    }
    Some(name + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_back() {
        let table = [
            ("a", Some("a")),
            ("a.b", Some("a__dot__b")),
            ("a-b/c", Some("a__dash__b__slash__c")),
            ("namespace", Some("__namespace__")),
            ("a__b", Some("a__underscores__b")),
            ("___", Some("__underscores___")),
            ("_a_", Some("_a_")),
            ("1a", None),
            ("$", None),
            ("", None),
        ];
        for (name, escaped) in table {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
            if let Some(escaped) = escaped {
                assert_eq!(unescape(escaped).as_deref(), Some(name), "{escaped}");
            }
        }
        assert_eq!(unescape("__nothing__"), None);
    }
}
