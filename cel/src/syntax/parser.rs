//! The grammar of CEL (`parser/gen/CEL.g4` of cel-go), by recursive descent. Parsing ends with the first error.

use super::expr::{Entry, Expr, Field, Id, Item, Kind, Tree};
use super::lexer::{self, Class, Token};
use super::{RESERVED, macros, text};
use crate::issue::{Issue, Issues};
use crate::library::Libraries;
use crate::value::Value;

/// Of nested expressions and of operators in a row; what comes after recurses as deep.
const MAX_DEPTH: usize = 250;
/// In characters.
const MAX_LENGTH: usize = 100_000;
const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                       BYTES, IDENTIFIER}";

/// What may come after the brace of an object.
const FIELD: &str = "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}";

/// How strongly an operator binds, its sign, its function.
const OPERATORS: [(usize, &str, &str); 14] = [
    (0, "||", "_||_"),
    (AND, "&&", "_&&_"),
    (2, "<", "_<_"),
    (2, "<=", "_<=_"),
    (2, ">=", "_>=_"),
    (2, ">", "_>_"),
    (2, "==", "_==_"),
    (2, "!=", "_!=_"),
    (2, "in", "@in"),
    (3, "+", "_+_"),
    (3, "-", "_-_"),
    (4, "*", "_*_"),
    (4, "/", "_/_"),
    (4, "%", "_%_"),
];
const AND: usize = 1;

/// # Errors
/// Where the text is no expression.
pub fn parse(source: &str, libraries: Libraries) -> Result<Tree, Issues> {
    let length = source.chars().count();
    if length > MAX_LENGTH {
        let text = format!("expression code point size exceeds limit: size: {length}, limit {MAX_LENGTH}");
        return Err(Issues::new(source, vec![Issue::nowhere(text)]));
    }
    let (tokens, unknown) = lexer::tokens(source);
    let unknown = unknown.into_iter().map(|unknown| {
        let text = format!("Syntax error: token recognition error at: '{}'", unknown.text);
        Issue::new(unknown.at, text)
    });
    let mut parser = Parser { tokens, at: 0, places: Vec::new(), depth: 0, libraries, issues: unknown.collect() };
    let parsed = parser.expr().and_then(|root| parser.end().map(|()| root));
    match parsed {
        Ok(root) if parser.issues.is_empty() => Ok(Tree { root, places: parser.places }),
        parsed => {
            parser.issues.extend(parsed.err());
            Err(Issues::new(source, parser.issues))
        }
    }
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    places: Vec<u32>,
    depth: usize,
    pub libraries: Libraries,
    /// What is wrong, but can be read on.
    issues: Vec<Issue>,
}

