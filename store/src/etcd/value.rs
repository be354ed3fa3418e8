//! Values as etcd keeps them.
//!
//! etcd does not insert a revision at commit, so the place for it is kept in front of the value, as digits and a colon, and
//! the revision is inserted whenever the value is read. A value without a stamp is kept as it is, unless it would look like
//! one with a stamp: then it has the colon alone in front.

use bytes::{BufMut, Bytes, BytesMut};

use super::proto::KeyValue as Found;
use crate::{KeyValue, Revision, Value};

pub(super) fn encode(value: &Value) -> Bytes {
    let mark = match value.stamp {
        Some(stamp) => format!("{}:", stamp.min(value.bytes.len())),
        None if mark(&value.bytes).is_some() => ":".to_owned(),
        None => String::new(),
    };
    if mark.is_empty() { value.bytes.clone() } else { [mark.as_bytes(), &value.bytes].concat().into() }
}

/// The length of the mark in front, and the place of the stamp.
fn mark(kept: &[u8]) -> Option<(usize, Option<usize>)> {
    // No value is longer than 20 digits can say.
    let colon = kept.iter().take(21).position(|byte| *byte == b':')?;
    let digits = &kept[..colon];
    if digits.is_empty() {
        return Some((1, None));
    }
    let plain = digits.iter().all(u8::is_ascii_digit);
    let stamp = plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()?;
    Some((colon + 1, Some(stamp)))
}

fn decode(kept: Bytes, revision: Revision) -> Bytes {
    let Some((length, stamp)) = mark(&kept) else { return kept };
    let bytes = kept.slice(length..);
    let Some(stamp) = stamp else { return bytes };
    let (before, after) = bytes.split_at(stamp.min(bytes.len()));
    let digits = revision.to_string();
    let mut out = BytesMut::with_capacity(bytes.len() + digits.len());
    out.put(before);
    out.put(digits.as_bytes());
    out.put(after);
    out.freeze()
}

pub(super) fn key_value(found: Found) -> KeyValue {
    let modified = revision(found.mod_revision);
    let value = decode(found.value, modified);
    KeyValue { key: found.key, value, created: revision(found.create_revision), modified }
}

/// etcd's revisions are positive.
pub(super) fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or_default())
}

/// For a request; what no etcd ever reaches is the future.
pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_with_their_revision() {
        let cases = [
            ("plain", "v1", None, "v1", "v1"),
            ("empty", "", None, "", ""),
            ("looks like a mark", "12:x", None, ":12:x", "12:x"),
            ("begins with a colon", ":", None, "::", ":"),
            ("colon after other things", "a:b", None, "a:b", "a:b"),
            ("middle", "ab", Some(1), "1:ab", "a77b"),
            ("start", "12:x", Some(0), "0:12:x", "7712:x"),
            ("past the end", "ab", Some(9), "2:ab", "ab77"),
        ];
        for (name, bytes, stamp, kept, read) in cases {
            let value = Value { bytes: Bytes::copy_from_slice(bytes.as_bytes()), stamp };
            assert_eq!(encode(&value), kept.as_bytes(), "{name}");
            assert_eq!(decode(Bytes::copy_from_slice(kept.as_bytes()), Revision(77)), read.as_bytes(), "{name}");
        }
        // Of another program.
        let foreign = Bytes::from_static(b"99999999999999999999:x");
        assert_eq!(decode(foreign.clone(), Revision(1)), foreign);
    }
}
