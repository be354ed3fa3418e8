//! The schema facts: what every field of every kind is. One model for built-in kinds and CRDs; it drives pruning, field
//! validation, strategic merge, server-side apply, protobuf transcoding, OpenAPI and `explain`.

use std::collections::BTreeMap;

use crate::gvk::GroupVersionKind;

/// Index of a type in its [`SchemaSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// All types that can refer to one another.
#[derive(Clone, Debug, Default)]
pub struct SchemaSet {
    pub types: Vec<Type>,
    pub by_name: BTreeMap<String, TypeId>,
    pub by_kind: BTreeMap<GroupVersionKind, TypeId>,
}

/// A named struct, such as `io.k8s.api.core.v1.PodSpec`.
#[derive(Clone, Debug, Default)]
pub struct Type {
    pub name: String,
    /// Sorted by JSON name.
    pub fields: Vec<Field>,
    /// Not empty for a root: an object that can be sent by itself.
    pub kinds: Vec<GroupVersionKind>,
}

#[derive(Clone, Debug)]
pub struct Field {
    /// JSON name.
    pub name: String,
    pub shape: Shape,
    pub required: bool,
    /// Protobuf field number; 0 where there is none.
    pub number: u32,
    /// How the list or map merges under server-side apply (`x-kubernetes-list-type`, `-map-type`).
    pub topology: Topology,
    /// How it merges under strategic merge patch. Differs from `topology` for 30 fields: never derive one from the other.
    pub patch: PatchStrategy,
    /// The literal default of the OpenAPI document, where it has one.
    pub default: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    Scalar(Scalar),
    Struct(TypeId),
    List(Box<Shape>),
    Map(Box<Shape>),
}

/// Leaves, by the form they take in JSON and in protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    String,
    Boolean,
    Int32,
    Int64,
    Float64,
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339, seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// Go duration string (metav1.Duration).
    Duration,
    Quantity,
    IntOrString,
    /// managedFields' fieldsV1: any JSON object.
    FieldsV1,
    /// An embedded object of any kind (runtime.RawExtension).
    RawExtension,
    /// Any JSON (apiextensions JSON and JSONSchemaProps unions).
    Any,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// A struct or map whose members merge one by one; for a scalar, itself.
    #[default]
    Granular,
    /// Replaced whole.
    Atomic,
    Set,
    /// Elements are the same when these fields are equal.
    MapList(Vec<String>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// `patchStrategy=merge`.
    pub merge: bool,
    /// `patchStrategy=retainKeys`.
    pub retain_keys: bool,
    pub merge_key: Option<String>,
}

impl SchemaSet {
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    pub fn of_kind(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        self.by_kind.get(kind).copied()
    }
}

impl Type {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok().map(|at| &self.fields[at])
    }
}
