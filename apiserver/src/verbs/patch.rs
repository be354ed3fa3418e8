//! PATCH: JSON, merge and strategic merge patches, applied to the stored object until no other write comes between.

use std::borrow::Cow;
use std::sync::Arc;

use api::Object;
use api::field::{FieldError, Path};
use api::gvk::GroupVersionKind;
use api::patch::json::{JsonPatchError, Patch, UNCHECKED, VALIDATED};
use api::patch::merge::{self, MergePatchError};
use api::patch::strategic::{self, Answer};
use api::schema::check::json_type;
use api::schema::decode::{StrictError, strict_message};
use api::schema::{SchemaSet, TypeId};
use api::status::{Qualified, Status};
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::Call;
use crate::core::Existing;
use crate::custom::CustomKind;
use crate::decode::{self, Conformed};
use crate::managed::keep_reset;
use crate::options::{FieldValidation, WriteOptions};
use crate::pipeline::{Change, Decoded};
use crate::registry::Descriptor;
use crate::reply::Reply;
use crate::verbs::apply::APPLY;
use crate::verbs::patched::{self, Identity};
use crate::warnings::Warnings;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
/// Only a patch that names it can be about it.
const MANAGED: &[u8] = b"managedFields";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Without a Go type there are no merge keys: upstream offers strategic merge for built-in kinds only.
const CUSTOM_SUPPORTED: [&str; 3] = [JSON, MERGE, APPLY];
const UNPROCESSABLE: &str = "the server rejected our request due to an error in our request";
const SUPPORTED: [&str; 4] = [JSON, MERGE, STRATEGIC, APPLY];

pub(crate) async fn patch(call: &Call, body: Body) -> Result<Reply, Status> {
    if decode::content_type(&call.headers) == APPLY {
        return super::apply::apply(call, body).await;
    }
    let (mut patch, options) = Patching::read(call, body, call.row.gvk()).await?;
    patch.custom.clone_from(&call.row.custom);
    let change = PatchStored { patch, row: &call.row };
    let committed = call.target(options.dry_run).update(&call.info.name, &change).await?;
    Ok(super::write::reply(committed))
}

enum Mechanism {
    Json(Patch),
    Merge(Value),
    Strategic(Value),
}

impl Mechanism {
    /// The patch and what strict decoding says about its text. Upstream reads a patch twice where fields are to be validated;
    /// what is wrong with it is said by the first reader.
    fn decode(content_type: &str, bytes: &[u8], validation: FieldValidation) -> Result<(Self, Vec<String>), Status> {
        let validates = validation != FieldValidation::Ignore;
        let prefix = if validates && content_type != STRATEGIC { "error decoding patch: " } else { "" };
        let wrong = |error: &dyn std::fmt::Display| Status::bad_request(format!("{prefix}{error}"));
        let decoded = api::schema::decode::json(bytes, None);
        if content_type == MERGE && !validates && decoded.is_err() {
            return Err(wrong(&MergePatchError::NotAnObject));
        }
        let decoded = decoded.map_err(|error| wrong(&error))?;
        let mut strict: Vec<String> = decoded.strict.iter().map(StrictError::to_string).collect();
        let patch = decoded.value;
        match content_type {
            JSON => {
                let types = if validates { &VALIDATED } else { &UNCHECKED };
                let patch = Patch::decode(patch, types).map_err(|error| json_patch_status(&error, &wrong))?;
                strict.extend(patch.unknown_fields());
                let strict = strict.into_iter().map(|error| format!("json patch {error}")).collect();
                Ok((Self::Json(patch), strict))
            }
            MERGE if validates && !(patch.is_object() || patch.is_null()) => Err(wrong(&no_map(&patch))),
            MERGE if patch.is_object() || patch.is_array() => Ok((Self::Merge(patch), strict)),
            MERGE => Err(Status::bad_request(MergePatchError::NotAnObject.to_string())),
            _ if patch.is_null() => Ok((Self::Strategic(json!({})), strict)),
            _ if !patch.is_object() => Err(wrong(&no_map(&patch))),
            _ => Ok((Self::Strategic(patch), strict)),
        }
    }

    /// What a message shows of a patch that makes no valid object: the patched object, or the patch as Go prints a map.
    fn shown(&self, ty: Option<TypeId>, object: &Object) -> String {
        match self {
            Self::Strategic(patch) => go_text(&strategic::without_instructions(patch.clone(), object)),
            _ => self.apply(ty, object).map(|patched| patched.to_string()).unwrap_or_default(),
        }
    }

