//! What the JSON of a patched object says of its version and kind, as upstream's decoders read it. A strategic merge patch is not
//! decoded: what it says of them does not matter.

use api::Object;
use api::gvk::GroupVersionKind;
use serde_json::{Map, Value};

use crate::decode;

/// What a patched object turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Of the kind that was patched.
    Same,
    /// Without a version it is read into the struct that upstream works with, whose fields have no names in JSON: nothing is in it.
    /// The fields that were in the JSON.
    Nothing(Vec<String>),
}

/// Looks at the header and makes it the expected one.
///
/// # Errors
/// Why it is no object of the kind.
pub(super) fn identify(object: &mut Object, expected: &GroupVersionKind) -> Result<Identity, String> {
    if object.is_null() {
        *object = Value::Object(Map::new());
    }
    decode::check_header(object)?;
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let (api_version, mut kind) = (text("apiVersion"), text("kind"));
    if api_version.matches('/').count() > 1 {
        return Err(format!("unexpected GroupVersion string: {api_version}"));
    }
    if kind.is_empty() {
        kind.clone_from(&expected.kind);
    }
    let own = GroupVersionKind::from_api_version(&api_version, &kind);
    let nothing = api_version.is_empty() && kind == expected.kind;
    if !nothing && own != *expected {
        return Err(match decode::registered(&own) {
            None => decode::unregistered(&own),
            Some(_) => decode::unconvertible(&own, expected),
        });
    }
    let mut lost = Vec::new();
    if nothing {
        let members = object.as_object_mut().map(std::mem::take).unwrap_or_default();
        lost.extend(members.into_iter().map(|(name, _)| name).filter(|name| name != "apiVersion" && name != "kind"));
        *object = Value::Object(Map::new());
    }
    name(object, expected);
    Ok(if nothing { Identity::Nothing(lost) } else { Identity::Same })
}

/// Makes the header the expected one.
fn name(object: &mut Object, expected: &GroupVersionKind) {
    if let Value::Object(members) = object {
        members.insert("apiVersion".to_owned(), expected.api_version().into());
        members.insert("kind".to_owned(), expected.kind.as_str().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patched_object_is_what_its_header_says() {
        let pod = GroupVersionKind::new("", "v1", "Pod");
        let table = [
            (json!("v1"), json!("Pod"), Ok(Identity::Same)),
            (json!("v1"), json!(null), Ok(Identity::Same)),
            (json!(""), json!("Pod"), Ok(Identity::Nothing(vec!["metadata".to_owned(), "spec".to_owned()]))),
            (json!(null), json!(""), Ok(Identity::Nothing(vec!["metadata".to_owned(), "spec".to_owned()]))),
            (json!("a/b/c"), json!("Pod"), Err("unexpected GroupVersion string: a/b/c")),
            (json!(7), json!("Pod"), Err("number into Go struct field .apiVersion of type string")),
            (json!("v2"), json!("Pod"), Err("no kind \"Pod\" is registered for version \"v2\"")),
            (json!("v1"), json!("Node"), Err("converting (v1.Node) to (core.Pod): unknown conversion")),
        ];
        for (api_version, kind, expected) in table {
            let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {}, "spec": {}});
            match (identify(&mut object, &pod), expected) {
                (Ok(identity), Ok(expected)) => {
                    assert_eq!(identity, expected);
                    assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("v1"), &json!("Pod")));
                }
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
    }
}
