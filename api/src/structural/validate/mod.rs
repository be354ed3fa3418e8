//! Whether a value is as an OpenAPI v3 schema wants it, in the words of `k8s.io/kube-openapi/pkg/validation/validate`.
//!
//! [`Validator`] is a schema prepared for that; `walk` goes through a value, `found` is what it finds.

mod found;
mod pattern;
mod walk;

use std::collections::BTreeMap;

use serde_json::Value;

use self::pattern::Pattern;
use super::format;
use crate::field::{FieldError, Path};

pub use pattern::{check as check_pattern, compile as compile_pattern};

/// One node of a schema.
#[derive(Debug, Default)]
pub struct Validator {
    /// Any of these; empty: any at all.
    types: Vec<String>,
    nullable: bool,
    /// Empty when there is none, or none that is known.
    format: String,
    numbers: Numbers,
    max_length: Option<u64>,
    min_length: Option<u64>,
    pattern: Option<Pattern>,
    max_items: Option<u64>,
    min_items: Option<u64>,
    unique_items: bool,
    max_properties: Option<u64>,
    min_properties: Option<u64>,
    required: Vec<String>,
    allowed: Vec<Value>,
    properties: BTreeMap<String, Self>,
    additional: Option<Box<Self>>,
    items: Option<Box<Self>>,
    /// Names the elements of a list, so that an old one is found again.
    list_keys: Vec<String>,
    all_of: Vec<Self>,
    any_of: Vec<Self>,
    one_of: Vec<Self>,
    not: Option<Box<Self>>,
}

#[derive(Debug, Default)]
struct Numbers {
    maximum: Option<f64>,
    exclusive_maximum: bool,
    minimum: Option<f64>,
    exclusive_minimum: bool,
    multiple_of: Option<f64>,
}

impl Validator {
    pub fn new(schema: &Value) -> Self {
        let number = |key: &str| schema[key].as_f64();
        // Limits are integers; a float that is one counts (`1e3`).
        let limit = |key: &str| schema[key].as_u64().or_else(|| schema[key].as_f64().map(|float| float as u64));
        let text = |key: &str| schema[key].as_str().unwrap_or_default();
        let all = |key: &str| schema[key].as_array().into_iter().flatten().map(Self::new).collect();
        let one = |key: &str| schema[key].is_object().then(|| Box::new(Self::new(&schema[key])));
        let texts = |key: &str| -> Vec<String> {
            schema[key].as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let types = match (schema["x-kubernetes-int-or-string"] == true, text("type")) {
            (true, _) => vec!["integer".to_owned(), "string".to_owned()],
            (false, "") => Vec::new(),
            (false, one) => vec![one.to_owned()],
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let is_map = text("x-kubernetes-list-type") == "map";
        Self {
            types,
            nullable: schema["nullable"] == true,
            format: Some(text("format")).filter(|name| format::is_known(name)).unwrap_or_default().to_owned(),
            numbers: Numbers {
                maximum: number("maximum"),
                exclusive_maximum: schema["exclusiveMaximum"] == true,
                minimum: number("minimum"),
                exclusive_minimum: schema["exclusiveMinimum"] == true,
                multiple_of: number("multipleOf"),
            },
            max_length: limit("maxLength"),
            min_length: limit("minLength"),
            pattern: Some(text("pattern")).filter(|text| !text.is_empty()).map(Pattern::new),
            max_items: limit("maxItems"),
            min_items: limit("minItems"),
            unique_items: schema["uniqueItems"] == true,
            max_properties: limit("maxProperties"),
            min_properties: limit("minProperties"),
            required: texts("required"),
            allowed: schema["enum"].as_array().cloned().unwrap_or_default(),
            properties: properties.map(|(name, schema)| (name.clone(), Self::new(schema))).collect(),
            additional: one("additionalProperties"),
            items: one("items"),
            list_keys: if is_map { texts("x-kubernetes-list-map-keys") } else { Vec::new() },
            all_of: all("allOf"),
            any_of: all("anyOf"),
            one_of: all("oneOf"),
            not: one("not"),
        }
    }

    /// The schema of a property.
    pub fn property(&self, name: &str) -> Option<&Self> {
        self.properties.get(name)
    }

    /// What is wrong with a value. `at` is where it is; `None` for a whole object.
    pub fn validate(&self, at: Option<&Path>, value: &Value) -> Vec<FieldError> {
        walk::check(self, "", value, None).errors(at)
    }

    /// As [`Self::validate`], of a value that takes the place of another. What was wrong before and did not change is let be.
    pub fn validate_update(&self, at: Option<&Path>, value: &Value, old: &Value) -> Vec<FieldError> {
        walk::check(self, "", value, Some(old)).errors(at)
    }
}
