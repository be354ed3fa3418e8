//! Joins the sources into rows, one per JSON field.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::generated::{Definition, Generated, Union};
use super::golang::{self, Package};
use super::modules::Modules;
use super::openapi::{self, Definitions, Schema};
use super::proto::{self, Label, Messages};
use super::quoted::go_type;

#[derive(Debug)]
pub struct Type {
    /// `io.k8s.api.core.v1.Pod`
    pub name: String,
    pub kinds: Vec<openapi::Kind>,
    pub atomic: bool,
    pub union: Option<Union>,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub shape: Shape,
    pub presence: Presence,
    /// A pointer without `omitempty`: Go writes null where there is none.
    pub null: bool,
    /// Numbers of the nested messages that hold the field, outermost first: it is flat in JSON only.
    pub within: Vec<u32>,
    pub number: u32,
    /// The Go names of those messages, as decoding errors quote them: `RuleWithOperations.Rule`.
    pub embedded: Vec<String>,
    pub required: bool,
    pub list_type: Option<String>,
    pub list_map_keys: Vec<String>,
    pub atomic_map: bool,
    /// It is a map and says that it is granular, which maps are.
    pub says_granular: bool,
    pub patch_strategy: String,
    pub patch_merge_key: Option<String>,
    pub default: Option<Value>,
    pub enumeration: Vec<String>,
    pub form: Option<&'static str>,
    /// The Go type as decoding errors quote it, where the shape does not say it.
    pub go_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Scalar(&'static str),
    Struct(String),
    List(Box<Shape>),
    Map(Box<Shape>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Pointer,
    OmitEmpty,
    Always,
}

/// Served only in webhook calls, so in no OpenAPI document.
const EXTRA_PACKAGES: [&str; 1] = ["io.k8s.api.admission.v1"];
/// Packages whose public types are all leaves.
const LEAF_PACKAGES: [&str; 3] =
    ["io.k8s.apimachinery.pkg.api.resource", "io.k8s.apimachinery.pkg.runtime", "io.k8s.apimachinery.pkg.util.intstr"];
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Types that are leaves here, with the name of their scalar.
const LEAVES: [(&str, &str); 12] = [
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "microtime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Duration", "duration"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "fieldsv1"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Patch", "any"),
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "intorstring"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "raw"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray", "any"),
];

pub fn merge(modules: &Modules, definitions: &Definitions, generated: &Generated) -> Result<Vec<Type>> {
    let package_names: BTreeSet<&str> = definitions.keys().map(|name| split(name).0).chain(EXTRA_PACKAGES).collect();
    let mut packages = BTreeMap::new();
    let mut messages = Messages::new();
    for name in package_names {
        let dir = modules.package_dir(name).with_context(|| format!("no module has the package {name}"))?;
        packages.insert(name.to_owned(), golang::read(&dir)?);
        let proto = dir.join("generated.proto");
        if proto.exists() {
            proto::read(&proto, &mut messages)?;
        }
    }
    let sources = Sources { packages: &packages, messages: &messages, definitions, generated };
    let names: BTreeSet<&String> = definitions.keys().chain(messages.keys()).collect();
    let inlined = sources.inlined();
    let mut types = Vec::new();
    for name in names {
        let public = definitions.contains_key(name);
        if leaf(name).is_some()
            || LEAF_PACKAGES.contains(&split(name).0)
            || (!public && (inlined.contains(name) || sources.wrapper(name)))
        {
            continue;
        }
        types.push(sources.ty(name).with_context(|| name.clone())?);
    }
    check_references(&types)?;
    Ok(types)
}

struct Sources<'a> {
    packages: &'a BTreeMap<String, Package>,
    messages: &'a Messages,
    definitions: &'a Definitions,
    generated: &'a Generated,
}

impl Sources<'_> {
    /// What an alias stands for.
    fn target(&self, name: String) -> String {
        let (package, short) = split(&name);
        match self.packages.get(package).and_then(|package| package.aliases.get(short)) {
            Some(alias) => full_name(package, &alias.name, alias.import.as_deref()),
            None => name,
        }
    }

    /// The Go struct, and the package whose names its fields use.
    fn declared(&self, name: &str) -> Option<(&golang::Struct, String)> {
        let target = self.target(name.to_owned());
        let (package, name) = split(&target);
        Some((self.packages.get(package)?.structs.get(name)?, package.to_owned()))
    }

    /// It implements runtime.Object.
    fn root(&self, name: &str) -> bool {
        let (package, name) = split(name);
        self.packages.get(package).is_some_and(|package| {
            package.structs.get(name).is_some_and(|declared| declared.root)
                || package.aliases.get(name).is_some_and(|alias| alias.root)
        })
    }

    /// A message around the elements of a named slice (`ExtraValue`, `Verbs`).
    fn wrapper(&self, name: &str) -> bool {
        self.declared(name).is_none()
            && matches!(self.messages.get(name).map(Vec::as_slice), Some([only]) if only.name == "items")
    }

