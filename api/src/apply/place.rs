//! What the schema says about a place in an object: is it one leaf, do its members merge one by one, how are the elements of its
//! list told apart.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value};
use thiserror::Error;

use super::element::PathElement;
use super::nulls;
use crate::schema::{Field, Form, Presence, Scalar, SchemaSet, Shape, Topology, Type, TypeId, check};

/// Cheap to copy; made on the way down from [`Place::root`].
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    set: &'a SchemaSet,
    pub(super) kind: Kind<'a>,
    /// A struct, map or list that is owned and replaced whole.
    pub(super) atomic: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    Scalar(Scalar),
    Struct(&'a Type),
    Map(&'a Shape),
    List(&'a Shape, Keys<'a>),
    /// No schema: maps are granular, lists atomic.
    Deduced,
    /// No schema, replaced whole.
    Untyped,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Keys<'a> {
    /// By index: the list is atomic.
    None,
    /// By their values.
    Set,
    /// By these members.
    Named(&'a [String]),
}

/// Why an element of a list has no place of its own.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    #[error("associative list with keys may not have a null element")]
    NullEntry,
    #[error("associative list with keys may not have non-map elements")]
    NoMap,
    #[error(
        "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
        quoted(.0)
    )]
    NoKeys(Vec<String>),
    #[error("associative list without keys has an element that's a map type")]
    MapInSet,
    #[error("not supported: associative list with lists as elements")]
    ListInSet,
    #[error("associative list without keys has an element that's an explicit null")]
    NullInSet,
}

static EMPTY: Value = Value::String(String::new());
static ZERO: LazyLock<Value> = LazyLock::new(|| 0.into());

/// Names of the built-in types somewhere in which an element of a list may lack all that names it.
static MAY_LACK_KEYS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let set = SchemaSet::builtin();
    let lacks = |field: &Field| match (&field.topology, &field.shape) {
        (Topology::MapList(keys), Shape::List(item)) => match &**item {
            Shape::Struct(id) => {
                let is_there = |key: &String| {
                    set.get(*id).field(key).is_some_and(|key| key.default.is_some() || implied(key).is_some())
                };
                !keys.iter().any(is_there)
            }
            _ => false,
        },
        _ => false,
    };
    let mut found: BTreeSet<&str> = BTreeSet::new();
    loop {
        let contains = |ty: &&Type| {
            let inner = |field: &Field| inner(&field.shape).is_some_and(|id| found.contains(set.get(id).name.as_str()));
            !found.contains(ty.name.as_str()) && ty.fields.iter().any(|field| lacks(field) || inner(field))
        };
        let more: Vec<&str> = set.types.iter().filter(contains).map(|ty| ty.name.as_str()).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
});

/// The struct that a value of the shape consists of.
fn inner(shape: &Shape) -> Option<TypeId> {
    match shape {
        Shape::Struct(id) => Some(*id),
        Shape::List(item) | Shape::Map(item) => inner(item),
        Shape::Scalar(_) => None,
    }
}

/// The default that upstream publishes for every field that Go always writes: its zero.
fn implied(field: &Field) -> Option<&'static Value> {
    match field.shape {
        _ if field.presence != Presence::Always => None,
        Shape::Scalar(Scalar::String) => Some(&EMPTY),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64) => Some(&ZERO),
        _ => None,
    }
}

fn quoted(keys: &[String]) -> String {
    keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(" ")
}

impl<'a> Place<'a> {
    /// A whole object of the type.
    pub fn root(set: &'a SchemaSet, ty: TypeId) -> Self {
        Self { set, kind: Kind::Struct(set.get(ty)), atomic: false }
    }

    /// An object of a kind that no schema describes: maps are granular, lists atomic.
    pub fn without_schema(set: &'a SchemaSet) -> Self {
        Self { set, kind: Kind::Deduced, atomic: false }
    }

    /// Whether decoding has found all that [`super::check::check_object`] could: of a built-in type in which what names the elements of lists
    /// is always there.
    pub(super) fn is_decoded(self) -> bool {
        let Kind::Struct(ty) = self.kind else { return false };
        std::ptr::eq(self.set, SchemaSet::builtin()) && !MAY_LACK_KEYS.contains(ty.name.as_str())
    }

