//! The syntax of label selectors, token by token as `k8s.io/apimachinery/pkg/labels` reads it, so that the same mistakes get the
//! same words.

use super::label::{Operator, Requirement, joined};
use crate::field::{FieldError, Path};
use crate::names;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LabelSelectorError {
    #[error("unable to parse requirement: {0}")]
    Requirement(Box<LabelSelectorError>),
    #[error("found '{found}', expected: {expected}")]
    Expected { found: String, expected: &'static str },
    #[error("found '{0}' expected: '('")]
    ExpectedParenthesis(String),
    /// Keys or values that are no labels, or too many or few values.
    #[error("{}", aggregate(.0))]
    Invalid(Vec<FieldError>),
    #[error("{0:?} is not a valid label selector operator")]
    Operator(String),
}

/// One error as it is, several in brackets.
fn aggregate(errors: &[FieldError]) -> String {
    let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
    if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Error,
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

struct Token {
    kind: Kind,
    literal: String,
}

const LONGEST_OPERATOR: usize = 2;

fn keyword(text: &str) -> Option<Kind> {
    Some(match text {
        ")" => Kind::Close,
        "," => Kind::Comma,
        "!" => Kind::Not,
        "==" => Kind::DoubleEquals,
        "=" => Kind::Equals,
        ">" => Kind::Greater,
        "in" => Kind::In,
        "<" => Kind::Less,
        "!=" => Kind::NotEquals,
        "notin" => Kind::NotIn,
        "(" => Kind::Open,
        _ => return None,
    })
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

/// The first token of `text`, and the rest.
fn next_token(text: &str) -> (Token, &str) {
    let text = text.trim_start_matches(is_space);
    if !text.starts_with(is_special) {
        let end = text.find(|c| is_space(c) || is_special(c)).unwrap_or(text.len());
        let (literal, rest) = text.split_at(end);
        let kind = if literal.is_empty() { Kind::End } else { keyword(literal).unwrap_or(Kind::Identifier) };
        return (Token { kind, literal: literal.to_owned() }, rest);
    }
    // The longest operator wins; symbols are read until the operator cannot grow.
    // No operator is longer than two; to look for the end of each run would take quadratic time.
    let end = text.chars().take(LONGEST_OPERATOR + 1).take_while(|c| is_special(*c)).count();
    let mut found = None;
    for length in 1..=end {
        match keyword(&text[..length]) {
            Some(kind) => found = Some((kind, length)),
            None if found.is_some() => break,
            None => {}
        }
    }
    match found {
        Some((kind, length)) => (Token { kind, literal: text[..length].to_owned() }, &text[length..]),
        None => {
            let literal = format!("error expected: keyword found '{}'", &text[..end]);
            (Token { kind: Kind::Error, literal }, &text[end..])
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, LabelSelectorError> {
    // A zero byte ends the text, as it does upstream.
    let text = text.split('\0').next().unwrap_or_default();
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    loop {
        let token = parser.peek();
        match token.kind {
            Kind::Identifier | Kind::Not => {
                let requirement = parser.requirement().map_err(|e| LabelSelectorError::Requirement(Box::new(e)))?;
                requirements.push(requirement);
                let token = parser.next();
                match token.kind {
                    Kind::End => return Ok(requirements),
                    Kind::Comma => {
                        let token = parser.peek();
                        if !matches!(token.kind, Kind::Identifier | Kind::Not) {
                            return Err(expected(token, "identifier after ','"));
                        }
                    }
                    _ => return Err(expected(token, "',' or 'end of string'")),
                }
            }
            Kind::End => return Ok(requirements),
            _ => return Err(expected(token, "!, identifier, or 'end of string'")),
        }
    }
}

fn expected(token: Token, expected: &'static str) -> LabelSelectorError {
    LabelSelectorError::Expected { found: token.literal, expected }
}

impl Parser<'_> {
    fn operator_token(&mut self) -> Token {
        let (token, rest) = next_token(self.rest);
        self.rest = rest;
        token
    }

    /// The next token where `in` and `notin` are ordinary words.
    fn next(&mut self) -> Token {
        let mut token = self.operator_token();
        if matches!(token.kind, Kind::In | Kind::NotIn) {
            token.kind = Kind::Identifier;
        }
        token
    }

    fn peek(&self) -> Token {
        Parser { rest: self.rest }.next()
    }

    fn requirement(&mut self) -> Result<Requirement, LabelSelectorError> {
        let mut token = self.next();
        let negated = token.kind == Kind::Not;
        if negated {
            token = self.next();
        }
        if token.kind != Kind::Identifier {
            return Err(expected(token, "identifier"));
        }
        let key = token.literal;
        if let Some(error) = joined(&Path::new("<nil>"), &key, names::qualified_name(&key)) {
            return Err(LabelSelectorError::Invalid(vec![error]));
        }
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Requirement::new(&key, Operator::Exists, Vec::new());
        }
        let token = self.operator_token();
        let operator = match token.kind {
            Kind::In => Operator::In,
            Kind::NotIn => Operator::NotIn,
            Kind::Equals => Operator::Equals,
            Kind::DoubleEquals => Operator::DoubleEquals,
            Kind::NotEquals => Operator::NotEquals,
            Kind::Greater => Operator::GreaterThan,
            Kind::Less => Operator::LessThan,
            _ => return Err(expected(token, "in, notin, =, ==, !=, gt, lt")),
        };
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.value_set()?,
            _ => self.exact_value()?,
        };
        values.sort();
        values.dedup();
        Requirement::new(&key, operator, values)
    }

    /// `(x,,y)`: an absent value is the empty string.
    fn value_set(&mut self) -> Result<Vec<String>, LabelSelectorError> {
        let token = self.next();
        if token.kind != Kind::Open {
            return Err(LabelSelectorError::ExpectedParenthesis(token.literal));
        }
        let token = self.peek();
        if !matches!(token.kind, Kind::Identifier | Kind::Comma | Kind::Close) {
            return Err(expected(token, "',', ')' or identifier"));
        }
        let mut values = Vec::new();
        let mut after_comma = true;
        loop {
            let token = self.next();
            match token.kind {
                Kind::Identifier => {
                    values.push(token.literal);
                    after_comma = false;
                    let next = self.peek();
                    if !matches!(next.kind, Kind::Comma | Kind::Close) {
                        return Err(expected(next, "',' or ')'"));
                    }
                }
                Kind::Comma | Kind::Close => {
                    if after_comma {
                        values.push(String::new());
                    }
                    after_comma = true;
                    if token.kind == Kind::Close {
                        return Ok(values);
                    }
                }
                _ => return Err(expected(token, "',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<Vec<String>, LabelSelectorError> {
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Ok(vec![String::new()]);
        }
        let token = self.next();
        if token.kind == Kind::Identifier { Ok(vec![token.literal]) } else { Err(expected(token, "identifier")) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LabelSelector;

    #[test]
    fn accepted_and_printed_sorted() {
        let cases = [
            ("", ""),
            ("x=a,y=b,z=c", "x=a,y=b,z=c"),
            ("z=1,a=2", "a=2,z=1"),
            ("x!=a,y==b", "x!=a,y==b"),
            ("x = ", "x="),
            ("x= ,z= ", "x=,z="),
            ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
            ("!x", "!x"),
            ("!  x , y", "!x,y"),
            ("value in (in)", "value in (in)"),
            ("in in (notin)", "in in (notin)"),
            ("x in (a,)", "x in (,a)"),
            ("x>1,y<2", "x>1,y<2"),
            ("example.com/x=a", "example.com/x=a"),
        ];
        for (text, printed) in cases {
            assert_eq!(LabelSelector::parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refused_in_upstreams_words() {
        let label = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
        let wrong_value = format!("unable to parse requirement: values[0][x]: Invalid value: \"-a\": {label}");
        let cases = [
            (",x", "found ',', expected: !, identifier, or 'end of string'"),
            ("x,", "found '', expected: identifier after ','"),
            ("x=a||y=b", "unable to parse requirement: values[0][x]: Invalid value: \"a||y\""),
            ("x==a==b", "found '==', expected: ',' or 'end of string'"),
            ("!x=a", "found '=', expected: ',' or 'end of string'"),
            (
                "x<a",
                "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            ("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"),
            ("x in a", "unable to parse requirement: found 'a' expected: '('"),
            ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("x in (=", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("x=-a", wrong_value.as_str()),
            ("a/b/c", "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key must consist"),
        ];
        for (text, message) in cases {
            let got = LabelSelector::parse(text).unwrap_err().to_string();
            assert!(got.starts_with(message), "{text}: {got}");
        }
    }
}
