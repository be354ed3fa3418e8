//! `fieldPath` of a rule: `.a.b['c']`, a path to a field that the schema has.

use api::field::Path;
use serde_json::Value;

/// The path as errors show it.
///
/// # Errors
/// It is no path, or leads to no field.
pub fn read(text: &str, schema: &Value) -> Result<String, String> {
    walk(text, schema, true).map(|(path, _)| path)
}

/// As [`read`], of names with dots only; with the schema of the field.
///
/// # Errors
/// As [`read`].
pub fn dotted<'s>(text: &str, schema: &'s Value) -> Result<(String, &'s Value), String> {
    walk(text, schema, false)
}

fn walk<'s>(text: &str, schema: &'s Value, brackets: bool) -> Result<(String, &'s Value), String> {
    let tokens = tokens(text);
    let mut tokens = tokens.iter().map(String::as_str);
    let (mut path, mut node) = (Path::default(), schema);
    while let Some(token) = tokens.next() {
        let mut next = || tokens.next().ok_or("unexpected end of JSON path");
        let name = match token {
            "." => next()?.to_owned(),
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = next()?;
                let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let inner = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                let name = unescape(inner).map_err(|why| format!("invalid string literal: {why}"))?;
                let end = next()?;
                if end != "]" {
                    return Err(format!("expected ] but got {end}"));
                }
                name
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        if node["properties"].is_object() {
            path = path.child(&name);
            node = node["properties"].get(&name).ok_or("does not refer to a valid field")?;
        } else if node["additionalProperties"].is_object() {
            path = path.key(&name);
            node = &node["additionalProperties"];
        } else {
            return Err("does not refer to a valid field".to_owned());
        }
    }
    Ok((path.as_str().to_owned(), node))
}

/// Dots, brackets, and what is between them; quotes hide both.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut current = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if quoted {
            let escaped = current.ends_with('\\');
            current.push(c);
            if c == '\'' && !escaped {
                quoted = false;
                tokens.push(std::mem::take(&mut current));
            }
        } else if matches!(c, '.' | '[' | ']') {
            if !current.is_empty() {
                tokens.push(std::mem::take(&mut current));
            }
            tokens.push(c.to_string());
        } else {
            quoted = c == '\'' && current.is_empty();
            current.push(c);
        }
    }
    if !current.is_empty() {
        tokens.push(current);
    }
    tokens
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match (c, c == '\\') {
            (c, false) => c,
            (_, true) => match chars.next() {
                Some('a') => '\x07',
                Some('b') => '\x08',
                Some('f') => '\x0c',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\x0b',
                Some('\'') => '\'',
                Some('\\') | None => '\\',
                Some(other) => return Err(format!("invalid escape char \\{other}")),
            },
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_fields() {
        let schema = json!({"properties": {
            "a": {"properties": {"b.c": {"type": "string"}, "d": {"type": "string"}}},
            "map": {"additionalProperties": {"properties": {"e": {"type": "string"}}}},
            "list": {"items": {"type": "string"}},
        }});
        let table = [
            (".a.d", Ok("a.d")),
            (".a['b.c']", Ok("a.b.c")),
            (".map['k'].e", Ok("map[k].e")),
            (".a['b\\'c']", Err("does not refer to a valid field")),
            (".a.x", Err("does not refer to a valid field")),
            (".list[0]", Err("expected single quoted string but got 0")),
            ("a", Err("expected [ or . but got: a")),
            (".a[", Err("unexpected end of JSON path")),
        ];
        for (path, expected) in table {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(read(path, &schema), expected, "{path}");
        }
    }
}
