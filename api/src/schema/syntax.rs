//! What is wrong with a text that is not JSON, in the words of Go's `encoding/json`.

/// As Go's decoder limits it.
const MAX_DEPTH: usize = 10_000;

/// `None` for JSON.
pub fn error(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { text, at: 0 };
    let scanned = scanner.document();
    scanned.err().map(|wrong| match wrong {
        Wrong::End => "unexpected end of JSON input".to_owned(),
        Wrong::Deep => "exceeded max depth".to_owned(),
        Wrong::Byte(byte, context) => format!("invalid character {} {context}", quoted(byte)),
    })
}

enum Wrong {
    End,
    Deep,
    /// The byte, and what would have come there.
    Byte(u8, String),
}

/// A byte as Go shows it: the character of its number.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        // Not printable to Go.
        0x80..=0x9f | 0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => {
            let quoted = crate::field::go_quoted(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

type Scanned = Result<(), Wrong>;

impl Scanner<'_> {
    /// Without recursion: clients choose the depth.
    fn document(&mut self) -> Scanned {
        let mut open = Vec::new();
        let mut first = self.next_after_spaces()?;
        loop {
            let empty = match first {
                b'{' | b'[' if open.len() == MAX_DEPTH => return Err(Wrong::Deep),
                b'{' => match self.next_after_spaces()? {
                    b'}' => true,
                    start => {
                        self.key(start)?;
                        false
                    }
                },
                b'[' => {
                    self.spaces();
                    let empty = self.peek() == b']';
                    self.at += usize::from(empty);
                    empty
                }
                first => {
                    self.scalar(first)?;
                    true
                }
            };
            if !empty {
                open.push(first);
            } else if !self.another(&mut open)? {
                return Ok(());
            }
            first = self.next_after_spaces()?;
        }
    }

    /// After a value, up to where the next one begins; false at the end.
    fn another(&mut self, open: &mut Vec<u8>) -> Result<bool, Wrong> {
        while let Some(&outer) = open.last() {
            match (outer, self.next_after_spaces()?) {
                (b'{', b',') => {
                    let start = self.next_after_spaces()?;
                    return self.key(start).map(|()| true);
                }
                (b'[', b',') => return Ok(true),
                (b'{', b'}') | (b'[', b']') => drop(open.pop()),
                (b'{', byte) => return Err(Wrong::Byte(byte, "after object key:value pair".to_owned())),
                (_, byte) => return Err(Wrong::Byte(byte, "after array element".to_owned())),
            }
        }
        self.spaces();
        match self.text.get(self.at) {
            None => Ok(false),
            Some(byte) => Err(Wrong::Byte(*byte, "after top-level value".to_owned())),
        }
    }

    fn key(&mut self, start: u8) -> Scanned {
        if start != b'"' {
            return Err(Wrong::Byte(start, "looking for beginning of object key string".to_owned()));
        }
        self.string()?;
        match self.next_after_spaces()? {
            b':' => Ok(()),
            byte => Err(Wrong::Byte(byte, "after object key".to_owned())),
        }
    }

    fn spaces(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, Wrong> {
        let byte = self.text.get(self.at).copied().ok_or(Wrong::End)?;
        self.at += 1;
        Ok(byte)
    }

    fn next_after_spaces(&mut self) -> Result<u8, Wrong> {
        self.spaces();
        self.next()
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or_default()
    }

    fn scalar(&mut self, first: u8) -> Scanned {
        match first {
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' => match self.next()? {
                digit @ b'0'..=b'9' => self.number(digit),
                byte => Err(Wrong::Byte(byte, "in numeric literal".to_owned())),
            },
            b'0'..=b'9' => self.number(first),
            byte => Err(Wrong::Byte(byte, "looking for beginning of value".to_owned())),
        }
    }

    fn string(&mut self) -> Scanned {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.next()?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(Wrong::Byte(digit, "in \\u hexadecimal character escape".to_owned()));
                            }
                        }
                    }
                    byte => return Err(Wrong::Byte(byte, "in string escape code".to_owned())),
                },
                byte if byte < 0x20 => return Err(Wrong::Byte(byte, "in string literal".to_owned())),
                _ => {}
            }
        }
    }

    fn number(&mut self, first: u8) -> Scanned {
        if first != b'0' {
            self.digits();
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Scanned {
        let byte = self.next()?;
        if byte.is_ascii_digit() { Ok(()) } else { Err(Wrong::Byte(byte, context.to_owned())) }
    }

    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    fn literal(&mut self, literal: &str) -> Scanned {
        for expected in literal.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                return Err(Wrong::Byte(byte, format!("in literal {literal} (expecting '{}')", char::from(expected))));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::error;

    #[test]
    fn the_words_of_go() {
        let cases = [
            (" {\"a\": [1, -2.5e+3, \"\\u00e4\\n\", true, null, {}, []]} ", None),
            ("", Some("unexpected end of JSON input")),
            ("{\"a\":", Some("unexpected end of JSON input")),
            ("\"a", Some("unexpected end of JSON input")),
            ("-", Some("unexpected end of JSON input")),
            ("{} x", Some("invalid character 'x' after top-level value")),
            ("x", Some("invalid character 'x' looking for beginning of value")),
            ("[1,]", Some("invalid character ']' looking for beginning of value")),
            ("{,}", Some("invalid character ',' looking for beginning of object key string")),
            ("{\"a\":1,}", Some("invalid character '}' looking for beginning of object key string")),
            ("{\"a\" 1}", Some("invalid character '1' after object key")),
            ("{\"a\":1 2}", Some("invalid character '2' after object key:value pair")),
            ("[01]", Some("invalid character '1' after array element")),
            ("1.x", Some("invalid character 'x' after decimal point in numeric literal")),
            ("1ex", Some("invalid character 'x' in exponent of numeric literal")),
            ("-x", Some("invalid character 'x' in numeric literal")),
            ("\"\n\"", Some("invalid character '\\n' in string literal")),
            ("\"\\x\"", Some("invalid character 'x' in string escape code")),
            ("\"\\u00g\"", Some("invalid character 'g' in \\u hexadecimal character escape")),
            ("trve", Some("invalid character 'v' in literal true (expecting 'u')")),
            ("'a'", Some("invalid character '\\'' looking for beginning of value")),
            ("\u{a7}", Some("invalid character '\u{c2}' looking for beginning of value")),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text.as_bytes()).as_deref(), expected, "{text:?}");
        }
        assert_eq!(error("[".repeat(10_001).as_bytes()).as_deref(), Some("exceeded max depth"));
    }
}