    /// Adds what Go has in a new struct, see [`check::complete`].
    pub(super) fn complete(self, object: &mut Value) {
        if let Kind::Struct(ty) = self.kind {
            check::complete_struct(self.set, ty, object);
        }
    }

    /// Puts the nulls of Go into an object.
    pub(super) fn spell_out_nulls(self, object: &mut Value) {
        if let Kind::Struct(ty) = self.kind {
            nulls::spell_out(self.set, ty, object);
        }
    }

    /// An element of a list or a value of a map.
    fn of_item(set: &'a SchemaSet, shape: &'a Shape) -> Self {
        match shape {
            Shape::Struct(id) if set.get(*id).atomic => Self::of_shape(set, shape, &Topology::Atomic),
            shape => Self::of_shape(set, shape, &Topology::Granular),
        }
    }

    fn of_shape(set: &'a SchemaSet, shape: &'a Shape, topology: &'a Topology) -> Self {
        let atomic = *topology == Topology::Atomic;
        let (kind, atomic) = match shape {
            Shape::Scalar(Scalar::Any | Scalar::FieldsV1) => (Kind::Deduced, false),
            Shape::Scalar(Scalar::RawExtension) => (Kind::Untyped, true),
            Shape::Scalar(scalar) => (Kind::Scalar(*scalar), false),
            Shape::Struct(id) => (Kind::Struct(set.get(*id)), atomic),
            Shape::Map(item) => (Kind::Map(item), atomic),
            Shape::List(item) => match topology {
                Topology::Set => (Kind::List(item, Keys::Set), false),
                Topology::MapList(keys) => (Kind::List(item, Keys::Named(keys)), false),
                Topology::Granular | Topology::Atomic => (Kind::List(item, Keys::None), true),
            },
        };
        Self { set, kind, atomic }
    }

    fn of_field(set: &'a SchemaSet, field: &'a Field) -> Self {
        let union = !matches!(field.form, Form::Plain | Form::Wrapped) && !matches!(field.shape, Shape::Map(_));
        if union {
            Self { set, kind: Kind::Deduced, atomic: false }
        } else {
            Self::of_shape(set, &field.shape, &field.topology)
        }
    }

    /// The place of a member, and whether it is a field of a struct and no key of a map. `None` where the schema has no such
    /// field.
    pub(super) fn member(self, name: &str) -> Option<(Self, bool)> {
        let set = self.set;
        let free = |kind, atomic| Some((Self { set, kind, atomic }, false));
        match self.kind {
            Kind::Struct(ty) => match ty.field(name) {
                Some(field) => Some((Self::of_field(set, field), true)),
                None if ty.preserve_unknown => free(Kind::Deduced, false),
                None => None,
            },
            Kind::Map(item) => Some((Self::of_item(set, item), false)),
            Kind::Deduced => free(Kind::Deduced, false),
            Kind::Untyped => free(Kind::Untyped, true),
            Kind::Scalar(_) | Kind::List(..) => None,
        }
    }

    /// As [`Self::member`]; what the schema does not know is one leaf.
    pub(super) fn member_or_leaf(self, name: &str) -> (Self, bool) {
        self.member(name).unwrap_or((Self { set: self.set, kind: Kind::Untyped, atomic: true }, false))
    }

    /// Whether the schema says nothing about what is below.
    pub(super) fn kind_is_open(self) -> bool {
        matches!(self.kind, Kind::Deduced)
    }

