//! What other servers tell about themselves: the resources of each version, and where their OpenAPI is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::index::{ApiService, Remote};
use super::proxy::{AGGREGATOR, Answered, ask};
use super::swagger;
use crate::core::Core;

const PATIENCE: Duration = Duration::from_secs(5);

/// By the name of the APIService. What was told last stays when the server does not answer any more: it is stale then.
#[derive(Default)]
pub(crate) struct Documents(Mutex<BTreeMap<String, Arc<Told>>>);

/// Of one APIService.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    /// `resources` of the version in aggregated discovery.
    pub resources: Vec<Value>,
    /// Where its document of OpenAPI v3 is; empty where there is none.
    pub openapi: String,
    /// What it says in OpenAPI v2.
    pub swagger: Option<Arc<Swagger>>,
}

/// A document of OpenAPI v2, less what is of other versions.
#[derive(Debug, PartialEq)]
pub(crate) struct Swagger {
    /// By which the server knows it, or a hash of it.
    pub etag: String,
    pub document: Value,
}

impl Documents {
    pub fn get(&self, name: &str) -> Option<Arc<Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn put(&self, name: &str, told: Told) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::new(told));
    }
}

/// Remembers the list of resources that the server has just given, and asks where its OpenAPI is.
pub(super) async fn told(core: &Core, service: &ApiService, remote: &Remote, list: &[u8]) {
    let Ok(list) = serde_json::from_slice::<Value>(list) else { return };
    let index = ask(core, remote, false, &AGGREGATOR, Method::GET, "/openapi/v3", "", PATIENCE).await;
    let index: Value = match index {
        Ok(Answered { code: StatusCode::OK, body, .. }) => serde_json::from_slice(&body).unwrap_or_default(),
        _ => Value::Null,
    };
    let path = format!("apis/{}/{}", service.group, service.version);
    let openapi = index["paths"][&path]["serverRelativeURL"].as_str().unwrap_or_default().to_owned();
    let swagger = swagger(core, service, remote).await;
    let told = Told { resources: resources(&list, &service.group, &service.version), openapi, swagger };
    core.aggregation.documents.put(&service.name, told);
}

/// What was told last stays when there is no new one.
async fn swagger(core: &Core, service: &ApiService, remote: &Remote) -> Option<Arc<Swagger>> {
    let last = core.aggregation.documents.get(&service.name).and_then(|told| told.swagger.clone());
    let known = last.as_ref().map(|last| last.etag.as_str()).filter(|etag| etag.ends_with('"')).unwrap_or_default();
    let asked = ask(core, remote, false, &AGGREGATOR, Method::GET, "/openapi/v2", known, PATIENCE).await;
    let Ok(Answered { code: StatusCode::OK, etag, body, .. }) = asked else { return last };
    let etag = if etag.is_empty() { crate::openapi::hex(&body) } else { etag };
    if last.as_ref().is_some_and(|last| last.etag == etag) {
        return last;
    }
    let Ok(document) = serde_json::from_slice(&body) else { return last };
    let document = swagger::filter(document, &format!("/apis/{}/{}/", service.group, service.version));
    Some(Arc::new(Swagger { etag, document }))
}

/// A plain list of resources as aggregated discovery has them (`ConvertGroupVersionIntoToDiscovery`).
fn resources(list: &Value, group: &str, version: &str) -> Vec<Value> {
    let mut resources: Vec<Value> = Vec::new();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let kind = |entry: &Value| {
        let or = |own: String, other: &str| if own.is_empty() { other.to_owned() } else { own };
        json!({"group": or(text(entry, "group"), group), "version": or(text(entry, "version"), version), "kind": text(entry, "kind")})
    };
    let entries: Vec<&Value> = list["resources"].as_array().into_iter().flatten().collect();
    let named = |entry: &&Value| text(entry, "name");
    for entry in entries.iter().filter(|entry| !named(entry).contains('/')) {
        let scope = if entry["namespaced"] == true { "Namespaced" } else { "Cluster" };
        let mut resource = json!({"resource": text(entry, "name"), "responseKind": kind(entry), "scope": scope,
            "singularResource": text(entry, "singularName"), "verbs": entry["verbs"]});
        for key in ["shortNames", "categories"] {
            if entry[key].as_array().is_some_and(|names| !names.is_empty()) {
                resource[key] = entry[key].clone();
            }
        }
        let below = format!("{}/", text(entry, "name"));
        let subresources = entries.iter().filter_map(|other| {
            let name = named(other).strip_prefix(&below)?.to_owned();
            Some(json!({"subresource": name, "responseKind": kind(other), "verbs": other["verbs"]}))
        });
        let subresources: Vec<Value> = subresources.collect();
        if !subresources.is_empty() {
            resource["subresources"] = subresources.into();
        }
        resources.push(resource);
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_list_becomes_an_aggregated_one() {
        let list = json!({"resources": [
            {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"], "shortNames": ["fl"]},
            {"name": "flunders/status", "singularName": "", "namespaced": true, "kind": "Flunder", "verbs": ["get", "update"]},
        ]});
        let kind = json!({"group": "g", "version": "v1", "kind": "Flunder"});
        let expected = json!([{"resource": "flunders", "singularResource": "flunder", "scope": "Namespaced", "responseKind": kind,
            "verbs": ["get"], "shortNames": ["fl"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get", "update"]}]}]);
        assert_eq!(Value::from(resources(&list, "g", "v1")), expected);
    }
}
