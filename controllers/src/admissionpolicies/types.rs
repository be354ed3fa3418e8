//! What is known of kinds: of built-in ones by the schema facts, of others by their definitions.

use std::sync::Arc;

use api::gvk::GroupVersionKind;
use api::schema::{Scalar, SchemaSet, Shape, TypeId};
use cel::schema::{Declaration, Schema};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

/// The kind of a resource.
pub fn kind_of(
    group: &str,
    version: &str,
    resource: &str,
    definitions: &[Arc<CustomResourceDefinition>],
) -> Option<GroupVersionKind> {
    let custom = || {
        let found = definitions.iter().find(|definition| {
            let spec = &definition.spec;
            spec.group == group
                && spec.names.plural == resource
                && spec.versions.iter().any(|served| served.served && served.name == version)
        })?;
        Some(GroupVersionKind::new(group, version, &found.spec.names.kind))
    };
    let kinds = SchemaSet::builtin().by_kind.keys();
    let mut kinds = kinds.filter(|kind| kind.group == group && kind.version == version);
    kinds.find(|kind| plural(&kind.kind) == resource).cloned().or_else(custom)
}

/// As all built-in kinds are named.
fn plural(kind: &str) -> String {
    let name = kind.to_lowercase();
    match name.as_bytes() {
        _ if name.ends_with("endpoints") => name,
        [.., b's'] => name + "es",
        [rest @ .., b'y'] => format!("{}ies", String::from_utf8_lossy(rest)),
        _ => name + "s",
    }
}

/// The types of a kind's fields; `None` when nothing is known of it.
pub fn declaration(kind: &GroupVersionKind, definitions: &[Arc<CustomResourceDefinition>]) -> Option<Declaration> {
    let set = SchemaSet::builtin();
    let schema = match set.of_kind(kind) {
        Some(id) => of_type(set, id, &mut Vec::new()),
        None => custom(kind, definitions)?,
    };
    Declaration::of(&Schema::read(&schema, true), &kind.kind)
}

fn custom(kind: &GroupVersionKind, definitions: &[Arc<CustomResourceDefinition>]) -> Option<Value> {
    let definition =
        definitions.iter().find(|other| other.spec.group == kind.group && other.spec.names.kind == kind.kind)?;
    let version = definition.spec.versions.iter().find(|version| version.name == kind.version)?;
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    let mut schema = serde_json::to_value(schema).ok()?;
    // What the server publishes for it.
    let set = SchemaSet::builtin();
    let metadata = set.named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")?;
    schema["properties"]["metadata"] = of_type(set, metadata, &mut Vec::new());
    for name in ["apiVersion", "kind"] {
        schema["properties"][name] = json!({"type": "string"});
    }
    Some(schema)
}

/// `around` are the types that this is inside of: one that is inside of itself is not looked into again.
fn of_type(set: &SchemaSet, id: TypeId, around: &mut Vec<TypeId>) -> Value {
    if around.contains(&id) {
        return json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    around.push(id);
    let ty = set.get(id);
    let properties: Map<String, Value> =
        ty.fields.iter().map(|field| (field.name.clone(), of_shape(set, &field.shape, around))).collect();
    around.pop();
    json!({"type": "object", "properties": properties})
}

fn of_shape(set: &SchemaSet, shape: &Shape, around: &mut Vec<TypeId>) -> Value {
    match shape {
        Shape::Struct(id) => of_type(set, *id, around),
        Shape::List(of) => json!({"type": "array", "items": of_shape(set, of, around)}),
        Shape::Map(of) => json!({"type": "object", "additionalProperties": of_shape(set, of, around)}),
        Shape::Scalar(scalar) => match scalar {
            Scalar::String | Scalar::Duration => json!({"type": "string"}),
            Scalar::Boolean => json!({"type": "boolean"}),
            Scalar::Int32 | Scalar::Int64 => json!({"type": "integer"}),
            Scalar::Float64 => json!({"type": "number"}),
            Scalar::Bytes => json!({"type": "string", "format": "byte"}),
            Scalar::Time | Scalar::MicroTime => json!({"type": "string", "format": "date-time"}),
            Scalar::IntOrString => json!({"x-kubernetes-int-or-string": true}),
            Scalar::FieldsV1 | Scalar::RawExtension => json!({"type": "object"}),
            // They have no type in upstream's documents, so no expression sees them.
            Scalar::Quantity | Scalar::Any => json!({}),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_have_kinds() {
        let table = [
            ("", "v1", "pods", Some("Pod")),
            ("", "v1", "endpoints", Some("Endpoints")),
            ("networking.k8s.io", "v1", "ingresses", Some("Ingress")),
            ("networking.k8s.io", "v1", "networkpolicies", Some("NetworkPolicy")),
            ("storage.k8s.io", "v1", "storageclasses", Some("StorageClass")),
            ("apps", "v1", "pods", None),
        ];
        for (group, version, resource, expected) in table {
            assert_eq!(kind_of(group, version, resource, &[]).map(|kind| kind.kind).as_deref(), expected, "{resource}");
        }
    }
}
