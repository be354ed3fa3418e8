//! Answers of what is behind a proxy: their links lead through the proxy again (`apimachinery/pkg/util/proxy/transport.go`).

use std::borrow::Cow;

/// Through which proxy a page was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Through<'a> {
    /// The path at which the proxied host's root is.
    pub prefix: &'a str,
    /// The host that was connected to.
    pub host: &'a str,
    /// The host that the client knows.
    pub asked_host: &'a str,
}

impl Through<'_> {
    /// A URL of a page or of a `Location`. One to another host, or relative to the page, stays as it is.
    pub fn rewrite<'u>(&self, url: &'u str) -> Cow<'u, str> {
        let (host, path) = match url.split_once("://") {
            Some((_, rest)) => rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at)),
            None => match url.strip_prefix("//") {
                Some(rest) => rest.find('/').map_or((rest, ""), |at| rest.split_at(at)),
                None => ("", url),
            },
        };
        let is_other = !host.is_empty() && host != self.host && host != self.asked_host;
        if is_other || !path.starts_with('/') {
            return Cow::Borrowed(url);
        }
        let own = if host == self.asked_host && !host.is_empty() { &url[..url.len() - path.len()] } else { "" };
        if path.starts_with(self.prefix) {
            return Cow::Owned(format!("{own}{path}"));
        }
        Cow::Owned(format!("{own}{}{path}", self.prefix))
    }

    /// A page whose links are rewritten.
    pub fn page(&self, page: &str) -> String {
        let mut out = String::with_capacity(page.len() + 256);
        let mut rest = page;
        while let Some(at) = rest.find('<') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let Some(length) = end_of_markup(rest) else { break };
            let (markup, after) = rest.split_at(length);
            let tag = name_of(markup);
            match tag.is_empty() {
                true => out.push_str(markup),
                false => self.start_tag(&tag, markup, &mut out),
            }
            rest = after;
            // What is no markup, whatever it looks like.
            if matches!(tag.as_str(), "script" | "style" | "textarea" | "title") {
                let end = find_ignoring_case(rest, &format!("</{tag}")).unwrap_or(rest.len());
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
        out.push_str(rest);
        out
    }

    /// Written anew, as Go's tokenizer writes it.
    fn start_tag(&self, tag: &str, markup: &str, out: &mut String) {
        let inside = markup.trim_start_matches('<').trim_end_matches('>');
        let closes_itself = inside.ends_with('/');
        let inside = inside.trim_end_matches('/');
        out.push('<');
        out.push_str(tag);
        for (name, value) in attributes(&inside[tag.len()..]) {
            let value = if urls(tag).contains(&name.as_str()) { self.rewrite(&value).into_owned() } else { value };
            out.push_str(&format!(" {name}=\"{}\"", escaped(&value)));
        }
        out.push_str(if closes_itself { "/>" } else { ">" });
    }
}

/// The attributes of a tag that are URLs.
fn urls(tag: &str) -> &'static [&'static str] {
    match tag {
        "a" | "area" | "base" | "link" => &["href"],
        "applet" => &["codebase"],
        "audio" | "embed" | "script" | "source" => &["src"],
        "blockquote" | "del" | "ins" | "q" => &["cite"],
        "body" => &["background"],
        "button" => &["formaction"],
        "command" => &["icon"],
        "form" => &["action"],
        "frame" | "iframe" => &["longdesc", "src"],
        "head" => &["profile"],
        "html" => &["manifest"],
        "img" => &["longdesc", "src", "usemap"],
        "input" => &["src", "usemap", "formaction"],
        "object" => &["classid", "codebase", "data", "usemap"],
        "video" => &["poster"],
        _ => &[],
    }
}

/// Up to and with the `>`; not one in a quoted value, nor in a comment.
fn end_of_markup(text: &str) -> Option<usize> {
    if text.starts_with("<!--") {
        return text.find("-->").map(|at| at + 3);
    }
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at + 1),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// Of a start tag, lower case; empty for an end tag, a comment, or a `<` that begins nothing.
fn name_of(markup: &str) -> String {
    let inside = &markup[1..];
    if !inside.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return String::new();
    }
    let end = inside.find(|c: char| c.is_whitespace() || matches!(c, '/' | '>')).unwrap_or(inside.len());
    inside[..end].to_ascii_lowercase()
}

fn attributes(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let (raw, left) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                _ => after.find(char::is_whitespace).map_or((after, ""), |at| after.split_at(at)),
            };
            value = unescaped(raw);
            rest = left.trim_start();
        }
        if !name.is_empty() {
            found.push((name, value));
        } else if end == 0 {
            // A stray `=`: nothing to go on with.
            break;
        }
    }
    found
}

/// The entities that stand in URLs.
fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, character) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    {
        text = text.replace(entity, character);
    }
    text
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

/// `wanted` is lower case and ASCII.
fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    text.as_bytes().windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THROUGH: Through<'_> = Through { prefix: "/p/proxy", host: "10.0.0.1:80", asked_host: "api:6443" };

    #[test]
    fn links_lead_through_the_proxy() {
        let table = [
            ("/x/", "/p/proxy/x/"),
            ("x/y", "x/y"),
            ("http://10.0.0.1:80/x?a=b#c", "/p/proxy/x?a=b#c"),
            ("http://other/x", "http://other/x"),
            ("//other/x", "//other/x"),
            ("https://api:6443/x", "https://api:6443/p/proxy/x"),
            ("/p/proxy/x", "/p/proxy/x"),
            ("#top", "#top"),
            ("mailto:a@b", "mailto:a@b"),
        ];
        for (url, expected) in table {
            assert_eq!(THROUGH.rewrite(url), expected, "{url}");
        }
    }

    #[test]
    fn pages_are_rewritten_where_they_have_links() {
        let table = [
            (r#"<pre><a href="kubelet/?a=b&amp;c">x</a></pre>"#, r#"<pre><a href="kubelet/?a=b&amp;c">x</a></pre>"#),
            (r#"<A HREF='/x'>y</A>"#, r#"<a href="/p/proxy/x">y</A>"#),
            (r#"<img src=/i.png alt="a > b"/>"#, r#"<img src="/p/proxy/i.png" alt="a &gt; b"/>"#),
            (r#"<!-- <a href="/x"> --><p>1 < 2</p>"#, r#"<!-- <a href="/x"> --><p>1 < 2</p>"#),
            (
                r#"<script src="/s">if (a<b) "<a href='/x'>"</SCRIPT>"#,
                r#"<script src="/p/proxy/s">if (a<b) "<a href='/x'>"</SCRIPT>"#,
            ),
            ("<a href=\"/x", "<a href=\"/x"),
            ("<form action=\"/x\" disabled>", "<form action=\"/p/proxy/x\" disabled=\"\">"),
        ];
        for (page, expected) in table {
            assert_eq!(THROUGH.page(page), expected, "{page}");
        }
    }
}