    /// The field of a struct.
    pub(super) fn declared(self, name: &str) -> Option<&'a Field> {
        match self.kind {
            Kind::Struct(ty) => ty.field(name),
            _ => None,
        }
    }

    /// The place of the elements of a list.
    pub(super) fn item(self) -> Self {
        match self.kind {
            Kind::List(item, _) => Self::of_item(self.set, item),
            _ => Self { set: self.set, kind: Kind::Untyped, atomic: true },
        }
    }

    pub(super) fn keys(self) -> Keys<'a> {
        match self.kind {
            Kind::List(_, keys) => keys,
            _ => Keys::None,
        }
    }

    /// How an element of an associative list is named.
    pub(super) fn element(self, value: &Value) -> Result<PathElement, KeyError> {
        match self.keys() {
            Keys::Named(keys) => {
                let members = match value {
                    Value::Object(members) => members,
                    Value::Null => return Err(KeyError::NullEntry),
                    _ => return Err(KeyError::NoMap),
                };
                self.keyed(keys, members)
            }
            Keys::Set | Keys::None => match value {
                Value::Object(_) => Err(KeyError::MapInSet),
                Value::Array(_) => Err(KeyError::ListInSet),
                Value::Null => Err(KeyError::NullInSet),
                scalar => Ok(PathElement::Value(scalar.clone())),
            },
        }
    }

    /// A key that is absent has its default (protocol TCP); without a default it is no part of the name.
    fn keyed(self, keys: &[String], members: &Map<String, Value>) -> Result<PathElement, KeyError> {
        let default = |key: &str| match self.item().kind {
            Kind::Struct(ty) => {
                let field = ty.field(key)?;
                field.default.as_ref().or_else(|| implied(field))
            }
            _ => None,
        };
        let value = |key: &String| members.get(key).or_else(|| default(key)).map(|value| (key.clone(), value.clone()));
        let mut name: Vec<(String, Value)> = keys.iter().filter_map(value).collect();
        if name.is_empty() {
            return Err(KeyError::NoKeys(keys.to_vec()));
        }
        name.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(PathElement::Key(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gvk::GroupVersionKind;

    fn pod_place(path: &str) -> Place<'static> {
        let set = SchemaSet::builtin();
        let mut place = Place::root(set, set.of_kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap());
        for part in path.split('.') {
            place = if part == "*" { place.item() } else { place.member(part).unwrap().0 };
        }
        place
    }

    #[test]
    fn elements_are_named_by_keys_defaults_and_values() {
        let cases = [
            ("spec.containers", json!({"name": "a", "image": "b"}), Ok("[name=\"a\"]")),
            ("spec.containers.*.ports", json!({"containerPort": 80}), Ok("[containerPort=80,protocol=\"TCP\"]")),
            (
                "spec.containers.*.ports",
                json!({"containerPort": 80, "protocol": "UDP"}),
                Ok("[containerPort=80,protocol=\"UDP\"]"),
            ),
            ("spec.imagePullSecrets", json!({}), Ok("[name=\"\"]")),
            ("metadata.finalizers", json!("a/b"), Ok("[=\"a/b\"]")),
            ("spec.containers", json!(null), Err(KeyError::NullEntry)),
            ("spec.containers", json!("a"), Err(KeyError::NoMap)),
            ("spec.containers", json!({"image": "a"}), Ok("[name=\"\"]")),
            ("metadata.finalizers", json!(null), Err(KeyError::NullInSet)),
            ("metadata.finalizers", json!({}), Err(KeyError::MapInSet)),
            ("metadata.finalizers", json!([]), Err(KeyError::ListInSet)),
        ];
        for (path, value, expected) in cases {
            let named = pod_place(path).element(&value).map(|element| element.to_string());
            assert_eq!(named, expected.map(str::to_owned), "{path} {value}");
        }
    }

    #[test]
    fn few_kinds_have_lists_whose_keys_may_lack() {
        let set = SchemaSet::builtin();
        let kinds = MAY_LACK_KEYS.iter().filter_map(|name| set.types.iter().find(|ty| ty.name == *name));
        let mut kinds: Vec<&str> = kinds
            .flat_map(|ty| &ty.kinds)
            .filter(|gvk| !gvk.kind.ends_with("List"))
            .map(|gvk| gvk.kind.as_str())
            .collect();
        kinds.dedup();
        assert_eq!(kinds, ["StorageVersion", "ServiceAccount", "FlowSchema", "PriorityLevelConfiguration"]);
    }

    #[test]
    fn atomic_places() {
        let cases = [
            ("spec", false),
            ("spec.nodeSelector", true),
            ("spec.tolerations", true),
            ("spec.containers", false),
            ("spec.containers.*.command", true),
            ("spec.containers.*.resources.limits", false),
            ("spec.containers.*.env.*.valueFrom.secretKeyRef", true),
            ("spec.affinity.podAffinity", false),
            ("metadata.labels", false),
        ];
        for (path, atomic) in cases {
            assert_eq!(pod_place(path).atomic, atomic, "{path}");
        }
    }
}