    fn inlined(&self) -> BTreeSet<String> {
        let mut inlined = BTreeSet::new();
        for (package, declared) in self.packages {
            let fields = declared.structs.values().flat_map(|declared| &declared.fields);
            inlined.extend(
                fields
                    .filter(|field| field.json.is_empty())
                    .map(|field| full_name(package, &field.ty, field.import.as_deref())),
            );
        }
        inlined
    }

    fn ty(&self, name: &str) -> Result<Type> {
        let nothing = Schema::default();
        let definition = self.definitions.get(name);
        let (declared, package) = self.declared(name).context("no such Go struct")?;
        let mut fields = Vec::new();
        let scope = Scope {
            package: &package,
            message: self.messages.get(name),
            definition: definition.unwrap_or(&nothing),
            generated: self.generated.get(&function(name)),
            public: definition.is_some(),
            within: Vec::new(),
            embedded: Vec::new(),
        };
        self.flatten(declared, &scope, &mut fields)?;
        fields.sort_by(|a: &Field, b: &Field| a.name.cmp(&b.name));
        let definition = scope.definition;
        for property in definition.properties.keys() {
            ensure!(fields.iter().any(|field| &field.name == property), "Go has no field {property}");
        }
        Ok(Type {
            name: name.to_owned(),
            kinds: self.kinds(name, definition),
            atomic: definition.map_type.as_deref() == Some("atomic"),
            union: scope.generated.and_then(|generated| generated.union.clone()),
            fields,
        })
    }

    fn kinds(&self, name: &str, definition: &Schema) -> Vec<openapi::Kind> {
        let (package, kind) = split(name);
        let mut kinds = definition.kinds.clone();
        if self.root(name) && (kinds.is_empty() || (package == META && kinds.len() > 1)) {
            let group = self.packages.get(package).map(|package| package.group.clone()).unwrap_or_default();
            kinds.push(openapi::Kind { group, version: split(package).1.to_owned(), kind: kind.to_owned() });
        }
        kinds.sort();
        kinds.dedup();
        kinds
    }

    fn flatten(&self, declared: &golang::Struct, scope: &Scope<'_>, into: &mut Vec<Field>) -> Result<()> {
        for field in &declared.fields {
            if !field.json.is_empty() {
                into.push(self.field(field, scope).with_context(|| field.json.clone())?);
                continue;
            }
            ensure!(!field.pointer(), "an embedded pointer");
            let embedded = self.target(full_name(scope.package, &field.ty, field.import.as_deref()));
            let (declared, package) = self.declared(&embedded).with_context(|| embedded.clone())?;
            let mut inner =
                Scope { package: &package, within: scope.within.clone(), embedded: scope.embedded.clone(), ..*scope };
            // TypeMeta travels in the envelope, not in the message.
            inner.message = field.number.and_then(|_| self.messages.get(&embedded));
            inner.within.extend(field.number);
            inner.embedded.extend(field.number.map(|_| split(&field.ty).1.to_owned()));
            self.flatten(declared, &inner, into)?;
        }
        Ok(())
    }

    fn field(&self, field: &golang::Field, scope: &Scope<'_>) -> Result<Field> {
        let wire = scope.message.and_then(|message| {
            let by_number = |wire: &&proto::Field| Some(wire.number) == field.number;
            message.iter().find(by_number).or_else(|| message.iter().find(|wire| wire.name == field.json))
        });
        let nothing = Schema::default();
        let property = scope.definition.properties.get(&field.json);
        ensure!(property.is_some() || !scope.public, "the OpenAPI document has no such property");
        let wire_shape = wire.map(|wire| self.wire_shape(wire)).transpose()?;
        let shape = match (property.map(|property| self.schema_shape(property)).transpose()?, wire_shape) {
            (Some(schema), Some(wire)) => {
                ensure!(schema == wire, "OpenAPI says {schema:?}, protobuf {wire:?}");
                schema
            }
            (Some(shape), None) | (None, Some(shape)) => shape,
            (None, None) if field.ty == "string" => Shape::Scalar("string"),
            (None, None) => bail!("no source knows its shape"),
        };
        let property = property.unwrap_or(&nothing);
        let atomic_struct = matches!(&shape, Shape::Struct(name)
            if self.definitions.get(name).is_some_and(|schema| schema.map_type.as_deref() == Some("atomic")));
        Ok(Field {
            name: field.json.clone(),
            presence: presence(field, &shape),
            null: field.pointer() && !field.omitempty && !field.omitzero,
            within: if wire.is_some() { scope.within.clone() } else { Vec::new() },
            number: wire.map_or(0, |wire| wire.number),
            embedded: scope.embedded.clone(),
            required: scope.definition.required.contains(&field.json),
            list_type: property.list_type.clone(),
            list_map_keys: property.list_map_keys.clone(),
            // A field may say otherwise than its type.
            atomic_map: property.map_type.as_deref().map_or(atomic_struct, |kind| kind == "atomic"),
            says_granular: !atomic_struct && property.map_type.as_deref() == Some("granular"),
            patch_strategy: property.patch_strategy.clone(),
            patch_merge_key: property.patch_merge_key.clone(),
            default: property.default.clone(),
            enumeration: scope.generated.and_then(|own| own.enums.get(&field.json).cloned()).unwrap_or_default(),
            form: wire.and_then(|wire| self.form(wire)),
            go_type: go_type(field, &shape, scope.package),
            shape,
        })
    }

