//! What an OpenAPI v3 schema tells an expression: [`Schema`] how data is read, [`Declaration`] which types it has and how large it
//! may be.

mod declaration;
mod escape;

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub use declaration::{Declaration, MAX_REQUEST, ObjectTypes};
pub use escape::{escape, unescape};

/// One node of a schema.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub kind: String,
    pub format: String,
    pub nullable: bool,
    pub int_or_string: bool,
    pub preserve_unknown: bool,
    pub embedded: bool,
    pub list: ListType,
    pub properties: BTreeMap<String, Self>,
    pub additional: Option<Box<Self>>,
    pub items: Option<Box<Self>>,
    required: Vec<String>,
    has_default: bool,
    max_length: Option<i64>,
    max_items: Option<i64>,
    max_properties: Option<i64>,
    /// The longest of the strings that are allowed, in bytes.
    longest: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    /// By the names of the keys.
    Map(Vec<String>),
}

impl Schema {
    /// `is_resource`: the root of a resource, which has a type and metadata whatever the schema says.
    pub fn read(schema: &Json, is_resource: bool) -> Self {
        let text = |key: &str| schema[key].as_str().unwrap_or_default().to_owned();
        let flag = |key: &str| schema[key] == true;
        let limit = |key: &str| schema[key].as_i64().or_else(|| schema[key].as_f64().map(|float| float as i64));
        let texts = |key: &str| {
            let texts = schema[key].as_array().into_iter().flatten();
            texts.filter_map(|text| text.as_str().map(str::to_owned)).collect::<Vec<String>>()
        };
        let embedded = flag("x-kubernetes-embedded-resource");
        let below = |schema: &Json| schema.is_object().then(|| Box::new(Self::read(schema, false)));
        let properties = schema["properties"].as_object().into_iter().flatten();
        let list = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(texts("x-kubernetes-list-map-keys")),
            _ => ListType::Atomic,
        };
        let mut read = Self {
            kind: text("type"),
            format: text("format"),
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded,
            list,
            properties: properties.map(|(name, schema)| (name.clone(), Self::read(schema, false))).collect(),
            additional: below(&schema["additionalProperties"]),
            items: below(&schema["items"]),
            required: texts("required"),
            has_default: schema.get("default").is_some_and(|default| !default.is_null()),
            max_length: limit("maxLength"),
            max_items: limit("maxItems"),
            max_properties: limit("maxProperties"),
            longest: schema["enum"].as_array().filter(|values| !values.is_empty()).map(|values| {
                let lengths = values.iter().filter_map(|value| value.as_str().map(str::len)).max();
                i64::try_from(lengths.unwrap_or_default()).unwrap_or(i64::MAX)
            }),
        };
        if is_resource || embedded {
            read.add_metadata();
        }
        read
    }

    fn add_metadata(&mut self) {
        let string = || Self { kind: "string".to_owned(), ..Self::default() };
        let is = |schema: Option<&Self>, kind: &str| schema.is_some_and(|schema| schema.kind == kind);
        let metadata = self.properties.get("metadata");
        let names = ["name", "generateName"];
        if is(self.properties.get("kind"), "string")
            && is(self.properties.get("apiVersion"), "string")
            && is(metadata, "object")
            && names.iter().all(|name| is(metadata.and_then(|metadata| metadata.properties.get(*name)), "string"))
        {
            return;
        }
        for name in ["kind", "apiVersion"] {
            self.properties.insert(name.to_owned(), string());
        }
        let properties = names.into_iter().map(|name| (name.to_owned(), string())).collect();
        let metadata = Self { kind: "object".to_owned(), properties, ..Self::default() };
        self.properties.insert("metadata".to_owned(), metadata);
    }

    /// Its members have names of their own, which expressions escape.
    pub fn is_object(&self) -> bool {
        !self.properties.is_empty()
    }

    pub fn member(&self, name: &str) -> Option<&Self> {
        if self.embedded || self.is_object() { self.properties.get(name) } else { self.additional.as_deref() }
    }
}
