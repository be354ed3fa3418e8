//! The `definitions` of swagger.json, with the defaults that only the OpenAPI v3 documents carry.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// Schemas by full name (`io.k8s.api.core.v1.Pod`).
pub type Definitions = BTreeMap<String, Schema>;

#[derive(Deserialize, Default, Debug)]
pub struct Schema {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub format: Option<String>,
    #[serde(rename = "$ref")]
    pub reference: Option<String>,
    pub items: Option<Box<Schema>>,
    #[serde(rename = "additionalProperties")]
    pub additional: Option<Box<Schema>>,
    #[serde(default)]
    pub properties: BTreeMap<String, Schema>,
    #[serde(default)]
    pub required: Vec<String>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys", default)]
    pub list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub map_type: Option<String>,
    #[serde(rename = "x-kubernetes-patch-strategy", default)]
    pub patch_strategy: String,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    pub patch_merge_key: Option<String>,
    #[serde(rename = "x-kubernetes-group-version-kind", default)]
    pub kinds: Vec<Kind>,
    pub default: Option<Value>,
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

pub fn read(dir: &Path) -> Result<Definitions> {
    #[derive(Deserialize)]
    struct Swagger {
        definitions: Definitions,
    }
    let Swagger { mut definitions } = read_json(&dir.join("swagger.json"))?;
    let mut documents: Vec<_> = std::fs::read_dir(dir.join("v3"))?.collect::<Result<_, _>>()?;
    documents.sort_by_key(std::fs::DirEntry::path);
    for document in documents {
        add_defaults(&mut definitions, &read_json(&document.path())?);
    }
    Ok(definitions)
}

/// A zero default of a required field says only that the Go field is no pointer, and `{}` the same of a struct: no facts of
/// their own. What remains are the literal ones.
fn add_defaults(definitions: &mut Definitions, document: &Value) {
    let Some(schemas) = document["components"]["schemas"].as_object() else { return };
    for (name, schema) in schemas {
        let Some(definition) = definitions.get_mut(name) else { continue };
        let Some(properties) = schema["properties"].as_object() else { continue };
        for (field, property) in properties {
            let default = &property["default"];
            let required = definition.required.iter().any(|required| required == field);
            let zero = matches!(default, Value::Object(_)) || (required && is_zero(default));
            if let Some(target) = definition.properties.get_mut(field)
                && !default.is_null()
                && !zero
            {
                target.default = Some(default.clone());
            }
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))
}
