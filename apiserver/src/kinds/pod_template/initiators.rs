//! Names of iSCSI initiators and targets (RFC 3720, section 3.2.6.3), as far as upstream looks at them.

use super::super::cursor::{Cursor, Errors};

const WRONG: &str = "must be valid format";

/// `no_kind` is said about a name of none of the three kinds.
pub fn check(at: &Cursor, no_kind: &str, errors: &mut Errors) {
    let name = at.str();
    let valid = match name.get(..3) {
        Some("iqn") => name.match_indices("iqn.").any(|(place, found)| is_qualified(&name[place + found.len()..])),
        Some("eui") => has_digits(&name[3..], 16),
        Some("naa") => has_digits(&name[3..], 32),
        _ => return errors.invalid_text(at, no_kind),
    };
    if !valid {
        errors.invalid_text(at, WRONG);
    }
}

/// What follows `iqn.`: a month, an authority and its name of the thing.
fn is_qualified(rest: &str) -> bool {
    let Some((date, rest)) = rest.split_at_checked("2026-01.".len()) else { return false };
    let is_date = date.bytes().zip("0000-00.".bytes()).all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    });
    let Some((authority, name)) = rest.split_once(':') else { return false };
    let in_authority = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let in_name = |c: char| !matches!(c, ',' | ';' | '*' | '&' | '$' | '|' | ' ' | '\t' | '\n' | '\r' | '\x0c');
    is_date
        && !authority.is_empty()
        && authority.chars().all(in_authority)
        && !name.is_empty()
        && name.chars().all(in_name)
}

/// One separator, whichever, and `count` letters or digits.
fn has_digits(rest: &str, count: usize) -> bool {
    let mut chars = rest.chars();
    chars.next().is_some_and(|separator| separator != '\n')
        && chars.as_str().len() == count
        && chars.all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_of_three_kinds() {
        let table = [
            ("iqn.2026-01.com.example:storage", None),
            ("iqn.2026-01.com.example", Some(WRONG)),
            ("iqn.26-01.com.example:storage", Some(WRONG)),
            ("iqn.2026-01.com.example:a b", Some(WRONG)),
            ("eui.0123456789abcdef", None),
            ("eui.0123456789abcde", Some(WRONG)),
            ("naa.0123456789abcdef0123456789abcdef", None),
            ("disk", Some("none")),
        ];
        for (name, expected) in table {
            let object = json!({ "iqn": name });
            let mut errors = Errors::default();
            check(&Cursor::root(&object, "iqn"), "none", &mut errors);
            let details: Vec<String> = errors.into_vec().into_iter().map(|error| error.detail).collect();
            assert_eq!(details.first().map(String::as_str), expected, "{name}");
        }
    }
}
