//! The OpenAPI 2 (Swagger) document of everything.

use serde_json::{Map, Value, json};

use super::OpenApi;
use super::definition::{Dialect, PATCH, group_version_kind};
use super::operation::{self, Body, Operation, Parameter, PathItem};
use super::reach::DELETE_OPTIONS;
use super::roots;
use super::v3::{patch_types, write_definitions};
use super::write::ObjectWriter;

const DIALECT: Dialect = Dialect::V2;

pub(super) fn document(api: &OpenApi<'_>) -> Vec<u8> {
    let items = items(api);
    let mut out = Vec::new();
    let mut document = ObjectWriter::new(&mut out);
    document.member("swagger", &"2.0".into());
    document.member("info", &info(api));
    document.object("paths", |paths| {
        for item in &items {
            paths.member(&item.path, &path_item(item));
        }
    });
    document.object("definitions", |definitions| {
        write_definitions(DIALECT, api, &items, |name, schema| definitions.member(name, &schema));
    });
    document.member("securityDefinitions", &security_definitions());
    document.member("security", &json!([{"BearerToken": []}]));
    document.end();
    out
}

/// All paths, sorted.
pub(super) fn items(api: &OpenApi<'_>) -> Vec<PathItem> {
    let mut items = operation::paths(api, &operation::in_order(api));
    items.extend(roots::others(api).into_iter().map(|(_, item)| item));
    items.sort_by(|a, b| a.path.cmp(&b.path));
    items
}

pub(super) fn info(api: &OpenApi<'_>) -> Value {
    json!({"title": "Kubernetes", "version": api.version})
}

pub(super) fn security_definitions() -> Value {
    json!({"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer token"}})
}

pub(super) fn path_item(item: &PathItem) -> Value {
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
    let mut object = json!({"name": name, "in": place, "type": kind, "uniqueItems": true});
    if *place == "path" {
        object["required"] = true.into();
    }
    object
}

fn operation_object(operation: &Operation, item: &PathItem) -> Value {
    let body = |name: &str, required: bool| {
        let mut body = json!({"name": "body", "in": "body", "schema": DIALECT.reference(name)});
        if required {
            body["required"] = true.into();
        }
        body
    };
    let (body, consumes) = match &operation.body {
        Body::None | Body::Object(None) => (None, operation.consumed().to_vec()),
        Body::Object(Some(name)) => (Some(body(name, true)), operation.consumed().to_vec()),
        Body::DeleteOptions => (Some(body(DELETE_OPTIONS, false)), operation.consumed().to_vec()),
        Body::Patch { strategic } => (Some(body(PATCH.name, true)), patch_types(*strategic)),
    };
    let parameters: Vec<Value> = body.into_iter().chain(operation.own(item).into_iter().map(parameter)).collect();
    let mut object = json!({
        "tags": [operation.tag],
        "operationId": operation.id,
        "schemes": ["https"],
        "produces": operation.types,
        "responses": responses(operation),
    });
    if !consumes.is_empty() {
        object["consumes"] = consumes.into();
    }
    if let Some((action, kind)) = &operation.about {
        object["x-kubernetes-action"] = (*action).into();
        object["x-kubernetes-group-version-kind"] = group_version_kind(kind);
    }
    if !parameters.is_empty() {
        object["parameters"] = parameters.into();
    }
    object
}

fn responses(operation: &Operation) -> Value {
    let schema = match &operation.answer {
        Some(name) => DIALECT.reference(name),
        None => json!({"type": "string"}),
    };
    let mut responses = json!({"200": {"description": "OK", "schema": schema}, "401": {"description": "Unauthorized"}});
    for code in operation.codes {
        let description = if *code == "201" { "Created" } else { "Accepted" };
        responses[*code] = json!({"description": description, "schema": schema});
    }
    responses
}
