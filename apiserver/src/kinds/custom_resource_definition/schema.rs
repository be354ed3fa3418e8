//! `openAPIV3Schema` of a CustomResourceDefinition.

use api::field::{FieldError, Path};
use api::structural::metadata::{self, Malformed};
use api::structural::{Structural, Validator, check, prune};
use serde_json::Value;

/// What the schema may say at its root when the status is a resource of its own.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What cannot be said in a schema, and whether not even an empty one.
const UNSUPPORTED: [(&str, &str, bool); 6] = [
    ("id", "id is not supported", false),
    ("additionalItems", "additionalItems is not supported", true),
    ("patternProperties", "patternProperties is not supported", false),
    ("definitions", "definitions is not supported", false),
    ("dependencies", "dependencies is not supported", true),
    ("$ref", "$ref is not supported", true),
];
/// What keeps a schema from being read, in upstream's order.
const UNREADABLE: [&str; 7] =
    ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"];
/// Plain members of the struct, in which a zero is nothing.
const FLAGS: [&str; 6] = [
    "exclusiveMaximum",
    "exclusiveMinimum",
    "nullable",
    "uniqueItems",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
];
const TEXTS: [&str; 7] = ["$schema", "description", "format", "id", "pattern", "title", "type"];
/// Members that upstream looks at before the type; none of them is allowed at the root.
const BEFORE_TYPE: [&str; 3] = ["id", "$schema", "$ref"];

/// `path` is that of the member that has `openAPIV3Schema`; `unchanged` when an update leaves it as it was.
pub(super) fn validate(path: &Path, schema: &Value, has_status: bool, unchanged: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if has_status {
        errors.extend(root_error(path, schema));
    }
    if schema["nullable"] == true {
        let path = path.child("openAPIV3Schema.nullable");
        errors.push(FieldError::forbidden(&path, "nullable cannot be true at the root"));
    }
    let path = path.child("openAPIV3Schema");
    let mut fine = false;
    let unreadable = unreadable(schema);
    if unreadable.is_none() {
        let structural = check::check(&path, schema);
        fine = structural.is_empty();
        errors.extend(structural);
        if fine {
            let before = errors.len();
            defaults(&path, schema, true, &mut errors);
            fine = errors.len() == before;
        }
    }
    let place = Place { forbidden_default: None, in_meta: false, is_root: true };
    let mut of_nodes = Vec::new();
    node(&path, schema, &place, &mut of_nodes);
    // Rules are read where the schema can be.
    if fine {
        let of_rules = super::rules::validate(&path, schema, &of_nodes, unchanged);
        of_nodes.extend(of_rules);
    }
    errors.extend(of_nodes);
    // What cannot be read its node says, mostly.
    if let Some(why) = unreadable.filter(|_| errors.is_empty()) {
        errors.push(FieldError::invalid(&path, "", why));
    }
    errors
}

/// Why upstream does not read the schema as a structural one.
pub(super) fn unreadable(schema: &Value) -> Option<String> {
    let unsupported = |key: &&str| match *key {
        "additionalItems" => !schema[key].is_null(),
        key => is_more_than_empty(&schema[key]),
    };
    if let Some(key) = UNREADABLE.iter().find(|key| unsupported(key)) {
        return Some(format!("OpenAPIV3Schema '{}' is not supported", if *key == "$schema" { "schema" } else { key }));
    }
    let listed = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|key| schema[key].as_array().into_iter().flatten());
    let mut values = std::iter::once(&schema["not"]).chain(listed).filter(|nested| nested.is_object());
    if let Some(why) = values.find_map(unreadable) {
        return Some(why);
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned());
    }
    if schema["items"].as_array().is_some_and(|schemas| !schemas.is_empty()) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    let properties = schema["properties"].as_object().into_iter().flatten().map(|(_, property)| property);
    let below = std::iter::once(&schema["items"]).chain(properties).chain([&schema["additionalProperties"]]);
    below.filter(|nested| nested.is_object()).find_map(unreadable)
}

/// Upstream has two ideas of what is there: more than an empty one where it reads the schema ...
fn is_more_than_empty(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    }
}

/// ... and anything that Go can tell from nothing where it looks at the members of the root.
fn is_set(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(false) => !FLAGS.contains(&key),
        Value::String(text) if text.is_empty() => !TEXTS.contains(&key),
        _ => true,
    }
}

/// Whether a node of the schema is so.
pub(super) fn has(schema: &Value, wanted: &dyn Fn(&Value) -> bool) -> bool {
    wanted(schema) || children(schema).any(|child| has(child, wanted))
}

fn children(schema: &Value) -> impl Iterator<Item = &Value> {
    let single = ["items", "additionalProperties", "additionalItems", "not"].into_iter().map(|key| &schema[key]);
    let listed =
        ["allOf", "anyOf", "oneOf", "items"].into_iter().flat_map(|key| schema[key].as_array().into_iter().flatten());
    let named = ["properties", "patternProperties", "definitions"]
        .into_iter()
        .flat_map(|key| schema[key].as_object().into_iter().flatten().map(|(_, child)| child));
    single.chain(listed).chain(named).filter(|child| child.is_object())
}

