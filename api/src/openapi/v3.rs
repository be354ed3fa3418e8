//! The OpenAPI 3 document of one group version, or of what belongs to none.

use serde_json::{Map, Value, json};

use super::OpenApi;
use super::definition::{Dialect, PATCH, group_version_kind};
use super::description::Descriptions;
use super::operation::{Body, Operation, Parameter, PathItem};
use super::reach::{DELETE_OPTIONS, reach};
use super::write::ObjectWriter;
use crate::gvk::GroupVersionKind;
use crate::schema::SchemaSet;

const DIALECT: Dialect = Dialect::V3;

pub(super) fn document(api: &OpenApi<'_>, items: &[PathItem]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut document = ObjectWriter::new(&mut out);
    document.member("openapi", &"3.0.0".into());
    let custom = items.iter().any(|item| item.operations.iter().any(|(_, operation)| operation.is_custom()));
    let (title, version) = if custom { ("Kubernetes CRD Swagger", "v0.1.0") } else { ("Kubernetes", api.version) };
    document.member("info", &json!({"title": title, "version": version}));
    document.object("paths", |paths| {
        for item in items {
            paths.member(&item.path, &path_item(item));
        }
    });
    document.object("components", |components| {
        if items.iter().flat_map(|item| &item.operations).any(|(_, operation)| operation.answer.is_some()) {
            components.object("schemas", |schemas| {
                write_definitions(DIALECT, api, items, |name, schema| schemas.member(name, &schema));
            });
        }
        if !custom {
            let token =
                json!({"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer token"});
            components.member("securitySchemes", &json!({"BearerToken": token}));
        }
    });
    document.end();
    out
}

/// Every definition that some paths need, sorted by name.
pub(super) fn write_definitions(
    dialect: Dialect,
    api: &OpenApi<'_>,
    items: &[PathItem],
    mut write: impl FnMut(&str, Value),
) {
    let set = SchemaSet::builtin();
    let descriptions = Descriptions::load();
    let reached = reach(api, items);
    let mut names: Vec<&str> = reached.types.keys().chain(reached.custom.keys()).map(String::as_str).collect();
    names.extend(reached.leaves.keys());
    names.sort_unstable();
    for name in names {
        let schema = if let Some(id) = reached.types.get(name) {
            dialect.ty(set.get(*id), &descriptions)
        } else if let Some(leaf) = reached.leaves.get(name) {
            dialect.leaf(leaf, &descriptions)
        } else if let Some(kind) = reached.custom.get(name) {
            match api.custom.get(kind) {
                Some(schema) => dialect.custom(kind, schema),
                None => {
                    let element = |list: &str| list.strip_suffix("List").unwrap_or(list).to_owned();
                    let of = GroupVersionKind { kind: element(&kind.kind), ..kind.clone() };
                    dialect.custom_list(kind, &element(name), api.custom.get(&of).unwrap_or(&Value::Null))
                }
            }
        } else {
            continue;
        };
        write(name, schema);
    }
}

fn path_item(item: &PathItem) -> Value {
    let mut object = Map::new();
    for (method, operation) in &item.operations {
        object.insert((*method).to_owned(), operation_object(operation, item));
    }
    let shared = item.shared();
    if !shared.is_empty() {
        object.insert("parameters".into(), shared.into_iter().map(parameter).collect());
    }
    object.into()
}

fn parameter(parameter: &Parameter) -> Value {
    let Parameter { name, place, kind } = parameter;
    let mut object = json!({"name": name, "in": place, "schema": {"type": kind, "uniqueItems": true}});
    if *place == "path" {
        object["required"] = true.into();
    }
    object
}

fn operation_object(operation: &Operation, item: &PathItem) -> Value {
    let mut object = json!({"tags": [operation.tag], "operationId": operation.id, "responses": responses(operation)});
    if let Some((action, kind)) = &operation.about {
        object["x-kubernetes-action"] = (*action).into();
        object["x-kubernetes-group-version-kind"] = group_version_kind(kind);
    }
    let own = operation.own(item);
    if !own.is_empty() {
        object["parameters"] = own.into_iter().map(parameter).collect();
    }
    let content = |types: &[&str], name: &str| {
        let schema = json!({"schema": DIALECT.reference(name)});
        let content: Map<String, Value> = types.iter().map(|each| ((*each).to_owned(), schema.clone())).collect();
        Value::Object(content)
    };
    match &operation.body {
        Body::None | Body::Object(None) => {}
        Body::Object(Some(name)) => {
            object["requestBody"] = json!({"required": true, "content": content(operation.consumed(), name)});
        }
        Body::DeleteOptions => {
            object["requestBody"] = json!({"content": content(operation.consumed(), DELETE_OPTIONS)});
        }
        Body::Patch { strategic } => {
            let types = patch_types(*strategic);
            object["requestBody"] = json!({"required": true, "content": content(&types, PATCH.name)});
        }
    }
    object
}

/// Media types of a PATCH. Without schema facts there is no strategic merge.
pub(super) fn patch_types(strategic: bool) -> Vec<&'static str> {
    let mut types = vec!["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
    if strategic {
        types.push("application/strategic-merge-patch+json");
    }
    types
}

fn responses(operation: &Operation) -> Value {
    let schema = match &operation.answer {
        None => json!({"schema": {"type": "string"}}),
        Some(name) => json!({"schema": DIALECT.reference(name)}),
    };
    let content: Map<String, Value> = operation.types.iter().map(|each| ((*each).to_owned(), schema.clone())).collect();
    let mut responses =
        json!({"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}});
    for code in operation.codes {
        let description = if *code == "201" { "Created" } else { "Accepted" };
        responses[*code] = json!({"description": description, "content": content});
    }
    responses
}
