//! What decoding into Go's structs does to a tree: unknown fields go, values are checked against the types of their fields, and
//! what means the same is written in one way (null and empty values are absent, times have their precision, quantities their
//! canonical form).
//!
//! Fields that Go writes even when they are empty are not added by [`conform`], so it fits patches and applied configurations;
//! [`complete`] adds them to a whole object.

use serde_json::{Map, Value};

use super::scalar;
pub(crate) use super::scalar::ZERO_TIME;
pub use super::scalar::{TypeMismatch, go_type_of, json_type};
use super::{Field, Form, Presence, Scalar, SchemaSet, Shape, Topology, Type, TypeId};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conformance {
    /// Paths of the fields that were removed, `spec.containers[0].imag`.
    pub unknown: Vec<String>,
    /// The one that upstream reports is the first. The values are left as they were.
    pub errors: Vec<TypeMismatch>,
    /// The first error as upstream's converter of maps says it (`apimachinery/pkg/runtime/converter.go`).
    pub conversion: Option<String>,
}

/// Prunes, checks and normalizes `value` as an instance of the type.
pub fn conform(set: &SchemaSet, ty: TypeId, value: &mut Value) -> Conformance {
    let mut walk = Walk::new(set);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    walk.structure(set.get(ty), value);
    walk.found
}

/// As [`conform`], of an object that is about to be stored: upstream's stored form, protobuf, does not tell an empty list or map from
/// none.
pub fn conform_stored(set: &SchemaSet, ty: TypeId, value: &mut Value) -> Conformance {
    let mut walk = Walk { stored: true, ..Walk::new(set) };
    walk.structure(set.get(ty), value);
    walk.found
}

/// As [`conform`], of what a client sends: empty lists and maps stay inside the elements of lists that are replaced whole. Where such
/// lists are compared to find out whose they are, Go tells them from none.
pub fn conform_sent(set: &SchemaSet, ty: TypeId, value: &mut Value) -> Conformance {
    let mut walk = Walk { sent: true, ..Walk::new(set) };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    walk.structure(set.get(ty), value);
    walk.found
}

/// As [`conform_sent`], with numbers as upstream's converter of maps reads them, which makes objects of applied configurations and
/// strategic merge patches.
pub fn conform_converted(set: &SchemaSet, ty: TypeId, value: &mut Value) -> Conformance {
    let mut walk = Walk { sent: true, converts: true, ..Walk::new(set) };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    walk.structure(set.get(ty), value);
    walk.found
}

/// Adds the fields that Go writes even when they are empty: `status: {}`, `resources: {}`, `name: ""`. Nothing is defaulted.
pub fn complete(set: &SchemaSet, ty: TypeId, value: &mut Value) {
    complete_struct(set, set.get(ty), value);
}

pub(crate) fn complete_struct(set: &SchemaSet, ty: &Type, value: &mut Value) {
    let Value::Object(members) = value else { return };
    // Members are few and fields are many: only those are looked up that are there, or must be.
    for (name, member) in members.iter_mut().filter(|(_, member)| member.is_object() || member.is_array()) {
        if let Some(field) = ty.field(name) {
            complete_shape(set, &field.shape, member);
        }
    }
    for field in ty.fields.iter().filter(|field| field.presence == Presence::Always) {
        if members.contains_key(&field.name) {
            continue;
        }
        let mut zero = match &field.shape {
            Shape::Struct(_) => Some(Value::Object(Map::new())),
            Shape::Scalar(scalar) => scalar::zero(*scalar),
            Shape::List(_) | Shape::Map(_) => None,
        };
        if let Some(zero) = &mut zero {
            complete_shape(set, &field.shape, zero);
            members.insert(field.name.clone(), zero.take());
        }
    }
}

fn complete_shape(set: &SchemaSet, shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Struct(id), value) => complete(set, *id, value),
        (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|value| complete_shape(set, item, value)),
        (Shape::Map(item), Value::Object(members)) => {
            members.values_mut().for_each(|value| complete_shape(set, item, value));
        }
        _ => {}
    }
}

/// A value that a non-pointer `omitempty` field does not write.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

/// The same place in the two notations of upstream: strict decoding counts elements, Go's type errors name structs.
#[derive(Default)]
struct Place<'a> {
    strict: String,
    owner: &'a str,
    fields: String,
}

/// What [`Place::enter`] and friends put back.
type Mark = (usize, usize);

