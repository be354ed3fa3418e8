//! Whether a schema is structural: it says of every field where it is, and values are checked beside that
//! (`schema/validation.go`, `schema/complete.go`).

use serde_json::{Value, json};

use super::validate::check_pattern;
use crate::field::{FieldError, Path};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// All that keeps a schema from being structural, sorted by text.
pub fn check(path: &Path, schema: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    node(path, schema, Level::Root, &mut errors);
    complete(schema, Some(schema), path, path, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn text<'v>(schema: &'v Value, key: &str) -> &'v str {
    schema[key].as_str().unwrap_or_default()
}

fn is_set(schema: &Value, key: &str) -> bool {
    schema[key] == true
}

fn members<'v>(schema: &'v Value, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    schema[key].as_object().into_iter().flatten()
}

fn node(path: &Path, schema: &Value, level: Level, errors: &mut Vec<FieldError>) {
    if text(schema, "type") == "array" && !schema["items"].is_object() {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    if schema["items"].is_object() {
        node(&path.child("items"), &schema["items"], Level::Item, errors);
    }
    for (name, property) in members(schema, "properties") {
        node(&path.child("properties").key(name), property, Level::Field, errors);
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() && level == Level::Root {
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), "must not be used at the root"));
    }
    if additional.is_object() {
        node(&path.child("additionalProperties"), additional, Level::Field, errors);
    }
    extensions(path, schema, errors);
    let int_or_string = json!([{"type": "integer"}, {"type": "string"}]);
    let skips =
        Skips { any_of: schema["anyOf"] == int_or_string, first_all_of: schema["allOf"][0]["anyOf"] == int_or_string };
    values(path, schema, skips, errors);
    kind(path, schema, level, errors);
    metadata(path, schema, level, errors);
}

fn extensions(path: &Path, schema: &Value, errors: &mut Vec<FieldError>) {
    if !is_set(schema, "x-kubernetes-int-or-string") {
        return;
    }
    for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if is_set(schema, key) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(&path.child(key), true, detail));
        }
    }
}

fn kind(path: &Path, schema: &Value, level: Level, errors: &mut Vec<FieldError>) {
    let (at, kind) = (path.child("type"), text(schema, "type"));
    let embedded = is_set(schema, "x-kubernetes-embedded-resource");
    let open = is_set(schema, "x-kubernetes-int-or-string") || is_set(schema, "x-kubernetes-preserve-unknown-fields");
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => FieldError::required(&at, detail),
            kind => FieldError::invalid(&at, kind, detail),
        });
    } else if kind.is_empty() && !open {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&at, detail));
    }
    if embedded && !schema["additionalProperties"].is_null() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&at, kind, "must be object at the root"));
    }
    let empty = members(schema, "properties").next().is_none();
    if embedded && !is_set(schema, "x-kubernetes-preserve-unknown-fields") && empty {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), detail));
    }
}

/// What every object has may be restricted in few ways.
fn metadata(path: &Path, schema: &Value, level: Level, errors: &mut Vec<FieldError>) {
    let checked = level == Level::Root || is_set(schema, "x-kubernetes-embedded-resource");
    for (key, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(property) = schema["properties"].get(key) else { continue };
        let at = path.child("properties").key(key);
        let kind = text(property, "type");
        if checked && kind != wanted {
            errors.push(FieldError::invalid(&at.child("type"), kind, format!("must be {wanted}")));
        }
        if key != "metadata" || level != Level::Root {
            continue;
        }
        let names = members(property, "properties").all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
        let ignored = ["type", "properties", "default", "description"];
        let plain = property
            .as_object()
            .into_iter()
            .flatten()
            .all(|(key, value)| ignored.contains(&key.as_str()) || value.is_null() || *value == false);
        if !names || !plain || !text(property, "description").is_empty() {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(&at, detail));
        }
    }
}

/// The two forms in which a value may be an integer or a string name types where none may stand.
#[derive(Clone, Copy, Default)]
struct Skips {
    any_of: bool,
    first_all_of: bool,
}

fn values(path: &Path, schema: &Value, skips: Skips, errors: &mut Vec<FieldError>) {
    for key in ["anyOf", "allOf", "oneOf"] {
        for (index, nested) in schema[key].as_array().into_iter().flatten().enumerate() {
            if key == "anyOf" && skips.any_of {
                continue;
            }
            let any_of = key == "allOf" && index == 0 && skips.first_all_of;
            self::nested(&path.child(key).index(index), nested, Skips { any_of, first_all_of: false }, errors);
        }
    }
    if schema["not"].is_object() {
        nested(&path.child("not"), &schema["not"], Skips::default(), errors);
    }
    let pattern = text(schema, "pattern");
    if let Err(why) = check_pattern(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(FieldError::invalid(&path.child("pattern"), pattern, detail));
    }
}

