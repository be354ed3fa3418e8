//! The OpenAPI 2 (Swagger) document of everything.

use serde_json::{Map, Value, json};

use super::OpenApi;
use super::definition::{Dialect, PATCH, group_version_kind};
use super::operation::{self, Body, Operation, PathItem};
use super::v3::{patch_types, write_definitions};
use super::write::ObjectWriter;

const DIALECT: Dialect = Dialect::V2;

pub(super) fn document(api: &OpenApi<'_>) -> Vec<u8> {
    let resources = operation::in_order(api);
    let mut out = Vec::new();
    let mut document = ObjectWriter::new(&mut out);
    document.member("swagger", &"2.0".into());
    document.member("info", &info(api));
    document.object("paths", |paths| {
        for item in operation::paths(api, &resources) {
            paths.member(&item.path, &path_item(&item));
        }
    });
    document.object("definitions", |definitions| {
        write_definitions(DIALECT, api, &resources, |name, schema| definitions.member(name, &schema));
    });
    document.member("securityDefinitions", &security_definitions());
    document.member("security", &json!([{"BearerToken": []}]));
    document.end();
    out
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
        object.insert((*method).to_owned(), operation_object(operation));
    }
    let mut parameters: Vec<Value> = Vec::new();
    for name in &item.path_parameters {
        parameters.push(json!({"name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true}));
    }
    parameters.push(query_parameter(&("pretty", "string")));
    object.insert("parameters".into(), parameters.into());
    object.into()
}

fn query_parameter((name, kind): &(&str, &str)) -> Value {
    json!({"name": name, "in": "query", "type": kind, "uniqueItems": true})
}

fn operation_object(operation: &Operation) -> Value {
    let body = |name: &str, required: bool| {
        let mut body = json!({"name": "body", "in": "body", "schema": DIALECT.reference(name)});
        if required {
            body["required"] = true.into();
        }
        body
    };
    let (body, consumes) = match &operation.body {
        Body::None | Body::Object(None) => (None, vec!["*/*"]),
        Body::Object(Some(name)) => (Some(body(name, true)), vec!["*/*"]),
        Body::DeleteOptions => (Some(body("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", false)), vec!["*/*"]),
        Body::Patch { strategic } => (Some(body(PATCH.name, true)), patch_types(*strategic)),
    };
    let parameters: Vec<Value> = body.into_iter().chain(operation.parameters.iter().map(query_parameter)).collect();
    let produces = match operation.answer {
        Some(_) => vec!["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"],
        None => vec!["*/*"],
    };
    let mut object = json!({
        "tags": [operation.tag],
        "operationId": operation.id,
        "schemes": ["https"],
        "consumes": consumes,
        "produces": produces,
        "responses": responses(operation),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": group_version_kind(&operation.kind),
    });
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
    if let Some(code) = operation.also {
        let description = if code == "201" { "Created" } else { "Accepted" };
        responses[code] = json!({"description": description, "schema": schema});
    }
    responses
}

/// Makes a v3 schema one that v2 can say: what v2 does not know goes, and what it would misread too. Clients then accept more than
/// the server will.
pub(super) fn simplify(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    for unknown in ["oneOf", "anyOf", "allOf", "not", "default", "nullable", "x-kubernetes-validations"] {
        members.remove(unknown);
    }
    if members.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        members.retain(|key, _| key == "description" || key == "x-kubernetes-preserve-unknown-fields");
        return;
    }
    if members.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        members.remove("type");
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(key) {
            simplify(inner);
        }
    }
    if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(simplify);
    }
}