/// The first member that may not be there.
fn root_error(path: &Path, schema: &Value) -> Option<FieldError> {
    let members = schema.as_object()?;
    let set: Vec<&str> =
        members.iter().filter(|(key, value)| is_set(key, value)).map(|(key, _)| key.as_str()).collect();
    let forbidden = |key: &&str| !AT_ROOT.iter().any(|(allowed, _)| key == allowed);
    let kind = &schema["type"];
    if set.contains(&"type") && kind != "object" && !set.iter().any(|key| BEFORE_TYPE.contains(key)) {
        let detail =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(FieldError::invalid(&path.child("openAPIV3Schema.type"), kind.clone(), detail));
    }
    set.iter().find(|key| forbidden(key))?;
    let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
    let detail = format!(
        "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
        names.join(" ")
    );
    Some(FieldError::invalid(&path.child("openAPIV3Schema"), schema.clone(), detail))
}

/// Defaults must be as the schema wants them.
fn defaults(path: &Path, schema: &Value, is_root: bool, errors: &mut Vec<FieldError>) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        let at = path.child("default");
        let mut structural = Structural::read(schema);
        let mut pruned = default.clone();
        prune::prune_nested(&mut pruned, &structural);
        if pruned != *default {
            errors.push(FieldError::invalid(&at, default.clone(), "must not have unknown fields"));
        }
        structural.embedded |= is_root;
        let of_metadata = metadata::validate_at(&at, default, &structural);
        let coerced = metadata::coerce(&mut pruned, Malformed::Refuse)
            .and_then(|_| metadata::coerce_embedded(&mut pruned, &structural, Malformed::Refuse));
        match coerced {
            Err(why) => errors.push(FieldError::invalid(&at, default.clone(), why)),
            Ok(_) if !of_metadata.is_empty() => errors.extend(of_metadata),
            Ok(_) => errors.extend(Validator::new(schema).validate(Some(&at), default)),
        }
    }
    let embedded = is_root || schema["x-kubernetes-embedded-resource"] == true;
    if schema["items"].is_object() {
        defaults(&path.child("items"), &schema["items"], false, errors);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if !(embedded && matches!(name.as_str(), "metadata" | "apiVersion" | "kind")) {
            defaults(&path.child("properties").key(name), property, false, errors);
        }
    }
}

/// Where a node is.
#[derive(Clone)]
struct Place {
    /// Why no default may stand there.
    forbidden_default: Option<String>,
    in_meta: bool,
    is_root: bool,
}

fn node(path: &Path, schema: &Value, place: &Place, errors: &mut Vec<FieldError>) {
    standard(path, schema, place, errors);
    if schema["uniqueItems"] == true {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
    }
    let properties = schema["properties"].as_object().filter(|properties| !properties.is_empty());
    let below = Place { is_root: false, ..place.clone() };
    let additional = &schema["additionalProperties"];
    if (additional.is_object() || *additional == false) && properties.is_some() {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
    }
    if additional.is_object() {
        let mut below = below.clone();
        if place.in_meta {
            below.forbidden_default = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        node(&path.child("additionalProperties"), additional, &below, errors);
    }
    for (name, property) in properties.into_iter().flatten() {
        let mut below = below.clone();
        let embedded = schema["x-kubernetes-embedded-resource"] == true;
        if (place.is_root || embedded) && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
            below.in_meta = true;
            if place.is_root {
                below.forbidden_default = Some(format!("in top-level {name}"));
            }
        }
        node(&path.child("properties").key(name), property, &below, errors);
    }
    if schema["not"].is_object() {
        node(&path.child("not"), &schema["not"], &below, errors);
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        for (index, nested) in schema[key].as_array().into_iter().flatten().enumerate() {
            node(&path.child(key).index(index), nested, &below, errors);
        }
    }
    for (name, nested) in schema["definitions"].as_object().into_iter().flatten() {
        node(&path.child("definitions").key(name), nested, &below, errors);
    }
    if schema["items"].is_object() {
        node(&path.child("items"), &schema["items"], &below, errors);
    }
    for (index, nested) in schema["items"].as_array().into_iter().flatten().enumerate() {
        node(&path.child("items").index(index), nested, &below, errors);
    }
    let dependencies = schema["dependencies"].as_object().into_iter().flatten();
    for (name, nested) in dependencies.filter(|(_, nested)| nested.is_object()) {
        node(&path.child("dependencies").key(name), nested, &below, errors);
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&path, false, "must be true or undefined"));
    }
    super::topology::validate(path, schema, errors);
    super::rules::form(&path.child("x-kubernetes-validations"), schema, errors);
}

fn standard(path: &Path, schema: &Value, place: &Place, errors: &mut Vec<FieldError>) {
    let kind = schema["type"].as_str().unwrap_or_default();
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
    }
    if let Some(why) = place.forbidden_default.as_deref().filter(|_| !schema["default"].is_null()) {
        errors.push(FieldError::forbidden(&path.child("default"), format!("must not be set {why}")));
    }
    for (key, detail, even_empty) in UNSUPPORTED {
        if is_more_than_empty(&schema[key]) || even_empty && !schema[key].is_null() {
            errors.push(FieldError::forbidden(&path.child(key), detail));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(&path.child("type"), detail));
    }
    if schema["items"].as_array().is_some_and(|schemas| !schemas.is_empty()) {
        errors.push(FieldError::forbidden(&path.child("items"), "items must be a schema object and not an array"));
    }
    if place.in_meta && schema["x-kubernetes-embedded-resource"] == true {
        let path = path.child("x-kubernetes-embedded-resource");
        errors.push(FieldError::forbidden(&path, "must not be used inside of resource meta"));
    }
}