/// Inside of `anyOf` and the like nothing is said about where fields are.
fn nested(path: &Path, schema: &Value, skips: Skips, errors: &mut Vec<FieldError>) {
    values(path, schema, skips, errors);
    if schema["items"].is_object() {
        nested(&path.child("items"), &schema["items"], Skips::default(), errors);
    }
    for (name, property) in members(schema, "properties") {
        nested(&path.child("properties").key(name), property, Skips::default(), errors);
    }
    const FORBIDDEN: [(&str, &str); 12] = [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
    ];
    let is_there = |value: &Value| !value.is_null() && *value != false && *value != "" && *value != json!([]);
    for (key, detail) in FORBIDDEN {
        if is_there(&schema[key]) && !(key == "type" && skips.any_of) {
            errors.push(FieldError::forbidden(&path.child(key), detail));
        }
    }
    if is_there(&schema["x-kubernetes-validations"]) {
        errors.push(FieldError::forbidden(&path.child("x-kubernetes-validations"), "must be empty to be structural"));
    }
    if schema["properties"].get("metadata").is_some() {
        let detail = "must not be specified in a nested context";
        errors.push(FieldError::forbidden(&path.child("properties").key("metadata"), detail));
    }
}

/// What alternatives check must be there in the structure: `at` is the place of it there, `by` that of the check.
fn complete(checks: &Value, schema: Option<&Value>, at: &Path, by: &Path, errors: &mut Vec<FieldError>) {
    let mut one = |nested: &Value, by: Path| complete_nested(nested, schema, at, &by, errors);
    if checks["not"].is_object() {
        one(&checks["not"], by.child("not"));
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for (index, nested) in checks[key].as_array().into_iter().flatten().enumerate() {
            one(nested, by.child(key).index(index));
        }
    }
}

fn complete_nested(checks: &Value, schema: Option<&Value>, at: &Path, by: &Path, errors: &mut Vec<FieldError>) {
    let Some(schema) = schema else {
        return errors.push(FieldError::required(at, format!("because it is defined in {by}")));
    };
    complete(checks, Some(schema), at, by, errors);
    if checks["items"].is_object() {
        let items = Some(&schema["items"]).filter(|items| items.is_object());
        complete_nested(&checks["items"], items, &at.child("items"), &by.child("items"), errors);
    }
    for (name, nested) in members(checks, "properties") {
        let (at, by) = (at.child("properties").key(name), by.child("properties").key(name));
        complete_nested(nested, schema["properties"].get(name), &at, &by, errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_structural_is_told() {
        let string = json!({"type": "string"});
        let cases: [(&str, Value, &[&str]); 9] = [
            ("fine", json!({"type": "object", "properties": {"a": string}}), &[]),
            (
                "no type",
                json!({"type": "object", "properties": {"a": {}}}),
                &["s.properties[a].type: Required value: must not be empty for specified object fields"],
            ),
            (
                "no items",
                json!({"type": "object", "properties": {"a": {"type": "array"}}}),
                &["s.properties[a].items: Required value: must be specified"],
            ),
            (
                "root",
                json!({"type": "array", "items": string}),
                &["s.type: Invalid value: \"array\": must be object at the root"],
            ),
            (
                "int or string",
                json!({"type": "object", "properties": {"a": {"x-kubernetes-int-or-string": true,
                "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^a"}}}),
                &[],
            ),
            (
                "type in alternatives",
                json!({"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}}),
                &["s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
            ),
            (
                "incomplete",
                json!({"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]}),
                &["s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"],
            ),
            (
                "metadata",
                json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
                &[
                    "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata \
                 is implicitly specified",
                ],
            ),
            (
                "embedded",
                json!({"type": "object", "properties": {"a": {"type": "object", "x-kubernetes-embedded-resource": true}}}),
                &[
                    "s.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true \
                 without x-kubernetes-preserve-unknown-fields",
                ],
            ),
        ];
        for (name, schema, expected) in cases {
            let said: Vec<String> = check(&Path::new("s"), &schema).iter().map(ToString::to_string).collect();
            assert_eq!(said, expected, "{name}");
        }
    }
}
