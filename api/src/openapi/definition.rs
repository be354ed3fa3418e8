//! Types as JSON schemas, in the two dialects.
//!
//! v2 has plain references and no defaults; v3 wraps a reference that has siblings in `allOf` and says the zero values that Go
//! writes as defaults.

use serde_json::{Map, Value, json};

use super::description::Descriptions;
use crate::gvk::GroupVersionKind;
use crate::schema::{Field, Form, Presence, Scalar, SchemaSet, Shape, Topology, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

/// A definition without fields.
#[derive(Debug)]
pub(super) struct Leaf {
    pub name: &'static str,
    /// The schema; v3's where it differs.
    v2: &'static str,
    v3: Option<&'static str>,
}

const fn leaf(name: &'static str, schema: &'static str) -> Leaf {
    Leaf { name, v2: schema, v3: None }
}

static TIME: Leaf = leaf("io.k8s.apimachinery.pkg.apis.meta.v1.Time", r#"{"type":"string","format":"date-time"}"#);
static MICRO_TIME: Leaf =
    leaf("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", r#"{"type":"string","format":"date-time"}"#);
static DURATION: Leaf = leaf("io.k8s.apimachinery.pkg.apis.meta.v1.Duration", r#"{"type":"string"}"#);
static FIELDS: Leaf = leaf("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", r#"{"type":"object"}"#);
static RAW: Leaf = leaf("io.k8s.apimachinery.pkg.runtime.RawExtension", r#"{"type":"object"}"#);
static QUANTITY: Leaf = Leaf {
    name: "io.k8s.apimachinery.pkg.api.resource.Quantity",
    v2: r#"{"type":"string"}"#,
    v3: Some(r#"{"oneOf":[{"type":"string"},{"type":"number"}]}"#),
};
static INT_OR_STRING: Leaf = Leaf {
    name: "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    v2: r#"{"type":"string","format":"int-or-string"}"#,
    v3: Some(r#"{"format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}]}"#),
};
static JSON: Leaf = leaf("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "{}");
static SCHEMA_OR_BOOL: Leaf =
    leaf("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "{}");
static SCHEMA_OR_ARRAY: Leaf =
    leaf("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "{}");
static SCHEMA_OR_STRINGS: Leaf =
    leaf("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray", "{}");
/// The body of every PATCH.
pub(super) static PATCH: Leaf = leaf("io.k8s.apimachinery.pkg.apis.meta.v1.Patch", r#"{"type":"object"}"#);

/// The definition that a scalar refers to; `None` for what is written in place.
pub(super) fn leaf_of(scalar: Scalar, form: Form, owner: &str) -> Option<&'static Leaf> {
    Some(match (scalar, form) {
        (_, Form::SchemaOrBool) => &SCHEMA_OR_BOOL,
        (_, Form::SchemaOrArray) => &SCHEMA_OR_ARRAY,
        (_, Form::SchemaOrStrings) => &SCHEMA_OR_STRINGS,
        (Scalar::Time, _) => &TIME,
        (Scalar::MicroTime, _) => &MICRO_TIME,
        (Scalar::Duration, _) => &DURATION,
        (Scalar::FieldsV1, _) => &FIELDS,
        (Scalar::RawExtension, _) => &RAW,
        (Scalar::Quantity, _) => &QUANTITY,
        (Scalar::IntOrString, _) => &INT_OR_STRING,
        (Scalar::Any, _) if owner.contains(".apiextensions.") => &JSON,
        _ => return None,
    })
}

impl Dialect {
    pub(super) fn reference(self, name: &str) -> Value {
        let at = match self {
            Self::V2 => "#/definitions/",
            Self::V3 => "#/components/schemas/",
        };
        json!({"$ref": format!("{at}{name}")})
    }

    pub(super) fn leaf(self, leaf: &Leaf, descriptions: &Descriptions) -> Value {
        let text = if self == Self::V3 { leaf.v3.unwrap_or(leaf.v2) } else { leaf.v2 };
        let mut schema: Value = serde_json::from_str(text).unwrap_or_default();
        describe(&mut schema, descriptions.of_type(leaf.name));
        schema
    }

    pub(super) fn ty(self, ty: &Type, descriptions: &Descriptions) -> Value {
        let mut schema = json!({"type": "object"});
        describe(&mut schema, descriptions.of_type(&ty.name));
        let mut properties = Map::new();
        for field in &ty.fields {
            let mut property = self.field(field, &ty.name);
            // The list of a list kind does not say how it merges: nobody applies lists, or what discovery says.
            let of_list = field.name == "items" && ty.name.ends_with("List") && !ty.kinds.is_empty();
            if of_list || (field.name == "verbs" && ty.name.ends_with(".APIResource")) {
                property.as_object_mut().and_then(|property| property.remove("x-kubernetes-list-type"));
            }
            describe(&mut property, descriptions.of_field(&ty.name, &field.name));
            properties.insert(field.name.clone(), property);
        }
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        let required: Vec<&str> = ty.fields.iter().filter(|field| field.required).map(|field| &*field.name).collect();
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if ty.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        if ty.preserve_unknown {
            schema["x-kubernetes-preserve-unknown-fields"] = true.into();
        }
        if let Some(union) = &ty.union {
            schema["x-kubernetes-unions"] = json!([union]);
        }
        // A reference can be sent by itself in Go alone; options are of every group that is served.
        let is_kind = |kind: &&GroupVersionKind| kind.kind != "ObjectReference" && kind.group != "meta.k8s.io";
        let kinds: Vec<Value> = ty.kinds.iter().filter(is_kind).map(group_version_kind).collect();
        if !kinds.is_empty() {
            schema["x-kubernetes-group-version-kind"] = kinds.into();
        }
        schema
    }

    fn field(self, field: &Field, owner: &str) -> Value {
        let always = field.presence == Presence::Always;
        let default = field.default.clone().or_else(|| if always { zero(&field.shape) } else { None });
        let extensions = extensions(field);
        let mut schema = self.shape(&field.shape, field.form, owner);
        if !field.enumeration.is_empty() {
            let text = match field.shape {
                Shape::List(_) => &mut schema["items"],
                Shape::Map(_) => &mut schema["additionalProperties"],
                _ => &mut schema,
            };
            text["enum"] = field.enumeration.iter().map(|value| Value::from(&**value)).collect();
        }
        if self == Self::V3 && (schema.get("$ref").is_some() && field.form == Form::Plain) {
            schema = json!({"allOf": [schema]});
        }
        if let Some(default) = default.filter(|_| self == Self::V3) {
            schema["default"] = default;
        }
        for (key, value) in extensions {
            schema[key] = value;
        }
        schema
    }

    /// What is inside a list or map has the default that Go's zero value is.
    fn nested(self, shape: &Shape, form: Form, owner: &str) -> Value {
        let schema = self.shape(shape, form, owner);
        let Some(zero) = zero(shape).filter(|_| self == Self::V3 && form != Form::SchemaOrStrings) else {
            return schema;
        };
        let mut schema = if schema.get("$ref").is_some() { json!({"allOf": [schema]}) } else { schema };
        schema["default"] = zero;
        schema
    }

    fn shape(self, shape: &Shape, form: Form, owner: &str) -> Value {
        match shape {
            Shape::Struct(id) => self.reference(&SchemaSet::builtin().get(*id).name),
            Shape::List(inner) => json!({"type": "array", "items": self.nested(inner, form, owner)}),
            Shape::Map(inner) => json!({"type": "object", "additionalProperties": self.nested(inner, form, owner)}),
            Shape::Scalar(scalar) => match (leaf_of(*scalar, form, owner), scalar) {
                (Some(leaf), _) => self.reference(leaf.name),
                (None, Scalar::String) => json!({"type": "string"}),
                (None, Scalar::Boolean) => json!({"type": "boolean"}),
                (None, Scalar::Int32) => json!({"type": "integer", "format": "int32"}),
                (None, Scalar::Int64) => json!({"type": "integer", "format": "int64"}),
                (None, Scalar::Float64) => json!({"type": "number", "format": "double"}),
                (None, Scalar::Bytes) => json!({"type": "string", "format": "byte"}),
                (None, _) => json!({}),
            },
        }
    }
}

fn describe(schema: &mut Value, description: Option<&str>) {
    if let Some(description) = description {
        schema["description"] = description.into();
    }
}

pub(super) fn group_version_kind(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn zero(shape: &Shape) -> Option<Value> {
    match shape {
        Shape::Struct(_) => Some(json!({})),
        Shape::Scalar(Scalar::String) => Some("".into()),
        Shape::Scalar(Scalar::Boolean) => Some(false.into()),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float64) => Some(0.into()),
        _ => None,
    }
}

/// How the field merges.
fn extensions(field: &Field) -> Vec<(&'static str, Value)> {
    let mut extensions = Vec::new();
    let list = matches!(field.shape, Shape::List(_));
    // An atomic struct says so itself; its fields speak up where they differ.
    let atomic_struct = matches!(&field.shape, Shape::Struct(id) if SchemaSet::builtin().get(*id).atomic);
    match &field.topology {
        Topology::Granular if atomic_struct || field.says_granular => {
            extensions.push(("x-kubernetes-map-type", "granular".into()))
        }
        Topology::Granular => {}
        Topology::Atomic if atomic_struct => {}
        Topology::Atomic if list || matches!(field.shape, Shape::Scalar(Scalar::Bytes)) => {
            extensions.push(("x-kubernetes-list-type", "atomic".into()))
        }
        Topology::Atomic => extensions.push(("x-kubernetes-map-type", "atomic".into())),
        Topology::Set => extensions.push(("x-kubernetes-list-type", "set".into())),
        Topology::MapList(keys) => {
            extensions.push(("x-kubernetes-list-type", "map".into()));
            extensions.push(("x-kubernetes-list-map-keys", keys.as_slice().into()));
        }
    }
    match (field.patch.merge, field.patch.retain_keys) {
        (false, false) if field.patch.replace => extensions.push(("x-kubernetes-patch-strategy", "replace".into())),
        (false, false) => {}
        (true, false) => extensions.push(("x-kubernetes-patch-strategy", "merge".into())),
        (false, true) => extensions.push(("x-kubernetes-patch-strategy", "retainKeys".into())),
        (true, true) => extensions.push(("x-kubernetes-patch-strategy", "merge,retainKeys".into())),
    }
    if let Some(key) = &field.patch.merge_key {
        extensions.push(("x-kubernetes-patch-merge-key", key.as_str().into()));
    }
    extensions
}
