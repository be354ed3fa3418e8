//! An object at rest: its JSON with the resourceVersion inside, and the few facts that lists and watches select by.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use api::selector::Labels;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::registry::Selectable;

pub struct Stored {
    /// Of the write that made this state; equals the resourceVersion inside `json`.
    pub revision: u64,
    pub json: Bytes,
    pub name: Box<str>,
    /// Empty for cluster-scoped kinds.
    pub namespace: Box<str>,
    pub uid: Box<str>,
    /// Sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Values of the kind's selectable fields, in the order of its table.
    pub fields: Box<[Box<str>]>,
    /// Where in `json` the digits of the resourceVersion are.
    version_at: Range<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("read a stored object: {0}")]
    Json(#[from] serde_json::Error),
    #[error("read a stored object: its resourceVersion is not plain")]
    Version,
}

/// An object one level deep: its members as slices of the text.
type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    // Borrowed, so that its address tells its place.
    #[serde(borrow)]
    resource_version: &'a str,
    #[serde(borrow, default)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

impl Stored {
    /// Builds no tree: the text is sliced, and only metadata is decoded.
    pub fn decode(json: Bytes, revision: u64, selectable: &[Selectable]) -> Result<Self, DecodeError> {
        let root: Members = serde_json::from_slice(&json)?;
        let metadata = root.get("metadata").ok_or(DecodeError::Version)?;
        let head: Head = serde_json::from_str(metadata.get())?;
        let version_at = span_of(&json, head.resource_version).ok_or(DecodeError::Version)?;
        let fields = select(&root, selectable)?;
        let own = |text: Cow<str>| Box::<str>::from(text);
        let labels = head.labels.unwrap_or_default().into_iter().map(|(key, value)| (own(key), own(value))).collect();
        let (name, namespace, uid) = (own(head.name), own(head.namespace), own(head.uid));
        Ok(Self { revision, name, namespace, uid, labels, fields, version_at, json })
    }

    /// An object that is never stored: it has no version.
    pub fn made(json: Bytes, name: &str) -> Self {
        Self {
            revision: 0,
            json,
            name: name.into(),
            namespace: Box::default(),
            uid: Box::default(),
            labels: Box::default(),
            fields: Box::default(),
            version_at: 0..0,
        }
    }

    /// The same object as if its resourceVersion were `revision`: what a deletion shows.
    pub fn json_at(&self, revision: u64) -> Bytes {
        if revision == self.revision {
            return self.json.clone();
        }
        let (start, end) = (self.version_at.start as usize, self.version_at.end as usize);
        let mut out = BytesMut::with_capacity(self.json.len() + 20);
        out.put_slice(&self.json[..start]);
        out.put_slice(revision.to_string().as_bytes());
        out.put_slice(&self.json[end..]);
        out.freeze()
    }
}

impl Labels for Stored {
    fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(own, _)| (**own).cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.namespace, self.name, self.revision)
    }
}

/// The place of a borrowed part in the whole it was borrowed from.
fn span_of(whole: &[u8], part: &str) -> Option<Range<u32>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start + part.len();
    (end <= whole.len()).then_some(())?;
    Some(u32::try_from(start).ok()?..u32::try_from(end).ok()?)
}

/// Fields of one parent stand together in the table, so each parent is sliced once; one that is deeper is looked for anew.
fn select(root: &Members, selectable: &[Selectable]) -> Result<Box<[Box<str>]>, serde_json::Error> {
    let mut parent: (&str, Members) = ("", Members::new());
    let mut values = Vec::with_capacity(selectable.len());
    for field in selectable {
        let value = match field.path.split_once('.') {
            None => root.get(&*field.path).copied(),
            Some((first, rest)) => {
                if parent.0 != first {
                    let members = root.get(first).map(|text| serde_json::from_str::<Option<Members>>(text.get()));
                    parent = (first, members.transpose()?.flatten().unwrap_or_default());
                }
                match rest.split_once('.') {
                    None => parent.1.get(rest).copied(),
                    Some((next, rest)) => parent.1.get(next).and_then(|value| below(value, rest)),
                }
            }
        };
        let mut text = value.map(|value| scalar(value.get())).transpose()?.unwrap_or_default();
        if text.is_empty()
            && !field.or.is_empty()
            && let Some(other) = root.get(field.or)
        {
            text = scalar(other.get())?;
        }
        values.push(if text.is_empty() { field.default.into() } else { text });
    }
    Ok(values.into())
}

/// A value some members deeper, where there is one.
fn below<'a>(value: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let members: Members = serde_json::from_str(value.get()).ok()?;
    let value = members.get(name).copied()?;
    rest.map_or(Some(value), |rest| below(value, rest))
}

/// A leaf in the form that selectors compare; what is no leaf reads as absent.
fn scalar(text: &str) -> Result<Box<str>, serde_json::Error> {
    Ok(match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Cow<str>>(text)?.into(),
        Some(b'{' | b'[' | b'n') | None => Box::default(),
        Some(_) => text.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[Selectable] = &[
        Selectable::plain("spec.x.y.z"),
        Selectable::plain("spec.nodeName"),
        Selectable::new("h", "spec.hostNetwork", "false"),
        Selectable::plain("status.phase"),
        Selectable::plain("type"),
        Selectable::new("either", "spec.missing", "").or("type"),
    ];

    fn decode(json: &str) -> Result<Stored, DecodeError> {
        Stored::decode(Bytes::copy_from_slice(json.as_bytes()), 7, FIELDS)
    }

    #[test]
    fn facts_are_found_without_a_tree() {
        let json = r#"{"apiVersion":"v1","metadata":{"annotations":{"resourceVersion":"1"},"labels":{"b":"\u00e4","a":"x"},
            "name":"n","namespace":"s","resourceVersion":"7","uid":"u"},"spec":{"nodeName":"w\"1","x":{"y":{"z":5}}},"status":null,
            "type":"T"}"#;
        let stored = decode(json).unwrap();
        assert_eq!((&*stored.name, &*stored.namespace, &*stored.uid), ("n", "s", "u"));
        assert_eq!((stored.label("a"), stored.label("b"), stored.label("c")), (Some("x"), Some("ä"), None));
        let fields: Vec<&str> = stored.fields.iter().map(|field| &**field).collect();
        assert_eq!(fields, ["5", "w\"1", "false", "", "T", "T"]);
        let later = String::from_utf8(stored.json_at(1234).to_vec()).unwrap();
        assert_eq!(later, json.replace(r#""resourceVersion":"7""#, r#""resourceVersion":"1234""#));
        assert_eq!(stored.json_at(7), stored.json);
    }

    #[test]
    fn damage_is_an_error() {
        for json in ["", "{", "{}", r#"{"metadata":{"name":"n"}}"#, r#"{"metadata":{"resourceVersion":7}}"#] {
            assert!(decode(json).is_err(), "{json}");
        }
    }
}
