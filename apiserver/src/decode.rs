//! Bodies of requests: decoded by content type, checked against the schema.

use api::Object;
use api::gvk::GroupVersionKind;
use api::nesting;
use api::protobuf;
use api::schema::check::{Conformance, json_type};
use api::schema::decode::{StrictError, strict_message};
use api::schema::{SchemaSet, TypeId, check};
use api::status::Status;
use api::structural::metadata::Malformed;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::custom::CustomKind;
use crate::empties;
use crate::managed::keep_reset;
use crate::media::{PROTOBUF, SUPPORTED};
use crate::options::FieldValidation;
use crate::yaml;

/// There is no message of a kind that is not built in.
const CUSTOM_SUPPORTED: [&str; 2] = ["application/json", "application/yaml"];
/// How much of a body a message quotes.
const QUOTED: usize = 30;

/// The media type without parameters.
pub fn content_type(headers: &HeaderMap) -> &str {
    let header = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.split(';').next().unwrap_or_default().trim()
}

/// An object as sent, pruned and normalized, and what a `Warning` header shall say about it.
#[derive(Debug)]
pub struct DecodedBody {
    pub object: Object,
    pub warnings: Vec<String>,
}

/// Decodes an object of `expected`, the kind of the path. A body without `apiVersion` and `kind` is taken for one.
pub fn object(
    bytes: &[u8],
    content_type: &str,
    expected: &GroupVersionKind,
    validation: FieldValidation,
) -> Result<DecodedBody, Status> {
    let unrecognized = |why: String| {
        let quoted = quote(bytes);
        let kind = &expected.kind;
        Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({quoted})"))
    };
    let set = SchemaSet::builtin();
    let ty = set.of_kind(expected);
    let (mut object, mut strict) = if content_type == PROTOBUF {
        // The format has no unknown names: it cannot be strict.
        let decoded = protobuf::decode_object(set, bytes, Some(expected));
        let decoded = decoded.map_err(|error| unrecognized(error.to_string()))?;
        // What could not be read again as JSON must not be stored as such.
        if nesting::depth(&decoded) > nesting::MAX {
            return Err(unrecognized("exceeded max depth".to_owned()));
        }
        (decoded, Vec::new())
    } else {
        let (json, mut strict) = to_json(bytes, content_type)?.map_err(&unrecognized)?;
        let decoded = api::schema::decode::json(&json, ty.map(|id| (set, id)))
            .map_err(|error| unrecognized(format!("couldn't get version/kind; json parse error: {error}")))?;
        strict.extend(decoded.strict);
        (decoded.value, strict)
    };
    if object.is_null() {
        // Nothing in particular is an object without fields.
        object = Value::Object(serde_json::Map::new());
    }
    check_header(&object).map_err(&unrecognized)?;
    if let Some(version) = object["apiVersion"].as_str().filter(|version| version.matches('/').count() > 1) {
        return Err(unrecognized(format!("unexpected GroupVersion string: {version}")));
    }
    check_kind(&mut object, expected)?;
    let cannot = |why: &dyn std::fmt::Display| {
        let GroupVersionKind { version, kind, .. } = expected;
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    keep_reset(&mut object);
    if let Some(conformed) = conform(None, ty, &mut object) {
        if let Some(error) = conformed.error {
            return Err(cannot(&error));
        }
    } else {
        strict.retain(|error| !matches!(error, StrictError::Unknown(_)));
    }
    match validation {
        FieldValidation::Strict if !strict.is_empty() => Err(cannot(&strict_message(&strict))),
        FieldValidation::Warn => {
            Ok(DecodedBody { object, warnings: strict.iter().map(StrictError::warning).collect() })
        }
        _ => Ok(DecodedBody { object, warnings: Vec::new() }),
    }
}

/// What is unknown and was removed, and what is wrong.
#[derive(Default)]
pub struct Conformed {
    pub unknown: Vec<String>,
    pub error: Option<String>,
    /// The same in the words of upstream's converter of maps, which reads patches and applied configurations.
    pub conversion: Option<String>,
}

/// Prunes and normalizes an object by its schema; `None` when there is none.
pub fn conform(custom: Option<&CustomKind>, ty: Option<TypeId>, object: &mut Object) -> Option<Conformed> {
    if let Some(custom) = custom {
        let (unknown, error) = match custom.coerce(object, Malformed::Refuse) {
            Ok(unknown) => (unknown, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        return Some(Conformed { unknown, error, conversion: None });
    }
    conformed(ty?, object, check::conform_sent)
}

/// As [`conform`], of what upstream's converter of maps makes an object.
pub fn conform_converted(ty: Option<TypeId>, object: &mut Object) -> Option<Conformed> {
    conformed(ty?, object, check::conform_converted)
}

fn conformed(
    ty: TypeId,
    object: &mut Object,
    conform: fn(&SchemaSet, TypeId, &mut Value) -> Conformance,
) -> Option<Conformed> {
    let Conformance { unknown, errors, conversion } =
        empties::without(object, |object| conform(SchemaSet::builtin(), ty, object));
    Some(Conformed { unknown, error: errors.first().map(ToString::to_string), conversion })
}

/// As [`object`], of a kind that is not built in. Duplicate fields are found in the text, unknown ones in the tree.
pub fn custom(
    bytes: &[u8],
    content_type: &str,
    kind: &CustomKind,
    validation: FieldValidation,
) -> Result<DecodedBody, Status> {
    let expected = kind.gvk();
    if content_type == PROTOBUF {
        return Err(Status::unsupported_media_type(&CUSTOM_SUPPORTED));
    }
    let unrecognized = |why: String| {
        let (quoted, kind) = (quote(bytes), &expected.kind);
        Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({quoted})"))
    };
    let (json, mut strict) = to_json(bytes, content_type)?.map_err(&unrecognized)?;
    let decoded = api::schema::decode::json(&json, None)
        .map_err(|error| unrecognized(format!("couldn't get version/kind; json parse error: {error}")))?;
    let mut object = decoded.value;
    strict.extend(decoded.strict);
    check_header(&object).map_err(&unrecognized)?;
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let own = GroupVersionKind::from_api_version(&text("apiVersion"), &text("kind"));
    let cannot_be = |version: &str, why: &str| {
        let kind = &expected.kind;
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    if own.kind.is_empty() {
        let version = if own.version.is_empty() { &expected.version } else { &own.version };
        let missing = |text| format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(text));
        // Upstream's strict reader forgets the kind of the path on the way, and quotes what came, not the JSON made of it.
        let strict = validation != FieldValidation::Ignore;
        return Err(if strict { unrecognized(missing(bytes)) } else { cannot_be(version, &missing(&json)) });
    }
    if object.get("apiVersion").is_some_and(Value::is_null) {
        return Err(cannot_be("", ".apiVersion accessor error: <nil> is of the type <nil>, expected string"));
    }
    if (&own.group, &own.version) != (&expected.group, &expected.version) {
        return Err(Status::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            text("apiVersion"),
            expected.api_version()
        )));
    }
    let cannot = |why: &dyn std::fmt::Display| {
        let GroupVersionKind { version, kind, .. } = &own;
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {}: {why}", expected.kind))
    };
    // Another kind is left as it is: validation refuses it.
    if own == *expected {
        let unknown = kind.coerce(&mut object, Malformed::Refuse).map_err(|error| cannot(&error))?;
        strict.extend(unknown.into_iter().map(StrictError::Unknown));
    }
    match validation {
        FieldValidation::Strict if !strict.is_empty() => Err(cannot(&strict_message(&strict))),
        FieldValidation::Warn => {
            Ok(DecodedBody { object, warnings: strict.iter().map(StrictError::warning).collect() })
        }
        _ => Ok(DecodedBody { object, warnings: Vec::new() }),
    }
}

/// What Go cannot read version and kind from.
pub fn check_header(object: &Value) -> Result<(), String> {
    header_mismatch(object)
        .map_err(|why| format!("couldn't get version/kind; json parse error: json: cannot unmarshal {why}"))
}

fn header_mismatch(object: &Value) -> Result<(), String> {
    let into = "Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                \"json:\\\"kind,omitempty\\\"\" }";
    let Value::Object(members) = object else { return Err(format!("{} into {into}", json_type(object))) };
    for (key, value) in members {
        let own = ["apiVersion", "kind"].into_iter().find(|own| own.eq_ignore_ascii_case(key));
        if let Some(own) = own
            && !(value.is_string() || value.is_null())
        {
            return Err(format!("{} into Go struct field .{own} of type string", json_type(value)));
        }
    }
    Ok(())
}

/// Options in a body, such as DeleteOptions, in any group's version of them.
pub fn options(bytes: &[u8], content_type: &str, kind: &str) -> Result<Value, Status> {
    let set = SchemaSet::builtin();
    let expected = GroupVersionKind::new("", "v1", kind);
    if content_type == PROTOBUF {
        let decoded = protobuf::decode_object(set, bytes, Some(&expected));
        return decoded.map_err(|error| Status::bad_request(error.to_string()));
    }
    let (json, _) = to_json(bytes, content_type)?.map_err(Status::bad_request)?;
    let decoded = api::schema::decode::json(&json, None);
    let wrong = |error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"));
    let mut options = decoded.map_err(wrong)?.value;
    // A field of another type must not read as one that is not there: what is deleted would be more, or sooner.
    if let Some(error) =
        set.resolve(&expected).and_then(|ty| check::conform(set, ty, &mut options).errors.into_iter().next())
    {
        return Err(Status::bad_request(error.to_string()));
    }
    match options["kind"].as_str() {
        None | Some("") => Ok(options),
        Some(named) if named == kind => Ok(options),
        Some(named) => {
            let version = options["apiVersion"].as_str().unwrap_or_default();
            Err(Status::bad_request(format!(
                "no kind {named:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\""
            )))
        }
    }
}

/// The outer error: the format is not known. The inner one: the body is not of that format. Beside the JSON, what strict readers
/// of YAML do not accept.
#[allow(clippy::type_complexity, reason = "two kinds of failure and one answer")]
fn to_json(bytes: &[u8], content_type: &str) -> Result<Result<(Bytes, Vec<StrictError>), String>, Status> {
    let plain = |error: String| error.strip_prefix(yaml::CONVERTING).map_or(error.clone(), str::to_owned);
    match content_type {
        "" | "application/json" => Ok(Ok((Bytes::copy_from_slice(bytes), Vec::new()))),
        "application/yaml" => Ok(match yaml::strict(bytes) {
            Ok(value) => Ok((value.to_string().into(), Vec::new())),
            Err(error) => yaml::lenient(bytes).map_err(plain).map(|value| {
                let twice = plain(error).trim_start_matches("yaml: unmarshal errors:\n  ").to_owned();
                (value.to_string().into(), vec![StrictError::Yaml(twice)])
            }),
        }),
        _ => Err(Status::unsupported_media_type(&SUPPORTED)),
    }
}

fn check_kind(object: &mut Object, expected: &GroupVersionKind) -> Result<(), Status> {
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind.is_empty() || api_version.is_empty() {
        if kind.is_empty() || kind == expected.kind {
            object["apiVersion"] = expected.api_version().into();
            object["kind"] = expected.kind.as_str().into();
            return Ok(());
        }
        return Err(Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {}: Object 'apiVersion' is missing",
            "", expected.kind
        )));
    }
    let own = GroupVersionKind::from_api_version(&api_version, &kind);
    if own == *expected {
        return Ok(());
    }
    let set = SchemaSet::builtin();
    let Some(ty) = registered(&own) else {
        return Err(Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {}: {}",
            own.version,
            expected.kind,
            unregistered(&own)
        )));
    };
    if own.kind == expected.kind {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version()
        )));
    }
    // It is read as what it is before it turns out to be something else.
    if let Some(error) = check::conform(set, ty, object).errors.first() {
        let (version, wanted) = (&own.version, &expected.kind);
        return Err(Status::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {wanted}: {error}"
        )));
    }
    Err(Status::bad_request(format!(
        "{kind} in version {:?} cannot be handled as a {}: {}",
        own.version,
        expected.kind,
        unconvertible(&own, expected)
    )))
}