type Parsed<T = Expr> = Result<T, Issue>;

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn is(&self, sign: &str) -> bool {
        self.peek().class == Class::Sign && self.peek().text == sign
    }

    fn accept(&mut self, sign: &str) -> Option<Token> {
        self.is(sign).then(|| self.next())
    }

    /// A token too many is passed over.
    fn expect(&mut self, sign: &str) -> Parsed<Token> {
        let next = self.tokens.get(self.at + 1);
        if !self.is(sign) && next.is_some_and(|next| next.class == Class::Sign && next.text == sign) {
            let issue = self.unexpected("extraneous", &format!("'{sign}'"));
            self.issues.push(issue);
            self.at += 1;
        }
        self.accept(sign).ok_or_else(|| self.unexpected("mismatched", &format!("'{sign}'")))
    }

    fn end(&mut self) -> Parsed<()> {
        let ends = |token: Option<&Token>| token.is_some_and(|token| token.class == Class::End);
        match (ends(self.tokens.get(self.at)), ends(self.tokens.get(self.at + 1))) {
            (true, _) => Ok(()),
            (false, extraneous) => Err(self.unexpected(if extraneous { "extraneous" } else { "mismatched" }, "<EOF>")),
        }
    }

    fn unexpected(&self, what: &str, wanted: &str) -> Issue {
        let token = self.peek();
        Issue::new(token.at, format!("Syntax error: {what} input '{}' expecting {wanted}", token.text))
    }

    /// Something in the place of what is wrong.
    fn wrong(&mut self, issue: Issue) -> Expr {
        let place = issue.place.unwrap_or_default();
        self.issues.push(issue);
        self.make(place, Kind::Literal(Value::Null))
    }

    /// A call, or what it stands for.
    fn call_or_macro(&mut self, id: Id, function: String, target: Option<Expr>, args: Vec<Expr>) -> Expr {
        macros::call(self, id, function, target, args).unwrap_or_else(|issue| self.wrong(issue))
    }

    pub fn id(&mut self, place: u32) -> Id {
        self.places.push(place);
        Id::try_from(self.places.len() - 1).unwrap_or(Id::MAX)
    }

    pub fn place(&self, id: Id) -> u32 {
        self.places.get(id as usize).copied().unwrap_or_default()
    }

    pub fn make(&mut self, place: u32, kind: Kind) -> Expr {
        Expr { id: self.id(place), kind }
    }

    fn call(&mut self, id: Id, function: &str, args: Vec<Expr>) -> Expr {
        Expr { id, kind: Kind::Call { function: function.to_owned(), target: None, args } }
    }

    fn deeper(&mut self, by: usize) -> Parsed<()> {
        self.depth += by;
        if self.depth > MAX_DEPTH {
            return Err(Issue::nowhere(format!("expression recursion limit exceeded: {MAX_DEPTH}")));
        }
        Ok(())
    }

    fn expr(&mut self) -> Parsed {
        let depth = self.depth;
        self.deeper(1)?;
        let condition = self.operators(0)?;
        let expr = match self.accept("?") {
            None => condition,
            Some(sign) => {
                let id = self.id(sign.at);
                let then = self.operators(0)?;
                self.expect(":")?;
                let otherwise = self.expr()?;
                self.call(id, "_?_:_", vec![condition, then, otherwise])
            }
        };
        self.depth = depth;
        Ok(expr)
    }

    /// Operators that bind at least so strongly. A row of `||` or `&&` becomes a balanced tree.
    fn operators(&mut self, least: usize) -> Parsed {
        let depth = self.depth;
        let mut left = self.unary()?;
        while let Some((level, sign, function)) = self.operator().filter(|(level, ..)| *level >= least) {
            let (mut rest, mut ids) = (Vec::new(), Vec::new());
            while let Some(token) = self.accept(sign) {
                rest.push(Some(self.operators(level + 1)?));
                ids.push(self.id(token.at));
                if level > AND {
                    self.deeper(1)?;
                    break;
                }
            }
            rest.insert(0, Some(left));
            left = balance(function, &mut rest, &ids);
        }
        self.depth = depth;
        Ok(left)
    }

    fn operator(&self) -> Option<(usize, &'static str, &'static str)> {
        OPERATORS.into_iter().find(|(_, sign, _)| self.is(sign))
    }

    fn unary(&mut self) -> Parsed {
        for (sign, function) in [("!", "!_"), ("-", "-_")] {
            if !self.is(sign) {
                continue;
            }
            // A minus before a number belongs to it.
            let number = self.tokens.get(self.at + 1).map(|token| token.class);
            if sign == "-" && matches!(number, Some(Class::Int | Class::Float)) {
                break;
            }
            let place = self.peek().at;
            let mut count = 0;
            while self.accept(sign).is_some() {
                count += 1;
            }
            let id = self.id(place);
            let operand = self.member()?;
            return Ok(if count % 2 == 0 { operand } else { self.call(id, function, vec![operand]) });
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let depth = self.depth;
        let mut operand = self.primary()?;
        loop {
            if let Some(dot) = self.accept(".") {
                self.deeper(1)?;
                operand = self.select(operand, dot.at)?;
            } else if let Some(bracket) = self.accept("[") {
                self.deeper(1)?;
                let optional = self.optional(bracket.at, "unsupported syntax '[?'")?;
                let id = self.id(bracket.at);
                let index = self.expr()?;
                self.expect("]")?;
                operand = self.call(id, if optional { "_[?_]" } else { "_[_]" }, vec![operand, index]);
            } else {
                self.depth = depth;
                return Ok(operand);
            }
        }
    }

    fn optional(&mut self, place: u32, unsupported: &str) -> Parsed<bool> {
        let optional = self.accept("?").is_some();
        if optional && !self.libraries.optional_syntax() {
            return Err(Issue::new(place, unsupported));
        }
        Ok(optional)
    }

    fn select(&mut self, operand: Expr, dot: u32) -> Parsed {
        let optional = self.optional(dot, "unsupported syntax '.?'")?;
        if !matches!(self.peek().class, Class::Ident | Class::Escaped) {
            let token = self.peek();
            let text = if token.class == Class::End { "" } else { &token.text };
            return Err(Issue::new(token.at, format!("Syntax error: no viable alternative at input '.{text}'")));
        }
        let name = self.field_name()?;
        if optional {
            let field = self.make(name.at, Kind::Literal(Value::text(name.text)));
            let id = self.id(dot);
            return Ok(self.call(id, "_?._", vec![operand, field]));
        }
        let Some(open) = (name.class == Class::Ident).then(|| self.accept("(")).flatten() else {
            let kind = Kind::Select { operand: Box::new(operand), field: name.text, test: false };
            return Ok(self.make(dot, kind));
        };
        let id = self.id(open.at);
        let args = self.arguments()?;
        Ok(self.call_or_macro(id, name.text, Some(operand), args))
    }

    /// A name, which may stand in backticks or be a reserved word.
    fn field_name(&mut self) -> Parsed<Token> {
        match self.peek().class {
            Class::Ident => Ok(self.next()),
            Class::Escaped if self.libraries.escaped_names() => {
                let token = self.next();
                Ok(Token { text: token.text.trim_matches('`').to_owned(), ..token })
            }
            Class::Escaped => Err(Issue::new(self.peek().at, "unsupported syntax: '`'")),
            _ => Err(self.unexpected("mismatched", "IDENTIFIER")),
        }
    }

    /// Up to the closing parenthesis.
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.accept(")").is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.accept(",").is_none() {
                self.expect(")")?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let token = self.peek().clone();
        match (token.class, token.text.as_str()) {
            (Class::Sign, "(") => {
                self.next();
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            (Class::Sign, "[") => self.list(),
            (Class::Sign, "{") => self.map(),
            (Class::Sign, "." | "-") | (Class::Ident, _) if token.text != "-" => self.name(),
            (Class::Sign, word @ ("true" | "false" | "null")) => {
                let value = if word == "null" { Value::Null } else { Value::Bool(word == "true") };
                self.next();
                Ok(self.make(token.at, Kind::Literal(value)))
            }
            (Class::Int | Class::Uint | Class::Float | Class::String | Class::Bytes, _) | (Class::Sign, "-") => {
                self.literal()
            }
            _ => Err(self.unexpected("mismatched", OPERAND)),
        }
    }

    fn literal(&mut self) -> Parsed {
        let place = self.peek().at;
        let sign = if self.accept("-").is_some() { "-" } else { "" };
        let token = self.next();
        let value = match self.literal_value(&token, sign) {
            Some(Ok(value)) => value,
            Some(Err(why)) => return Ok(self.wrong(Issue::new(place, why))),
            None => {
                self.at -= 1;
                return Err(self.unexpected("mismatched", OPERAND));
            }
        };
        Ok(self.make(place, Kind::Literal(value)))
    }

    /// `None` for what is no literal.
    fn literal_value(&self, token: &Token, sign: &str) -> Option<Result<Value<'static>, &'static str>> {
        let text = &token.text;
        Some(match token.class {
            Class::Int => {
                let number = match text.strip_prefix("0x") {
                    Some(digits) => i64::from_str_radix(&format!("{sign}{digits}"), 16),
                    None => format!("{sign}{text}").parse(),
                };
                number.map(Value::Int).map_err(|_| "invalid int literal")
            }
            Class::Uint => {
                let digits = &text[..text.len() - 1];
                let number = match digits.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => digits.parse(),
                };
                number.map(Value::Uint).map_err(|_| "invalid uint literal")
            }
            Class::Float => {
                let number = format!("{sign}{text}").parse::<f64>().ok().filter(|number| number.is_finite());
                number.map(Value::Double).ok_or("invalid double literal")
            }
            Class::String => {
                let bytes = text::unescape(text, false);
                bytes.map(|bytes| Value::text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Class::Bytes => text::unescape(&text[1..], true).map(|bytes| Value::Bytes(bytes.into())),
            _ => return None,
        })
    }

    /// A variable, a call of a function, or an object.
    fn name(&mut self) -> Parsed {
        let start = self.peek().at;
        let dot = if self.accept(".").is_some() { "." } else { "" };
        if self.peek().class != Class::Ident {
            return Err(self.unexpected("mismatched", "IDENTIFIER"));
        }
        let token = self.next();
        if let Some(name) = self.object_name(&token.text) {
            let open = self.next();
            let id = self.id(open.at);
            let fields = self.fields()?;
            return Ok(Expr { id, kind: Kind::Struct { name: format!("{dot}{name}"), fields } });
        }
        let reserved = RESERVED.contains(&token.text.as_str());
        let issue = || Issue::new(start, format!("reserved identifier: {}", token.text));
        let name = format!("{dot}{}", token.text);
        match self.accept("(") {
            None if reserved => Ok(self.wrong(issue())),
            Some(_) if reserved => {
                self.arguments()?;
                Ok(self.wrong(issue()))
            }
            None => Ok(self.make(token.at, Kind::Ident(name))),
            Some(open) => {
                let id = self.id(open.at);
                let args = self.arguments()?;
                Ok(self.call_or_macro(id, name, None, args))
            }
        }
    }

    /// `a.b.C` before an open brace; the tokens are taken when it is one.
    fn object_name(&mut self, first: &str) -> Option<String> {
        let mut name = first.to_owned();
        let mut at = self.at;
        loop {
            let sign = self.tokens.get(at).filter(|token| token.class == Class::Sign)?;
            match sign.text.as_str() {
                "{" => {
                    self.at = at;
                    return Some(name);
                }
                "." => {
                    let part = self.tokens.get(at + 1).filter(|token| token.class == Class::Ident)?;
                    name = format!("{name}.{}", part.text);
                    at += 2;
                }
                _ => return None,
            }
        }
    }

    fn fields(&mut self) -> Parsed<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            if self.accept("}").is_some() {
                return Ok(fields);
            }
            let place = self.peek().at;
            if fields.is_empty() && self.peek().class == Class::End {
                return Err(self.unexpected("mismatched", FIELD));
            }
            let optional = self.optional(place, "unsupported syntax '?'")?;
            let name = self.field_name()?.text;
            let colon = self.expect(":")?;
            let id = self.id(colon.at);
            let value = self.expr()?;
            fields.push(Field { id, name, value, optional });
            if self.accept(",").is_none() {
                self.expect("}")?;
                return Ok(fields);
            }
        }
    }

    fn list(&mut self) -> Parsed {
        let open = self.next();
        let id = self.id(open.at);
        let mut items = Vec::new();
        loop {
            if self.accept("]").is_some() {
                break;
            }
            let place = self.peek().at;
            let optional = self.optional(place, "unsupported syntax '?'")?;
            items.push(Item { value: self.expr()?, optional });
            if self.accept(",").is_none() {
                self.expect("]")?;
                break;
            }
        }
        Ok(Expr { id, kind: Kind::List(items) })
    }

    fn map(&mut self) -> Parsed {
        let open = self.next();
        let id = self.id(open.at);
        let mut entries = Vec::new();
        loop {
            if self.accept("}").is_some() {
                break;
            }
            let place = self.peek().at;
            let optional = self.optional(place, "unsupported syntax '?'")?;
            let key = self.expr()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expr()?, optional });
            if self.accept(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr { id, kind: Kind::Map(entries) })
    }
}

/// One more term than operators. Each term is taken once.
fn balance(function: &str, terms: &mut [Option<Expr>], ids: &[Id]) -> Expr {
    if ids.is_empty() {
        let none = || Expr { id: 0, kind: Kind::Literal(Value::Null) };
        return terms.first_mut().and_then(Option::take).unwrap_or_else(none);
    }
    let middle = ids.len() / 2;
    let (left, right) = terms.split_at_mut(middle + 1);
    let args = vec![balance(function, left, &ids[..middle]), balance(function, right, &ids[middle + 1..])];
    Expr { id: ids[middle], kind: Kind::Call { function: function.to_owned(), target: None, args } }
}
