//! Formats of strings (`k8s.io/kube-openapi/pkg/validation/strfmt`), as far as apiextensions knows them.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;

use crate::names;

const KNOWN: [&str; 25] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
];

/// Names are written with or without dashes: `date-time`.
fn normal(name: &str) -> String {
    name.replace('-', "")
}

pub fn is_known(name: &str) -> bool {
    let name = normal(name);
    name == "uuid5" || KNOWN.contains(&name.as_str())
}

/// Whether a text has a format that is known.
pub fn matches(name: &str, text: &str) -> bool {
    match normal(name).as_str() {
        "bsonobjectid" => text.len() == 24 && is_hex(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok() && !text.is_empty(),
        "cidr" => is_cidr(text),
        "creditcard" => is_credit_card(text),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "email" => is_email(text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && is_hex(digits)
        }
        "hostname" => is_hostname(text),
        "ipv4" => parse_ipv4(text).is_some() || (text.contains('.') && text.parse::<Ipv6Addr>().is_ok()),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "mac" => is_mac(text),
        "rgbcolor" => is_rgb(text),
        "ssn" => is_ssn(text),
        "uri" => is_uri(text),
        name @ ("uuid" | "uuid3" | "uuid4" | "uuid5") => is_uuid(text, name.strip_prefix("uuid").unwrap_or_default()),
        _ => true,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Zeros in front are let pass, as Go once did.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let part = |text: &&str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|_| digits)
    };
    let bytes: Vec<u8> = parts.iter().map(part).collect::<Option<_>>()?;
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let bits = bits.parse::<u8>().ok().filter(|_| bits.bytes().all(|byte| byte.is_ascii_digit()));
    let max = if parse_ipv4(address).is_some() { 32 } else { 128 };
    (max == 32 || address.parse::<Ipv6Addr>().is_ok()) && bits.is_some_and(|bits| bits <= max)
}

fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| if index % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { *digit })
        .sum();
    (13..=16).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let Some((date, time)) = lower.split_once('t') else { return false };
    let zone = time.find(['z', '+', '-']);
    let Some((clock, zone)) = zone.map(|at| time.split_at(at)) else { return false };
    let (clock, fraction) = match clock.char_indices().nth(8) {
        Some((at, _)) => clock.split_at(at),
        None => (clock, ""),
    };
    let part = |text: Option<&str>, max: &str| text.is_some_and(|text| is_number(text, 2) && text <= max);
    let mut parts = clock.split(':');
    let clock =
        part(parts.next(), "23") && part(parts.next(), "59") && part(parts.next(), "59") && parts.next().is_none();
    let fraction =
        fraction.is_empty() || (fraction.chars().count() > 1 && fraction.chars().skip(1).all(|c| c.is_ascii_digit()));
    let zone = zone == "z"
        || zone[1..].split_once(':').is_some_and(|(hours, minutes)| is_number(hours, 2) && is_number(minutes, 2));
    matches("date", date) && clock && fraction && zone
}

fn is_number(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Go's (`1h30m`), or words as Scala has them (`22 ns`, `3 weeks`).
fn is_duration(text: &str) -> bool {
    if crate::time::parse_duration(text).is_ok() {
        return true;
    }
    const UNITS: [(&[&str], &str); 8] = [
        (&["ns"], "nano"),
        (&["us", "µs"], "micro"),
        (&["ms"], "milli"),
        (&["s"], "sec"),
        (&["m"], "min"),
        (&["h", "hr"], "hour"),
        (&["d"], "day"),
        (&["w", "wk"], "week"),
    ];
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let after = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let end = after.find(|c: char| !(c.is_ascii_alphabetic() || c == 'µ')).unwrap_or(after.len());
        let unit = after[..end].to_lowercase();
        if UNITS.iter().any(|(names, long)| names.contains(&unit.as_str()) || unit.starts_with(long)) {
            return true;
        }
        rest = &after[end..];
    }
    false
}

fn is_email(text: &str) -> bool {
    // A name and an address in angle brackets is one too.
    let address = match (text.rfind('<'), text.ends_with('>')) {
        (Some(at), true) => &text[at + 1..text.len() - 1],
        _ => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let is_atom =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c));
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (quoted || local.split('.').all(is_atom)) && domain.split('.').all(is_atom)
}

/// Labels of letters, digits and symbols, with dashes inside.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
        fits && label.chars().all(|c| c == '-' || c.is_alphanumeric() || (!c.is_ascii() && !c.is_control()))
    };
    let labels: Vec<&str> = text.split('.').collect();
    let top = labels.last().copied().unwrap_or_default();
    let has_top =
        labels.len() == 1 || ((2..=63).contains(&top.chars().count()) && top.chars().all(char::is_alphabetic));
    text.len() <= 255 && labels.iter().all(|label| is_label(label)) && has_top
}

