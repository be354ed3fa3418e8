//! The transcoder against messages made by hand.

use api::gvk::GroupVersionKind;
use api::protobuf;
use api::schema::{SchemaSet, TypeId};
use serde_json::{Value, json};

/// `tag length bytes` of a field with bytes; shorter than 128.
fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn type_id(name: &str) -> TypeId {
    SchemaSet::builtin().named(&format!("io.k8s.{name}")).expect("a type")
}

type Case = (&'static str, &'static str, Vec<u8>, Value, bool);

/// What protobuf does with fields: (name, type, message, JSON it means, whether Go would write the JSON as this message)
fn structures() -> Vec<Case> {
    let volume = |source: &[u8]| [bytes_field(1, b"v"), bytes_field(2, source)].concat();
    vec![
        (
            "embedded structs are nested messages",
            "api.core.v1.Volume",
            volume(&bytes_field(1, &bytes_field(1, b"/x"))),
            json!({"name": "v", "hostPath": {"path": "/x"}}),
            true,
        ),
        (
            "an empty pointer is there",
            "api.core.v1.Volume",
            volume(&bytes_field(2, b"\x0a\0")),
            json!({"name": "v", "emptyDir": {}}),
            true,
        ),
        (
            "plain fields are written when empty, and absent in JSON",
            "api.core.v1.KeyToPath",
            b"\x0a\0\x12\x01p".to_vec(),
            json!({"key": "", "path": "p"}),
            true,
        ),
        (
            "a pointer to zero stays",
            "api.core.v1.KeyToPath",
            b"\x0a\0\x12\0\x18\0".to_vec(),
            json!({"key": "", "path": "", "mode": 0}),
            true,
        ),
        (
            "negative numbers",
            "api.core.v1.KeyToPath",
            b"\x0a\0\x12\0\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(),
            json!({"key": "", "path": "", "mode": -1}),
            true,
        ),
        (
            "unknown fields are skipped",
            "api.core.v1.KeyToPath",
            b"\xa0\x06\x05\x0a\x01k\xa2\x06\x02xx\x12\x01p".to_vec(),
            json!({"key": "k", "path": "p"}),
            false,
        ),
        (
            "numbers in a row",
            "api.core.v1.PodSecurityContext",
            b"\x20\x01\x20\xac\x02".to_vec(),
            json!({"supplementalGroups": [1, 300]}),
            true,
        ),
        (
            "packed numbers",
            "api.core.v1.PodSecurityContext",
            b"\x22\x03\x01\xac\x02".to_vec(),
            json!({"supplementalGroups": [1, 300]}),
            false,
        ),
    ]
}

/// Maps, and what is in them.
fn maps() -> Vec<Case> {
    vec![
        (
            "maps are entries",
            "api.core.v1.ResourceRequirements",
            bytes_field(1, &[bytes_field(1, b"cpu"), bytes_field(2, &bytes_field(1, b"500m"))].concat()),
            json!({"limits": {"cpu": "500m"}}),
            true,
        ),
        (
            "bytes",
            "api.core.v1.Secret",
            [bytes_field(1, b""), bytes_field(2, &[bytes_field(1, b"k"), bytes_field(2, &[0xff, 0])].concat())]
                .concat(),
            json!({"metadata": {}, "data": {"k": "/wA="}}),
            false,
        ),
        (
            "an absent value of an entry",
            "api.core.v1.Secret",
            bytes_field(2, &bytes_field(1, b"k")),
            json!({"metadata": {}, "data": {"k": ""}}),
            false,
        ),
        (
            "numbers or strings",
            "api.core.v1.HTTPGetAction",
            [b"\x0a\0".to_vec(), bytes_field(2, b"\x08\x01\x10\0\x1a\x01p"), b"\x1a\0\x22\0".to_vec()].concat(),
            json!({"port": "p"}),
            true,
        ),
    ]
}