    fn apply(&self, ty: Option<TypeId>, object: &Object) -> Result<Object, Status> {
        match self {
            Self::Json(patch) => {
                let mut object = object.clone();
                patch.apply(&mut object).map_err(|error| json_patch_status(&error, &bad_request))?;
                Ok(object)
            }
            // Taken as what shall be there instead.
            Self::Merge(patch) if patch.is_array() => Ok(patch.clone()),
            Self::Merge(patch) => {
                let mut object = object.clone();
                merge::apply(&mut object, patch).map_err(|error| Status::bad_request(error.to_string()))?;
                Ok(object)
            }
            Self::Strategic(patch) => {
                // Without a type there are no merge keys: upstream offers this patch for built-in kinds only.
                let ty = ty.ok_or_else(|| Status::unsupported_media_type(&[JSON, MERGE]))?;
                strategic::apply(SchemaSet::builtin(), ty, object, patch.clone()).map_err(|error| {
                    match error.answer() {
                        Answer::BadRequest => Status::bad_request(error.to_string()),
                        Answer::Unprocessable => Status::unprocessable(error.to_string()),
                        Answer::Unknown => Status::plain(error.to_string()),
                    }
                })
            }
        }
    }
}

fn bad_request(why: &dyn std::fmt::Display) -> Status {
    Status::bad_request(why.to_string())
}

fn no_map(patch: &Value) -> String {
    format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", json_type(patch))
}

/// A value as Go's `%v` prints it.
pub(crate) fn go_text(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => format!("[{}]", joined(elements.iter().map(go_text).collect())),
        Value::Object(members) => {
            let pairs = members.iter().map(|(key, member)| format!("{key}:{}", go_text(member)));
            format!("map[{}]", joined(pairs.collect()))
        }
        other => other.to_string(),
    }
}

/// `undecoded` is what is answered when it is no such patch.
fn json_patch_status(error: &JsonPatchError, undecoded: &dyn Fn(&dyn std::fmt::Display) -> Status) -> Status {
    match error {
        JsonPatchError::Decode { .. } | JsonPatchError::DecodeMember { .. } => undecoded(error),
        JsonPatchError::TooMany(_) => Status::too_large(&error.to_string()),
        // Upstream does not say which operation.
        JsonPatchError::Apply(_) => Status::unprocessable(UNPROCESSABLE),
    }
}

/// A patch of one request, to be applied to an object of its kind as often as needed.
pub(crate) struct Patching<'a> {
    mechanism: Mechanism,
    /// What strict decoding says about the patch itself.
    strict: Vec<String>,
    validation: FieldValidation,
    kind: GroupVersionKind,
    /// Of a kind that is not built in.
    custom: Option<Arc<CustomKind>>,
    /// It may be about managedFields.
    names_managers: bool,
    warnings: &'a Warnings,
}

impl<'a> Patching<'a> {
    pub async fn read(call: &'a Call, body: Body, kind: GroupVersionKind) -> Result<(Self, WriteOptions), Status> {
        let content_type = decode::content_type(&call.headers).to_owned();
        if !SUPPORTED.contains(&content_type.as_str()) {
            let is_custom = call.row.custom.is_some() && call.info.subresource != "scale";
            return Err(if is_custom {
                Status::unsupported_media_type(&CUSTOM_SUPPORTED)
            } else {
                Status::no_such_body()
            });
        }
        if call.row.custom.is_some() && content_type == STRATEGIC && call.info.subresource != "scale" {
            return Err(Status::unsupported_media_type(&CUSTOM_SUPPORTED));
        }
        let bytes = call.bytes(body).await?;
        let options = WriteOptions::parse(&call.query, "PatchOptions")?;
        let names_managers = bytes.windows(MANAGED.len()).any(|part| part == MANAGED);
        let decoded = Mechanism::decode(&content_type, &bytes, options.field_validation);
        if decoded.is_err() {
            // Upstream reads the patch when it has the object.
            call.core.must_read(&call.row, call.namespace(), &call.info.name).await?;
        }
        let (mechanism, strict) = decoded?;
        let validation = options.field_validation;
        let strict = if validation == FieldValidation::Ignore { Vec::new() } else { strict };
        let warnings = &call.warnings;
        Ok((Self { mechanism, strict, validation, kind, custom: None, names_managers, warnings }, options))
    }

