//! From a template to nodes, character by character as upstream reads it.

use super::node::{Filter, Node, Slice};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("unclosed action")]
    UnclosedAction,
    #[error("unrecognized character in action: U+{:04X} '{}'", *.0 as u32, .0)]
    Character(char),
    #[error("invalid multiple recursive descent")]
    MultipleDescent,
    #[error("cannot parse number {0}")]
    Number(String),
    #[error("unterminated array")]
    UnterminatedArray,
    #[error("invalid array index {0}")]
    ArrayIndex(String),
    #[error("array index {0} is not a number")]
    IndexNumber(String),
    #[error("unterminated filter")]
    UnterminatedFilter,
    #[error("unclosed array expect ]")]
    UnclosedFilter,
    #[error("unterminated quoted string")]
    UnterminatedQuote,
    #[error("unquote string {0} error invalid syntax")]
    Unquote(String),
    #[error(
        "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}'"
    )]
    Relaxed,
}

pub(super) fn parse(template: &str) -> Result<Vec<Node>, ParseError> {
    let mut nodes = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            nodes.push(Node::Text(rest[..open].to_owned()));
        }
        let mut action = Action { rest: &rest[open + 1..], nodes: Vec::new() };
        action.read()?;
        rest = action.rest;
        nodes.push(Node::List(action.nodes));
    }
    if !rest.is_empty() {
        nodes.push(Node::Text(rest.to_owned()));
    }
    Ok(nodes)
}

/// What `{text}` contains.
fn parse_inner(text: &str) -> Result<Vec<Node>, ParseError> {
    let text = format!("{text}}}");
    let mut action = Action { rest: &text, nodes: Vec::new() };
    action.read()?;
    Ok(action.nodes)
}

fn is_terminator(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Action<'a> {
    rest: &'a str,
    nodes: Vec<Node>,
}

