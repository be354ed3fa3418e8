//! The schema facts: what every field of every kind is. One model for built-in kinds and CRDs; it drives pruning, field
//! validation, strategic merge, server-side apply, protobuf transcoding, OpenAPI and `explain`.
//!
//! - [`SchemaSet::builtin`] holds the kinds of Kubernetes, read by [`text`] from `api/facts`.
//! - [`decode`] parses JSON and finds duplicate fields.
//! - [`syntax`] says what is wrong with a text that is not JSON.
//! - [`check`] prunes a tree, finds unknown fields and type mismatches, and normalizes as a round trip through Go's structs does;
//!   [`scalar`] does that for leaves.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::gvk::GroupVersionKind;

pub mod check;
pub mod decode;
mod scalar;
pub mod syntax;
pub mod text;

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
    /// Under server-side apply it is replaced whole (`x-kubernetes-map-type: atomic` on the struct). That is so for elements of
    /// lists and values of maps; a field says it by its own topology, which may differ (a PersistentVolume's `claimRef`).
    pub atomic: bool,
    /// Unknown fields stay (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// An element of `x-kubernetes-unions`.
    pub union: Option<serde_json::Value>,
    /// The protobuf view of `fields`; empty where there is none. See [`Type::index_message`].
    pub message: Message,
}

/// A protobuf message: what each field number means. Structs that Go embeds are flat in JSON and nested here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Sorted by field number.
    pub entries: Vec<(u32, Entry)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Index in [`Type::fields`].
    Field(usize),
    /// An embedded struct: its fields belong to the same JSON object.
    Nested(Message),
}

#[derive(Clone, Debug, Default)]
pub struct Field {
    /// JSON name.
    pub name: String,
    pub shape: Shape,
    pub required: bool,
    /// Protobuf field number; 0 where there is none.
    pub number: u32,
    /// How the list or map merges under server-side apply (`x-kubernetes-list-type`, `-map-type`).
    pub topology: Topology,
    /// Documents say that it is granular, where that goes without saying.
    pub says_granular: bool,
    /// How it merges under strategic merge patch. Differs from `topology` for 30 fields: never derive one from the other.
    pub patch: PatchStrategy,
    /// The literal default of the OpenAPI document, where it has one.
    pub default: Option<serde_json::Value>,
    /// The values that documents list for a text. Which are valid is the kind's validation to say.
    pub enumeration: Box<[Box<str>]>,
    /// Numbers of the nested messages around it, outermost first (`Volume.hostPath` is field 1 inside `volumeSource`, 2).
    pub within: Vec<u32>,
    /// The Go names of those, which decoding errors quote: `VolumeSource`, `RuleWithOperations.Rule`.
    pub embedded: Option<String>,
    /// A CRD's `nullable`: null is a value of its own and stays.
    pub nullable: bool,
    pub presence: Presence,
    /// A Go pointer without `omitempty`: Go writes null where there is none.
    pub null: bool,
    pub form: Form,
    /// The Go type that decoding errors quote (`v1.RestartPolicy`), where the shape does not say it.
    pub go_type: Option<String>,
}

/// When a field is in the JSON that Go writes, and in the protobuf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// A Go pointer, or a field of a CRD: as the author wrote it, zero or not.
    #[default]
    Explicit,
    /// `omitempty` and no pointer: a zero value is the same as none, and is not in JSON.
    OmitEmpty,
    /// No pointer and not omitted: JSON always has it (`status: {}`, `name: ""`). Lists, maps and times are absent when empty
    /// even so: Go writes null there.
    Always,
}

/// What protobuf does that the shape does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Plain,
    /// The innermost list is a message with `items` as field 1 (`ExtraValue`, `Verbs`).
    Wrapped,
    /// apiextensions' JSONSchemaPropsOrBool: `any` in JSON.
    SchemaOrBool,
    SchemaOrArray,
    SchemaOrStrings,
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

impl Default for Shape {
    fn default() -> Self {
        Self::Scalar(Scalar::Any)
    }
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
    /// `patchStrategy=replace`: an object that is not merged.
    pub replace: bool,
    pub merge_key: Option<String>,
}

static BUILTIN: LazyLock<SchemaSet> = LazyLock::new(|| {
    let facts = include_str!("../../facts/kubernetes-1.35.facts");
    text::parse(facts).expect("a test parses the embedded facts")
});

impl SchemaSet {
    /// The types of Kubernetes itself; read on first use.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    pub fn of_kind(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        self.by_kind.get(kind).copied()
    }

    /// As [`Self::of_kind`]; options and watch events are the same type in every group, also in one that only a CRD or an
    /// aggregated server has.
    pub fn resolve(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        self.of_kind(kind).or_else(|| {
            let everywhere = kind.kind.ends_with("Options") || kind.kind == "WatchEvent";
            everywhere.then(|| self.named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{}", kind.kind)))?
        })
    }

    /// By full name, `io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions`.
    pub fn named(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }
}

impl Field {
    /// Whether Go has null in the field when nothing was written to it, and writes that: a pointer, list, map or time without
    /// `omitempty`.
    pub fn null_when_absent(&self) -> bool {
        self.null
            || self.presence == Presence::Always
                && match &self.shape {
                    Shape::List(_) | Shape::Map(_) => true,
                    Shape::Scalar(scalar) => scalar::zero(*scalar).is_none(),
                    Shape::Struct(_) => false,
                }
    }
}

