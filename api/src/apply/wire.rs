//! `fieldsV1`: a set as JSON. A node with members below it is an object of them, `.` says that it is a member itself; a member
//! with nothing below it is `{}`. Members stand in the order of [`PathElement`], so that equal sets are equal bytes.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::element::PathElement;
use super::set::{Node, Set};

const SELF: &str = ".";

/// Written by hand: it is done for each write of an object, and takes a third of what a serializer takes.
impl Set {
    pub fn write(&self, out: &mut Vec<u8>) {
        write(self, false, out);
    }

    /// As JSON.
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}

fn write(set: &Set, member: bool, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut comma = false;
    if member && !set.is_empty() {
        out.extend_from_slice(b"\".\":{}");
        comma = true;
    }
    for node in set.nodes() {
        if comma {
            out.push(b',');
        }
        comma = true;
        write_key(&node.element, out);
        out.push(b':');
        write(&node.children, node.member, out);
    }
    out.push(b'}');
}

fn write_key(element: &PathElement, out: &mut Vec<u8>) {
    match element {
        PathElement::Field(name) if name.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') => {
            out.extend_from_slice(b"\"f:");
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        }
        other => write_text(&other.wire().to_string(), out),
    }
}

/// A JSON string.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    // To memory: it cannot fail.
    let _ = serde_json::to_writer(out, text);
}

impl<'de> Deserialize<'de> for Set {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(|read| read.children)
    }
}

/// What stands behind an element.
struct Read {
    member: bool,
    children: Set,
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

enum Name {
    Itself,
    Element(PathElement),
    Unknown,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameReader)
    }
}

struct NameReader;

impl Visitor<'_> for NameReader {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path element")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Name, E> {
        if text == SELF {
            return Ok(Name::Itself);
        }
        Ok(PathElement::parse(text).map_err(E::custom)?.map_or(Name::Unknown, Name::Element))
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of path elements")
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read { member: true, children: Set::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let mut read = Read { member: false, children: Set::default() };
        while let Some(key) = map.next_key::<Name>()? {
            match key {
                Name::Itself => {
                    read.member = true;
                    map.next_value::<IgnoredAny>()?;
                }
                Name::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
                Name::Element(element) => {
                    let Read { member, children } = map.next_value()?;
                    read.children.push(Node::new(element, member, children));
                }
            }
        }
        read.member |= read.children.is_empty();
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn sets_come_back_byte_for_byte() {
        let texts = [
            "{}",
            r#"{"f:data":{".":{},"f:k":{}}}"#,
            r#"{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{}}}}}"#,
            r#"{"f:ports":{"k:{\"port\":80}":{},"k:{\"port\":443}":{}},"f:set":{"v:9":{},"v:10":{},"v:\"a\"":{}},"f:z":{"i:0":{}}}"#,
        ];
        for text in texts {
            let set: Set = serde_json::from_str(text).unwrap();
            assert_eq!(set.to_text(), text);
            let tree: Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_value::<Set>(tree).unwrap(), set);
        }
    }

    #[test]
    fn what_is_written_otherwise_is_understood() {
        let cases = [
            (r#"{"f:a":{".":{}}}"#, r#"{"f:a":{}}"#),
            (r#"{"f:b":{},"f:a":{}}"#, r#"{"f:a":{},"f:b":{}}"#),
            (r#"{"f:a":null}"#, r#"{"f:a":{}}"#),
            (r#"{"x:new":{"f:y":{}},"f:a":{}}"#, r#"{"f:a":{}}"#),
            (r#"{"f:a":{"f:b":{}},"f:a":{".":{}}}"#, r#"{"f:a":{".":{},"f:b":{}}}"#),
        ];
        for (text, canonical) in cases {
            let set: Set = serde_json::from_str(text).unwrap();
            assert_eq!(set.to_text(), canonical);
        }
        for wrong in ["[]", "1", r#"{"spec":{}}"#, r#"{"k:{":{}}"#] {
            assert!(serde_json::from_str::<Set>(wrong).is_err(), "{wrong}");
        }
    }
}