fn is_isbn10(text: &str) -> bool {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let value = |(index, c): (usize, &char)| match c {
        'X' if index == 9 => Some(10),
        c => c.to_digit(10),
    };
    let Some(values) = digits.iter().enumerate().map(value).collect::<Option<Vec<u32>>>() else { return false };
    let sum: u32 = values.iter().zip(1..).map(|(value, weight)| value * weight).sum();
    values.len() == 10 && sum.is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_digit(10));
    let Some(digits) = digits.collect::<Option<Vec<u32>>>() else { return false };
    let sum: u32 = digits.iter().enumerate().map(|(index, digit)| digit * [1, 3][index % 2]).sum();
    digits.len() == 13 && sum.is_multiple_of(10)
}

fn is_mac(text: &str) -> bool {
    let groups = |separator: char, size: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        let bytes = parts.len() * size / 2;
        parts.iter().all(|part| part.len() == size && is_hex(part)) && [6, 8, 20].contains(&bytes)
    };
    groups(':', 2) || groups('-', 2) || groups('.', 4)
}

fn is_rgb(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|text| text.strip_suffix(')'));
    let part = |text: &str| {
        let text = text.trim();
        text.parse::<u8>().is_ok_and(|number| number.to_string() == text)
    };
    inner.is_some_and(|inner| inner.split(',').count() == 3 && inner.split(',').all(part))
}

fn is_ssn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', ' ']).collect();
    text.len() == 11 && matches!(parts.as_slice(), [a, b, c] if is_number(a, 3) && is_number(b, 2) && is_number(c, 4))
}

/// Absolute, or an absolute path.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_ascii_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// `version` is 3, 4, 5 or empty for any.
fn is_uuid(text: &str, version: &str) -> bool {
    let lower = text.to_lowercase();
    let mut digits = String::new();
    let mut dashed = false;
    for c in lower.chars() {
        match c {
            '-' if matches!(digits.len(), 8 | 12 | 16 | 20) && !dashed => dashed = true,
            c if c.is_ascii_hexdigit() => {
                digits.push(c);
                dashed = false;
            }
            _ => return false,
        }
    }
    let at = |index: usize| digits.as_bytes().get(index).copied().unwrap_or_default() as char;
    let is_version = version.is_empty() || version.starts_with(at(12));
    let is_variant = !matches!(version, "4" | "5") || "89ab".contains(at(16));
    digits.len() == 32 && is_version && is_variant && !lower.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_formats() {
        let table = [
            ("byte", "YWI=", true),
            ("byte", "YWI", false),
            ("cidr", "10.0.0.0/8", true),
            ("cidr", "10.0.0.0/33", false),
            ("cidr", "fd00::/64", true),
            ("creditcard", "4111 1111 1111 1111", true),
            ("creditcard", "4111 1111 1111 1112", false),
            ("date", "2024-02-29", true),
            ("date", "2023-02-29", false),
            ("date-time", "2024-02-29T10:11:12Z", true),
            ("date-time", "2024-02-29T10:11:12.5+02:00", true),
            ("date-time", "2024-02-29T24:11:12Z", false),
            ("date-time", "2024-02-29 10:11:12Z", false),
            ("duration", "1h30m", true),
            ("duration", "22 ns", true),
            ("duration", "3 weeks", true),
            ("duration", "never", false),
            ("email", "a.b@example.com", true),
            ("email", "A B <a@b.c>", true),
            ("email", "a@", false),
            ("hexcolor", "#fff", true),
            ("hexcolor", "#ff", false),
            ("hostname", "a-b.example.com", true),
            ("hostname", "-a.example.com", false),
            ("hostname", "a_b.example.com", false),
            ("ipv4", "10.0.0.1", true),
            ("ipv4", "10.0.0.256", false),
            ("ipv6", "fd00::1", true),
            ("ipv6", "10.0.0.1", false),
            ("isbn", "0321751043", true),
            ("isbn", "978-0321751041", true),
            ("isbn10", "0321751044", false),
            ("mac", "01:23:45:67:89:ab", true),
            ("mac", "01:23:45:67:89", false),
            ("rgbcolor", "rgb(1, 22,255)", true),
            ("rgbcolor", "rgb(1,22,256)", false),
            ("ssn", "111-11-1111", true),
            ("uri", "https://example.com/a", true),
            ("uri", "/a", true),
            ("uri", "a b", false),
            ("uri", "example", false),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", true),
            ("uuid", "123e4567e89b12d3a456426614174000", true),
            ("uuid", "123e4567-e89b-12d3-a456-42661417400", false),
            ("uuid4", "123e4567-e89b-42d3-a456-426614174000", true),
            ("uuid4", "123e4567-e89b-12d3-a456-426614174000", false),
            ("k8s-short-name", "a-b", true),
            ("k8s-short-name", "a.b", false),
            ("k8s-long-name", "a.b", true),
            ("bsonobjectid", "507f1f77bcf86cd799439011", true),
            ("password", "", true),
        ];
        for (name, text, expected) in table {
            assert!(is_known(name), "{name}");
            assert_eq!(matches(name, text), expected, "{name} {text}");
        }
        assert!(!is_known("int32"));
    }
}
