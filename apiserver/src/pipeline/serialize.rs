//! An object as the store keeps it: JSON with its managers in it, and a place for the resourceVersion, which only the commit
//! knows.

use api::Object;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::managed::Managers;

/// The bytes without the digits of the resourceVersion, and where they belong.
pub(super) fn serialize(object: &Object, managers: &Managers) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(1024);
    let mut stamp = 0;
    let empty = Map::new();
    let members = object.as_object().unwrap_or(&empty);
    out.push(b'{');
    for (index, (key, value)) in members.iter().enumerate() {
        write_key(&mut out, index, key);
        match value {
            Value::Object(metadata) if key == "metadata" => stamp = write_metadata(&mut out, metadata, managers),
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

/// Members in order, with managedFields and resourceVersion where they sort. Where the digits belong.
fn write_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>, managers: &Managers) -> usize {
    const MANAGED: &str = "managedFields";
    const VERSION: &str = "resourceVersion";
    let mut stamp = 0;
    let mut index = 0;
    let mut write_member = |out: &mut Vec<u8>, key: &str, value: Option<&Value>| {
        match value {
            None if key == MANAGED && managers.is_none() => return,
            _ => write_key(out, index, key),
        }
        index += 1;
        match value {
            Some(value) => write(out, value),
            None if key == MANAGED => managers.write(out),
            None => {
                out.extend_from_slice(b"\"\"");
                stamp = out.len() - 1;
            }
        }
    };
    out.push(b'{');
    let mut pending = [MANAGED, VERSION].into_iter().peekable();
    for (key, value) in metadata.iter().filter(|(key, _)| !matches!(key.as_str(), MANAGED | VERSION)) {
        while let Some(own) = pending.next_if(|own| *own < key.as_str()) {
            write_member(out, own, None);
        }
        write_member(out, key, Some(value));
    }
    pending.for_each(|own| write_member(out, own, None));
    out.push(b'}');
    stamp
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
    fn managers_and_the_version_have_their_places() {
        let list = json!([{"apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:x": {}}, "manager": "a",
            "operation": "Update"}]);
        let managed = api::apply::ManagedFields::decode(&list).unwrap();
        for metadata in
            [json!({}), json!({"name": "a"}), json!({"uid": "u"}), json!({"labels": {}, "name": "a", "uid": "u"})]
        {
            for managers in [Managers::None, Managers::new(managed.clone())] {
                let mut object = json!({"apiVersion": "v1", "metadata": metadata, "spec": {"metadata": {"x": 1}}});
                object["metadata"]["resourceVersion"] = "stale".into();
                let (bytes, stamp) = serialize(&object, &managers);
                let stored = stamped(&bytes, stamp, 42);
                object["metadata"]["resourceVersion"] = "42".into();
                managers.put_into(&mut object);
                assert_eq!(String::from_utf8_lossy(&stored), object.to_string());
            }
        }
    }
}
