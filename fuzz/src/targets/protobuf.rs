//! Protobuf messages of every kind: as bytes, and made of JSON.

use api::protobuf;
use api::schema::{SchemaSet, TypeId, check, decode};
use serde_json::Value;

use super::{Target, split};
use crate::kinds::{self, Kind};
use crate::server;

pub const TARGET: Target = Target {
    name: "protobuf",
    run,
    header: 2,
    tree: Some(|header, body| kinds::chosen(header[0], body).gvk.clone()),
    words: &["\u{a}", "\u{12}", "\u{1a}", "k8s\0", "v1", "\u{7f}", "\u{1}\u{1}\u{1}"],
};

/// The second byte says how the rest is read.
fn run(data: &[u8]) {
    let Some(([kind, form], body)) = split(data) else { return };
    let (set, kind) = (SchemaSet::builtin(), kinds::chosen(kind, body));
    let Some(ty) = set.of_kind(&kind.gvk) else { return };
    match form % 4 {
        0 => message(set, ty, body),
        1 => made_of_json(set, ty, body),
        2 => sent(kind, body),
        // An envelope of the right kind, whatever is in it.
        _ => sent(kind, &protobuf::wrap(&kind.gvk.api_version(), &kind.gvk.kind, body)),
    }
}

/// What is decoded is the same after encoding and decoding it.
fn message(set: &SchemaSet, ty: TypeId, body: &[u8]) {
    let Ok(object) = protobuf::decode(set, ty, body) else { return };
    round_trip(set, ty, &object);
}

fn made_of_json(set: &SchemaSet, ty: TypeId, body: &[u8]) {
    let Ok(decoded) = decode::json(body, Some((set, ty))) else { return };
    let mut object = decoded.value;
    if check::conform(set, ty, &mut object).errors.is_empty()
        && let Ok(bytes) = protobuf::encode(set, ty, &object)
    {
        let read = protobuf::decode(set, ty, &bytes).unwrap_or_else(|error| panic!("{error}\n{object}"));
        round_trip(set, ty, &read);
    }
}

fn round_trip(set: &SchemaSet, ty: TypeId, object: &Value) {
    // Embedded JSON may be no JSON: such an object can be decoded only.
    let Ok(bytes) = protobuf::encode(set, ty, object) else { return };
    let again = protobuf::decode(set, ty, &bytes).unwrap_or_else(|error| panic!("{error}\n{object}"));
    assert_eq!(&again, object);
    assert_eq!(protobuf::encode(set, ty, &again).ok(), Some(bytes), "{object}");
}

fn sent(kind: &Kind, body: &[u8]) {
    server::with(|server| {
        let form = protobuf::CONTENT_TYPE;
        let path = format!("{}?dryRun=All", kind.path);
        let headers = [("content-type", form), ("accept", form)];
        let answer = server.send("POST", &path, &headers, body.to_vec());
        let object = protobuf::decode_object(SchemaSet::builtin(), &answer.bytes, None);
        let object = object.unwrap_or_else(|error| panic!("an answer that cannot be decoded: {error}"));
        if answer.code >= 400 {
            assert_eq!(object["kind"], "Status", "{object}");
            assert_ne!(object["reason"], "InternalError", "{object}");
        }
        true
    });
}