    /// Patches and checks one object of the kind.
    pub fn apply_to(&self, original: &Object) -> Result<Object, Status> {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&self.kind);
        let invalid = |why: &str| invalid_patch(&self.mechanism.shown(ty, original), why);
        let mut object = self.mechanism.apply(ty, original)?;
        let mut strict = self.strict.clone();
        let is_strategic = matches!(self.mechanism, Mechanism::Strategic(_));
        if self.custom.is_none() {
            keep_reset(&mut object);
        }
        match (&self.mechanism, &self.custom) {
            // What it says of them must be texts, and no more.
            (Mechanism::Strategic(_), _) => {}
            (_, Some(_)) => {
                decode::check_header(&object).map_err(|why| invalid(&why))?;
                if object["kind"].as_str().unwrap_or_default().is_empty() {
                    return Err(invalid(&format!("Object 'Kind' is missing in '{object}'")));
                }
            }
            (_, None) => match patched::identify(&mut object, &self.kind).map_err(|why| invalid(&why))? {
                Identity::Nothing(lost) if self.validation != FieldValidation::Ignore => {
                    strict.extend(lost.into_iter().map(|name| StrictError::Unknown(name).to_string()));
                }
                Identity::Nothing(_) | Identity::Same => {}
            },
        }
        let conformed = match is_strategic {
            true => decode::conform_converted(ty, &mut object),
            false => decode::conform(self.custom.as_deref(), ty, &mut object),
        };
        if let Some(Conformed { unknown, error, conversion }) = conformed {
            // This patch is made an object by a converter of maps, the others by the decoder of JSON.
            let error = if is_strategic { conversion.or(error) } else { error };
            if let Some(error) = error {
                return Err(invalid(&error));
            }
            // What a custom resource of another version may have is not known.
            let is_known = self.custom.is_none() || object["apiVersion"] == *self.kind.api_version();
            if is_known && self.validation != FieldValidation::Ignore {
                strict.extend(unknown.into_iter().map(|path| StrictError::Unknown(path).to_string()));
            }
            if self.validation == FieldValidation::Strict && !strict.is_empty() {
                let prefix = strict_message(&[]);
                return Err(invalid(&format!("{prefix}{}", strict.join(", "))));
            }
        }
        if is_strategic {
            // The converter knows what it makes, whatever the patch says.
            object["apiVersion"] = self.kind.api_version().into();
            object["kind"] = self.kind.kind.as_str().into();
        }
        self.warnings.extend(strict);
        Ok(object)
    }
}

/// Patches a stored object in the form that the request speaks.
struct PatchStored<'a> {
    patch: Patching<'a>,
    row: &'a Descriptor,
}

impl Change for PatchStored<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        let mut original = Cow::Borrowed(&old.object);
        if self.patch.names_managers {
            old.managers.put_into(original.to_mut());
        }
        if let Some(shape) = self.row.shape {
            shape.serve(original.to_mut());
        }
        let mut object = self.patch.apply_to(&original)?;
        if let Some(shape) = self.row.shape {
            shape.store(&mut object);
        }
        Ok(Decoded::new(object))
    }
}

fn invalid_patch(text: &str, why: &str) -> Status {
    let error = FieldError::invalid(&Path::new("patch"), text, why);
    Status::invalid(Qualified::new("", ""), "", &[error])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_refused_in_the_words_of_their_first_reader() {
        const NO_MAP: &str = "json: cannot unmarshal array into Go value of type map[string]interface {}";
        use FieldValidation::{Ignore, Strict, Warn};
        let table = [
            (JSON, "[{\"op\":", Warn, "error decoding patch: unexpected end of JSON input"),
            (JSON, "[{\"op\":", Ignore, "unexpected end of JSON input"),
            (
                JSON,
                "{}",
                Strict,
                "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ),
            (JSON, "{}", Ignore, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
            (JSON, "null", Warn, ""),
            (MERGE, "[]", Warn, &format!("error decoding patch: {NO_MAP}")),
            (MERGE, "[]", Ignore, ""),
            (MERGE, "7", Ignore, "Invalid JSON Patch"),
            (MERGE, "{", Ignore, "Invalid JSON Patch"),
            (MERGE, "null", Warn, "Invalid JSON Patch"),
            (STRATEGIC, "[]", Warn, NO_MAP),
            (STRATEGIC, "{x", Warn, "invalid character 'x' looking for beginning of object key string"),
            (STRATEGIC, "null", Warn, ""),
        ];
        for (content_type, patch, validation, expected) in table {
            let error = Mechanism::decode(content_type, patch.as_bytes(), validation).err();
            let message = error.map(|status| status.message).unwrap_or_default();
            assert_eq!(message, expected, "{content_type} {patch} {validation:?}");
        }
    }

    #[test]
    fn a_followed_patch_is_shown_without_instructions() {
        let patch = json!({"spec": {"$retainKeys": ["ports"], "ports": [{"$patch": "replace"}, {"port": 90}]}});
        let mechanism = Mechanism::Strategic(patch);
        let there = json!({"spec": {}});
        assert_eq!(mechanism.shown(None, &there), "map[spec:map[ports:[map[$patch:replace] map[port:90]]]]");
        assert_eq!(mechanism.shown(None, &json!({})), "map[spec:map[$retainKeys:[ports] ports:[map[port:90]]]]");
        let nulls = Mechanism::Strategic(json!({"a": null, "b": {"c": null, "d": [{"e": null}]}}));
        assert_eq!(nulls.shown(None, &json!({})), "map[a:<nil> b:map[d:[map[]]]]");
        assert_eq!(nulls.shown(None, &json!({"b": {"d": []}})), "map[a:<nil> b:map[c:<nil> d:[map[e:<nil>]]]]");
    }
}
