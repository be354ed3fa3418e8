//! Fills in defaults (`schema/defaulting`).

use serde_json::Value;

use super::{Additional, Structural, prune};

/// Puts the schema's defaults where nothing is, and where a null is that may not be there.
pub fn fill(value: &mut Value, schema: &Structural) {
    match value {
        Value::Object(members) => {
            for (name, property) in &schema.properties {
                if let Some(default) = &property.default
                    && members.get(name).is_none_or(|value| value.is_null() && !property.nullable)
                {
                    members.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in members {
                match (schema.properties.get(name), schema.values()) {
                    (Some(property), _) => fill(value, property),
                    (None, Some(values)) => replace_null_and_fill(value, values),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                items.iter_mut().for_each(|item| replace_null_and_fill(item, schema));
            }
        }
        _ => {}
    }
}

fn replace_null_and_fill(value: &mut Value, schema: &Structural) {
    if value.is_null() && !schema.nullable {
        *value = schema.default.clone().unwrap_or_default();
    }
    fill(value, schema);
}

/// Prunes the defaults of a schema by the schema itself, so that a default brings in nothing that is unknown.
pub fn prune_defaults(schema: &mut Structural) {
    if let Some(mut default) = schema.default.take() {
        prune::prune_nested(&mut default, schema);
        schema.default = Some(default);
    }
    schema.properties.values_mut().for_each(prune_defaults);
    if let Some(Additional::Of(values)) = schema.additional.as_deref_mut() {
        prune_defaults(values);
    }
    if let Some(items) = schema.items.as_deref_mut() {
        prune_defaults(items);
    }
}
