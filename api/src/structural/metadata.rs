//! The metadata of custom resources and of objects inside them (`schema/objectmeta`).

use serde_json::{Map, Value};

use super::Structural;
use crate::field::{FieldError, Path};
use crate::names;
use crate::schema::check::{self, Conformance};
use crate::schema::{SchemaSet, TypeId};

/// What is done about metadata that is no ObjectMeta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The first mistake is the answer.
    Refuse,
    /// What is stored is repaired.
    Drop,
}

/// Brings the object's metadata into the form that Go would write. Answers with the paths of unknown fields.
///
/// # Errors
/// What is wrong, as Go's decoder says it.
pub fn coerce(object: &mut Value, malformed: Malformed) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    if let Some(metadata) = object.get_mut("metadata") {
        own(metadata, "metadata", malformed, &mut unknown)?;
    }
    Ok(unknown)
}

/// As [`coerce`], of the objects inside of the object.
///
/// # Errors
/// What is wrong, as Go's decoder says it.
pub fn coerce_embedded(object: &mut Value, schema: &Structural, malformed: Malformed) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    let members = object.as_object_mut().into_iter().flatten();
    for (name, value) in members.filter(|(name, _)| *name != "metadata") {
        if let Some(schema) = schema.member(name) {
            embedded(value, schema, name, malformed, &mut unknown)?;
        }
    }
    Ok(unknown)
}

fn embedded(
    value: &mut Value,
    schema: &Structural,
    path: &str,
    malformed: Malformed,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    match value {
        Value::Object(members) => {
            if schema.embedded {
                for key in ["apiVersion", "kind"] {
                    let wrong = members.get(key).is_some_and(|value| !value.is_string());
                    if wrong && malformed == Malformed::Refuse {
                        let shown = members.get(key).map(Value::to_string).unwrap_or_default();
                        return Err(format!("{path}.{key}: Invalid value: {shown}: must be a string"));
                    } else if wrong {
                        members.remove(key);
                    }
                }
                if let Some(metadata) = members.get_mut("metadata") {
                    let path = format!("{path}.metadata");
                    let sent = metadata.clone();
                    own(metadata, &path, malformed, unknown)
                        .map_err(|error| FieldError::invalid(&Path::new(&path), sent, error).to_string())?;
                }
            }
            for (name, value) in members {
                if schema.embedded && name == "metadata" {
                    continue;
                }
                if let Some(schema) = schema.member(name) {
                    embedded(value, schema, &format!("{path}.{name}"), malformed, unknown)?;
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.items.as_deref() else { return Ok(()) };
            for (index, item) in items.iter_mut().enumerate() {
                embedded(item, schema, &format!("{path}[{index}]"), malformed, unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn object_meta() -> Option<(&'static SchemaSet, TypeId)> {
    let set = SchemaSet::builtin();
    Some((set, set.named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")?))
}

fn own(metadata: &mut Value, path: &str, malformed: Malformed, unknown: &mut Vec<String>) -> Result<(), String> {
    let Some((set, ty)) = object_meta() else { return Ok(()) };
    let Conformance { unknown: found, errors, .. } = check::conform(set, ty, metadata);
    unknown.extend(found.into_iter().map(|field| format!("{path}.{field}")));
    match (errors.first(), malformed) {
        (None, _) => Ok(()),
        (Some(error), Malformed::Refuse) => Err(error.to_string()),
        (Some(_), Malformed::Drop) => {
            repair(metadata, set, ty);
            Ok(())
        }
    }
}

/// Field by field: what cannot be read goes.
fn repair(metadata: &mut Value, set: &SchemaSet, ty: TypeId) {
    let Value::Object(members) = metadata else {
        *metadata = Value::Object(Map::new());
        return;
    };
    members.retain(|name, value| {
        let mut alone = serde_json::json!({ name: value.clone() });
        check::conform(set, ty, &mut alone).errors.is_empty()
    });
}

/// What is wrong with objects inside of a custom resource: they have a kind, and metadata as all objects.
pub fn validate(object: &Value, schema: &Structural) -> Vec<FieldError> {
    validate_at(&Path::default(), object, schema)
}

/// As [`validate`], of what is at the path.
pub fn validate_at(path: &Path, value: &Value, schema: &Structural) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(path, value, schema, &mut errors);
    errors
}

fn check(path: &Path, value: &Value, schema: &Structural, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(members) => {
            if schema.embedded {
                check_embedded(path, members, errors);
            }
            for (name, value) in members {
                match (schema.properties.get(name), schema.values()) {
                    (Some(schema), _) => check(&path.child(name), value, schema, errors),
                    (None, Some(schema)) => check(&path.key(name), value, schema, errors),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            let schema = schema.items.as_deref();
            for (index, item) in items.iter().enumerate() {
                if let Some(schema) = schema {
                    check(&path.index(index), item, schema, errors);
                }
            }
        }
        _ => {}
    }
}

fn check_embedded(path: &Path, members: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for key in ["apiVersion", "kind"] {
        let path = path.child(key);
        match members.get(key) {
            None => errors.push(FieldError::required(&path, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(&path, "", "must not be empty"));
            }
            Some(Value::String(text)) if key == "kind" => {
                let why = names::dns1035_label(&text.to_lowercase());
                if !why.is_empty() {
                    let detail = format!("may have mixed case, but should otherwise match: {}", why.join(","));
                    errors.push(FieldError::invalid(&path, text.as_str(), detail));
                }
            }
            Some(Value::String(text)) if text.matches('/').count() > 1 => {
                let detail = format!("unexpected GroupVersion string: {text}");
                errors.push(FieldError::invalid(&path, text.as_str(), detail));
            }
            Some(Value::String(_)) => {}
            Some(other) => errors.push(FieldError::invalid(&path, other.clone(), "must be a string")),
        }
    }
    let text = |key: &str| {
        let map = members.get("metadata").and_then(|metadata| metadata[key].as_object()).into_iter().flatten();
        map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    let path = path.child("metadata");
    errors.extend(names::validate_labels(&text("labels"), &path.child("labels")));
    errors.extend(names::validate_annotations(&text("annotations"), &path.child("annotations")));
}
