//! The structural schemas of CustomResourceDefinitions: what a custom resource may look like, and what happens to one that is
//! read or written (`k8s.io/apiextensions-apiserver/pkg/apiserver/schema`).
//!
//! [`Structural`] is the part of an OpenAPI v3 schema that says where fields are: [`prune`] removes what it does not know,
//! [`default`] fills in what is missing, [`lists`] tells the elements of lists apart, [`metadata`] treats the metadata of the
//! object and of objects inside it. [`types`] brings it into the model of built-in kinds, for server-side apply. [`validate`]
//! checks values, `format` the formats of strings; [`check`] tells whether a schema is structural at all.

pub mod check;
pub mod default;
mod format;
pub(crate) mod go;
pub mod lists;
pub mod metadata;
pub mod prune;
pub mod types;
pub mod validate;

use std::collections::BTreeMap;

use serde_json::Value;

pub use format::{is_known as is_known_format, matches as has_format};
pub use validate::{Validator, compile_pattern};

/// One node of a schema. Reads what is there: whether a schema is structural is for [`check`] to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Structural {
    /// Empty where any value may stand.
    pub kind: String,
    pub nullable: bool,
    pub default: Option<Value>,
    pub preserve_unknown: bool,
    pub embedded: bool,
    pub int_or_string: bool,
    pub list: ListType,
    pub atomic_map: bool,
    pub properties: BTreeMap<String, Self>,
    pub additional: Option<Box<Additional>>,
    pub items: Option<Box<Self>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// `additionalProperties`.
#[derive(Clone, Debug, PartialEq)]
pub enum Additional {
    Any,
    Of(Structural),
}

impl Structural {
    pub fn read(schema: &Value) -> Self {
        let flag = |key: &str| schema[key] == true;
        let text = |key: &str| schema[key].as_str().unwrap_or_default();
        let list = match text("x-kubernetes-list-type") {
            "set" => ListType::Set,
            "map" => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
                ListType::Map(keys.filter_map(|key| key.as_str().map(str::to_owned)).collect())
            }
            _ => ListType::Atomic,
        };
        let additional = match &schema["additionalProperties"] {
            Value::Bool(true) => Some(Additional::Any),
            of @ Value::Object(_) => Some(Additional::Of(Self::read(of))),
            _ => None,
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        Self {
            kind: text("type").to_owned(),
            nullable: flag("nullable"),
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list,
            atomic_map: text("x-kubernetes-map-type") == "atomic",
            properties: properties.map(|(name, schema)| (name.clone(), Self::read(schema))).collect(),
            additional: additional.map(Box::new),
            items: schema["items"].is_object().then(|| Box::new(Self::read(&schema["items"]))),
        }
    }

    /// The schema of a member of a map: a property of that name, or any other.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or_else(|| self.values())
    }

    /// The schema of members that are no properties.
    pub fn values(&self) -> Option<&Self> {
        match self.additional.as_deref() {
            Some(Additional::Of(schema)) => Some(schema),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