/// The type of a kind of objects.
pub(crate) fn registered(kind: &GroupVersionKind) -> Option<TypeId> {
    SchemaSet::builtin().of_kind(kind).filter(|_| kind.group != "meta.k8s.io")
}

/// What upstream's scheme says of a kind that it does not have.
pub(crate) fn unregistered(own: &GroupVersionKind) -> String {
    let (kind, version) = (&own.kind, own.api_version());
    format!("no kind {kind:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\"")
}

/// What it says of an object of another kind than the wanted one.
pub(crate) fn unconvertible(own: &GroupVersionKind, expected: &GroupVersionKind) -> String {
    let package = match expected.group.split('.').next().unwrap_or_default() {
        "" | "events" => "core",
        package => package,
    };
    format!("converting ({}.{}) to ({package}.{}): unknown conversion", own.version, own.kind, expected.kind)
}

/// The beginning of a body for a message: JSON as it is, anything else in hexadecimal.
fn quote(bytes: &[u8]) -> String {
    let (head, more) = if bytes.len() > QUOTED { (&bytes[..QUOTED], " ...") } else { (bytes, "") };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => {
            let hex: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(body: &str, content_type: &str, validation: FieldValidation) -> Result<DecodedBody, Status> {
        object(body.as_bytes(), content_type, &GroupVersionKind::new("", "v1", "Pod"), validation)
    }

    #[test]
    fn unknown_and_duplicate_fields_are_reported_as_asked() {
        let body = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"},"spec":{"contaners":[]}}"#;
        let expected = ["duplicate field \"metadata.name\"", "unknown field \"spec.contaners\""];
        let error = pod(body, "", FieldValidation::Strict).unwrap_err();
        assert_eq!(
            error.message,
            format!(
                "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: {}, {}",
                expected[0], expected[1]
            )
        );
        let decoded = pod(body, "application/json", FieldValidation::Warn).unwrap();
        assert_eq!(decoded.warnings, expected);
        assert_eq!(decoded.object["metadata"], json!({"name": "b"}));
        assert!(pod(body, "application/json", FieldValidation::Ignore).unwrap().warnings.is_empty());
    }

    #[test]
    fn yaml_keeps_file_modes() {
        let body = "kind: Pod\napiVersion: v1\nspec:\n  volumes:\n  - name: a\n    configMap: {defaultMode: 0644}\n";
        let decoded = pod(body, "application/yaml", FieldValidation::Strict).unwrap();
        assert_eq!(decoded.object.pointer("/spec/volumes/0/configMap/defaultMode"), Some(&json!(0o644)));
        assert!(pod("a:\n\t- b", "application/yaml", FieldValidation::Ignore).is_err());
    }

    #[test]
    fn options_of_another_type_are_refused() {
        let table = [
            (r#"{"gracePeriodSeconds": 5, "unknown": 1}"#, None),
            (r#"{"kind": "DeleteOptions", "apiVersion": "apps/v1"}"#, None),
            (
                r#"{"kind": 5}"#,
                Some("cannot unmarshal number into Go struct field DeleteOptions.TypeMeta.kind of type string"),
            ),
            (r#"{"preconditions": "x"}"#, Some("cannot unmarshal string")),
            (r#"{"kind": "Pod", "apiVersion": "v1"}"#, Some("no kind \"Pod\" is registered for version \"v1\"")),
            ("[]", Some("cannot unmarshal array")),
            ("{", Some("unexpected end of JSON input")),
        ];
        for (body, expected) in table {
            let said = options(body.as_bytes(), "application/json", "DeleteOptions").err().map(|status| status.message);
            let as_expected = match (&said, expected) {
                (Some(said), Some(expected)) => said.contains(expected),
                (None, None) => true,
                _ => false,
            };
            assert!(as_expected, "{body}: {said:?}");
        }
    }

    #[test]
    fn other_kinds_are_refused() {
        let table = [
            (
                r#"{"apiVersion":"events.k8s.io/v1","kind":"Deployment"}"#,
                "Deployment in version \"v1\" cannot be handled as a Pod: no kind \"Deployment\" is registered for version \
                 \"events.k8s.io/v1\" in scheme \"pkg/runtime/scheme.go:111\"",
            ),
            (
                r#"{"apiVersion":"apps/v1","kind":"Deployment"}"#,
                "Deployment in version \"v1\" cannot be handled as a Pod: converting (v1.Deployment) to (core.Pod): unknown \
                 conversion",
            ),
            (
                r#"{"apiVersion":"v1","kind":"Status","status":{}}"#,
                "Status in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal object into Go struct field \
                 Status.status of type string",
            ),
            (
                r#"{"apiVersion":"v1","kind":"ConfigMap"}"#,
                "ConfigMap in version \"v1\" cannot be handled as a Pod: converting (v1.ConfigMap) to (core.Pod): unknown \
                 conversion",
            ),
            (
                r#"{"apiVersion":"v1","kind":"Nonsense"}"#,
                "Nonsense in version \"v1\" cannot be handled as a Pod: no kind \"Nonsense\" is registered for version \
                 \"v1\" in scheme \"pkg/runtime/scheme.go:111\"",
            ),
            (
                r#"{"apiVersion":"v2","kind":"Pod"}"#,
                "Pod in version \"v2\" cannot be handled as a Pod: no kind \"Pod\" is registered for version \"v2\" in \
                 scheme \"pkg/runtime/scheme.go:111\"",
            ),
            (
                r#"{"spec":{"containers":"x"}}"#,
                "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field \
                 PodSpec.spec.containers of type []v1.Container",
            ),
        ];
        for (body, message) in table {
            assert_eq!(pod(body, "", FieldValidation::Ignore).unwrap_err().message, message);
        }
        assert_eq!(pod("", "text/plain", FieldValidation::Ignore).unwrap_err().code, 415);
        let error = pod("", "", FieldValidation::Ignore).unwrap_err();
        assert!(error.message.ends_with("(<empty>)"), "{error}");
    }
}