    fn wire_shape(&self, wire: &proto::Field) -> Result<Shape> {
        let one = match &wire.kind {
            proto::Kind::String => Shape::Scalar("string"),
            proto::Kind::Bool => Shape::Scalar("bool"),
            proto::Kind::Int32 => Shape::Scalar("int32"),
            proto::Kind::Int64 => Shape::Scalar("int64"),
            proto::Kind::Double => Shape::Scalar("float64"),
            proto::Kind::Bytes => Shape::Scalar("bytes"),
            proto::Kind::Message(name) => match leaf(name) {
                Some(scalar) => Shape::Scalar(scalar),
                None if self.wrapper(name) => Shape::List(Box::new(Shape::Scalar("string"))),
                None => Shape::Struct(name.clone()),
            },
        };
        Ok(match wire.label {
            Label::Single => one,
            Label::Repeated => Shape::List(Box::new(one)),
            Label::Map => Shape::Map(Box::new(one)),
        })
    }

    /// What the innermost message looks like where the shape does not say it.
    fn form(&self, wire: &proto::Field) -> Option<&'static str> {
        let proto::Kind::Message(name) = &wire.kind else { return None };
        match split(name).1 {
            "JSONSchemaPropsOrArray" => Some("or-array"),
            "JSONSchemaPropsOrBool" => Some("or-bool"),
            "JSONSchemaPropsOrStringArray" => Some("or-strings"),
            _ => self.wrapper(name).then_some("wrapped"),
        }
    }

    fn schema_shape(&self, schema: &Schema) -> Result<Shape> {
        if let Some(reference) = &schema.reference {
            let name = reference.trim_start_matches("#/definitions/");
            return Ok(match leaf(name) {
                Some(scalar) => Shape::Scalar(scalar),
                None => Shape::Struct(name.to_owned()),
            });
        }
        if let Some(items) = &schema.items {
            return Ok(Shape::List(Box::new(self.schema_shape(items)?)));
        }
        if let Some(additional) = &schema.additional {
            return Ok(Shape::Map(Box::new(self.schema_shape(additional)?)));
        }
        Ok(Shape::Scalar(match (schema.kind.as_deref(), schema.format.as_deref()) {
            (Some("string"), None) => "string",
            (Some("string"), Some("byte")) => "bytes",
            (Some("boolean"), None) => "bool",
            (Some("integer"), Some("int32")) => "int32",
            (Some("integer"), Some("int64")) => "int64",
            (Some("number"), Some("double")) => "float64",
            (Some("object"), None) => "any",
            other => bail!("unknown schema {other:?}"),
        }))
    }
}

#[derive(Clone)]
struct Scope<'a> {
    package: &'a str,
    message: Option<&'a Vec<proto::Field>>,
    definition: &'a Schema,
    generated: Option<&'a Definition>,
    public: bool,
    within: Vec<u32>,
    embedded: Vec<String>,
}

/// Go omits a struct never for `omitempty`, only for `omitzero`.
fn presence(field: &golang::Field, shape: &Shape) -> Presence {
    let struct_like = match shape {
        Shape::Struct(_) => true,
        Shape::Scalar(scalar) => !matches!(*scalar, "string" | "bool" | "int32" | "int64" | "float64" | "bytes"),
        _ => false,
    };
    match () {
        () if field.pointer() => Presence::Pointer,
        () if field.omitzero || (field.omitempty && !struct_like) => Presence::OmitEmpty,
        () => Presence::Always,
    }
}

fn check_references(types: &[Type]) -> Result<()> {
    let names: BTreeSet<&str> = types.iter().map(|ty| ty.name.as_str()).collect();
    for ty in types {
        for field in &ty.fields {
            let mut shape = &field.shape;
            while let Shape::List(item) | Shape::Map(item) = shape {
                shape = item;
            }
            if let Shape::Struct(name) = shape {
                ensure!(names.contains(name.as_str()), "{}.{} refers to {name}", ty.name, field.name);
            }
        }
    }
    Ok(())
}

fn leaf(name: &str) -> Option<&'static str> {
    LEAVES.iter().find(|(leaf, _)| *leaf == name).map(|(_, scalar)| *scalar)
}

/// The name of the generated function that makes a definition: `k8sio_api_core_v1_Pod`, `pkg_apis_meta_v1_Time`.
fn function(name: &str) -> String {
    match name.strip_prefix("io.k8s.api.") {
        Some(rest) => format!("k8sio_api_{}", rest.replace('.', "_")),
        None => name.rsplitn(6, '.').collect::<Vec<_>>()[..5].iter().rev().copied().collect::<Vec<_>>().join("_"),
    }
}

/// Package and name.
pub fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

fn full_name(package: &str, ty: &str, import: Option<&str>) -> String {
    let name = split(ty.trim_start_matches('*')).1;
    match import {
        Some(path) => format!("{}.{name}", path.replacen("k8s.io/", "io.k8s.", 1).replace('/', ".")),
        None => format!("{package}.{name}"),
    }
}