/// Leaves with a form of their own.
fn leaves() -> Vec<Case> {
    vec![
        (
            "times lose what is finer than a second, and the zero time is absent",
            "api.core.v1.ContainerStateTerminated",
            [b"\x08\0\x10\0\x1a\0\x22\0".to_vec(), bytes_field(5, b"\x08\x3c\x10\x07"), b"\x32\0\x3a\0".to_vec()]
                .concat(),
            json!({"exitCode": 0, "startedAt": "1970-01-01T00:01:00Z"}),
            false,
        ),
        (
            "micro times",
            "api.coordination.v1.LeaseSpec",
            bytes_field(4, b"\x08\x3c\x10\xe8\x07"),
            json!({"renewTime": "1970-01-01T00:01:00.000001Z"}),
            true,
        ),
        (
            "lists inside of maps are messages",
            "api.authentication.v1.UserInfo",
            [
                b"\x0a\0\x12\0".to_vec(),
                bytes_field(4, &[bytes_field(1, b"k"), bytes_field(2, b"\x0a\x01a\x0a\x01b")].concat()),
            ]
            .concat(),
            json!({"extra": {"k": ["a", "b"]}}),
            true,
        ),
        (
            "any JSON",
            "api.apps.v1.ControllerRevision",
            [bytes_field(1, b""), bytes_field(2, &bytes_field(1, br#"{"a":[null]}"#)), b"\x18\x02".to_vec()].concat(),
            json!({"metadata": {}, "data": {"a": [null]}, "revision": 2}),
            false,
        ),
        (
            "an object in an object, by its own envelope",
            "apimachinery.pkg.apis.meta.v1.WatchEvent",
            [bytes_field(1, b"ADDED"), bytes_field(2, &bytes_field(1, &protobuf::wrap("v1", "LimitRange", b"")))]
                .concat(),
            json!({"type": "ADDED", "object": {"apiVersion": "v1", "kind": "LimitRange", "metadata": {}, "spec": {}}}),
            false,
        ),
        (
            "a schema or a boolean",
            "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
            b"\xc2\x01\x07\x0a\x05\xf2\x01\x02\x08\x01".to_vec(),
            json!({"items": {"additionalProperties": true}}),
            false,
        ),
    ]
}

#[test]
fn hand_made_messages() {
    let set = SchemaSet::builtin();
    for (name, ty, bytes, json, exact) in structures().into_iter().chain(maps()).chain(leaves()) {
        let ty = type_id(ty);
        assert_eq!(protobuf::decode(set, ty, &bytes).as_ref(), Ok(&json), "{name}");
        let encoded = protobuf::encode(set, ty, &json).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(protobuf::decode(set, ty, &encoded).as_ref(), Ok(&json), "{name}, encoded");
        if exact {
            assert_eq!(encoded, bytes, "{name}");
        }
    }
}

#[test]
fn broken_messages() {
    let set = SchemaSet::builtin();
    let cases: [(&str, &[u8], &str); 7] = [
        ("truncated", b"\x0a\x05k", "unexpected EOF"),
        ("wrong wire type", b"\x08\x01", "proto: wrong wireType = 0 for field key"),
        ("field zero", b"\x02\x01", "proto: illegal tag 0 (wire type 2)"),
        ("unknown wire type", b"\xa7\x06", "proto: illegal wireType 7"),
        ("a varint without end", b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "proto: integer overflow"),
        (
            "an enormous length",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "proto: negative length found during unmarshaling",
        ),
        ("a group that never began", b"\xa4\x06", "proto: unexpected end of group"),
    ];
    for (name, bytes, message) in cases {
        let error = protobuf::decode(set, type_id("api.core.v1.KeyToPath"), bytes).expect_err(name);
        assert_eq!(error.to_string(), message, "{name}");
    }
    let schema = type_id("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
    let deep = (0..2000).fold(Vec::new(), |inner: Vec<u8>, _| {
        // not (field 28) around the last one, with a length of up to three bytes.
        let mut outer = vec![0xe2, 0x01];
        let mut length = inner.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(inner);
        outer
    });
    assert_eq!(protobuf::decode(set, schema, &deep), Err(protobuf::DecodeError::TooDeep));
}

#[test]
fn envelopes() {
    let set = SchemaSet::builtin();
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-0", "namespace": "a"}});
    let bytes = protobuf::encode_object(set, &eviction).expect("encoded");
    assert_eq!(&bytes[..8], b"k8s\0\x0a\x15\x0a\x09");
    assert_eq!(protobuf::decode_object(set, &bytes, None).as_ref(), Ok(&eviction));

    let options = protobuf::wrap("example.com/v1", "DeleteOptions", b"\x08\x05\x22\x0aForeground");
    let expected = json!({
        "apiVersion": "example.com/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 5, "propagationPolicy": "Foreground",
    });
    assert_eq!(protobuf::decode_object(set, &options, None).as_ref(), Ok(&expected));

    let anonymous = protobuf::wrap("", "", b"");
    let kind = GroupVersionKind::new("", "v1", "Namespace");
    let expected = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {}, "spec": {}, "status": {}});
    assert_eq!(protobuf::decode_object(set, &anonymous, Some(&kind)).as_ref(), Ok(&expected));

    let errors: [(&[u8], &str); 5] = [
        (b"", "empty data"),
        (b"{}", "provided data does not appear to be a protobuf message, expected prefix [107, 56, 115, 0]"),
        (b"k8s\0", "empty body"),
        (&anonymous, "Object 'Kind' is missing"),
        (&protobuf::wrap("v1", "Odd", b""), r#"no kind "Odd" is registered for version "v1""#),
    ];
    for (bytes, message) in errors {
        assert_eq!(protobuf::decode_object(set, bytes, None).expect_err(message).to_string(), message);
    }

    let frame = protobuf::watch_event("ADDED", &bytes);
    let (length, message) = frame.split_at(4);
    assert_eq!(length, (message.len() as u32).to_be_bytes());
    let event = protobuf::decode(set, type_id("apimachinery.pkg.apis.meta.v1.WatchEvent"), message);
    assert_eq!(event, Ok(json!({"type": "ADDED", "object": eviction})));
}

#[test]
fn refuses_what_was_not_conformed() {
    let set = SchemaSet::builtin();
    let cases = [
        ("api.core.v1.KeyToPath", json!({"mode": "x"}), "mode"),
        ("api.core.v1.PodSpec", json!({"containers": {}}), "containers"),
        ("api.core.v1.PodSpec", json!({"containers": ["x"]}), "containers"),
        ("api.core.v1.PodSpec", json!({"nodeSelector": {"a": 1}}), "nodeSelector"),
        ("api.core.v1.ContainerStateTerminated", json!({"startedAt": "soon"}), "startedAt"),
    ];
    for (name, value, field) in cases {
        let expected = protobuf::EncodeError::Mismatch { ty: format!("io.k8s.{name}"), field: field.to_owned() };
        assert_eq!(protobuf::encode(set, type_id(name), &value), Err(expected), "{value}");
    }
}

proptest::proptest! {
    /// Whatever comes in, nothing panics, and what can be read can be written and read again.
    #[test]
    fn damaged_messages(at in 0..1000usize, damage in proptest::collection::vec((0..200usize, proptest::num::u8::ANY), 0..4)) {
        let set = SchemaSet::builtin();
        let cases: Vec<Case> = structures().into_iter().chain(maps()).chain(leaves()).collect();
        let (_, ty, mut bytes, ..) = cases[at % cases.len()].clone();
        for (position, byte) in damage {
            let length = bytes.len();
            bytes[position % length] = byte;
        }
        let ty = type_id(ty);
        if let Ok(value) = protobuf::decode(set, ty, &bytes) {
            let encoded = protobuf::encode(set, ty, &value).expect("what was decoded can be encoded");
            assert_eq!(protobuf::decode(set, ty, &encoded), Ok(value));
        }
    }
}