impl Place<'_> {
    fn mark(&self) -> Mark {
        (self.strict.len(), self.fields.len())
    }

    fn reset(&mut self, (strict, fields): Mark) {
        self.strict.truncate(strict);
        self.fields.truncate(fields);
    }

    fn push_key(&mut self, key: &str) {
        push_dotted(&mut self.strict, key);
    }

    fn push_index(&mut self, index: usize) {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(self.strict, "[{index}]");
    }

    fn push_field(&mut self, field: &Field) {
        self.push_key(&field.name);
        if let Some(embedded) = &field.embedded {
            push_dotted(&mut self.fields, embedded);
        } else if field.number == 0 && matches!(field.name.as_str(), "apiVersion" | "kind") {
            push_dotted(&mut self.fields, "TypeMeta");
        }
        push_dotted(&mut self.fields, &field.name);
    }
}

fn push_dotted(text: &mut String, part: &str) {
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(part);
}

struct Walk<'a> {
    set: &'a SchemaSet,
    place: Place<'a>,
    /// Inside of a type with a decoder of its own, which is not strict.
    silent: bool,
    /// Upstream has stopped at an error before.
    stopped: bool,
    /// Empty lists and maps are none.
    stored: bool,
    /// Empty lists and maps are not none in [`Self::wholes`].
    sent: bool,
    /// Lists around that are replaced whole.
    wholes: usize,
    /// As the converter of maps does it, not the decoder of JSON.
    converts: bool,
    found: Conformance,
}

impl<'a> Walk<'a> {
    fn new(set: &'a SchemaSet) -> Self {
        let (place, found) = (Place::default(), Conformance::default());
        Self {
            set,
            place,
            silent: false,
            stopped: false,
            stored: false,
            sent: false,
            wholes: 0,
            converts: false,
            found,
        }
    }

    fn structure(&mut self, ty: &'a Type, value: &mut Value) {
        let Value::Object(members) = value else {
            self.found.conversion.get_or_insert(format!("cannot restore struct from: {}", scalar::go_kind(value)));
            return self.mismatch(TypeMismatch::value(json_type(value), go_struct(ty)));
        };
        let owner = std::mem::replace(&mut self.place.owner, ty.short_name());
        members.retain(|name, value| match ty.field(name) {
            Some(field) => {
                let mark = self.place.mark();
                self.place.push_field(field);
                let keep = self.field(field, value);
                self.place.reset(mark);
                keep
            }
            None if ty.preserve_unknown => true,
            None => {
                let mark = self.place.mark();
                self.place.push_key(name);
                if !self.silent {
                    self.found.unknown.push(self.place.strict.clone());
                }
                self.place.reset(mark);
                false
            }
        });
        self.place.owner = owner;
    }

    /// Whether the field stays.
    fn field(&mut self, field: &'a Field, value: &mut Value) -> bool {
        if value.is_null() {
            return field.nullable;
        }
        let collection = matches!(field.shape, Shape::List(_) | Shape::Map(_));
        let whole = usize::from(matches!(field.shape, Shape::List(_)) && field.topology == Topology::Atomic);
        self.wholes += whole;
        match field.form {
            Form::Plain | Form::Wrapped => self.shape(&field.shape, value, field.go_type.as_deref()),
            form => self.schema_union(form, &field.shape, value),
        }
        self.wholes -= whole;
        let omitted = match field.presence {
            Presence::OmitEmpty if collection && self.sent && self.wholes > 0 => value.is_null(),
            Presence::OmitEmpty => is_zero(value),
            Presence::Always => self.stored && collection && is_zero(value),
            Presence::Explicit => false,
        };
        !value.is_null() && !omitted
    }

    /// `named` is the Go type that errors quote, where the shape does not say it.
    fn shape(&mut self, shape: &Shape, value: &mut Value, named: Option<&str>) {
        match shape {
            Shape::Struct(id) => self.structure(self.set.get(*id), value),
            Shape::Scalar(scalar) => {
                if self.converts {
                    scalar::convert(*scalar, value);
                }
                if let Err(error) = scalar::conform(*scalar, value) {
                    let conversion = scalar::conversion(*scalar, value, &error, named);
                    self.found.conversion.get_or_insert(conversion);
                    self.error(renamed(error, *scalar, named), scalar::stops(*scalar));
                }
            }
            Shape::List(item) => {
                let named_item = named.and_then(|name| name.strip_prefix("[]"));
                let Value::Array(items) = value else { return self.shape_mismatch(shape, value, named) };
                for (index, value) in items.iter_mut().enumerate() {
                    let mark = self.place.mark();
                    self.place.push_index(index);
                    self.element(item, value, named_item);
                    self.place.reset(mark);
                }
            }
            Shape::Map(item) => {
                let named_item = named.and_then(|name| Some(name.strip_prefix("map[")?.split_once(']')?.1));
                let Value::Object(members) = value else { return self.shape_mismatch(shape, value, named) };
                for (key, value) in members {
                    let mark = self.place.mark();
                    // Upstream's converter leaves the keys of maps out of its paths.
                    if !self.converts {
                        self.place.push_key(key);
                    }
                    self.element(item, value, named_item);
                    self.place.reset(mark);
                }
            }
        }
    }

