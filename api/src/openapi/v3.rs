//! The OpenAPI 3 document of one group version.

use serde_json::{Map, Value, json};

use super::OpenApi;
use super::definition::{Dialect, PATCH, group_version_kind};
use super::description::Descriptions;
use super::operation::{self, Body, Operation, PathItem};
use super::reach::reach;
use super::write::ObjectWriter;
use crate::resource::ResourceInfo;
use crate::schema::SchemaSet;

const DIALECT: Dialect = Dialect::V3;

pub(super) fn document(api: &OpenApi<'_>, resources: &[&ResourceInfo]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut document = ObjectWriter::new(&mut out);
    document.member("openapi", &"3.0.0".into());
    document.member("info", &json!({"title": "Kubernetes", "version": api.version}));
    document.object("paths", |paths| {
        for item in operation::paths(api, resources) {
            paths.member(&item.path, &path_item(&item));
        }
    });
    document.object("components", |components| {
        components.object("schemas", |schemas| write_schemas(api, resources, schemas));
        let token = json!({"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer token"});
        components.member("securitySchemes", &json!({"BearerToken": token}));
    });
    document.end();
    out
}

fn write_schemas(api: &OpenApi<'_>, resources: &[&ResourceInfo], out: &mut ObjectWriter<'_>) {
    write_definitions(DIALECT, api, resources, |name, schema| out.member(name, &schema));
}

/// Every definition of some resources, sorted by name.
pub(super) fn write_definitions(
    dialect: Dialect,
    api: &OpenApi<'_>,
    resources: &[&ResourceInfo],
    mut write: impl FnMut(&str, Value),
) {
    let set = SchemaSet::builtin();
    let descriptions = Descriptions::load();
    let reached = reach(api, resources);
    let is_served = |kind: &crate::gvk::GroupVersionKind| {
        resources.iter().any(|resource| resource.group == kind.group && resource.version == kind.version)
    };
    let mut names: Vec<&str> = reached.types.keys().chain(reached.custom.keys()).map(String::as_str).collect();
    names.extend(reached.leaves.keys());
    names.sort_unstable();
    for name in names {
        let schema = if let Some(id) = reached.types.get(name) {
            dialect.ty(set.get(*id), &descriptions, &is_served)
        } else if let Some(leaf) = reached.leaves.get(name) {
            dialect.leaf(leaf, &descriptions)
        } else if let Some(kind) = reached.custom.get(name) {
            match api.custom.get(kind) {
                Some(schema) => dialect.custom(kind, schema),
                None => dialect.custom_list(kind, name.strip_suffix("List").unwrap_or(name)),
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
        object.insert((*method).to_owned(), operation_object(operation));
    }
    let mut parameters: Vec<Value> = Vec::new();
    for name in &item.path_parameters {
        parameters.push(
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}),
        );
    }
    parameters.push(query_parameter(&("pretty", "string")));
    object.insert("parameters".into(), parameters.into());
    object.into()
}

fn query_parameter((name, kind): &(&str, &str)) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

fn operation_object(operation: &Operation) -> Value {
    let mut object = json!({
        "tags": [operation.tag],
        "operationId": operation.id,
        "responses": responses(operation),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": group_version_kind(&operation.kind),
    });
    if !operation.parameters.is_empty() {
        object["parameters"] = operation.parameters.iter().map(query_parameter).collect();
    }
    let content = |types: &[&str], name: &str| {
        let schema = json!({"schema": DIALECT.reference(name)});
        let content: Map<String, Value> = types.iter().map(|each| ((*each).to_owned(), schema.clone())).collect();
        Value::Object(content)
    };
    match &operation.body {
        Body::None | Body::Object(None) => {}
        Body::Object(Some(name)) => {
            object["requestBody"] = json!({"required": true, "content": content(&["*/*"], name)});
        }
        Body::DeleteOptions => {
            let name = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
            object["requestBody"] = json!({"content": content(&["*/*"], name)});
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
    let content = match &operation.answer {
        None => json!({"*/*": {"schema": {"type": "string"}}}),
        Some(name) => {
            let schema = json!({"schema": DIALECT.reference(name)});
            json!({"application/json": schema, "application/vnd.kubernetes.protobuf": schema, "application/yaml": schema})
        }
    };
    let mut responses =
        json!({"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}});
    if let Some(code) = operation.also {
        let description = if code == "201" { "Created" } else { "Accepted" };
        responses[code] = json!({"description": description, "content": content});
    }
    responses
}
