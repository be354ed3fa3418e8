//! PATCH: JSON, merge and strategic merge patches, applied to the stored object until no other write comes between.

use std::sync::Arc;

use api::Object;
use api::field::{FieldError, Path};
use api::gvk::GroupVersionKind;
use api::patch::json::{JsonPatchError, Patch};
use api::patch::merge;
use api::patch::strategic::{self, Answer};
use api::schema::decode::{StrictError, strict_message};
use api::schema::{SchemaSet, TypeId};
use api::status::{Qualified, Status};
use serde_json::Value;

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
    /// The patch and what strict decoding says about its text.
    fn decode(content_type: &str, bytes: &[u8]) -> Result<(Self, Vec<String>), Status> {
        let wrong = |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding patch: {error}"));
        let decoded = api::schema::decode::json(bytes, None).map_err(|error| wrong(&error))?;
        let mut strict: Vec<String> = decoded.strict.iter().map(StrictError::to_string).collect();
        let patch = decoded.value;
        match content_type {
            JSON => {
                let patch = Patch::decode(patch).map_err(|error| json_patch_status(&error))?;
                strict.extend(patch.unknown_fields());
                let strict = strict.into_iter().map(|error| format!("json patch {error}")).collect();
                Ok((Self::Json(patch), strict))
            }
            MERGE => Ok((Self::Merge(patch), strict)),
            _ => Ok((Self::Strategic(patch), strict)),
        }
    }

    /// What a message shows of a patch that makes no valid object: the patched object, or the patch as Go prints a map.
    fn shown(&self, patched: &Object) -> String {
        match self {
            Self::Strategic(patch) => go_text(patch),
            _ => patched.to_string(),
        }
    }

    fn apply(&self, ty: Option<TypeId>, mut object: Object) -> Result<Object, Status> {
        match self {
            Self::Json(patch) => {
                patch.apply(&mut object).map_err(|error| json_patch_status(&error))?;
                Ok(object)
            }
            Self::Merge(patch) => {
                merge::apply(&mut object, patch).map_err(|error| Status::bad_request(error.to_string()))?;
                Ok(object)
            }
            Self::Strategic(patch) => {
                // Without a type there are no merge keys: upstream offers this patch for built-in kinds only.
                let ty = ty.ok_or_else(|| Status::unsupported_media_type(&[JSON, MERGE]))?;
                strategic::apply(SchemaSet::builtin(), ty, &object, patch.clone()).map_err(|error| {
                    match error.answer() {
                        Answer::BadRequest => Status::bad_request(error.to_string()),
                        Answer::Unprocessable => Status::unprocessable(error.to_string()),
                        Answer::Internal => Status::internal(error),
                    }
                })
            }
        }
    }
}

/// A value as Go's `%v` prints it.
fn go_text(value: &Value) -> String {
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

fn json_patch_status(error: &JsonPatchError) -> Status {
    match error {
        JsonPatchError::Decode { .. } => Status::bad_request(error.to_string()),
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
            return Err(Status::no_such_body());
        }
        if call.row.custom.is_some() && content_type == STRATEGIC && call.info.subresource != "scale" {
            return Err(Status::unsupported_media_type(&CUSTOM_SUPPORTED));
        }
        let bytes = call.bytes(body).await?;
        let options = WriteOptions::parse(&call.query, "PatchOptions")?;
        let names_managers = bytes.windows(MANAGED.len()).any(|part| part == MANAGED);
        let decoded = Mechanism::decode(&content_type, &bytes);
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
    pub fn apply_to(&self, object: Object) -> Result<Object, Status> {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&self.kind);
        let mut object = self.mechanism.apply(ty, object)?;
        let mut strict = self.strict.clone();
        keep_reset(&mut object);
        let text = self.mechanism.shown(&object);
        if let Some(Conformed { unknown, error }) = decode::conform(self.custom.as_deref(), ty, &mut object) {
            if let Some(error) = error {
                return Err(invalid_patch(&text, &error));
            }
            if self.validation != FieldValidation::Ignore {
                strict.extend(unknown.into_iter().map(|path| StrictError::Unknown(path).to_string()));
            }
            if self.validation == FieldValidation::Strict && !strict.is_empty() {
                let prefix = strict_message(&[]);
                return Err(invalid_patch(&text, &format!("{prefix}{}", strict.join(", "))));
            }
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
        let mut object = old.object.clone();
        if self.patch.names_managers {
            old.managers.put_into(&mut object);
        }
        if let Some(shape) = self.row.shape {
            shape.serve(&mut object);
        }
        let mut object = self.patch.apply_to(object)?;
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
