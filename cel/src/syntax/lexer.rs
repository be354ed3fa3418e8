//! Tokens of an expression.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Int,
    Uint,
    Float,
    String,
    Bytes,
    Ident,
    /// A name in backticks.
    Escaped,
    /// Signs, and the words `in`, `true`, `false` and `null`.
    Sign,
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub class: Class,
    pub text: String,
    /// In characters from the beginning.
    pub at: u32,
}

/// What is no token, and where.
#[derive(Debug)]
pub(super) struct Unknown {
    pub text: String,
    pub at: u32,
}

const SIGNS: [&str; 27] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%", "=", "|", "&",
];

/// All tokens, and between them what is none.
pub(super) fn tokens(source: &str) -> (Vec<Token>, Vec<Unknown>) {
    let chars: Vec<char> = source.chars().collect();
    let mut lexer = Lexer { chars: &chars, at: 0 };
    let (mut tokens, mut unknown) = (Vec::new(), Vec::new());
    loop {
        match lexer.next() {
            Ok(token) => {
                let ended = token.class == Class::End;
                tokens.push(token);
                if ended {
                    return (tokens, unknown);
                }
            }
            Err(other) => {
                lexer.at += other.text.chars().count().max(1);
                unknown.push(other);
            }
        }
    }
}

struct Lexer<'c> {
    chars: &'c [char],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn take(&mut self, class: Class, length: usize) -> Token {
        let text = self.chars[self.at..self.at + length].iter().collect();
        let at = u32::try_from(self.at).unwrap_or(u32::MAX);
        self.at += length;
        Token { class, text, at }
    }

    fn unknown(&self, length: usize) -> Unknown {
        let end = (self.at + length).min(self.chars.len());
        Unknown { text: self.chars[self.at..end].iter().collect(), at: u32::try_from(self.at).unwrap_or(u32::MAX) }
    }

    fn next(&mut self) -> Result<Token, Unknown> {
        self.skip();
        if self.at >= self.chars.len() {
            let text = "<EOF>".to_owned();
            return Ok(Token { class: Class::End, text, at: u32::try_from(self.chars.len()).unwrap_or(u32::MAX) });
        }
        if let Some((class, length)) = self.quoted()? {
            return Ok(self.take(class, length));
        }
        let c = self.peek(0);
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_ascii_digit()) {
            let (class, length) = self.number();
            return Ok(self.take(class, length));
        }
        if c.is_ascii_alphabetic() || c == '_' {
            let length = self.count(0, |c| c.is_ascii_alphanumeric() || c == '_');
            let mut token = self.take(Class::Ident, length);
            if matches!(token.text.as_str(), "in" | "true" | "false" | "null") {
                token.class = Class::Sign;
            }
            return Ok(token);
        }
        if c == '`' {
            let length = self.count(1, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' '));
            if length > 0 && self.peek(1 + length) == '`' {
                return Ok(self.take(Class::Escaped, length + 2));
            }
        }
        let sign = SIGNS.iter().find(|sign| sign.chars().enumerate().all(|(index, c)| self.peek(index) == c));
        match sign {
            Some(&("=" | "|" | "&")) | None => Err(self.unknown(if sign.is_some() { 2 } else { 1 })),
            Some(sign) => Ok(self.take(Class::Sign, sign.len())),
        }
    }

    /// White space and comments.
    fn skip(&mut self) {
        loop {
            match self.peek(0) {
                '\t' | ' ' | '\r' | '\n' | '\x0C' => self.at += 1,
                '/' if self.peek(1) == '/' => self.at += self.count(0, |c| c != '\n'),
                _ => return,
            }
        }
    }

    fn count(&self, from: usize, belongs: impl Fn(char) -> bool) -> usize {
        self.chars[(self.at + from).min(self.chars.len())..].iter().take_while(|c| belongs(**c)).count()
    }

    fn number(&self) -> (Class, usize) {
        if self.peek(0) == '0' && self.peek(1) == 'x' && self.peek(2).is_ascii_hexdigit() {
            let length = 2 + self.count(2, |c| c.is_ascii_hexdigit());
            return if matches!(self.peek(length), 'u' | 'U') {
                (Class::Uint, length + 1)
            } else {
                (Class::Int, length)
            };
        }
        let mut length = self.count(0, |c| c.is_ascii_digit());
        if length > 0 && matches!(self.peek(length), 'u' | 'U') {
            return (Class::Uint, length + 1);
        }
        let mut class = Class::Int;
        if self.peek(length) == '.' && self.peek(length + 1).is_ascii_digit() {
            class = Class::Float;
            length += 1 + self.count(length + 1, |c| c.is_ascii_digit());
        }
        if matches!(self.peek(length), 'e' | 'E') {
            let sign = usize::from(matches!(self.peek(length + 1), '+' | '-'));
            let digits = self.count(length + 1 + sign, |c| c.is_ascii_digit());
            if digits > 0 {
                class = Class::Float;
                length += 1 + sign + digits;
            }
        }
        (class, length)
    }

    /// The length of a string or bytes, if one begins here.
    fn quoted(&self) -> Result<Option<(Class, usize)>, Unknown> {
        let mut from = 0;
        let (mut class, mut raw) = (Class::String, false);
        if matches!(self.peek(0), 'b' | 'B') {
            (class, from) = (Class::Bytes, 1);
        }
        if matches!(self.peek(from), 'r' | 'R') {
            (raw, from) = (true, from + 1);
        }
        let quote = self.peek(from);
        if !matches!(quote, '"' | '\'') {
            return Ok(None);
        }
        let long = self.peek(from + 1) == quote && self.peek(from + 2) == quote;
        let width = if long { 3 } else { 1 };
        let mut at = from + width;
        loop {
            let c = self.peek(at);
            let ended = (0..width).all(|index| self.peek(at + index) == quote);
            if self.at + at >= self.chars.len() || (!long && matches!(c, '\n' | '\r')) {
                // Two quotes are an empty string, whatever follows.
                return if long { Ok(Some((class, from + 2))) } else { Err(self.unknown(at)) };
            }
            if ended {
                return Ok(Some((class, at + width)));
            }
            at += if c == '\\' && !raw { 2 } else { 1 };
        }
    }
}
