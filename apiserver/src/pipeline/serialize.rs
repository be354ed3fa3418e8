//! An object as the store keeps it: JSON with a place for the resourceVersion, which only the commit knows.

use api::Object;
use bytes::Bytes;
use serde_json::{Map, Value};

/// The bytes without the digits of the resourceVersion, and where they belong.
pub(super) fn serialize(object: &Object) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(1024);
    let mut stamp = 0;
    let empty = Map::new();
    let members = object.as_object().unwrap_or(&empty);
    out.push(b'{');
    for (index, (key, value)) in members.iter().enumerate() {
        write_key(&mut out, index, key);
        match value {
            Value::Object(metadata) if key == "metadata" => stamp = write_metadata(&mut out, metadata),
            value => write(&mut out, value),
        }
    }
    out.push(b'}');
    (out, stamp)
}

/// The same bytes with the digits in their place: what the store makes of them.
pub(super) fn stamped(bytes: &[u8], stamp: usize, revision: u64) -> Bytes {
    let digits = revision.to_string();
    let mut out = Vec::with_capacity(bytes.len() + digits.len());
    out.extend_from_slice(&bytes[..stamp]);
    out.extend_from_slice(digits.as_bytes());
    out.extend_from_slice(&bytes[stamp..]);
    out.into()
}

/// Members in order, with resourceVersion where it sorts.
fn write_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>) -> usize {
    const VERSION: &str = "resourceVersion";
    let mut stamp = None;
    let mut index = 0;
    let mut version = |out: &mut Vec<u8>, index: &mut usize| {
        write_key(out, *index, VERSION);
        out.extend_from_slice(b"\"\"");
        *index += 1;
        stamp = Some(out.len() - 1);
    };
    out.push(b'{');
    let mut pending = true;
    for (key, value) in metadata.iter().filter(|(key, _)| *key != VERSION) {
        if pending && key.as_str() > VERSION {
            version(out, &mut index);
            pending = false;
        }
        write_key(out, index, key);
        write(out, value);
        index += 1;
    }
    if pending {
        version(out, &mut index);
    }
    out.push(b'}');
    stamp.unwrap_or_default()
}

fn write_key(out: &mut Vec<u8>, index: usize, key: &str) {
    if index > 0 {
        out.push(b',');
    }
    write(out, &key);
    out.push(b':');
}

fn write(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    // A tree with string keys, written to memory: it cannot fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_version_has_its_place() {
        for metadata in [json!({}), json!({"name": "a"}), json!({"uid": "u"}), json!({"name": "a", "uid": "u"})] {
            let mut object = json!({"apiVersion": "v1", "metadata": metadata, "spec": {"metadata": {"x": 1}}});
            object["metadata"]["resourceVersion"] = "stale".into();
            let (bytes, stamp) = serialize(&object);
            let stored: Value = serde_json::from_slice(&stamped(&bytes, stamp, 42)).unwrap();
            object["metadata"]["resourceVersion"] = "42".into();
            assert_eq!(stored, object);
        }
    }
}
