//! URLs (`library/urls.go`), as far as Go's `net/url` takes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Row, member, row, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{Key, Map, Opaque, Text, Value};

pub(super) const ROWS: &[Row] = &[
    row("url", "string_to_url", "string", "url", Rule::Traverse, |args| {
        let text = text(args, 0)?;
        let wrong = |why| Error::new(format!("URL parse error during conversion from string: parse {text:?}: {why}"));
        Ok(Value::Opaque(Opaque::Url(Arc::new(Url::parse(text).map_err(wrong)?))))
    }),
    row("isURL", "is_url_string", "string", "bool", Rule::Unit, |args| Ok(Url::parse(text(args, 0)?).is_ok().into())),
    member("getScheme", "url_get_scheme", "url", "string", Rule::Unit, |args| part(args, |url| url.scheme.clone())),
    member("getHost", "url_get_host", "url", "string", Rule::Unit, |args| part(args, |url| url.host.clone())),
    member("getHostname", "url_get_hostname", "url", "string", Rule::Unit, |args| part(args, |url| url.split_host().0)),
    member("getPort", "url_get_port", "url", "string", Rule::Unit, |args| part(args, |url| url.split_host().1)),
    member("getEscapedPath", "url_get_escaped_path", "url", "string", Rule::Unit, |args| {
        part(args, |url| url.path.clone())
    }),
    member("getQuery", "url_get_query", "url", "map(string, list(string))", Rule::Unit, |args| {
        let mut members: BTreeMap<Key<'_>, Value<'_>> = BTreeMap::new();
        for (name, values) in url(args)?.query() {
            let values = values.into_iter().map(Value::text).collect();
            members.insert(Key::String(Text::Shared(name.into())), Value::List(values));
        }
        Ok(Value::Map(Map::Members(Arc::new(members))))
    }),
];

#[derive(Debug)]
pub struct Url {
    pub text: String,
    scheme: String,
    host: String,
    /// Escaped.
    path: String,
    query: String,
}

impl Url {
    /// An absolute URL, or an absolute path.
    ///
    /// # Errors
    /// In Go's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        if text.is_empty() {
            return Err("empty url".to_owned());
        }
        let (scheme, rest) = scheme(text)?;
        // What stands after a hash is no part of a request, and of the host or path when it is read as one.
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let made = |host: &str, path: &str| Self {
            text: text.to_owned(),
            scheme: scheme.to_lowercase(),
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        };
        if text == "*" {
            return Ok(made("", "*"));
        }
        if !rest.starts_with('/') {
            // A scheme and something that only it knows how to read.
            return if scheme.is_empty() { Err("invalid URI for request".to_owned()) } else { Ok(made("", "")) };
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) if !scheme.is_empty() => {
                let at = rest.find('/').unwrap_or(rest.len());
                (authority(&rest[..at])?, &rest[at..])
            }
            _ => (String::new(), rest),
        };
        unescape(path, &|_| false)?;
        Ok(made(&host, &escape(path)))
    }

    /// Name and port.
    fn split_host(&self) -> (String, String) {
        let colon = self.host.rfind(':').filter(|at| is_port(&self.host[*at..]));
        let (name, port) = match colon {
            Some(at) => (&self.host[..at], &self.host[at + 1..]),
            None => (self.host.as_str(), ""),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        (name.to_owned(), port.to_owned())
    }

    /// Pairs that are malformed are left out.
    fn query(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read = |text: &str| unescape(&text.replace('+', " "), &|_| false);
            if let (Ok(name), Ok(value)) = (read(name), read(value)) {
                found.entry(name).or_default().push(value);
            }
        }
        found
    }
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// The host of `user:password@host:port`, with its port.
fn authority(text: &str) -> Result<String, String> {
    let (user, host) = text.rsplit_once('@').map_or((None, text), |(user, host)| (Some(user), host));
    if let Some(user) = user {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
        if !user.chars().all(fine) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        unescape(user, &|_| false)?;
    }
    let port = match host.rfind(']') {
        Some(at) if host.starts_with('[') => &host[at + 1..],
        None if host.starts_with('[') => return Err("missing ']' in host".to_owned()),
        _ if host.contains('[') => return Err("invalid IP-literal".to_owned()),
        _ => host.find(':').map_or("", |_| host.rfind(':').map_or("", |at| &host[at..])),
    };
    if !port.is_empty() && !is_port(port) {
        return Err(format!("invalid port {port:?} after host"));
    }
    unescape(host, &|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.~!$&'()*+,;=:[]<>\"%".contains(c))
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn unescape(text: &str, refused: &dyn Fn(char) -> bool) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let code = text.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
        let Some(code) = code else {
            let shown: String = text[at..].chars().take(3).collect();
            return Err(format!("invalid URL escape {shown:?}"));
        };
        out.push(code);
        at += 3;
    }
    if let Some(c) = text.chars().find(|c| refused(*c)) {
        return Err(format!("invalid character {:?} in host name", c.to_string()));
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// What a path may not hold as it is.
fn escape(path: &str) -> String {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&byte);
    path.bytes().map(|byte| if fine(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn url<'a>(args: &'a [Value<'_>]) -> Result<&'a Url, Error> {
    match args.first() {
        Some(Value::Opaque(Opaque::Url(url))) => Ok(url),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn part<'v>(args: &[Value<'v>], read: fn(&Url) -> String) -> Result<Value<'v>, Error> {
    Ok(Value::text(read(url(args)?)))
}