    /// A null element is the zero value of its type.
    fn element(&mut self, shape: &Shape, value: &mut Value, named: Option<&str>) {
        if value.is_null() {
            match shape {
                Shape::Struct(_) => *value = Value::Object(Map::new()),
                Shape::Scalar(Scalar::Bytes) => *value = "".into(),
                Shape::Scalar(scalar) => *value = scalar::zero(*scalar).unwrap_or_default(),
                Shape::List(_) | Shape::Map(_) => {}
            }
            return;
        }
        self.shape(shape, value, named);
    }

    /// apiextensions' JSON schemas stand where a boolean, a list of schemas or a list of names may stand as well.
    fn schema_union(&mut self, form: Form, shape: &Shape, value: &mut Value) {
        if let (Shape::Map(item), Value::Object(members)) = (shape, &mut *value) {
            members.values_mut().for_each(|value| self.schema_union(form, item, value));
            return;
        }
        match (form, value) {
            (_, value @ Value::Object(_)) => self.silent_schema(value),
            (Form::SchemaOrArray, Value::Array(items)) => {
                for value in items {
                    if value.is_null() {
                        *value = Value::Object(Map::new());
                    }
                    self.silent_schema(value);
                }
            }
            (Form::SchemaOrStrings, value @ Value::Array(_)) => {
                self.shape(&Shape::List(Box::new(Shape::Scalar(Scalar::String))), value, None);
            }
            (Form::SchemaOrBool, Value::Bool(_)) => {}
            (Form::SchemaOrBool, _) => self.error(TypeMismatch::SchemaOrBool, true),
            // Upstream's decoders take anything else for none.
            (_, value) => *value = Value::Null,
        }
    }

    fn silent_schema(&mut self, value: &mut Value) {
        let Some(id) = self.set.named(SCHEMA) else { return };
        let silent = std::mem::replace(&mut self.silent, true);
        self.structure(self.set.get(id), value);
        self.silent = silent;
    }

    fn shape_mismatch(&mut self, shape: &Shape, value: &Value, named: Option<&str>) {
        let kind = if matches!(shape, Shape::List(_)) { "slice" } else { "map" };
        self.found.conversion.get_or_insert(format!("cannot restore {kind} from {}", scalar::go_kind(value)));
        let wanted = named.map_or_else(|| go_type(self.set, shape), str::to_owned);
        self.mismatch(TypeMismatch::value(json_type(value), wanted));
    }

    fn mismatch(&mut self, error: TypeMismatch) {
        self.error(error, false);
    }

    /// Go's decoder goes on after an error and reports the first, but a type's own decoder makes it stop and report that one.
    fn error(&mut self, error: TypeMismatch, stops: bool) {
        let error = match error {
            TypeMismatch::Root { found, wanted } if !self.place.fields.is_empty() => {
                let (owner, path) = (self.place.owner.to_owned(), self.place.fields.clone());
                TypeMismatch::Field { found, owner, path, wanted }
            }
            error => error,
        };
        if stops && !self.stopped {
            self.stopped = true;
            self.found.errors.insert(0, error);
        } else {
            self.found.errors.push(error);
        }
    }
}

/// The type of a JSON schema in a CustomResourceDefinition.
pub(crate) const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Named strings and numbers are quoted by their name; leaves with decoders of their own are not.
fn renamed(error: TypeMismatch, scalar: Scalar, named: Option<&str>) -> TypeMismatch {
    match (error, named) {
        (TypeMismatch::Root { found, wanted }, Some(named)) if wanted == scalar::go_type(scalar) => {
            TypeMismatch::value(found, named)
        }
        (error, _) => error,
    }
}

fn go_struct(ty: &Type) -> String {
    let mut parts = ty.name.rsplit('.');
    match (parts.next(), parts.next()) {
        (Some(name), Some(package)) => format!("{package}.{name}"),
        _ => ty.name.clone(),
    }
}

fn go_type(set: &SchemaSet, shape: &Shape) -> String {
    match shape {
        Shape::Scalar(scalar) => scalar::go_type(*scalar).to_owned(),
        Shape::Struct(id) => go_struct(set.get(*id)),
        Shape::List(item) => format!("[]{}", go_type(set, item)),
        Shape::Map(item) => format!("map[string]{}", go_type(set, item)),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