impl<'a> Action<'a> {
    /// Until after the closing brace.
    fn read(&mut self) -> Result<(), ParseError> {
        loop {
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return Ok(());
            }
            if self.rest.starts_with("[?(") {
                self.filter()?;
                continue;
            }
            if self.rest.starts_with("..") {
                self.descent()?;
                continue;
            }
            match self.rest.chars().next() {
                None | Some('\r' | '\n') => return Err(ParseError::UnclosedAction),
                Some(' ' | '@' | '$') => self.rest = &self.rest[1..],
                Some('[') => self.array()?,
                Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
                Some('.') => {
                    self.rest = &self.rest[1..];
                    self.field();
                }
                Some(c) if c == '+' || c == '-' || c.is_numeric() => self.number()?,
                Some(c) if is_alphanumeric(c) => self.identifier(),
                Some(c) => return Err(ParseError::Character(c)),
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn identifier(&mut self) {
        let word = self.take(self.rest.find(is_terminator).unwrap_or(self.rest.len()));
        self.nodes.push(match word {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            word => Node::Identifier(word.to_owned()),
        });
    }

    fn descent(&mut self) -> Result<(), ParseError> {
        if self.nodes.last() == Some(&Node::Recursive) {
            return Err(ParseError::MultipleDescent);
        }
        self.take(2);
        self.nodes.push(Node::Recursive);
        if self.rest.starts_with(is_alphanumeric) {
            self.field();
        }
        Ok(())
    }

    /// A name until a terminator that no backslash escapes.
    fn field(&mut self) {
        let mut escaped = false;
        let end = self.rest.find(|c| {
            let ends = !escaped && is_terminator(c);
            escaped = !escaped && c == '\\';
            ends
        });
        let name = self.take(end.unwrap_or(self.rest.len()));
        self.nodes.push(if name == "*" { Node::Wildcard } else { Node::Field(name.replace('\\', "")) });
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let sign = usize::from(self.rest.starts_with(['+', '-']));
        let end = self.rest[sign..].find(|c: char| c != '.' && !c.is_numeric()).map_or(self.rest.len(), |at| at + sign);
        let text = self.take(end);
        let node = text.parse().map(Node::Int).or_else(|_| text.parse().map(Node::Float));
        self.nodes.push(node.map_err(|_| ParseError::Number(text.to_owned()))?);
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), ParseError> {
        let mut length = 1;
        loop {
            let rest = &self.rest[length..];
            let end = rest.find([quote, '\n']).filter(|at| rest[*at..].starts_with(quote));
            length += end.ok_or(ParseError::UnterminatedQuote)? + 1;
            if !self.rest[..length - 1].ends_with('\\') {
                break;
            }
        }
        let text = self.take(length);
        let unquoted = unquote(&text[1..length - 1], quote).ok_or_else(|| ParseError::Unquote(text.to_owned()))?;
        self.nodes.push(Node::Text(unquoted));
        Ok(())
    }

    fn array(&mut self) -> Result<(), ParseError> {
        let end = self.rest.find([']', '\n']).filter(|at| self.rest[*at..].starts_with(']'));
        let text = self.take(end.ok_or(ParseError::UnterminatedArray)? + 1);
        let text = &text[1..text.len() - 1];
        let text = if text == "*" { ":" } else { text };
        if text.contains(',') {
            let parts = text.split(',').map(|part| parse_inner(&format!("[{}]", part.trim_matches(' '))));
            self.nodes.push(Node::Union(parts.collect::<Result<_, _>>()?));
            return Ok(());
        }
        let key = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        if let Some(key) = key.filter(|key| !key.contains('\'')) {
            self.nodes.extend(parse_inner(&format!(".{key}"))?);
            return Ok(());
        }
        self.nodes.push(Node::Slice(slice(text)?));
        Ok(())
    }

    fn filter(&mut self) -> Result<(), ParseError> {
        let start = "[?(".len();
        let mut pair = None;
        let mut closed = false;
        let mut end = None;
        let mut before = '(';
        for (index, c) in self.rest[start..].char_indices() {
            match (c, pair) {
                ('\n', _) => break,
                ('"' | '\'', None) => pair = Some(c),
                ('"' | '\'', Some(pair)) if before != '\\' && c == pair => closed = true,
                // Quotes appear once or not at all.
                (')', _) if pair.is_some() == closed => {
                    end = Some(start + index);
                    break;
                }
                _ => {}
            }
            before = c;
        }
        let end = end.ok_or(ParseError::UnterminatedFilter)?;
        let text = &self.rest[start..end];
        self.rest = self.rest[end + 1..].strip_prefix(']').ok_or(ParseError::UnclosedFilter)?;
        let filter = match comparison(text) {
            None => Filter { left: parse_inner(text)?, operator: None, right: Vec::new() },
            Some((left, operator, right)) => {
                let (left, right) = (parse_inner(left)?, parse_inner(right)?);
                Filter { left, operator: Some(operator.to_owned()), right }
            }
        };
        self.nodes.push(Node::Filter(filter));
        Ok(())
    }
}

/// The first run of comparison characters, with something on both sides.
fn comparison(text: &str) -> Option<(&str, &str, &str)> {
    let is_operator = |c| matches!(c, '!' | '<' | '>' | '=');
    let start = text.find(is_operator).filter(|start| *start > 0)?;
    let length = text[start..].find(|c| !is_operator(c)).unwrap_or(text.len() - start);
    // A right side that is itself such a character takes the run's last one.
    let end = if start + length == text.len() { text.len() - 1 } else { start + length };
    (end > start).then(|| (&text[..start], &text[start..end], &text[end..]))
}

fn slice(text: &str) -> Result<Slice, ParseError> {
    let parts: Vec<&str> = text.split(':').collect();
    let well_formed = |part: &&str| {
        let digits = part.strip_prefix('-').unwrap_or(part);
        digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.len() > 3 || !parts.iter().all(well_formed) {
        return Err(ParseError::ArrayIndex(text.to_owned()));
    }
    let number = |part: Option<&&str>| match part {
        None | Some(&"") => Ok(None),
        Some(part) => part.parse::<i64>().map(Some).map_err(|_| ParseError::IndexNumber((*part).to_owned())),
    };
    let start = number(parts.first())?;
    let end_is_derived = parts.len() == 1;
    let end = if end_is_derived { Some(start.unwrap_or(0).saturating_add(1)) } else { number(parts.get(1))? };
    Ok(Slice { start, end, end_is_derived, step: number(parts.get(2))? })
}

/// Go's escapes; the other kind of quote needs none.
fn unquote(text: &str, quote: char) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == quote {
            return None;
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(escaped(&mut chars, quote)?);
    }
    Some(out)
}

/// What follows a backslash.
fn escaped(chars: &mut std::str::Chars<'_>, quote: char) -> Option<char> {
    let digits = match chars.next()? {
        'a' => return Some('\x07'),
        'b' => return Some('\x08'),
        'f' => return Some('\x0c'),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'v' => return Some('\x0b'),
        '\\' => return Some('\\'),
        c if c == quote => return Some(quote),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let text: String = chars.by_ref().take(digits).collect();
    if text.len() != digits {
        return None;
    }
    u32::from_str_radix(&text, 16).ok().and_then(char::from_u32)
}
