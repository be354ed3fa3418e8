//! `x-kubernetes-validations`: rules in CEL for the objects of a definition (`apiextensions-apiserver/pkg/apiserver/schema/cel`).
//!
//! [`Rules`] is a schema with its rules compiled. `compile` makes programs of one node's rules, [`field_path`] reads what a rule says
//! about where an error belongs, `check` goes through an object, `correlate` tells what of it is as it was before.

mod check;
mod compile;
mod correlate;
pub mod field_path;

use std::collections::BTreeMap;

use cel::schema::{Declaration, ListType, Schema, escape};
use serde_json::Value;

pub use compile::{Compiled, Text, compile};

/// The name of the type of what a rule is about. No rule should name it.
const SELF_TYPE: &str = "selfType";

/// One node of a schema, if it or one below it has rules.
pub struct Rules {
    schema: Schema,
    /// `type`, for messages.
    kind: String,
    compiled: Vec<(Text, Compiled)>,
    properties: BTreeMap<String, Self>,
    additional: Option<Box<Self>>,
    items: Option<Box<Self>>,
    /// Elements are told apart by these names, and so are found in the old list.
    list_keys: Vec<String>,
}

impl Rules {
    /// `None` when there are no rules.
    pub fn read(schema: &Value) -> Option<Self> {
        let read = Schema::read(schema, true);
        Self::node(schema, read.clone(), Declaration::of(&read, SELF_TYPE))
    }

    fn node(schema: &Value, read: Schema, declaration: Option<Declaration>) -> Option<Self> {
        let texts = Text::all(schema);
        let compiled = match &declaration {
            Some(declaration) if !texts.is_empty() => compile(&texts, schema, declaration),
            _ => Vec::new(),
        };
        let element = declaration.as_ref().and_then(Declaration::element).cloned();
        let below = |key: &str, read: Option<&Schema>| {
            let schema = schema[key].is_object().then(|| &schema[key])?;
            Self::node(schema, read?.clone(), element.clone()).map(Box::new)
        };
        let (items, additional) =
            (below("items", read.items.as_deref()), below("additionalProperties", read.additional.as_deref()));
        let mut properties = BTreeMap::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let Some(of) = read.properties.get(name) else { continue };
            let declared = match escape(name) {
                Some(escaped) => declaration.as_ref().and_then(|node| node.fields.get(&escaped)).cloned(),
                None => Declaration::of(of, SELF_TYPE),
            };
            // What no rule can see has no rules.
            if declared.is_some()
                && let Some(rules) = Self::node(property, of.clone(), declared)
            {
                properties.insert(name.clone(), rules);
            }
        }
        if compiled.is_empty() && items.is_none() && additional.is_none() && properties.is_empty() {
            return None;
        }
        let list_keys = match &read.list {
            ListType::Map(keys) => keys.clone(),
            _ => Vec::new(),
        };
        let kind = read.kind.clone();
        let compiled = texts.into_iter().zip(compiled).collect();
        Some(Self { schema: read, kind, compiled, properties, additional, items, list_keys })
    }
}

#[cfg(test)]
mod tests;
