//! A structural schema in the model of built-in kinds, which server-side apply works on.
//!
//! As upstream, from the OpenAPI document of the kind: an object with properties is a struct, one with additional properties a
//! map, anything without a type is open (its maps merge, its lists are replaced).

use std::collections::HashMap;

use super::{Additional, ListType, Structural};
use crate::gvk::GroupVersionKind;
use crate::schema::{Field, Scalar, SchemaSet, Shape, Topology, Type, TypeId};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The types of one custom kind and what they refer to. The kind is [`SchemaSet::of_kind`].
pub fn schema_set(kind: &GroupVersionKind, schema: &Structural) -> SchemaSet {
    let mut set = SchemaSet::default();
    let metadata = Copying { set: &mut set, copied: HashMap::new() }.copy(SchemaSet::builtin(), OBJECT_META);
    let root = Making { set: &mut set, metadata }.structure(schema, true);
    set.types[root.0 as usize].kinds = vec![kind.clone()];
    set.by_kind.insert(kind.clone(), root);
    set
}

/// Copies a built-in type and what it refers to.
struct Copying<'a> {
    set: &'a mut SchemaSet,
    copied: HashMap<TypeId, TypeId>,
}

impl Copying<'_> {
    fn copy(&mut self, from: &SchemaSet, name: &str) -> Option<TypeId> {
        Some(self.ty(from, from.named(name)?))
    }

    fn ty(&mut self, from: &SchemaSet, id: TypeId) -> TypeId {
        if let Some(copied) = self.copied.get(&id) {
            return *copied;
        }
        let own = push(self.set, Type::default());
        self.copied.insert(id, own);
        let mut ty = from.get(id).clone();
        for field in &mut ty.fields {
            self.shape(from, &mut field.shape);
        }
        self.set.types[own.0 as usize] = ty;
        own
    }

    fn shape(&mut self, from: &SchemaSet, shape: &mut Shape) {
        match shape {
            Shape::Struct(id) => *id = self.ty(from, *id),
            Shape::List(inner) | Shape::Map(inner) => self.shape(from, inner),
            Shape::Scalar(_) => {}
        }
    }
}

struct Making<'a> {
    set: &'a mut SchemaSet,
    metadata: Option<TypeId>,
}

impl Making<'_> {
    fn structure(&mut self, schema: &Structural, is_object: bool) -> TypeId {
        let mut fields: Vec<Field> =
            schema.properties.iter().map(|(name, property)| self.field(name, property)).collect();
        if is_object {
            fields.retain(|field| !matches!(field.name.as_str(), "apiVersion" | "kind" | "metadata"));
            for name in ["apiVersion", "kind"] {
                let shape = Shape::Scalar(Scalar::String);
                fields.push(Field { name: name.to_owned(), shape, ..Field::default() });
            }
            if let Some(metadata) = self.metadata {
                let shape = Shape::Struct(metadata);
                fields.push(Field { name: "metadata".to_owned(), shape, ..Field::default() });
            }
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let (atomic, preserve_unknown) = (schema.atomic_map, schema.preserve_unknown);
        push(self.set, Type { fields, atomic, preserve_unknown, ..Type::default() })
    }

    fn field(&mut self, name: &str, schema: &Structural) -> Field {
        let shape = self.shape(schema);
        let topology = match (&shape, &schema.list) {
            (Shape::List(_), ListType::Set) => Topology::Set,
            (Shape::List(_), ListType::Map(keys)) => Topology::MapList(keys.clone()),
            (Shape::List(_), ListType::Atomic) => Topology::Atomic,
            _ if schema.atomic_map => Topology::Atomic,
            _ => Topology::Granular,
        };
        let (default, nullable) = (schema.default.clone(), schema.nullable);
        Field { name: name.to_owned(), shape, topology, default, nullable, ..Field::default() }
    }

    fn shape(&mut self, schema: &Structural) -> Shape {
        // It has no type in the document: only validation says what it may be.
        if schema.int_or_string {
            return Shape::Scalar(Scalar::Any);
        }
        match schema.kind.as_str() {
            "object" => match schema.additional.as_deref() {
                Some(Additional::Of(values)) => Shape::Map(Box::new(self.shape(values))),
                Some(Additional::Any) => Shape::Map(Box::new(Shape::Scalar(Scalar::Any))),
                None => Shape::Struct(self.structure(schema, schema.embedded)),
            },
            "array" => {
                let any = Structural::default();
                let items = schema.items.as_deref().unwrap_or(&any);
                Shape::List(Box::new(self.shape(items)))
            }
            "string" => Shape::Scalar(Scalar::String),
            "boolean" => Shape::Scalar(Scalar::Boolean),
            "integer" => Shape::Scalar(Scalar::Int64),
            "number" => Shape::Scalar(Scalar::Float64),
            _ => Shape::Scalar(Scalar::Any),
        }
    }
}

fn push(set: &mut SchemaSet, ty: Type) -> TypeId {
    set.types.push(ty);
    TypeId(u32::try_from(set.types.len() - 1).unwrap_or(u32::MAX))
}