impl Type {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.field_index(name).map(|at| &self.fields[at])
    }

    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()
    }

    /// The name without its package: `PodSpec`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// Rebuilds `message` from the fields; to be called when they are complete and sorted.
    pub fn index_message(&mut self) {
        self.message = Message::default();
        for (index, field) in self.fields.iter().enumerate().filter(|(_, field)| field.number != 0) {
            let message = field.within.iter().fold(&mut self.message, |message, number| message.nested(*number));
            message.insert(field.number, Entry::Field(index));
        }
    }
}

impl Message {
    pub fn get(&self, number: u32) -> Option<&Entry> {
        self.position(number).ok().map(|at| &self.entries[at].1)
    }

    fn position(&self, number: u32) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&number, |(number, _)| *number)
    }

    fn insert(&mut self, number: u32, entry: Entry) {
        match self.position(number) {
            Ok(at) => self.entries[at].1 = entry,
            Err(at) => self.entries.insert(at, (number, entry)),
        }
    }

    /// The nested message at `number`, made where it is missing.
    fn nested(&mut self, number: u32) -> &mut Self {
        let at = match self.position(number) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (number, Entry::Nested(Self::default())));
                at
            }
        };
        if !matches!(self.entries[at].1, Entry::Nested(_)) {
            self.entries[at].1 = Entry::Nested(Self::default());
        }
        match &mut self.entries[at].1 {
            Entry::Nested(message) => message,
            Entry::Field(_) => unreachable!("replaced above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'a>(set: &'a SchemaSet, ty: &str, name: &str) -> &'a Field {
        let ty = set.named(&format!("io.k8s.{ty}")).unwrap_or_else(|| panic!("no type {ty}"));
        set.get(ty).field(name).unwrap_or_else(|| panic!("no field {name}"))
    }

    #[test]
    fn builtin_kinds_are_found() {
        let set = SchemaSet::builtin();
        let cases = [
            ("v1", "Pod", "io.k8s.api.core.v1.Pod"),
            ("v1", "PodList", "io.k8s.api.core.v1.PodList"),
            ("v1", "List", "io.k8s.api.core.v1.List"),
            ("v1", "Binding", "io.k8s.api.core.v1.Binding"),
            ("v1", "PodExecOptions", "io.k8s.api.core.v1.PodExecOptions"),
            ("v1", "Status", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
            ("v1", "DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
            ("apps/v1", "DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
            ("meta.k8s.io/v1", "DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
            ("apps/v1", "WatchEvent", "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"),
            ("apps/v1", "Deployment", "io.k8s.api.apps.v1.Deployment"),
            ("autoscaling/v1", "Scale", "io.k8s.api.autoscaling.v1.Scale"),
            ("policy/v1", "Eviction", "io.k8s.api.policy.v1.Eviction"),
            ("authentication.k8s.io/v1", "TokenRequest", "io.k8s.api.authentication.v1.TokenRequest"),
            ("admission.k8s.io/v1", "AdmissionReview", "io.k8s.api.admission.v1.AdmissionReview"),
            (
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
            ),
            (
                "apiregistration.k8s.io/v1",
                "APIService",
                "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
            ),
        ];
        for (api_version, kind, name) in cases {
            let id = set.of_kind(&GroupVersionKind::from_api_version(api_version, kind));
            assert_eq!(id.map(|id| set.get(id).name.as_str()), Some(name), "{api_version} {kind}");
        }
    }

    #[test]
    fn builtin_fields_are_sorted_and_numbered() {
        for ty in &SchemaSet::builtin().types {
            assert!(ty.fields.is_sorted_by(|a, b| a.name < b.name), "{}", ty.name);
            let mut paths: Vec<_> = ty.fields.iter().filter(|f| f.number != 0).map(|f| (&f.within, f.number)).collect();
            paths.sort();
            assert!(paths.is_sorted_by(|a, b| a < b), "{} uses a number twice", ty.name);
        }
    }

    #[test]
    fn builtin_facts_of_some_fields() {
        let set = SchemaSet::builtin();
        let ports = field(set, "api.core.v1.Container", "ports");
        assert_eq!(ports.topology, Topology::MapList(vec!["containerPort".into(), "protocol".into()]));
        let merge = PatchStrategy { merge: true, merge_key: Some("containerPort".into()), ..Default::default() };
        assert_eq!(ports.patch, merge);
        assert_eq!(field(set, "api.core.v1.ContainerPort", "protocol").default, Some("TCP".into()));
        assert_eq!(field(set, "api.core.v1.LocalObjectReference", "name").default, Some("".into()));
        assert_eq!(field(set, "api.core.v1.Volume", "hostPath").within, [2]);
        assert!(field(set, "api.apps.v1.DeploymentSpec", "strategy").patch.retain_keys);
        assert_eq!(field(set, "api.core.v1.Secret", "data").shape, Shape::Map(Box::new(Shape::Scalar(Scalar::Bytes))));
        assert_eq!(field(set, "api.core.v1.PodSpec", "nodeSelector").topology, Topology::Atomic);
        assert_eq!(field(set, "api.core.v1.Container", "resources").presence, Presence::Always);
        assert_eq!(field(set, "api.apps.v1.DeploymentSpec", "replicas").presence, Presence::Explicit);
        let created = field(set, "apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp");
        assert_eq!((&created.shape, created.presence), (&Shape::Scalar(Scalar::Time), Presence::OmitEmpty));
        let restart = field(set, "api.core.v1.PodSpec", "restartPolicy");
        assert_eq!(restart.go_type.as_deref(), Some("v1.RestartPolicy"));
    }
}
