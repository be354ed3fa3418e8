//! The text form of protocol buffers, as far as the test files use it.

#[derive(Clone, Debug)]
pub enum Node {
    /// Numbers and words.
    Word(String),
    Text(Vec<u8>),
    Message(Message),
}

/// Fields in order; a repeated one stands there several times.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<(String, Node)>);

impl Message {
    pub fn all(&self, name: &str) -> impl Iterator<Item = &Node> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, node)| node)
    }

    pub fn messages(&self, name: &str) -> impl Iterator<Item = &Message> {
        self.all(name).filter_map(|node| match node {
            Node::Message(message) => Some(message),
            _ => None,
        })
    }

    pub fn message(&self, name: &str) -> Option<&Message> {
        self.messages(name).next()
    }

    pub fn text(&self, name: &str) -> Option<String> {
        match self.all(name).next()? {
            Node::Word(word) => Some(word.clone()),
            Node::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Node::Message(_) => None,
        }
    }

    pub fn is(&self, name: &str) -> bool {
        self.text(name).as_deref() == Some("true")
    }

    /// The first field, of a message that is one of several.
    pub fn only(&self) -> Option<(&str, &Node)> {
        self.0.first().map(|(name, node)| (name.as_str(), node))
    }
}

pub fn parse(text: &str) -> Message {
    let mut parser = Parser { text: text.as_bytes(), at: 0 };
    parser.message(0)
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> u8 {
        loop {
            match self.text.get(self.at).copied() {
                Some(b'#') => self.at += self.text[self.at..].iter().take_while(|byte| **byte != b'\n').count(),
                Some(b' ' | b'\n' | b'\t' | b'\r' | b',' | b';') => self.at += 1,
                other => return other.unwrap_or_default(),
            }
        }
    }

    fn word(&mut self) -> String {
        let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-+/".contains(byte);
        let length = self.text[self.at..].iter().take_while(|byte| belongs(byte)).count();
        assert!(length > 0, "unexpected {:?} at {}", char::from(self.text[self.at]), self.at);
        self.at += length;
        String::from_utf8_lossy(&self.text[self.at - length..self.at]).into_owned()
    }

    fn message(&mut self, end: u8) -> Message {
        let mut fields = Vec::new();
        loop {
            let next = self.peek();
            if next == end || next == 0 {
                self.at += 1;
                return Message(fields);
            }
            let name = if next == b'[' {
                self.at += 1;
                let name = self.word();
                self.at += 1;
                name
            } else {
                self.word()
            };
            if self.peek() == b':' {
                self.at += 1;
            }
            if self.peek() == b'[' {
                self.at += 1;
                while self.peek() != b']' {
                    let node = self.node();
                    fields.push((name.clone(), node));
                }
                self.at += 1;
            } else {
                let node = self.node();
                fields.push((name, node));
            }
        }
    }

    fn node(&mut self) -> Node {
        match self.peek() {
            b'{' => {
                self.at += 1;
                Node::Message(self.message(b'}'))
            }
            b'<' => {
                self.at += 1;
                Node::Message(self.message(b'>'))
            }
            b'"' | b'\'' => {
                let mut bytes = Vec::new();
                while matches!(self.peek(), b'"' | b'\'') {
                    self.quoted(&mut bytes);
                }
                Node::Text(bytes)
            }
            _ => Node::Word(self.word()),
        }
    }

    fn quoted(&mut self, out: &mut Vec<u8>) {
        let quote = self.text[self.at];
        self.at += 1;
        while self.text[self.at] != quote {
            if self.text[self.at] != b'\\' {
                out.push(self.text[self.at]);
                self.at += 1;
                continue;
            }
            let letter = self.text[self.at + 1];
            self.at += 2;
            let (radix, digits) = match letter {
                b'x' => (16, 2),
                b'u' => (16, 4),
                b'U' => (16, 8),
                b'0'..=b'7' => (8, 3),
                _ => (0, 0),
            };
            if radix == 0 {
                let escaped = match letter {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'a' => 7,
                    b'b' => 8,
                    b'f' => 12,
                    b'v' => 11,
                    other => other,
                };
                out.push(escaped);
                continue;
            }
            if radix == 8 {
                self.at -= 1;
            }
            let rest = &self.text[self.at..];
            let length = rest.iter().take(digits).take_while(|byte| char::from(**byte).is_digit(radix)).count();
            let code = u32::from_str_radix(&String::from_utf8_lossy(&rest[..length]), radix).unwrap();
            self.at += length;
            if digits > 3 {
                out.extend(char::from_u32(code).unwrap().to_string().bytes());
            } else {
                out.push(u8::try_from(code).unwrap());
            }
        }
        self.at += 1;
    }
}
