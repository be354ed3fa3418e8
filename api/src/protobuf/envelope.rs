//! The envelope of a message: four bytes, then `runtime.Unknown`, which names the kind.

use serde_json::Value;

use super::wire::{BYTES, Reader, Writer};
use super::{DecodeError, EncodeError, decode, encode};
use crate::gvk::GroupVersionKind;
use crate::schema::SchemaSet;

pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Before every object, also before one inside a RawExtension.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// `runtime.Unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    /// The message.
    pub raw: &'a [u8],
    pub content_encoding: String,
    pub content_type: String,
}

pub fn unwrap(bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let body = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Prefix)?;
    if body.is_empty() {
        return Err(DecodeError::EmptyBody);
    }
    let mut envelope = Envelope::default();
    let mut reader = Reader::new(body);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, BYTES) => {
                let mut reader = Reader::new(reader.bytes()?);
                while let Some((number, wire_type)) = reader.tag()? {
                    match (number, wire_type) {
                        (1, BYTES) => envelope.api_version = text(reader.bytes()?),
                        (2, BYTES) => envelope.kind = text(reader.bytes()?),
                        _ => reader.skip(wire_type)?,
                    }
                }
            }
            (2, BYTES) => envelope.raw = reader.bytes()?,
            (3, BYTES) => envelope.content_encoding = text(reader.bytes()?),
            (4, BYTES) => envelope.content_type = text(reader.bytes()?),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(envelope)
}

pub fn wrap(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut type_meta = Writer::default();
    type_meta.bytes_field(1, api_version.as_bytes());
    type_meta.bytes_field(2, kind.as_bytes());
    let mut writer = Writer::default();
    writer.raw(MAGIC);
    writer.bytes_field(1, &type_meta.into_bytes());
    writer.bytes_field(2, message);
    writer.bytes_field(3, b"");
    writer.bytes_field(4, b"");
    writer.into_bytes()
}

/// Decodes an object with its envelope; `default` is the kind of one that does not name its own.
pub fn decode_object(set: &SchemaSet, bytes: &[u8], default: Option<&GroupVersionKind>) -> Result<Value, DecodeError> {
    let mut envelope = unwrap(bytes)?;
    if let Some(default) = default {
        if envelope.kind.is_empty() {
            envelope.kind.clone_from(&default.kind);
        }
        if envelope.api_version.is_empty() {
            envelope.api_version = default.api_version();
        }
    }
    if envelope.kind.is_empty() {
        return Err(DecodeError::MissingKind);
    }
    if envelope.api_version.is_empty() {
        return Err(DecodeError::MissingVersion);
    }
    let (api_version, kind) = (envelope.api_version, envelope.kind);
    let Some(ty) = set.resolve(&GroupVersionKind::from_api_version(&api_version, &kind)) else {
        return Err(DecodeError::UnknownKind { api_version, kind });
    };
    let mut value = decode(set, ty, envelope.raw)?;
    if let Value::Object(object) = &mut value {
        object.insert("apiVersion".to_owned(), api_version.into());
        object.insert("kind".to_owned(), kind.into());
    }
    Ok(value)
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Encodes an object of the kind it names, with its envelope.
pub fn encode_object(set: &SchemaSet, object: &Value) -> Result<Vec<u8>, EncodeError> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let partial = |object: &Value| metadata(set, "ObjectMeta", &object["metadata"]);
    match kind {
        // No OpenAPI document has these.
        "PartialObjectMetadata" => return Ok(wrap(api_version, kind, &partial(object)?)),
        "PartialObjectMetadataList" => {
            let items = object["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            return encode_list(set, api_version, kind, &object["metadata"], items.iter().map(partial));
        }
        _ => {}
    }
    let ty = set
        .resolve(&GroupVersionKind::from_api_version(api_version, kind))
        .ok_or_else(|| EncodeError::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() })?;
    Ok(wrap(api_version, kind, &encode(set, ty, object)?))
}

/// A list whose items come as messages, one at a time.
pub fn encode_list<E: From<EncodeError>>(
    set: &SchemaSet,
    api_version: &str,
    kind: &str,
    list_meta: &Value,
    mut items: impl Iterator<Item = Result<Vec<u8>, E>>,
) -> Result<Vec<u8>, E> {
    let mut writer = Writer::default();
    writer.raw(&metadata(set, "ListMeta", list_meta)?);
    items.try_for_each(|item| {
        writer.bytes_field(2, &item?);
        Ok::<_, E>(())
    })?;
    Ok(wrap(api_version, kind, &writer.into_bytes()))
}

/// The field `metadata`, which is the first of every object and of every list.
fn metadata(set: &SchemaSet, ty: &str, value: &Value) -> Result<Vec<u8>, EncodeError> {
    let empty = Value::Object(serde_json::Map::new());
    let value = if value.is_null() { &empty } else { value };
    let unknown = || EncodeError::UnknownKind { api_version: META.to_owned(), kind: ty.to_owned() };
    let ty = set.named(&format!("{META}.{ty}")).ok_or_else(unknown)?;
    let mut writer = Writer::default();
    writer.bytes_field(1, &encode(set, ty, value)?);
    Ok(writer.into_bytes())
}

/// One frame of a watch (`;stream=watch`): a length of four bytes, then a WatchEvent around an object with its envelope.
pub fn watch_event(event: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Writer::default();
    raw.bytes_field(1, object);
    let mut writer = Writer::default();
    writer.bytes_field(1, event.as_bytes());
    writer.bytes_field(2, &raw.into_bytes());
    let message = writer.into_bytes();
    let mut frame = Vec::with_capacity(message.len() + 4);
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}
