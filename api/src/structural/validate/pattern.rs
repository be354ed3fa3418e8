//! Regular expressions in Go's syntax. Ours has the same ideas and a few other signs.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

/// Go's own limit on the size of a program is about this.
const SIZE: usize = 32 << 20;

/// Compiled when it is first needed: most patterns of a definition never are.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    regex: OnceLock<Result<Regex, String>>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), regex: OnceLock::new() }
    }

    /// The pattern, when a text does not match it.
    pub fn problem(&self, text: &str) -> Option<String> {
        match self.regex.get_or_init(|| compile(&self.text)) {
            Ok(regex) if regex.is_match(text) => None,
            Ok(_) => Some(self.text.clone()),
            Err(error) => Some(format!("{}, but pattern is invalid: {error}", self.text)),
        }
    }
}

/// Whether it is a pattern.
///
/// # Errors
/// Why it is none.
pub fn check(pattern: &str) -> Result<(), String> {
    compile(pattern).map(drop)
}

/// # Errors
/// Why it is none.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    if let Some(operators) = repeated_repetition(pattern) {
        return Err(format!("error parsing regexp: invalid nested repetition operator: `{operators}`"));
    }
    let built = RegexBuilder::new(&translate(pattern)).size_limit(SIZE).build();
    built.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        let why = last.strip_prefix("error: ").unwrap_or(last);
        format!("error parsing regexp: {why}: `{pattern}`")
    })
}

/// `a**`, which our engine takes for `(a*)*`. A question mark after a repetition belongs to it.
fn repeated_repetition(pattern: &str) -> Option<String> {
    let mut chars = pattern.chars().peekable();
    let (mut class, mut before) = (false, None);
    while let Some(c) = chars.next() {
        let repetition = matches!(c, '*' | '+' | '?') && !class;
        match (before, c) {
            (Some(first), c) if repetition => return Some(format!("{first}{c}")),
            (_, '\\') => {
                chars.next();
            }
            (_, '[') => class = true,
            (_, ']') => class = false,
            _ => {}
        }
        before = repetition.then_some(c);
        // It makes a repetition lazy, or a group special.
        if repetition || (c == '(' && !class) {
            chars.next_if_eq(&'?');
        }
    }
    None
}

/// Classes by letters are ASCII in Go; a bracket inside of a class and a brace that repeats nothing are themselves.
fn translate(pattern: &str) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut at = 0;
    let mut class = false;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        at += 1;
        match (c, class) {
            ('\\', false) if next == Some('Q') => {
                at += 1;
                while at < chars.len() && !(chars[at] == '\\' && chars.get(at + 1) == Some(&'E')) {
                    out += &regex::escape(&chars[at].to_string());
                    at += 1;
                }
                at += 2;
            }
            ('\\', _) => {
                at += 1;
                out += &escape(next, class);
                // A name in braces belongs to it: `\p{L}`, `\x{10FFFF}`.
                if matches!(next, Some('p' | 'P' | 'x')) && chars.get(at) == Some(&'{') {
                    let end = chars[at..].iter().position(|c| *c == '}').map_or(chars.len(), |end| at + end + 1);
                    out.extend(&chars[at..end]);
                    at = end;
                }
            }
            ('[', false) => {
                class = true;
                out.push('[');
                if chars.get(at) == Some(&'^') {
                    out.push('^');
                    at += 1;
                }
                // A bracket that comes first is a member.
                if chars.get(at) == Some(&']') {
                    out += r"\]";
                    at += 1;
                }
            }
            ('[', true) if next == Some(':') => {
                // A POSIX class goes on to its own bracket.
                out.push('[');
                while let Some(&c) = chars.get(at) {
                    at += 1;
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ('[', true) => out += r"\[",
            (']', true) => {
                class = false;
                out.push(']');
            }
            ('&' | '~', true) if next == Some(c) => {
                out.push('\\');
                out.push(c);
            }
            ('{', false) if !repeats(&chars[at..]) => out += r"\{",
            ('}', false) if !out_has_open_brace(&out) => out += r"\}",
            (c, _) => out.push(c),
        }
    }
    out
}

fn escape(letter: Option<char>, class: bool) -> String {
    let inside = |members: &str| if class { members.to_owned() } else { format!("[{members}]") };
    match letter {
        Some('d') => inside("0-9"),
        Some('w') => inside("0-9A-Za-z_"),
        Some('s') => inside(r"\t\n\x0C\r "),
        Some('D') => "[^0-9]".to_owned(),
        Some('W') => "[^0-9A-Za-z_]".to_owned(),
        Some('S') => r"[^\t\n\x0C\r ]".to_owned(),
        Some('b') if !class => r"(?-u:\b)".to_owned(),
        Some('B') if !class => r"(?-u:\B)".to_owned(),
        Some(c) => format!("\\{c}"),
        None => "\\".to_owned(),
    }
}

/// What follows an open brace makes it a repetition: `3}`, `3,}`, `3,5}`.
fn repeats(rest: &[char]) -> bool {
    let Some(end) = rest.iter().position(|c| *c == '}') else { return false };
    let text: String = rest[..end].iter().collect();
    let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match text.split_once(',') {
        None => number(&text),
        Some((low, high)) => number(low) && (high.is_empty() || number(high)),
    }
}

/// The last brace that was opened is still open.
fn out_has_open_brace(out: &str) -> bool {
    let unescaped = |at: usize| !out[..at].ends_with('\\') || out[..at].ends_with(r"\\");
    let last = |c: char| out.rmatch_indices(c).map(|(at, _)| at).find(|at| unescaped(*at));
    match (last('{'), last('}')) {
        (Some(open), Some(close)) => open > close,
        (open, None) => open.is_some(),
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_go_reads_them() {
        let table = [
            (r"^[a-z]([-a-z0-9]*[a-z0-9])?$", "a-b", true),
            (r"^\d+$", "٣", false),
            (r"^\d{2,3}$", "123", true),
            (r"^[^[]+$", "a[", false),
            (r"^[^[]+$", "ab", true),
            (r"^[[:alpha:]_]+$", "a_", true),
            (r"^[\w.-]+$", "a.b-c_d", true),
            (r"^{[a]}$", "{a}", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[&&a]$", "&", true),
            (r"^[]a]$", "]", true),
            (r"^\$\{x\}$", "${x}", true),
            (r"^.*\S$", "a ", false),
            (r"^\p{L}+$", "ä", true),
            (r"^(?i)abc$", "ABC", true),
            (r"^/.+$", "/a", true),
            (r"^[^\/]+\/[^\/]+$", "a/b", true),
        ];
        for (pattern, text, expected) in table {
            let regex = compile(pattern).unwrap();
            assert_eq!(regex.is_match(text), expected, "{pattern} {text}");
        }
        assert!(check("a(").is_err() && check(r"(?!a)").is_err());
        for (pattern, fine) in [("a**", false), ("a+?+", false), ("a+?", true), ("[*+]+", true), (r"a\++", true)] {
            assert_eq!(check(pattern).is_ok(), fine, "{pattern}");
        }
    }
}
